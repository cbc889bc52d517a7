"""The digest by which a file is known: SHA-256 of its bytes."""

import hashlib
from pathlib import Path


def hash_file(path: Path) -> str:
    """Of a file of any size."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
