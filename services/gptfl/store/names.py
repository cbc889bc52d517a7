"""What a blob may be called: the same in every kind of store, so that none can be led astray."""

import re

from gptfl.errors import StoreError

_LONGEST, _LONGEST_PART = 900, 255
"""Bytes: S3 takes 1,024 with the store's own prefix, file systems 255 between slashes."""

_ODD = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]")
"""Control characters, which XML cannot carry; the backslash; halves of characters."""


def check_name(name: str) -> str:
    """The name itself. Raises StoreError for one that is no plain relative path."""
    parts = name.split("/")
    if ".." in parts or name.startswith("/"):
        raise StoreError(f"{name!r} leaves the store; use a relative name without '..'")
    if _ODD.search(name):
        raise StoreError(f"{name!r} has a control character or backslash; leave it out")
    if "" in parts or "." in parts:
        raise StoreError(f"{name!r} has an empty part or '.'; use a plain relative name")
    if len(name.encode()) > _LONGEST or any(len(part.encode()) > _LONGEST_PART for part in parts):
        raise StoreError(
            f"{name[:40]!r}… is too long; a name has at most {_LONGEST} bytes, "
            f"{_LONGEST_PART} between slashes"
        )
    return name
