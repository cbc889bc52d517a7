"""The folder of one run: what was asked for, how far it is, what came of it; for people and tools.

Nothing here is ever an input of a decision: what has been done is read from the artifacts.
"""

from contextlib import AbstractContextManager
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from urllib.parse import unquote

from pydantic import ValidationError

from gptfl.errors import StoreError
from gptfl.spec.base import SpecModel
from gptfl.store.blobs import Blobs


class Phase(StrEnum):
    """A summary of a run."""

    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    INTERRUPTED = "Interrupted"


class StepState(StrEnum):
    """Where one step is."""

    PENDING = "Pending"
    RUNNING = "Running"
    DONE = "Done"
    FAILED = "Failed"


class StepStatus(SpecModel):
    """One step of a run."""

    name: str
    stage: str
    state: StepState = StepState.PENDING
    key: str | None = None
    digest: str | None = None
    cached: bool = False
    """True when the artifact was there already."""
    reason: str = ""
    """Why it was done again, or why not."""
    started: datetime | None = None
    finished: datetime | None = None
    done: int = 0
    total: int = 0
    unit: str = ""
    seconds: float = 0.0
    """What the work took this time; 0 when cached."""
    metrics: dict[str, float] = {}
    """The last numbers that the step gave."""
    message: str = ""


class RunStatus(SpecModel):
    """How far a run is."""

    namespace: str
    name: str
    uid: str
    phase: Phase = Phase.RUNNING
    message: str = ""
    started: datetime
    finished: datetime | None = None
    steps: tuple[StepStatus, ...] = ()
    metrics: dict[str, float] = {}
    """The final numbers: accuracy and that of each control."""
    report: str | None = None
    """Where the report is."""
    model: str | None = None
    """URI of the exported model's folder."""
    model_digest: str | None = None

    def step(self, name: str) -> StepStatus | None:
        """The step of that name."""
        return next((step for step in self.steps if step.name == name), None)


class RunFolder:
    """`runs/<namespace>/<name>/<uid>/` in the store."""

    def __init__(self, blobs: Blobs, namespace: str, name: str, uid: str) -> None:
        self._blobs = blobs
        self._prefix = f"runs/{namespace}/{name}/{uid}"
        self.namespace, self.name, self.uid = namespace, name, uid

    def write_spec(self, text: str) -> None:
        """The run's file, defaults filled in."""
        self._blobs.write(f"{self._prefix}/run.yaml", text.encode())

    def read_spec(self) -> str | None:
        """The run's file, or None."""
        data = self._blobs.read(f"{self._prefix}/run.yaml")
        return None if data is None else data.decode()

    def write_status(self, status: RunStatus) -> None:
        """How far the run is."""
        self._blobs.write(
            f"{self._prefix}/status.json", status.model_dump_json(indent=1, by_alias=True).encode()
        )

    def read_status(self) -> RunStatus | None:
        """How far the run is, or None when that was never written or cannot be read."""
        data = self._blobs.read(f"{self._prefix}/status.json")
        try:
            return None if data is None else RunStatus.model_validate_json(data)
        except ValidationError:
            return None

    def write_report(self, html: str) -> Path:
        """The report; returns where it can be opened."""
        name = f"{self._prefix}/report.html"
        self._blobs.write(name, html.encode())
        file = self._blobs.local(name)
        if file is None:
            raise StoreError(f"{self._blobs.uri}/{name}: vanished while it was written; run again")
        return file.path

    @property
    def report_address(self) -> str:
        """Where the report is kept: its path, or its URI in a store that is elsewhere."""
        uri = f"{self._blobs.uri}/{self._prefix}/report.html"
        return unquote(uri.removeprefix("file://")) if uri.startswith("file://") else uri

    def report(self) -> Path | None:
        """A local copy of the report, or None when there is none."""
        file = self._blobs.local(f"{self._prefix}/report.html")
        return file.path if file else None

    def hold(self) -> AbstractContextManager[bool]:
        """Marks the run as worked on by this process; False when another one works on it."""
        return self._blobs.try_lock(self._prefix)

    def is_held(self) -> bool:
        """Whether a living process works on the run; a killed one does not."""
        return self._blobs.is_locked(self._prefix)

    def remove(self) -> None:
        """Removes the folder; artifacts stay."""
        self._blobs.remove(self._prefix)
