"""A model from a folder: named in any way, checked when there is a record, or refused in a line."""

import hashlib
import json
from pathlib import Path

import pytest
from served_model import write_model

from gptfl.errors import DamagedArtifactError, GPTFLError, ModelError, StoreError
from gptfl.models.config import CONFIG_NAME, WEIGHTS_NAME
from gptfl.serving.source import model_folder as found_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    return write_model(tmp_path / "model")


def record(folder: Path, *names: str) -> None:
    """What the store keeps beside the files of an artifact."""
    files = {
        name: {
            "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest(),
            "bytes": (folder / name).stat().st_size,
        }
        for name in names
    }
    said = {
        "stage": "serving",
        "version": 1,
        "key": "0" * 64,
        "section": {},
        "inputs": {},
        "files": files,
        "metrics": {},
        "cost": {},
        "software": {},
        "created": "2026-01-01T00:00:00Z",
    }
    (folder / "record.json").write_text(json.dumps(said))


def test_a_folder_may_be_named_as_a_path_or_a_uri(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    for uri in (str(folder), f"{folder}/", folder.as_uri(), "model", "./model"):
        assert found_folder(uri) == folder
    monkeypatch.chdir(folder)
    assert found_folder(".") == folder


def test_with_a_record_the_right_files_are_served(folder: Path) -> None:
    record(folder, CONFIG_NAME, WEIGHTS_NAME)
    assert found_folder(str(folder)) == folder


@pytest.mark.parametrize("name", [CONFIG_NAME, WEIGHTS_NAME])
def test_with_a_record_a_changed_file_is_refused(folder: Path, name: str) -> None:
    record(folder, CONFIG_NAME, WEIGHTS_NAME)
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(DamagedArtifactError, match=rf"model/{name}: is damaged \(sha256 "):
        found_folder(str(folder))


def test_with_a_record_a_missing_file_is_refused(folder: Path) -> None:
    record(folder, CONFIG_NAME, WEIGHTS_NAME)
    (folder / WEIGHTS_NAME).unlink()
    with pytest.raises(ModelError, match=r"model.safetensors: is missing; name the folder of an"):
        found_folder(str(folder))


def test_a_record_that_is_none_is_refused(folder: Path) -> None:
    (folder / "record.json").write_text("{}")
    with pytest.raises(DamagedArtifactError, match=r"record.json: is not a record; copy the model"):
        found_folder(str(folder))


def test_a_record_cannot_lead_out_of_its_folder(folder: Path) -> None:
    (folder.parent / "secret").write_text("x")
    record(folder, CONFIG_NAME, "../secret")
    with pytest.raises(StoreError, match="leaves the store; use a relative name without"):
        found_folder(str(folder))


@pytest.mark.parametrize("uri", ["/", "s3://bucket", "ftp://host/model", "/nowhere/model"])
def test_what_is_no_folder_of_a_model_is_said_in_one_line(uri: str) -> None:
    with pytest.raises(GPTFLError) as raised:
        found_folder(uri)
    assert "\n" not in str(raised.value)
