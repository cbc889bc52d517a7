"""Has shards drawn by the workers on a queue, and watches the store for what they have drawn.

What to do follows from what is seen at each look, not from what was done before: so the
coordinator, the workers and the broker may be killed and come back in any order.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from gptfl.generation.items import Shard
from gptfl.generation.queue.broker import Broker, BrokerAwayError
from gptfl.generation.queue.messages import PLAN, Plan, ShardTask, task_id, task_of
from gptfl.generation.queue.notes import Failure, Trouble, read_failure, shard_of, sort_names
from gptfl.generation.queue.verdict import Sight, Verdict, judge
from gptfl.generation.rawshards import ShardFiles
from gptfl.prompts.results import PromptSet
from gptfl.spec.sections import GenerationSection
from gptfl.store import Workspace

LOOK_SECONDS = 0.3
"""Between two looks at the store."""
LONELY_SECONDS = 5.0
"""After which the coordinator says that nobody draws."""

_LOG = logging.getLogger(__name__)


class Coordinator:
    """Hands that are other processes'."""

    def __init__(
        self,
        broker: Broker,
        section: GenerationSection,
        prompts: PromptSet,
        workspace: Workspace,
        *,
        how_to_help: str,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`how_to_help` is the command that starts a worker."""
        self._broker = _PatientBroker(broker)
        self._workspace = workspace
        self._how_to_help = how_to_help
        self._clock, self._sleep = clock, sleep
        self._failures: dict[str, Failure] = {}
        plan = Plan(section=section, prompts=prompts)
        workspace.save_checkpoint(PLAN, plan.model_dump_json(by_alias=True).encode())

    def draw(
        self, shards: Sequence[Shard], files: ShardFiles, heard: Callable[[int], None]
    ) -> None:
        """Returns when all shards are in the store; a broker that is away is waited out."""
        left = {shard.name: shard for shard in shards}
        self._forget(left, files)
        # Of a run that ended with other software: no worker of this one would take them.
        self._broker.clear()
        # Not seen in anybody's hands yet, so for ever idle.
        busy = dict.fromkeys(left, -math.inf)
        lonely = _Loneliness(self._clock(), self._broker.queue, self._how_to_help)
        while left:
            drawn, troubles = sort_names(self._workspace.checkpoints())
            news = drawn & left.keys()
            for name in news:
                heard(len(left.pop(name).items))
            held = {name for name in troubles.keys() & left.keys() if self._workspace.is_held(name)}
            self._hand_out(left, held, troubles, busy)
            is_drawn = bool(news or held or self._broker.is_away)
            lonely.look(self._clock(), is_drawn=is_drawn)
            if left:
                self._sleep(LOOK_SECONDS)
        # Tasks that were handed out twice.
        self._broker.clear()

    def _hand_out(
        self,
        left: Mapping[str, Shard],
        held: set[str],
        troubles: Mapping[str, Trouble],
        busy: dict[str, float],
    ) -> None:
        """Puts into the queue what is in nobody's hands; `busy` is when each last was."""
        waiting = self._broker.waiting(self._workspace.key, left, held)
        now = self._clock()
        busy |= dict.fromkeys(held | waiting, now)
        for name, shard in left.items():
            trouble = troubles.get(name, Trouble())
            sight = Sight(
                name=name,
                in_hands=name in held or name in waiting,
                begun=trouble.begun,
                failures=self._read(trouble),
                idle=now - busy[name],
            )
            if judge(sight) is Verdict.ENQUEUE and self._put(shard, sight):
                busy[name] = now

    def _forget(self, left: Mapping[str, Shard], files: ShardFiles) -> None:
        """What an earlier attempt noted was then; this one begins anew. Of shards under a name of
        ours with other images nothing is kept."""
        for name in self._workspace.checkpoints():
            shard = left.get(shard_of(name))
            if shard is None or self._workspace.is_held(shard.name):
                continue
            if name != shard.name or files.load(shard) is None:
                self._workspace.drop_checkpoint(name)

    def _put(self, shard: Shard, sight: Sight) -> bool:
        if sight.begun:
            _LOG.warning("%s has lost its worker and waits for another one", shard.name)
        again = bool(sight.begun or sight.failures)
        return self._broker.put(task_of(shard, self._workspace.key, again=again), shard)

    def _read(self, trouble: Trouble) -> list[Failure]:
        """The failures that are noted; each is read once."""
        for name in trouble.failed:
            if name not in self._failures:
                self._failures[name] = failure = read_failure(self._workspace, name)
                _LOG.warning("a shard failed at %s: %s", failure.worker, failure.message)
        return [self._failures[name] for name in trouble.failed]


class _PatientBroker:
    """The queue, whether or not the broker is there; says once when it goes and comes."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.queue = broker.queue
        self.is_away = False

    def waiting(self, key: str, left: Mapping[str, Shard], held: set[str]) -> set[str]:
        """The shards of `left` whose tasks are in the queue; all, as long as nobody can know."""
        with self._patience():
            # To look at every task is only worth its time when one may be missing.
            if self._broker.size() + len(held) >= len(left):
                return left.keys() - held
            ids = self._broker.waiting()
            return {name for name, shard in left.items() if task_id(key, shard) in ids}
        return set(left)

    def put(self, task: ShardTask, shard: Shard) -> bool:
        """Whether the shard's task is in the queue now."""
        with self._patience():
            self._broker.put(task, task_id(task.key, shard))
            return True
        return False

    def clear(self) -> None:
        """Empties the queue; what is still to be drawn is put into it again."""
        with self._patience():
            self._broker.clear()

    @contextmanager
    def _patience(self) -> Iterator[None]:
        try:
            yield
        except BrokerAwayError as error:
            if not self.is_away:
                _LOG.warning("waiting for the broker %s (%s)", self._broker.address, error)
            self.is_away = True
        else:
            if self.is_away:
                _LOG.warning("the broker is back")
            self.is_away = False


class _Loneliness:
    """Says once that tasks wait and nobody draws."""

    def __init__(self, now: float, queue: str, how_to_help: str) -> None:
        self._since, self._queue, self._how_to_help = now, queue, how_to_help
        self._said = False

    def look(self, now: float, *, is_drawn: bool) -> None:
        """To be told at each look whether anybody draws."""
        if is_drawn:
            self._since, self._said = now, False
        elif not self._said and now - self._since >= LONELY_SECONDS:
            self._said = True
            _LOG.warning(
                "waiting for workers on %s; start one with: %s", self._queue, self._how_to_help
            )
