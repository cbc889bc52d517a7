"""Why a step has to be done again: local files that changed, fields that changed."""

import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel

from gptfl.spec.base import canonical_json, sha256


def local_path(uri: str, folder: Path) -> Path | None:
    """The path that a `file://` URI or a bare path names, from `folder`; None for other schemes."""
    scheme = urlsplit(uri).scheme
    if scheme not in ("", "file"):
        return None
    return (
        folder
        / Path(
            unquote(uri.removeprefix("file:").removeprefix("//")) if scheme else uri
        ).expanduser()
    )


def fingerprints(section: BaseModel, folder: Path) -> dict[str, str]:
    """A digest for each local file, folder or Python module that the section names.

    A data set that changed under the same name must not be taken for the old one. Folders are
    known by the names, sizes and times of their files, so that a large one is not read each time.
    """
    found = {}
    for name, value in _references(section):
        if value.startswith("file:") or (name == "uri" and "://" not in value):
            path = local_path(value, folder)
            if path is not None and path.exists():
                found[value] = _fingerprint(path)
        elif (weights := _builtin_weights(value)) is not None:
            found[value] = sha256(weights.read_bytes())
        elif (module := _MODULE.match(value)) and (source := _source(module["module"])):
            found[value] = sha256(source.read_bytes())
    return found


_REFERENCES = ("uri", "source", "function", "public_weights")
"""Fields that may name a file or a module."""

_MODULE = re.compile(r"(python://)?(?P<module>[A-Za-z_][\w.]*):[A-Za-z_]\w*$")


def _references(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, BaseModel):
        for name in type(value).model_fields:
            item = getattr(value, name)
            if isinstance(item, str) and name in _REFERENCES:
                yield name, item
            else:
                yield from _references(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _references(item)


def _fingerprint(path: Path) -> str:
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return sha256(
        canonical_json(
            [
                [file.relative_to(path).as_posix(), stat.st_size, stat.st_mtime_ns]
                for file in files
                for stat in [file.stat()]
            ]
        )
    )


def _builtin_weights(value: str) -> Path | None:
    """The list of digests of a generator that comes with gptfl, and may change with it."""
    scheme, _, name = value.partition("builtin://")
    sums = Path(__file__).parent / "generation" / name / "SHA256SUMS"
    return sums if not scheme and name and sums.is_file() else None


def _source(module: str) -> Path | None:
    """The file of a Python module, when there is one."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec and spec.origin and spec.has_location else None


def allow_modules_of(folder: Path) -> None:
    """Lets `module:function` name a module that lies beside the run's file."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def differences(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """The leaves in which two canonical sections differ: ``federation.rounds: 30 → 40``."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in sorted(old.keys() | new.keys()):
            below = f"{path}.{name}" if path else str(name)
            yield from differences(old.get(name), new.get(name), below)
    elif old != new:
        yield f"{path}: {_short(old)} → {_short(new)}"


def _short(value: Any) -> str:
    text = "unset" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:37]}…"
