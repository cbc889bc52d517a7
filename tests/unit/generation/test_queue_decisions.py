"""What the coordinator and its workers decide, without a broker: by facts, not by what happened."""

import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gptfl.errors import DataError, ModelError, SpecError, StageError, StoreUnavailableError
from gptfl.generation.items import Item, Shard, catalogue_of
from gptfl.generation.queue.broker import BrokerAwayError, celery_app, check_address
from gptfl.generation.queue.coordinator import LONELY_SECONDS, Coordinator
from gptfl.generation.queue.messages import (
    MalformedTaskError,
    ShardTask,
    VersionSkewError,
    read_task,
    software,
    task_id,
    task_of,
)
from gptfl.generation.queue.notes import Failure, Notes, Trouble, read_failure, sort_names
from gptfl.generation.queue.verdict import BACK_OFF, LOSSES, SETTLED, TRIES, Sight, Verdict, judge
from gptfl.generation.queue.worker import GiveBackError, ShardWorker, UnfitWorkerError
from gptfl.generation.rawshards import DrawnShard, ShardFiles
from gptfl.generation.samples import Effort, Sample
from gptfl.prompts.results import LabelPrompts, PromptSet
from gptfl.store import Workspace

KEY = "a" * 64
LABELS = ["cat", "dog"]
PROMPTS = PromptSet(
    prompts=[LabelPrompts(label=label, prompts=[f"a {label}", f"one {label}"]) for label in LABELS]
)


def failure(*, final: bool = False, message: str = "no", kind: str = "StageError") -> Failure:
    return Failure(kind=kind, message=message, worker="here:1", final=final)


NEVER_SEEN = Sight("raw", in_hands=False, begun=0, failures=(), idle=math.inf)
LOST = Sight("raw", in_hands=False, begun=1, failures=(), idle=SETTLED)


@pytest.mark.parametrize(
    ("sight", "verdict"),
    [
        (NEVER_SEEN, Verdict.ENQUEUE),
        (replace(NEVER_SEEN, in_hands=True), Verdict.WAIT),
        (LOST, Verdict.ENQUEUE),
        (replace(LOST, idle=SETTLED / 2), Verdict.WAIT),
        (replace(LOST, begun=LOSSES - 1), Verdict.ENQUEUE),
        (replace(LOST, begun=LOSSES, in_hands=True), Verdict.WAIT),
        (replace(LOST, failures=[failure()], idle=BACK_OFF), Verdict.ENQUEUE),
        (replace(LOST, failures=[failure()] * 2, idle=BACK_OFF * 1.9), Verdict.WAIT),
        (replace(LOST, failures=[failure()] * 2, idle=BACK_OFF * 2), Verdict.ENQUEUE),
    ],
)
def test_a_shard_in_nobodys_hands_is_handed_out(sight: Sight, verdict: Verdict) -> None:
    assert judge(sight) is verdict


@pytest.mark.parametrize(
    ("sight", "kind", "message"),
    [
        (replace(LOST, failures=[failure(final=True, kind="ModelError")]), ModelError, "no"),
        (replace(LOST, failures=[failure(final=True)], in_hands=True), StageError, "no"),
        (replace(LOST, failures=[failure()] * TRIES), StageError, "no"),
        (replace(LOST, begun=LOSSES), StageError, f"{LOSSES} workers died while they drew raw"),
    ],
)
def test_what_cannot_be_helped_ends_the_stage(
    sight: Sight, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        judge(sight)


@pytest.mark.parametrize(
    "error",
    [
        ModelError("spec.generation: no"),
        SpecError.of("spec.generation.scheduler", "does not fit"),
        DataError("x: no"),
        StageError("spec.generation: no"),
    ],
)
def test_an_error_comes_over_as_it_was(stage: Any, error: Exception, section: Any) -> None:
    workspace = stage.workspace(section(), KEY)
    Notes(workspace, "raw-0000-000001.parquet", "here:1").fail(error, final=True)
    drawn, troubles = sort_names(workspace.checkpoints())
    assert drawn == set()
    (note,) = troubles["raw-0000-000001.parquet"].failed
    told = read_failure(workspace, note).error()
    assert (type(told), str(told)) == (type(error), str(error))


def test_notes_tell_who_is_at_work_and_who_died(stage: Any, section: Any) -> None:
    workspace = stage.workspace(section(), KEY)
    for name in ("raw-0000-000001.parquet", "plan.json"):
        workspace.save_checkpoint(name, b"")
    finished, lost = (Notes(workspace, "raw-0000-000002.parquet", "here:1") for _ in range(2))
    finished.begin()
    lost.begin()
    finished.end()
    drawn, troubles = sort_names(workspace.checkpoints())
    assert drawn == {"raw-0000-000001.parquet"}
    assert troubles == {"raw-0000-000002.parquet": Trouble(begun=1)}


def test_a_task_says_in_a_few_numbers_which_images_they_are(section: Any) -> None:
    catalogue = catalogue_of(section(), PROMPTS, even=True)
    first, *_, last = catalogue.shards(2, {0: range(3, 9), 1: range(2)}, 5)
    for shard in (first, last):
        task = read_task(task_of(shard, KEY).model_dump(mode="json", by_alias=True))
        assert task.shard(catalogue) == shard
    assert len(task_of(first, KEY).images) == 1
    assert task_id(KEY, first) != task_id(KEY, last) != task_id("b" * 64, last)


def payload(**changes: Any) -> dict[str, Any]:
    shard = Shard(0, 0, (Item(0, 0, "a cat", 1, 1.0),))
    return {**task_of(shard, KEY).model_dump(mode="json", by_alias=True), **changes}


@pytest.mark.parametrize(
    "bad",
    [
        None,
        "rm -rf /",
        [],
        {},
        payload(key="../../etc/passwd"),
        payload(images=[]),
        payload(images=[{"label": -1, "first": 0, "stop": 1}]),
        payload(round="x"),
        payload(more=1),
    ],
)
def test_a_malformed_task_is_known_as_one(bad: Any) -> None:
    with pytest.raises(MalformedTaskError):
        read_task(bad)


def test_a_label_that_there_is_not_is_malformed(section: Any) -> None:
    task = ShardTask.model_validate(payload(images=[{"label": 2, "first": 0, "stop": 1}]))
    with pytest.raises(MalformedTaskError, match="not among the 2"):
        task.shard(catalogue_of(section(), PROMPTS, even=True))


def test_other_versions_are_refused_before_the_task_is_looked_at() -> None:
    theirs = {**software(), "torch": "1.0"}
    with pytest.raises(VersionSkewError, match=r"torch 1\.0 and not .* use the same image"):
        read_task({"software": theirs, "unknown": "field"})


@pytest.mark.parametrize("address", ["amqp://host", "host:6379", "", "http://host"])
def test_an_address_that_is_no_redis_is_told(address: str) -> None:
    with pytest.raises(SpecError, match="--broker"):
        check_address(address)


def test_with_tls_certificate_and_name_are_checked_unless_told_otherwise() -> None:
    def options(url: str) -> dict[str, Any]:
        return dict(celery_app(url, "q").connection_for_write().ssl)

    assert options("rediss://host")["ssl_cert_reqs"].name == "CERT_REQUIRED"
    assert options("rediss://host")["ssl_check_hostname"] is True
    private = options("rediss://host?ssl_ca_certs=/ca.pem&ssl_cert_reqs=none")
    assert private["ssl_ca_certs"] == "/ca.pem"
    assert private["ssl_cert_reqs"].name == "CERT_NONE"


class FakeBroker:
    """A queue in memory that can be away and lose what it holds."""

    queue, address = "q", "redis://here"

    def __init__(self) -> None:
        self.tasks: dict[str, ShardTask] = {}
        self.put_in: list[str] = []
        self.is_away = False

    def _answer(self) -> None:
        if self.is_away:
            raise BrokerAwayError("connection refused")

    def size(self) -> int:
        self._answer()
        return len(self.tasks)

    def waiting(self) -> set[str]:
        self._answer()
        return set(self.tasks)

    def put(self, task: ShardTask, id_: str) -> None:
        self._answer()
        self.tasks[id_] = task
        self.put_in.append(f"{task.round}/{task.index}" + "+" * task.again)

    def clear(self) -> None:
        self._answer()
        self.tasks.clear()


class World:
    """A coordinator on a clock of the test's own: at each pause the next thing happens."""

    def __init__(self, stage: Any, section: Any, shards: int) -> None:
        self.broker, self.now, self.heard = FakeBroker(), 0.0, 0
        self.workspace = stage.workspace(section(), KEY)
        self.files = ShardFiles(self.workspace, LABELS)
        catalogue = catalogue_of(section(), PROMPTS, even=True)
        self.shards = catalogue.shards(0, {0: range(shards)}, 1)
        self.events: list[Any] = []
        self.coordinator = Coordinator(
            self.broker,  # type: ignore[arg-type]
            section(),
            PROMPTS,
            self.workspace,
            how_to_help="gptfl worker run.yaml",
            clock=lambda: self.now,
            sleep=self._sleep,
        )

    def _sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.events:
            self.events.pop(0)()
        elif self.now > 1000:
            raise TimeoutError

    def draw(self) -> None:
        def heard(images: int) -> None:
            self.heard += images

        self.coordinator.draw(self.shards, self.files, heard)

    def take(self, index: int) -> Shard:
        """A worker takes the shard from the queue."""
        shard = self.shards[index]
        self.broker.tasks.pop(task_id(KEY, shard))
        return shard

    def finish(self, index: int) -> None:
        shard = self.shards[index]
        self.files.keep(DrawnShard(shard, [Sample(shard.items[0], b"png")], Effort(1.0, 1, "w")))


def test_everything_is_handed_out_once_and_waited_for(stage: Any, section: Any) -> None:
    world = World(stage, section, shards=3)
    for index in range(3):
        world.events += [
            lambda index=index: world.take(index),
            lambda index=index: world.finish(index),
        ]
    world.draw()
    assert world.broker.put_in == ["0/0", "0/1", "0/2"]
    assert world.heard == 3


def test_a_shard_that_is_drawn_already_is_not_handed_out(stage: Any, section: Any) -> None:
    world = World(stage, section, shards=2)
    world.finish(0)
    world.events = [lambda: world.finish(1)]
    world.draw()
    assert world.broker.put_in == ["0/1"]


def test_what_an_ended_run_left_in_the_queue_keeps_nobody_from_drawing(
    stage: Any, section: Any
) -> None:
    world = World(stage, section, shards=2)
    left = task_of(world.shards[0], "b" * 64)
    for number in range(3):
        world.broker.put(left, f"of another version {number}")
    world.broker.put_in.clear()
    world.events = [lambda: (world.finish(0), world.finish(1))]
    world.draw()
    assert world.broker.put_in == ["0/0", "0/1"]


def test_a_queue_that_lost_its_tasks_is_filled_again(stage: Any, section: Any) -> None:
    world = World(stage, section, shards=2)

    def lose() -> None:
        world.broker.tasks.clear()

    world.events = [lambda: setattr(world.broker, "is_away", True)] * 20
    world.events += [lose, lambda: setattr(world.broker, "is_away", False)]
    world.events += [lambda: None] * 20
    world.events += [lambda: (world.finish(0), world.finish(1))]
    world.draw()
    assert world.broker.put_in == ["0/0", "0/1"] * 2


def test_a_shard_whose_worker_died_is_handed_out_again_and_a_held_one_is_not(
    stage: Any, section: Any
) -> None:
    world = World(stage, section, shards=2)
    held = world.workspace.hold(world.shards[1].name)

    def begin() -> None:
        for index in (0, 1):
            world.take(index)
            Notes(world.workspace, world.shards[index].name, "w").begin()
        assert held.__enter__()

    world.events = [begin, *[lambda: None] * 30, lambda: (world.finish(0), world.finish(1))]
    world.draw()
    held.__exit__(None, None, None)
    assert world.broker.put_in == ["0/0", "0/1", "0/0+"]


def test_loneliness_is_said_once(
    stage: Any, section: Any, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(stage, section, shards=1)
    world.events = [lambda: None] * int(10 * LONELY_SECONDS) + [lambda: world.finish(0)]
    world.draw()
    said = [record.getMessage() for record in caplog.records]
    assert said == ["waiting for workers on q; start one with: gptfl worker run.yaml"]


def test_an_old_failure_is_no_failure_of_this_attempt(stage: Any, section: Any) -> None:
    world = World(stage, section, shards=1)
    Notes(world.workspace, world.shards[0].name, "w").fail(ModelError("then"), final=True)
    world.events = [lambda: world.finish(0)]
    world.draw()
    assert world.heard == 1


class Watch:
    """Remembers what a worker said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def begin(self, *, redelivered: bool) -> None:
        self.said.append("begin again" if redelivered else "begin")

    def drawn(self, images: int, seconds: float) -> None:
        assert seconds > 0
        self.said.append(f"drawn {images}")

    def found(self) -> None:
        self.said.append("found")

    def failed(self) -> None:
        self.said.append("failed")


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def worker(stage: Any, tmp_path: Path, watch: Watch) -> ShardWorker:
    return ShardWorker(stage.store, tmp_path, concurrency=1, watch=watch)


def test_a_worker_draws_a_shard_once(
    stage: Any, section: Any, worker: ShardWorker, watch: Watch
) -> None:
    world = World(stage, section, shards=2)
    tasks = [
        task_of(shard, KEY, again=True).model_dump(mode="json", by_alias=True)
        for shard in world.shards
    ]
    worker.handle(tasks[0])
    worker.handle(tasks[0])
    with world.workspace.hold(world.shards[1].name):
        worker.handle(tasks[1])
    assert watch.said == ["begin again", "drawn 1", "found"]
    drawn, troubles = sort_names(world.workspace.checkpoints())
    assert (drawn, troubles) == ({world.shards[0].name}, {})
    kept = world.files.load(world.shards[0])
    assert kept is not None
    assert kept.effort.worker == worker.name
    assert not worker.is_over


def test_a_worker_that_is_told_to_stop_gives_back_and_leaves_no_note(
    stage: Any, section: Any, worker: ShardWorker
) -> None:
    world = World(stage, section, shards=1)
    worker.stop.set()
    with pytest.raises(GiveBackError):
        worker.handle(task_of(world.shards[0], KEY).model_dump(mode="json", by_alias=True))
    assert world.workspace.checkpoints() == ("plan.json",)


def test_weights_that_are_not_here_end_the_worker_and_may_be_elsewhere(
    stage: Any, section: Any, worker: ShardWorker, generator: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(generator, copy)
    for weights in copy.rglob("*.safetensors"):
        weights.write_bytes(b"")
    world = World(stage, lambda: section(generator={"source": copy.as_uri()}), shards=1)
    with pytest.raises(UnfitWorkerError, match="cannot be loaded"):
        worker.handle(task_of(world.shards[0], KEY).model_dump(mode="json", by_alias=True))
    (note,) = sort_names(world.workspace.checkpoints())[1][world.shards[0].name].failed
    assert not read_failure(world.workspace, note).final


def test_a_store_that_is_away_gives_the_task_back(
    stage: Any, section: Any, worker: ShardWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(stage, section, shards=1)

    def away(self: Workspace, name: str, data: bytes) -> None:
        raise StoreUnavailableError("the server is away")

    monkeypatch.setattr(Workspace, "save_checkpoint", away)
    with pytest.raises(GiveBackError, match="the server is away"):
        worker.handle(task_of(world.shards[0], KEY).model_dump(mode="json", by_alias=True))


def test_a_task_of_a_finished_artifact_is_no_work(
    stage: Any, section: Any, worker: ShardWorker, watch: Watch
) -> None:
    stage.run(section(), key=KEY)
    worker.handle(payload())
    assert watch.said == []
