"""The decision: from a run and what there is of it to what ought to be. Pure, and always whole.

Nothing in a run's status is an input, but for the times of its conditions and estimates. The same
run, the same objects and the same moment give the same answer; and when all that it asks for has
been done, it asks for nothing more.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from gptfl.errors import SpecError
from gptfl.spec.run import RunSpec
from gptfl.spec.status import Status
from gptfl.store.runs import RunStatus, StepState
from gptfl_operator.acceptance import Visit, named, obstacle, ref
from gptfl_operator.conditions import Verdict, conditions, is_complete, notes, refused, verdicts
from gptfl_operator.federating import Federating, surroundings
from gptfl_operator.garbage import stale
from gptfl_operator.jobs import wanted_jobs
from gptfl_operator.manifests.certificates import missing
from gptfl_operator.manifests.parts import stage_work
from gptfl_operator.manifests.scope import Scope
from gptfl_operator.model import Desired, Object, Observed, Reads, Ref
from gptfl_operator.overview import overview, phase
from gptfl_operator.plan import Understood, understand
from gptfl_operator.publishing import Export, Publication, publish
from gptfl_operator.reasons import Reason
from gptfl_operator.settings import OperatorSettings
from gptfl_operator.standing import Stand, Standing, standings


def reconcile(
    run: Object, observed: Observed, settings: OperatorSettings, now: datetime
) -> Desired:
    """What ought to be for a run. For one whose file is wrong nothing is made, and nothing taken
    away: a slip of the pen in a run that is at work costs no work."""
    if run["metadata"].get("deletionTimestamp"):
        return Desired()
    try:
        read = understand(run)
    except SpecError as error:
        return _refused(run, error, now)
    return _Decision(run, read, observed, settings, now).desired()


def reads(settings: OperatorSettings) -> Reads:
    """What a run names but does not own; nothing for a run whose file is wrong."""

    def of(run: Object) -> tuple[Ref, ...]:
        try:
            scope = _scope(run, understand(run), settings)
        except SpecError:
            return ()
        names = [(one.kind, one.name) for one in named(scope)]
        return tuple(ref(scope, *one) for one in [*names, ("Service", scope.model_name)])

    return of


@dataclass(frozen=True)
class _Decision:
    """One visit of one run, looked at from all sides."""

    run: Object
    read: Understood
    observed: Observed
    settings: OperatorSettings
    now: datetime

    def desired(self) -> Desired:
        """Everything, or only what is to be said where the run cannot be begun."""
        if self.is_outlived:
            return Desired(delete_run=True)
        said = Desired(
            status=self.status(),
            events=notes(self.verdicts, self.before.get("conditions")),
            requeue_after=self.requeue_after(),
        )
        if self.obstacle is not None:
            return said
        jobs = wanted_jobs(self.scope, self.to_do, self.observed, barred=self.federating.barred)
        apply = (*self.federating.apply, *jobs.apply, *self.publication.apply)
        keep = {
            *self.federating.keep,
            *(("Job", name) for name in jobs.keep),
            *(("ConfigMap", name) for name in {*jobs.run_files, self.scope.run_file}),
            *(("InferenceService", name) for name in self.publication.keep),
        }
        if self.publication.keeps_service:
            keep.add(("Service", self.scope.model_name))
        return replace(
            said,
            apply=apply,
            delete=tuple(stale(self.observed, apply, keep)),
            certificates=self.federating.certificates,
            probes=self.publication.probes,
        )

    @property
    def spec(self) -> RunSpec:
        return self.read.run.spec

    @cached_property
    def scope(self) -> Scope:
        return _scope(self.run, self.read, self.settings)

    @cached_property
    def progress(self) -> RunStatus | None:
        """What the processes say, if it is of this spec that they speak."""
        said = self.observed.progress
        return said if said is not None and said.uid == self.read.uid else None

    @cached_property
    def obstacle(self) -> tuple[Reason, str] | None:
        found = obstacle(Visit(self.scope, self.observed))
        return (found[0], str(found[1])) if found is not None else None

    @cached_property
    def standings(self) -> tuple[Standing, ...]:
        work = [(stage, stage_work(self.scope, stage)) for stage in self.read.stages]
        found = standings(work, self.observed, suspended=self.spec.suspend)
        return tuple(map(self._without_certificates, found))

    def _without_certificates(self, one: Standing) -> Standing:
        """A federation without them has not begun, whatever its Jobs say."""
        secrets = self.observed.secrets
        is_federation = one.stage.name == "federation" and one.stand is Stand.WORKING
        if not is_federation or self.spec.suspend or not missing(self.scope, secrets):
            return one
        words = "the keys of aggregator and clients are being made"
        return replace(one, reason=Reason.ISSUING_CERTIFICATES, message=words)

    @property
    def to_do(self) -> tuple[Standing, ...]:
        """What may be begun now."""
        waits = Reason.ISSUING_CERTIFICATES
        return tuple(one for one in self.standings if one.reason is not waits)

    @cached_property
    def federating(self) -> Federating:
        return surroundings(self.scope, self.standings, self.observed)

    @cached_property
    def publication(self) -> Publication:
        return publish(self.scope, self._export(), self.observed)

    def _export(self) -> Export | None:
        """The exported model, once its stage is done and has said where it is."""
        step = self.progress.step("serving") if self.progress is not None else None
        is_done = self.standings[-1].stand is Stand.DONE
        if not is_done or step is None or step.state is not StepState.DONE:
            return None
        return Export(step.key, step.digest) if step.key and step.digest else None

    @cached_property
    def verdicts(self) -> tuple[Verdict, ...]:
        return verdicts(self.spec, self.obstacle, self.standings, self.publication)

    @cached_property
    def before(self) -> Mapping[str, Any]:
        """The status that the run has: for times and estimates, never for a decision."""
        return _status_of(self.run)

    def status(self) -> dict[str, Any]:
        """The whole status."""
        found = overview(
            spec=self.spec,
            found=self.verdicts,
            standings=self.standings,
            publication=self.publication,
            progress=self.progress,
            before=self.before,
            now=self.now,
        )
        return _written(found, self.verdicts, self.run, self.now)

    @property
    def is_over(self) -> bool:
        """Whether the run has come to its end, good or bad."""
        has_failed = any(one.stand is Stand.FAILED for one in self.standings)
        return has_failed or is_complete(self.standings, self.publication)

    @property
    def end(self) -> datetime | None:
        """When the run came to its end; None as long as it has not, or where nothing tells."""
        if not self.is_over:
            return None
        return max((one.finished for one in self.standings if one.finished), default=None)

    @property
    def time_left(self) -> timedelta | None:
        """How long the run still lives; None for ever."""
        seconds = self.spec.ttl_seconds_after_finished
        if seconds is None or self.end is None:
            return None
        return self.end + timedelta(seconds=seconds) - self.now

    @property
    def is_outlived(self) -> bool:
        return self.time_left is not None and self.time_left <= timedelta()

    def requeue_after(self) -> float | None:
        """A run that is at work is looked at for its progress, one that is stuck for its cause."""
        if self.obstacle is not None:
            return self.settings.retry_seconds
        if self.publication.waits_for_others:
            return self.settings.retry_seconds
        if self.time_left is not None:
            return max(1.0, self.time_left.total_seconds())
        rests = self.spec.suspend and self.standings[-1].stand is not Stand.DONE
        return None if self.is_over or rests else self.settings.poll_seconds


def _scope(run: Object, read: Understood, settings: OperatorSettings) -> Scope:
    namespace = str(run["metadata"].get("namespace") or "default")
    return Scope(read.run, read.uid, namespace, settings)


def _refused(run: Object, error: SpecError, now: datetime) -> Desired:
    """One line for each problem, the same as those of `gptfl run`."""
    suspended = (run.get("spec") or {}).get("suspend") is True
    found = refused(str(error), suspended=suspended)
    status = _written(Status(phase=phase(found)), found, run, now)
    return Desired(status=status, events=notes(found, _status_of(run).get("conditions")))


def _status_of(run: Object) -> Mapping[str, Any]:
    status = run.get("status")
    return status if isinstance(status, Mapping) else {}


def _written(
    found: Status, verdicts: tuple[Verdict, ...], run: Object, now: datetime
) -> dict[str, Any]:
    """The status as the API server takes it."""
    generation = run["metadata"].get("generation")
    second = now.replace(microsecond=0)
    listed = conditions(verdicts, _status_of(run).get("conditions"), generation, second)
    whole = found.model_copy(update={"conditions": listed, "observed_generation": generation})
    return whole.model_dump(mode="json", by_alias=True, exclude_none=True)
