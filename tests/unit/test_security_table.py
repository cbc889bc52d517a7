"""Each row of the security page names the tests that hold it; they are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/security.md").read_text()
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and "---" not in line]
NAMED = sorted(set(re.findall(r"`(test_\w+)`", PAGE)))


def test_every_row_names_a_test() -> None:
    heads = [row for row in ROWS if "what comes of it" in row]
    assert len(heads) == 2
    assert all("`test_" in row for row in ROWS if row not in heads)


@pytest.mark.parametrize("name", NAMED)
def test_a_test_that_is_named_is_there(name: str) -> None:
    files = (ROOT / "tests").rglob("*.py")
    assert any(f"def {name}(" in file.read_text() for file in files)
