"""A run from Python: a spec in, typed results out, progress by a callback."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from gptfl.engine import Outcome, execute
from gptfl.evaluation.results import EvaluationReport
from gptfl.federation.results import FederationHistory
from gptfl.generation.results import GenerationReport
from gptfl.preflight import check_references, open_all_data
from gptfl.prompts.results import PromptSet
from gptfl.spec.checks import check
from gptfl.spec.load import dump_run, load_run, parse_run
from gptfl.spec.run import GPTFLRun, run_uid
from gptfl.stages import StageFunction, plan
from gptfl.store import Phase, RunFolder, RunStatus, StepStatus, Store, open_store
from gptfl.telemetry.events import Listener
from gptfl.telemetry.status import StatusRecorder

if TYPE_CHECKING:
    from gptfl.generation.samples import Sample
    from gptfl.models.folder import Classifier

__all__ = ["Result", "load_run", "parse_run", "run", "run_stage"]


@dataclass(frozen=True)
class Result:
    """What came of a run. Everything is read from the store, so it can be opened at any time."""

    run: GPTFLRun
    outcome: Outcome
    status: RunStatus
    report: Path
    """The HTML report."""

    @property
    def metrics(self) -> dict[str, float]:
        """The final numbers: ``accuracy``, and ``accuracy/from-scratch`` for each control."""
        return self.outcome.metrics

    @property
    def accuracy(self) -> float:
        """Of the final model, in 0..1."""
        return self.metrics["accuracy"]

    @property
    def prompts(self) -> PromptSet:
        """What the generator was asked for."""
        return self.outcome.artifacts["prompts"].read_model("prompts.json", PromptSet)

    @property
    def generation(self) -> GenerationReport:
        """How many were drawn, kept and dropped."""
        return self.outcome.artifacts["generation"].read_model("generation.json", GenerationReport)

    def samples(self, label: str, count: int) -> "list[Sample]":
        """The first so many images of a label, each with its prompt, guidance and seed."""
        from gptfl.generation.reading import read_samples

        return read_samples(self.outcome.artifacts["generation"], label, count)

    @property
    def evaluation(self) -> EvaluationReport:
        """Scores and confusion matrices of the model and its controls."""
        return self.outcome.artifacts["evaluation"].read_model("evaluation.json", EvaluationReport)

    def history(self, step: str = "federation") -> FederationHistory:
        """Round by round; ``federation/from-scratch`` and the like are the controls'."""
        return self.outcome.artifacts[step].read_model("history.json", FederationHistory)

    @property
    def model_folder(self) -> Path:
        """The exported model: `config.json` and `model.safetensors`."""
        return self.outcome.model.folder()

    @cached_property
    def model(self) -> "Classifier":
        """The final model, ready to answer; loads torch."""
        from gptfl.models.folder import load_classifier

        return load_classifier(self.model_folder)


def run(
    spec: GPTFLRun,
    *,
    store: Store | str | None = None,
    folder: Path | None = None,
    listeners: Sequence[Listener] = (),
    functions: Mapping[str, StageFunction] | None = None,
) -> Result:
    """Does what is not done yet of a run, and writes its status and report to the store.

    `store` is a store or its URI, by default the spec's or else `.gptfl`; relative paths in the
    spec start at `folder`, by default the working folder; `listeners` are told every event;
    `functions` are those of `gptfl.engine.execute`. Raises SpecError before any work when the spec
    or the data it names cannot be, and another GPTFLError when a step fails; what was done until
    then is kept and not done again.
    """
    are_here = "federation" not in (functions or {})
    work = _prepare(spec, store, folder, clients_are_here=are_here)
    open_data = partial(open_all_data, spec, work.folder, clients_are_here=are_here)
    before = work.runs.read_status()
    outcome = work.execute(listeners, functions=functions, before_work=open_data)
    return work.conclude(outcome, was_done=before is not None and before.phase is Phase.SUCCEEDED)


def run_stage(
    spec: GPTFLRun,
    stage: str,
    *,
    store: Store | str | None = None,
    folder: Path | None = None,
    listeners: Sequence[Listener] = (),
    functions: Mapping[str, StageFunction] | None = None,
) -> RunStatus:
    """Does what is not done yet of one stage; other processes do the rest.

    The last stage ends the run, with its report. The parameters are those of `run`. Raises
    StageError when a stage that it reads from has not been done.
    """
    are_here = stage == "federation" and stage not in (functions or {})
    work = _prepare(spec, store, folder, clients_are_here=are_here)
    # What other processes have said of their stages stays.
    work.recorder.status = work.runs.read_status() or work.recorder.status
    outcome = work.execute(listeners, only=stage, functions=functions)
    return work.conclude(outcome).status if outcome.is_whole else work.recorder.pause()


@dataclass(frozen=True)
class _Work:
    """A run that has been checked, with everything in place to go to work."""

    spec: GPTFLRun
    store: Store
    folder: Path
    runs: RunFolder
    recorder: StatusRecorder
    previous: RunStatus | None

    def execute(
        self,
        listeners: Sequence[Listener],
        *,
        only: str | None = None,
        functions: Mapping[str, StageFunction] | None,
        before_work: Callable[[], None] = lambda: None,
    ) -> Outcome:
        """Goes to work; however it ends, the status says how."""
        self.runs.write_spec(dump_run(self.spec))
        self.store.blobs.sweep()
        with self.runs.hold():
            try:
                return execute(
                    self.spec,
                    self.store,
                    folder=self.folder,
                    listeners=(self.recorder, *listeners),
                    previous=self.previous,
                    only=only,
                    functions=functions,
                    before_work=before_work,
                )
            except KeyboardInterrupt:
                said = "interrupted; run the same command to go on"
                self.recorder.finish(Phase.INTERRUPTED, said)
                raise
            except Exception as error:
                self.recorder.finish(Phase.FAILED, str(error).partition("\n")[0])
                raise

    def conclude(self, outcome: Outcome, *, was_done: bool = False) -> Result:
        """Writes the report and the status of a run that has come to its end."""
        report = _report(self.spec, outcome, self.runs, self.recorder.status, was_done=was_done)
        status = self.recorder.finish(
            Phase.SUCCEEDED,
            "",
            metrics=outcome.metrics,
            model=outcome.model.uri,
            model_digest=outcome.model.digest,
            report=self.runs.report_address,
        )
        return Result(self.spec, outcome, status, report)


def _prepare(
    spec: GPTFLRun, store: Store | str | None, folder: Path | None, *, clients_are_here: bool
) -> _Work:
    """Checks a run and opens its store; nothing is written yet."""
    folder = (folder or Path.cwd()).absolute()
    check(spec)
    check_references(spec, folder, clients_are_here=clients_are_here)
    if not isinstance(store, Store):
        store = store_of(spec, store, folder)
    runs = store.run_folder(spec.metadata.namespace, spec.metadata.name, run_uid(spec))
    previous = latest_status(store, spec.metadata.name, spec.metadata.namespace)
    recorder = StatusRecorder(runs, first_status(spec))
    return _Work(spec, store, folder, runs, recorder, previous)


def store_of(spec: GPTFLRun, uri: str | None, folder: Path) -> Store:
    """The store at `uri`, or that of the spec, or `.gptfl`; nothing is written yet."""
    own = spec.spec.artifacts
    if uri or not own.uri:
        return open_store(uri)
    return open_store(own.uri, folder=folder, endpoint=own.endpoint, region=own.region)


def first_status(spec: GPTFLRun) -> RunStatus:
    """The status of a run of which nothing has been done."""
    return RunStatus(
        namespace=spec.metadata.namespace,
        name=spec.metadata.name,
        uid=run_uid(spec),
        started=datetime.now(UTC),
        steps=tuple(StepStatus(name=step.name, stage=step.stage) for step in plan(spec)),
    )


def latest_status(store: Store, name: str, namespace: str | None = None) -> RunStatus | None:
    """The status of the run of that name that was started last, or None."""
    found = [folder.read_status() for folder in store.run_folders(namespace, name)]
    return max((status for status in found if status), key=lambda s: s.started, default=None)


def _report(
    spec: GPTFLRun, outcome: Outcome, runs: RunFolder, status: RunStatus, *, was_done: bool
) -> Path:
    """The report's path; an unchanged run that `was_done` keeps the report that it has."""
    existing = runs.report()
    if existing is not None and was_done and all(step.cached for step in status.steps):
        return existing
    from gptfl.report.build import render

    return runs.write_report(render(spec, outcome.artifacts, status))
