"""The accuracy of a run and its controls over several seeds: mean, and each seed.

The store is shared, so a seed that was run before costs nothing.
"""

import argparse
import statistics
from pathlib import Path

import gptfl


def main() -> None:
    """Runs the file once for each seed and prints a row for the model and each control."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, default=Path("examples/digits.yaml"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--store", default=None, help="where artifacts are kept (.gptfl)")
    arguments = parser.parse_args()
    run = gptfl.load_run(arguments.file)
    rows: dict[str, list[float]] = {}
    for seed in arguments.seeds:
        seeded = run.model_copy(update={"spec": run.spec.model_copy(update={"seed": seed})})
        result = gptfl.run(seeded, store=arguments.store, folder=arguments.file.parent)
        for name, value in result.metrics.items():
            if name.partition("/")[0] == "accuracy":
                rows.setdefault(name.partition("/")[2] or "gpt-fl", []).append(value)
        print(f"seed {seed}: {result.accuracy:.3f}", flush=True)
    print(f"\n{'accuracy':20} {'mean':>6}   " + "   ".join(f"seed {s}" for s in arguments.seeds))
    for name, values in rows.items():
        shown = "    ".join(f"{value:.3f}" for value in values)
        print(f"{name:20} {statistics.fmean(values):6.3f}   {shown}")


if __name__ == "__main__":
    main()
