"""Where pre-trained weights are, for all who load some: a folder, an artifact or the hub.

Whatever goes wrong on the way is one line that names the field.
"""

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from gptfl.errors import DamagedArtifactError, GPTFLError, ModelError, SpecError
from gptfl.freshness import local_path
from gptfl.store.record import RECORD_NAME, Record


@dataclass(frozen=True)
class Source:
    """Weights that `from_pretrained` can be pointed at."""

    where: str
    """A local folder or a hub id."""
    local: bool
    uri: str
    """As the spec names it."""
    field: str
    """The path of the spec that names it, for errors."""


def resolve(uri: str, folder: Path, *, field: str, needs: str) -> Source:
    """What `hf://OWNER/NAME`, `file://FOLDER`, a path or the URI of an artifact stands for.

    `folder` is where relative paths start; `needs` is the file that makes a folder what is wanted.
    The files of an artifact are checked against its record. Raises SpecError for a scheme that is
    not known and for a folder that is not what it should be; the hub is not asked yet.
    """
    if uri.startswith("hf://"):
        return Source(uri.removeprefix("hf://"), local=False, uri=uri, field=field)
    path = local_path(uri, folder)
    if path is None:
        raise SpecError.of(
            field, f"{uri!r} is of no known kind; use hf://OWNER/NAME or file://PATH"
        )
    if not path.is_dir():
        raise SpecError.of(field, f"{path} is not a folder; give the folder that has {needs}")
    if not (path / needs).is_file():
        raise SpecError.of(field, f"{path} has no {needs}; give the folder that has it")
    _check_artifact(path)
    return Source(str(path), local=True, uri=uri, field=field)


def check_digests(path: Path, digests: dict[str, str], remedy: str) -> None:
    """Raises DamagedArtifactError unless each file below `path` has its SHA-256."""
    for name, wanted in digests.items():
        file = path / name
        if not file.is_file():
            raise DamagedArtifactError(f"{file}: is missing; {remedy}")
        with file.open("rb") as opened:
            found = hashlib.file_digest(opened, "sha256").hexdigest()
        if found != wanted:
            raise DamagedArtifactError(
                f"{file}: is damaged (sha256 {found[:12]}…, recorded {wanted[:12]}…); {remedy}"
            )


def _check_artifact(path: Path) -> None:
    """A folder with a record is an artifact of the store, which is whole or of no use."""
    record = path / RECORD_NAME
    if not record.is_file():
        return
    try:
        files = Record.model_validate_json(record.read_bytes()).files
    except ValidationError as error:
        raise DamagedArtifactError(f"{record}: is not a record; make the artifact again") from error
    digests = {name: entry.sha256 for name, entry in files.items()}
    check_digests(path, digests, "make the artifact again")


@contextmanager
def loading(source: Source) -> Iterator[None]:
    """Around the loading of weights: no progress bars, no chatter, every error one ModelError."""
    try:
        with _quiet():
            yield
    except GPTFLError:
        raise
    except Exception as error:  # each library below has its own family of errors
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        remedy = (
            "check the folder's files"
            if source.local
            else "check the name and the network, or download it and use file://FOLDER"
        )
        raise ModelError(
            f"{source.field}: {source.uri} cannot be loaded ({reason}); {remedy}"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the libraries' bars and advice off the terminal, which has a bar of its own."""
    import diffusers.utils.logging as diffusers_logging
    import transformers.utils.logging as transformers_logging

    verbosity = [
        (module, module.get_verbosity(), module.is_progress_bar_enabled())
        for module in (diffusers_logging, transformers_logging)
    ]
    for module, _, _ in verbosity:
        module.set_verbosity(logging.ERROR)
        module.disable_progress_bar()
    try:
        yield
    finally:
        for module, level, bars in verbosity:
            module.set_verbosity(level)
            if bars:
                module.enable_progress_bar()
