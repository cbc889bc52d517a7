"""Where the model of a server comes from: a local folder that a URI names, each file checked."""

from pathlib import Path

from pydantic import ValidationError

from gptfl.errors import DamagedArtifactError, ModelError
from gptfl.models.config import CONFIG_NAME, WEIGHTS_NAME
from gptfl.store import open_store
from gptfl.store.blobs import Blobs, LocalFile
from gptfl.store.record import RECORD_NAME, Record
from gptfl.store.watch import StoreWatch


def model_folder(uri: str, watch: StoreWatch | None = None) -> Path:
    """The exported model at a path, `file://` or `s3://`, as a local folder.

    The watch is told what goes between here and a bucket. Where the store's record came along, each
    file has to be what it says. Raises GPTFLError.
    """
    place, folder = _split(uri)
    blobs = open_store(place, must_exist=True).blobs
    if watch is not None:
        blobs.watch(watch)
    digests = _digests(blobs, folder) or dict.fromkeys((CONFIG_NAME, WEIGHTS_NAME))
    files = {f"{folder}/{name}": digest for name, digest in digests.items()}
    found = {name: _file(blobs, name, digest) for name, digest in files.items()}
    return blobs.gather(
        folder, {name.removeprefix(f"{folder}/"): file for name, file in found.items()}
    )


def _split(uri: str) -> tuple[str, str]:
    """The place that holds the model's folder, and the folder's name there."""
    if "://" not in uri:
        uri = str(Path(uri).expanduser().resolve())
    place, _, folder = uri.rstrip("/").rpartition("/")
    if not folder or place.endswith(":/"):
        raise ModelError(f"{uri}: names no folder; name that of an exported model")
    return place or "/", folder


def _digests(blobs: Blobs, folder: str) -> dict[str, str]:
    data = blobs.read(f"{folder}/{RECORD_NAME}")
    if data is None:
        return {}
    try:
        record = Record.model_validate_json(data)
    except ValidationError as error:
        raise DamagedArtifactError(
            f"{blobs.uri}/{folder}/{RECORD_NAME}: is not a record; copy the model's folder anew"
        ) from error
    return {name: entry.sha256 for name, entry in record.files.items()}


def _file(blobs: Blobs, name: str, sha256: str | None) -> LocalFile:
    found = blobs.local(name, sha256)
    if found is None:
        raise ModelError(f"{blobs.uri}/{name}: is missing; name the folder of an exported model")
    if sha256 is not None:
        found.check(sha256, f"{blobs.uri}/{name}", "copy it anew")
    return found
