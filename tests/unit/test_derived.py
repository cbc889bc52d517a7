"""Derived files are those that the types and the code give today."""

from pathlib import Path

from gptfl.derived import FILES, ROOT, stale, write


def test_derived_files_are_fresh() -> None:
    assert stale(ROOT) == [], "run 'make generate'"


def test_an_old_or_missing_file_is_stale(tmp_path: Path) -> None:
    assert stale(tmp_path) == list(FILES)
    write(tmp_path)
    assert stale(tmp_path) == []
    (tmp_path / "docs/reference/run.md").write_text("old")
    assert stale(tmp_path) == ["docs/reference/run.md"]
