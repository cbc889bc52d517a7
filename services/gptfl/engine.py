"""Does the steps of a run in this process, once each: look up, resume, do, commit, and say so.

What is common to all stages is here and nowhere else. Everything that was done before, by whatever
process, is found in the store, so a killed run is resumed by running it again.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path

from gptfl.errors import StageError
from gptfl.freshness import allow_modules_of, differences, fingerprints
from gptfl.spec.base import canonical
from gptfl.spec.run import GPTFLRun
from gptfl.stages import StageFunction, Step, plan
from gptfl.store import Artifact, RunStatus, Store, Workspace, stage_key
from gptfl.telemetry.context import about
from gptfl.telemetry.events import (
    Event,
    Listener,
    RunFinished,
    RunStarted,
    StepFailed,
    StepFinished,
    StepProgress,
    StepStarted,
)

SOFTWARE = ("gptfl", "torch", "diffusers", "transformers", "flwr", "numpy", "datasets")
"""Packages whose versions are recorded with each artifact."""


@dataclass(frozen=True)
class Outcome:
    """What a run left: an artifact for each step, by the step's name."""

    artifacts: Mapping[str, Artifact]

    @property
    def is_whole(self) -> bool:
        """Whether the run is at its end; with one stage done, others may have to follow."""
        return "serving" in self.artifacts

    @property
    def metrics(self) -> dict[str, float]:
        """The numbers of the evaluation."""
        return self.artifacts["evaluation"].record.metrics

    @property
    def model(self) -> Artifact:
        """The exported model."""
        return self.artifacts["serving"]


def execute(
    run: GPTFLRun,
    store: Store,
    *,
    folder: Path,
    listeners: Sequence[Listener] = (),
    previous: RunStatus | None = None,
    only: str | None = None,
    functions: Mapping[str, StageFunction] | None = None,
    before_work: Callable[[], None] = lambda: None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Outcome:
    """Does what is not done yet of every step, in order.

    `folder` is where relative paths in the spec start; `previous` is the status of an earlier run
    of that name, from which is said why a step is done again. With `only`, just the steps of that
    stage are done, and those before them must have been. `functions` replace a stage's own by one
    that does the same with other hands: workers on a queue, clients across a network.
    `before_work` is called once, when a step is found that has to be made. Raises GPTFLError when a
    step cannot be done; what was done until then stays.
    """
    allow_modules_of(folder)
    # Of no arguments, the cache has one place: the second call does nothing.
    once = cache(before_work)
    engine = Engine(store, folder, listeners, previous, functions or {}, once, now)
    with about(run=run.metadata.name):
        return _execute(run, engine, only)


def _execute(run: GPTFLRun, engine: "Engine", only: str | None) -> Outcome:
    steps = plan(run)
    engine.tell(RunStarted(run.metadata.name, tuple(step.name for step in steps), engine.now()))
    made: dict[str, Artifact] = {}
    for step in _wanted(steps, only):
        inputs = {name: made[name] for name in step.inputs}
        is_ours = only in (None, step.stage)
        with about(stage=step.stage, step=step.name):
            made[step.name] = engine.do(step, inputs) if is_ours else engine.take(step, inputs)
    outcome = Outcome(made)
    if outcome.is_whole:
        engine.tell(RunFinished(run.metadata.name, engine.now(), outcome.metrics))
    return outcome


def _wanted(steps: Sequence[Step], only: str | None) -> Sequence[Step]:
    """The steps of the stage `only`, behind those that they are made from."""
    if only is None:
        return steps
    names = {step.name for step in steps if step.stage == only}
    for step in reversed(steps):
        if step.name in names:
            names.update(step.inputs)
    return [step for step in steps if step.name in names]


def key_of(step: Step, inputs: Mapping[str, Artifact], prints: Mapping[str, str]) -> str:
    """The address of what a step makes of its inputs and of the local files of those `prints`."""
    digests = {name: artifact.digest for name, artifact in inputs.items()}
    return stage_key(step.stage, step.version, step.section, digests, prints)


@dataclass(frozen=True)
class Engine:
    """Does one step at a time."""

    store: Store
    folder: Path
    listeners: Sequence[Listener] = ()
    previous: RunStatus | None = None
    functions: Mapping[str, StageFunction] = field(default_factory=dict)
    before_work: Callable[[], None] = lambda: None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def tell(self, event: Event) -> None:
        """Passes an event to every listener."""
        for listener in self.listeners:
            listener(event)

    def do(self, step: Step, inputs: Mapping[str, Artifact]) -> Artifact:
        """The step's artifact: found, or made now."""
        prints = fingerprints(step.section, self.folder)
        key = key_of(step, inputs, prints)
        found = self.store.find(step.stage, key)
        if found is not None:
            return self._cached(step, found)
        self.before_work()
        try:
            self.tell(StepStarted(step.name, key, self._why(step, inputs), self.now()))
            with self.store.claim(step.stage, key):
                # Another process may have made it while this one waited for the claim.
                found = self.store.find(step.stage, key)
                return self._cached(step, found) if found else self._make(step, key, inputs, prints)
        except Exception as error:
            self.tell(StepFailed(step.name, str(error), self.now()))
            raise

    def take(self, step: Step, inputs: Mapping[str, Artifact]) -> Artifact:
        """The step's artifact, made by another process. Raises StageError when it was not."""
        prints = fingerprints(step.section, self.folder)
        found = self.store.find(step.stage, key_of(step, inputs, prints))
        found = found or self._made_elsewhere(step, inputs, prints)
        if found is None:
            raise StageError(
                f"{step.name} has not been done in {self.store.uri}; "
                f"do it first, with 'gptfl run FILE --only {step.stage}'"
            )
        return self._cached(step, found)

    def _made_elsewhere(
        self, step: Step, inputs: Mapping[str, Artifact], prints: Mapping[str, str]
    ) -> Artifact | None:
        """What this run made of the same, and of files that cannot be seen here.

        A generator's folder is mounted where images are drawn; here its digest cannot be known, and
        so neither the key. Of what can be seen here, nothing may have changed.
        """
        made = self.store.artifact_of(self.previous.step(step.name) if self.previous else None)
        if made is None or made.record.version != step.version:
            return None
        is_same = made.record.section == canonical(step.section) and not _new_inputs(made, inputs)
        return made if is_same and prints.items() <= made.record.fingerprints.items() else None

    def _make(
        self, step: Step, key: str, inputs: Mapping[str, Artifact], prints: Mapping[str, str]
    ) -> Artifact:
        began = time.monotonic()
        workspace = Workspace(
            self.store.blobs,
            step.stage,
            key,
            seed=step.section.seed,
            folder=self.folder,
            report_progress=lambda done, total, unit, metrics: self.tell(
                StepProgress(step.name, done, total, unit, self.now(), metrics)
            ),
        )
        function = self.functions.get(step.stage) or step.load()
        metrics = function(step.section, inputs, workspace)
        seconds = time.monotonic() - began
        artifact = self.store.commit(
            workspace,
            stage=step.stage,
            version=step.version,
            key=key,
            section=canonical(step.section),
            inputs=inputs,
            fingerprints=prints,
            metrics=metrics,
            seconds=seconds,
            software=_software(),
            now=self.now(),
        )
        self._finished(step, artifact, cached=False, reason="", seconds=seconds)
        return artifact

    def _cached(self, step: Step, artifact: Artifact) -> Artifact:
        made = artifact.record.created.astimezone().strftime("%Y-%m-%d %H:%M")
        reason = f"same spec and inputs as {artifact.key[:12]}, made {made}"
        self._finished(step, artifact, cached=True, reason=reason, seconds=0.0)
        return artifact

    def _finished(
        self, step: Step, artifact: Artifact, *, cached: bool, reason: str, seconds: float
    ) -> None:
        record = artifact.record
        self.tell(
            StepFinished(
                step.name,
                artifact.key,
                artifact.digest,
                cached,
                reason,
                seconds,
                self.now(),
                record.metrics,
            )
        )

    def _why(self, step: Step, inputs: Mapping[str, Artifact]) -> str:
        """Which fields or inputs have changed since the run of that name before."""
        before = self.previous.step(step.name) if self.previous else None
        old = self.store.artifact_of(before)
        if old is None:
            return "not done before"
        changed = list(differences(old.record.section, canonical(step.section)))
        others = _new_inputs(old, inputs)
        if others:
            changed.append(f"new {', '.join(others)}")
        if old.record.version != step.version:
            changed.append(f"the stage's code has changed (version {step.version})")
        return "; ".join(changed) or "local files have changed"


def _new_inputs(old: Artifact, inputs: Mapping[str, Artifact]) -> list[str]:
    """The inputs that are not those from which `old` was made."""
    known = old.record.inputs
    return [n for n, one in inputs.items() if n not in known or known[n].digest != one.digest]


def _software() -> dict[str, str]:
    versions = {}
    for package in SOFTWARE:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions
