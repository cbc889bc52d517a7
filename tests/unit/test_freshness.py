"""Local files and modules that a spec names are part of what a result depends on."""

import sys
from pathlib import Path

import pytest

from gptfl.freshness import allow_modules_of, differences, fingerprints, local_path
from gptfl.spec.data import DatasetSpec
from gptfl.spec.generation import GeneratorSpec
from gptfl.spec.pretraining import ModelSpec


def test_a_changed_file_changes_the_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "cases").mkdir()
    (tmp_path / "cases" / "a.csv").write_text("1")
    spec = DatasetSpec(uri="cases/a.csv")
    before = fingerprints(spec, tmp_path)
    (tmp_path / "cases" / "a.csv").write_text("22")

    assert list(before) == ["cases/a.csv"]
    assert fingerprints(spec, tmp_path) != before


def test_a_new_file_in_a_folder_changes_its_fingerprint(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    before = fingerprints(DatasetSpec(uri="file:photos"), tmp_path)
    (folder / "new.png").write_bytes(b"")

    assert fingerprints(DatasetSpec(uri="file:photos"), tmp_path) != before


def test_a_users_module_is_known_by_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.path", [*sys.path])
    module = tmp_path / "my_model_of_tests.py"
    module.write_text("def build(): ...")
    allow_modules_of(tmp_path)
    spec = ModelSpec(source="python://my_model_of_tests:build")
    before = fingerprints(spec, tmp_path)
    module.write_text("def build(): return 1")

    assert before
    assert fingerprints(spec, tmp_path) != before


@pytest.mark.parametrize(
    "uri", ["sklearn://digits", "hf://owner/name", "builtin://small-cnn", "gone"]
)
def test_what_is_not_here_has_no_fingerprint(tmp_path: Path, uri: str) -> None:
    assert fingerprints(DatasetSpec(uri=uri), tmp_path) == {}


@pytest.mark.parametrize(
    ("uri", "path"),
    [("a/b", "/base/a/b"), ("/a", "/a"), ("file:///a%20b", "/a b"), ("hf://a/b", None)],
)
def test_paths_start_at_the_folder_of_the_runs_file(uri: str, path: str | None) -> None:
    assert local_path(uri, Path("/base")) == (Path(path) if path else None)


def test_the_weights_that_come_with_gptfl_are_known_by_their_digests(tmp_path: Path) -> None:
    assert fingerprints(GeneratorSpec(source="builtin://glyphs"), tmp_path).keys() == {
        "builtin://glyphs"
    }


def test_differences_name_the_leaves() -> None:
    old = {"a": {"b": 1, "c": [1]}, "same": True}
    new = {"a": {"b": 2, "c": [1]}, "same": True, "d": "x"}
    assert list(differences(old, new)) == ["a.b: 1 → 2", "d: unset → x"]
