"""Writes what is derived from the types and the code: `python -m gptfl.derived [--check]`."""

import sys
from pathlib import Path

from gptfl.cli.reference import command_page
from gptfl.spec.crd import crd_yaml
from gptfl.spec.reference import reference_page
from gptfl.telemetry.metrics import metrics_page
from gptfl_operator.reference import conditions_page

ROOT = Path(__file__).parents[2]
FILES = {
    "charts/gptfl/crds/gptflruns.yaml": crd_yaml,
    "docs/reference/run.md": reference_page,
    "docs/reference/metrics.md": metrics_page,
    "docs/reference/conditions.md": conditions_page,
    "docs/reference/command-line.md": command_page,
}


def stale(root: Path) -> list[str]:
    """Names of derived files that are missing below `root` or differ from what would be written."""
    return [
        name
        for name, derive in FILES.items()
        if not (root / name).is_file() or (root / name).read_text(encoding="utf-8") != derive()
    ]


def write(root: Path) -> None:
    """Writes all derived files below `root`."""
    for name, derive in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(derive(), encoding="utf-8")


def main() -> None:
    """Writes, or with `--check` fails when something is stale."""
    if sys.argv[1:] != ["--check"]:
        write(ROOT)
        return
    if old := stale(ROOT):
        sys.exit(f"{', '.join(old)}: older than the types; run 'make generate' and commit")


if __name__ == "__main__":
    main()
