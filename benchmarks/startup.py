"""How long the command line takes to answer, against Python's own start, in one run.

Prints medians in milliseconds and the ratio; `gptfl --help` is meant to stay below 0.3 s, which it
can only do while it imports no torch.
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

GPTFL = str(Path(sys.executable).with_name("gptfl"))
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "python -c 'import gptfl'": [sys.executable, "-c", "import gptfl"],
    "gptfl --help": [GPTFL, "--help"],
    "gptfl validate": [GPTFL, "validate", "examples/digits.yaml"],
    "python -c 'import torch'": [sys.executable, "-c", "import torch"],
}


def main() -> None:
    """Times every command in turn, several times over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(repeats):
        for name, command in COMMANDS.items():
            began = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            times[name].append(time.perf_counter() - began)
    base = statistics.median(times["python -c pass"])
    for name, values in times.items():
        median = statistics.median(values)
        print(f"{name:28} {median * 1000:7.0f} ms   {median / base:6.1f} × python")


if __name__ == "__main__":
    main()
