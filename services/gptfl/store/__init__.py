"""Artifacts: immutable results of stages, addressed by what they were made from."""

from gptfl.store.artifact import Artifact
from gptfl.store.record import Cost, FileEntry, Record, stage_key
from gptfl.store.runs import Phase, RunFolder, RunStatus, StepState, StepStatus
from gptfl.store.store import Store, open_store
from gptfl.store.workspace import Workspace

__all__ = [
    "Artifact",
    "Cost",
    "FileEntry",
    "Phase",
    "Record",
    "RunFolder",
    "RunStatus",
    "StepState",
    "StepStatus",
    "Store",
    "Workspace",
    "open_store",
    "stage_key",
]
