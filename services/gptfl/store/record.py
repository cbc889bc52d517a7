"""`record.json`: what an artifact is, came from and cost; writing it is the commit."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import Field, JsonValue

from gptfl.spec.base import SpecModel, canonical_json, sha256

RECORD_NAME = "record.json"


class FileEntry(SpecModel):
    """One file of an artifact."""

    sha256: str
    bytes: int


class InputEntry(SpecModel):
    """An artifact that this one was made from."""

    key: str
    digest: str


class Cost(SpecModel):
    """What making the artifact took, over all attempts that left a checkpoint."""

    seconds: float = 0.0
    """Wall-clock time of the stage."""
    device_seconds: float = 0.0
    """Time for which a device or a core was held by the stage's workers."""
    bytes_written: int = 0
    """Size of the artifact."""
    bytes_sent: int = 0
    """From the server to clients."""
    bytes_received: int = 0
    """From clients to the server."""


class Record(SpecModel):
    """The truth about an artifact; the artifact exists when this is in the store."""

    stage: str
    version: int
    key: str
    section: dict[str, JsonValue]
    """The canonical form of the spec section that the stage was given."""
    inputs: dict[str, InputEntry]
    """By the name of the step."""
    fingerprints: dict[str, str] = Field(default_factory=dict)
    """Of the local files and modules that the section names, by what it calls them."""
    files: dict[str, FileEntry]
    metrics: dict[str, float]
    cost: Cost
    software: dict[str, str]
    """Versions of the packages that matter."""
    created: datetime

    @property
    def digest(self) -> str:
        """SHA-256 over names and digests of the files: the identity of the content."""
        return sha256(canonical_json({name: entry.sha256 for name, entry in self.files.items()}))


def stage_key(
    stage: str,
    version: int,
    section: Any,
    input_digests: Mapping[str, str],
    fingerprints: Mapping[str, str],
) -> str:
    """The address of what a stage will make, before it is made.

    Same stage, same code version, same section, same inputs, same local files: same key.
    """
    return sha256(
        canonical_json(
            {
                "stage": stage,
                "version": version,
                "section": section,
                "inputs": dict(input_digests),
                "fingerprints": dict(fingerprints),
            }
        )
    )
