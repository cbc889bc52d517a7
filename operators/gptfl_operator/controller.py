"""Looks at one run at a time: what is there, what ought to be, and writes the difference.

Objects come first and the status when they stand, so that a thousand runs that come at once all
have their first Job before anybody reads how they are doing, and a run's status is written once
where it would have been written for each of its objects.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain

from gptfl.store.runs import RunStatus
from gptfl.telemetry.context import about
from gptfl.telemetry.metrics.operator import OperatorMetrics
from gptfl_operator.api import ApiError
from gptfl_operator.cluster import Cluster, is_same_status
from gptfl_operator.fields import without_gaps
from gptfl_operator.model import Decide, Desired, Object, Reads, Ref
from gptfl_operator.queue import Key, WorkQueue
from gptfl_operator.trials import Trials
from gptfl_operator.world import Facts, Lookups, World
from gptfl_operator.writer import Writer

_LOG = logging.getLogger("gptfl.operator")

Progress = Callable[[Object], tuple[RunStatus | None, str | None]]
"""How far a run is, by its store, or why the store cannot be asked."""

PAUSE = 0.25
"""Seconds until it is looked again whether there is something to look at."""


@dataclass(frozen=True)
class Brain:
    """What decides, and what it wants to know beside the run's own objects."""

    decide: Decide
    reads: Reads = lambda _: ()
    progress: Progress = lambda _: (None, None)


@dataclass
class Controller:
    """The workers' work. Everything that it remembers of a run could be lost without harm."""

    world: World
    cluster: Cluster
    queue: WorkQueue
    brain: Brain
    metrics: OperatorMetrics
    is_turn: Callable[[], bool] = lambda: True
    trials: Trials = field(default_factory=Trials)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    clock: Callable[[], float] = time.monotonic
    _writer: Writer = field(init=False)
    _lookups: Lookups = field(init=False)
    _refused: dict[Key, tuple[str, ...]] = field(default_factory=dict)
    _owed: set[Key] = field(default_factory=set)
    """Runs whose objects were written and whose status is to follow."""
    _begun: dict[Key, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._writer = Writer(self.world, self.cluster)
        self._lookups = Lookups(self.cluster.read, self.clock)
        self.world.listen(self.heard)

    def heard(self, key: Key) -> None:
        """Something about a run has changed."""
        self.queue.add(key, fresh=not self.world.has_children(key))

    def work(self, pause: Callable[[float], None] = time.sleep) -> None:
        """Looks at runs until the queue is closed, whenever there is nothing against it."""
        while not self.queue.is_closed:
            if not self._may_look:
                pause(PAUSE)
            elif (key := self.queue.get()) is not None:
                self.visit(key)

    def visit(self, key: Key) -> None:
        """Looks at one run; whatever goes wrong is tried again, and stops nobody else."""
        self._begun[key] = started = self.clock()
        try:
            with about(namespace=key[0], run=key[1]):
                result = self._safely(key)
        finally:
            del self._begun[key]
            self.queue.done(key)
        self.metrics.looked(result, self.clock() - started)

    @property
    def _may_look(self) -> bool:
        """What is decided from an incomplete picture is wrong, and out of turn it is in vain."""
        return self.is_turn() and self.world.is_synced

    @property
    def longest_look(self) -> float:
        """Seconds for which the look that has gone on longest has gone on."""
        begun = list(self._begun.values())
        return self.clock() - min(begun) if begun else 0.0

    def _safely(self, key: Key) -> str:
        if not self._may_look:
            self.queue.add_after(key, PAUSE)
            return "settled"
        try:
            result = self._look(key)
        except ApiError as error:
            pause = self.queue.retry(key)
            _LOG.warning("will be looked at again in %.1f s: %s", pause, error)
            return "failed"
        except Exception:
            self.queue.retry(key)
            _LOG.exception("could not be looked at; this is a fault of the operator")
            return "failed"
        if result == "refused":
            self.queue.retry(key)
        else:
            self.queue.forgive(key)
        return result

    def _look(self, key: Key) -> str:
        run = self.world.runs.get(key)
        if run is None or "deletionTimestamp" in run["metadata"]:
            self._forget(key)  # what it owns goes with it, by Kubernetes' own hand
            return "settled"
        desired = self._decide(run, key)
        missing = self._writer.missing(run, desired)
        wrote = len(missing) + len(desired.certificates)
        if wrote and not self._writer.is_current(run):
            return "settled"
        refused = self._writer.apply(
            chain(self._writer.secrets(run, desired.certificates), missing)
        )
        if refused != self._refused.get(key, ()):
            self._refused[key] = refused
            desired = self._decide(run, key)
        wrote += 0 if refused else self._writer.delete(run, desired.delete)
        if self._is_status_due(key, wrote=wrote, refused=bool(refused)):
            self._report(run, desired)
        if desired.delete_run:
            self.cluster.delete(Ref.of(run))
        self._come_back(run, key, desired)
        return "refused" if refused else "changed" if wrote else "settled"

    def _come_back(self, run: Object, key: Key, desired: Desired) -> None:
        """Sees to it that the run is looked at again when there will be something to see."""
        uid = run["metadata"]["uid"]
        probe_after = self.trials.ask(key, uid, desired.probes, lambda: self.queue.add(key))
        for seconds in (desired.requeue_after, probe_after):
            if seconds is not None:
                self.queue.add_after(key, seconds)

    def _forget(self, key: Key) -> None:
        self.trials.forget(key)
        self.queue.forget(key)
        self._refused.pop(key, None)
        self._owed.discard(key)

    def _decide(self, run: Object, key: Key) -> Desired:
        progress, problem = self.brain.progress(run)
        facts = Facts(
            named={ref: self._lookups.get(ref) for ref in self.brain.reads(run)},
            progress=progress,
            store_problem=problem,
            refused=self._refused.get(key, ()),
            probes=self.trials.answers(key, run["metadata"]["uid"]),
        )
        return self.brain.decide(run, self.world.observe(run, facts), self.now())

    def _is_status_due(self, key: Key, *, wrote: int, refused: bool) -> bool:
        """Whether the status is written in this look, or in the next, when the objects stand."""
        if wrote and not refused and key not in self._owed:
            self._owed.add(key)
            self.queue.add(key)
            return False
        self._owed.discard(key)
        return True

    def _report(self, run: Object, desired: Desired) -> None:
        """Events and status, when there is something new to say."""
        for note in desired.events:
            self.cluster.tell(run, note, self.now())
        if desired.status is None:
            return
        status = without_gaps(desired.status)
        if not is_same_status(run.get("status", {}), status):
            self.world.runs.put(self.cluster.write_status(run, status))
