"""Images drawn by workers on a queue: the data set of one process, to the bit, whatever dies."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from drawing_crew import IMAGES, SHARD, SHARDS, Crew, undisturbed
from s3_buckets import new_place
from servers import Process, Redis, SeaweedFS, free_port, listens, program, wait_until

from gptfl.errors import ModelError
from gptfl.federation.network import issue_server, make_authority
from gptfl.generation import pipeline, workers
from gptfl.generation.items import Shard
from gptfl.generation.queue import coordinator, messages, process, verdict
from gptfl.generation.queue.broker import Broker, BrokerAwayError
from gptfl.generation.queue.stage import queue_name
from gptfl.generation.results import GenerationReport
from gptfl.generation.workers import Studio
from gptfl.store import Artifact

SLOW_STEPS = 40
"""So many that a shard takes long enough to be killed in."""


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """What one process draws."""
    return undisturbed(tmp_path_factory.mktemp("alone") / "quick")


@pytest.fixture(scope="module")
def alone_slowly(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """What one process draws with more steps."""
    return undisturbed(tmp_path_factory.mktemp("alone") / "slow", steps=SLOW_STEPS)


@pytest.fixture
def crew(tmp_path: Path, redis_server: Redis) -> Iterator[Crew]:
    one = Crew(tmp_path, redis_server.url)
    yield one
    one.end()


@pytest.fixture
def slow_crew(tmp_path: Path, redis_server: Redis) -> Iterator[Crew]:
    one = Crew(tmp_path, redis_server.url, steps=SLOW_STEPS)
    yield one
    one.end()


def in_drawing(replaced: Callable[[Any, Studio, Shard], Any]) -> Callable[[], None]:
    """For a fork: `replaced` draws the shards, and may call what would have."""
    draw_one = Studio.draw_one

    def draw(studio: Studio, shard: Shard) -> Any:
        return replaced(draw_one, studio, shard)

    def first() -> None:
        Studio.draw_one = draw  # type: ignore[method-assign]

    return first


def test_two_workers_that_came_first_draw_what_one_process_draws(
    crew: Crew, alone: Artifact, redis_server: Redis
) -> None:
    def no_weights() -> None:
        def never(*given: Any) -> None:
            raise AssertionError("a coordinator needs no weights")

        pipeline.load_pipeline = workers.load_pipeline = never  # type: ignore[assignment]

    crew_workers = [crew.worker(), crew.worker()]
    assert crew.coordinator(first=no_weights).wait() == 0
    assert [one.wait() for one in crew_workers] == [0, 0], "they leave when all is made"

    made = crew.artifact()
    assert made.digest == alone.digest
    assert made.record.metrics["workers"] == 2
    assert made.record.metrics["effective_batch_size"] == 3
    assert 0 < made.record.cost.device_seconds < 2 * made.record.cost.seconds
    assert sorted(crew.drew()) == sorted(set(crew.drew())), "no shard is drawn twice"
    assert made.read_model("generation.json", GenerationReport).pipeline == (
        "StableDiffusionPipeline"
    )
    assert redis.Redis(port=redis_server.port).keys() == [], "nothing is left in the broker"


def test_a_worker_that_is_killed_loses_its_shard_and_no_other(crew: Crew, alone: Artifact) -> None:
    def stuck(draw_one: Any, studio: Studio, shard: Shard) -> Any:
        if shard.index == 2:
            time.sleep(600)
        return draw_one(studio, shard)

    coordinating, victim = crew.coordinator(), crew.worker(first=in_drawing(stuck))
    wait_until(lambda: any("000002" in note.name for note in _begun(crew)), "the third shard")
    victim.kill()

    survivor = crew.worker()
    assert coordinating.wait() == survivor.wait() == 0
    assert "000002.parquet has lost its worker and waits for another one" in coordinating.output
    assert len(victim.drawn()) == 2
    assert sorted(crew.drew()) == sorted(set(crew.drew())), "what was finished is not drawn again"
    assert len(crew.drew()) == SHARDS
    assert crew.artifact().digest == alone.digest


def test_a_coordinator_that_is_killed_goes_on_when_it_is_started_again(
    slow_crew: Crew, alone_slowly: Artifact
) -> None:
    worker, victim = slow_crew.worker(), slow_crew.coordinator()
    wait_until(lambda: len(slow_crew.shards()) >= 2, "two shards")
    victim.kill()

    assert slow_crew.coordinator().wait() == 0
    assert worker.wait() == 0
    assert Counter(slow_crew.drew()).most_common(1)[0][1] == 1, "no shard is drawn twice"
    assert slow_crew.artifact().digest == alone_slowly.digest


@pytest.mark.parametrize("keeps", [True, False], ids=["with its data", "without its data"])
def test_a_broker_that_is_killed_is_waited_for(
    tmp_path: Path, alone_slowly: Artifact, *, keeps: bool
) -> None:
    with Redis(tmp_path / "redis", keeps=keeps) as broker:
        crew = Crew(tmp_path, broker.url, steps=SLOW_STEPS)
        try:
            coordinating, worker = crew.coordinator(), crew.worker()
            wait_until(lambda: len(crew.shards()) >= 2, "two shards")
            broker.kill()
            for one in (coordinating, worker):
                one.says(r"waiting for the broker redis://127.0.0.1:\d+/0 \(")
            broker.start()
            assert coordinating.wait() == 0
            assert worker.wait() == 0
            for one in (coordinating, worker):
                assert one.output.count("waiting for the broker") == 1, one.output
                assert one.output.count("the broker is back") == 1, one.output
            assert crew.artifact().digest == alone_slowly.digest
        finally:
            crew.end()


def test_a_shard_that_cannot_be_drawn_ends_the_stage_with_its_own_error(crew: Crew) -> None:
    def poisoned(draw_one: Any, studio: Studio, shard: Shard) -> Any:
        if shard.index == 3:
            raise ModelError("spec.generation: this prompt cannot be")
        return draw_one(studio, shard)

    coordinating, worker = crew.coordinator(), crew.worker(first=in_drawing(poisoned))
    assert coordinating.wait() == 1
    assert "gptfl: spec.generation: this prompt cannot be\n" in coordinating.output
    assert worker.output.count("this prompt cannot be") == 1, "its type says that it is of no use"
    assert worker.is_alive, "the worker is not to blame"

    worker.kill()
    assert crew.coordinator().is_alive
    crew.worker()
    wait_until(lambda: _is_made(crew), "the artifact, once the reason is gone")


def test_an_error_that_may_pass_is_tried_again_and_then_told(crew: Crew, alone: Artifact) -> None:
    def unlucky(times: int) -> Any:
        failed: Counter[int] = Counter()

        def draw(draw_one: Any, studio: Studio, shard: Shard) -> Any:
            failed[shard.index] += 1
            if shard.index == 3 and failed[3] <= times:
                raise OSError("the disk is sleepy")
            return draw_one(studio, shard)

        return in_drawing(draw)

    coordinating, worker = crew.coordinator(), crew.worker(first=unlucky(verdict.TRIES))
    assert coordinating.wait() == 1
    assert (
        "gptfl: spec.generation: drawing failed with OSError: the disk is sleepy\n"
        in coordinating.output
    )
    assert worker.output.count("the disk is sleepy") == verdict.TRIES
    worker.kill()

    crew.worker(first=unlucky(verdict.TRIES - 1))
    assert crew.coordinator().wait() == 0
    assert crew.artifact().digest == alone.digest


def test_a_shard_that_kills_its_workers_ends_the_stage(crew: Crew) -> None:
    def too_large(draw_one: Any, studio: Studio, shard: Shard) -> Any:
        if shard.index == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return draw_one(studio, shard)

    def soon() -> None:
        verdict.LOSSES = 3

    coordinating = crew.coordinator(first=soon)
    deaths = 0
    while coordinating.is_alive:
        worker = crew.worker(first=in_drawing(too_large))
        wait_until(lambda: not (worker.is_alive and coordinating.is_alive), "an end")  # noqa: B023
        deaths += not worker.is_alive
        worker.kill()
    assert coordinating.wait() == 1
    assert (
        "3 workers died while they drew raw-0000-000003.parquet, which is what too little memory"
        in coordinating.output
    )
    assert deaths == 3


def test_a_task_that_is_delivered_again_while_it_is_drawn_is_left_alone(
    slow_crew: Crew, alone_slowly: Artifact
) -> None:
    def impatient() -> None:
        made = process.celery_app
        process.celery_app = lambda broker, queue, **_: made(broker, queue, visibility_seconds=1)

    def slowly(draw_one: Any, studio: Studio, shard: Shard) -> Any:
        if shard.index == 0:
            time.sleep(15)
        return draw_one(studio, shard)

    def slow_and_impatient() -> None:
        impatient()
        in_drawing(slowly)()

    coordinating = slow_crew.coordinator()
    slow = slow_crew.worker(first=slow_and_impatient)
    wait_until(lambda: _begun(slow_crew), "a beginning")
    time.sleep(1.5)  # Redis hands a task out again when a worker comes, if its time is over
    quick = slow_crew.worker(first=impatient)
    quick.says(r"raw-0000-000000.parquet is in another worker's hands")
    assert coordinating.wait() == 0
    assert slow.wait() == quick.wait() == 0
    assert Counter(slow_crew.drew()) == Counter(dict.fromkeys(slow_crew.drew(), 1))
    assert slow_crew.artifact().digest == alone_slowly.digest


def test_a_fast_worker_draws_more_than_a_slow_one(crew: Crew, alone: Artifact) -> None:
    def slowly(draw_one: Any, studio: Studio, shard: Shard) -> Any:
        time.sleep(3)
        return draw_one(studio, shard)

    slow, fast = crew.worker(first=in_drawing(slowly)), crew.worker()
    assert crew.coordinator().wait() == 0
    assert slow.wait() == fast.wait() == 0
    assert 1 <= len(slow.drawn()) < len(fast.drawn())
    assert len(slow.drawn()) + len(fast.drawn()) == SHARDS
    assert crew.artifact().digest == alone.digest


def test_a_worker_that_is_asked_to_end_gives_its_shard_back(
    slow_crew: Crew, alone_slowly: Artifact
) -> None:
    coordinating, worker = slow_crew.coordinator(), slow_crew.worker("--grace", "0")
    wait_until(lambda: _begun(slow_crew), "a beginning")
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    assert not _begun(slow_crew), "a shard that is given back is not lost"

    patient = slow_crew.worker("--grace", "60")
    wait_until(lambda: _begun(slow_crew), "a beginning")
    before = len(patient.drawn())
    patient.signal(signal.SIGTERM)
    assert patient.wait() == 0
    assert len(patient.drawn()) == before + 1, "there was time to finish it"

    interrupted = slow_crew.worker()
    wait_until(lambda: _begun(slow_crew), "a beginning")
    interrupted.signal(signal.SIGINT)
    assert interrupted.wait() == 130

    last = slow_crew.worker()
    assert coordinating.wait() == last.wait() == 0
    assert "lost its worker" not in coordinating.output
    assert slow_crew.artifact().digest == alone_slowly.digest


def test_a_worker_leaves_when_nothing_comes(crew: Crew) -> None:
    worker = crew.worker("--leave-after", "1")
    assert worker.wait() == 0
    assert "no tasks for a while" in worker.output


def test_what_is_no_task_is_dropped_and_said(
    crew: Crew, alone: Artifact, redis_server: Redis
) -> None:
    queue, client = queue_name(crew.run), redis.Redis(port=redis_server.port)
    client.lpush(queue, b"\xff no message", b"[]", b"{}", b'{"body": "e30=", "headers": {}}')
    other = process.celery_app(redis_server.url, queue)
    other.send_task("os.system", args=["true"], queue=queue)
    other.send_task("gptfl.draw", args=[{"software": messages.software()}], queue=queue)
    other.send_task("gptfl.draw", args=["drop table"], queue=queue)
    other.send_task("gptfl.draw", args=[1, 2, 3], queue=queue)
    worker = crew.worker()
    worker.says(r"dropped: there is no task 'os.system'")
    assert crew.coordinator().wait() == 0
    assert worker.wait() == 0
    assert worker.output.count("is dropped") >= 6, worker.output
    assert crew.artifact().digest == alone.digest


def test_a_worker_of_another_version_leaves_its_tasks_to_others(
    crew: Crew, alone: Artifact
) -> None:
    def older() -> None:
        theirs = {**messages.software(), "diffusers": "0.1"}
        messages.software = lambda: theirs  # type: ignore[assignment]

    coordinating, old = crew.coordinator(), crew.worker(first=older)
    assert old.wait() == 1
    assert "gptfl: the coordinator has diffusers " in old.output
    assert "and not 0.1" in old.output
    assert old.drawn() == []
    assert crew.worker().wait() == coordinating.wait() == 0
    assert crew.artifact().digest == alone.digest


def test_a_worker_with_another_store_says_so(crew: Crew, tmp_path: Path) -> None:
    crew.coordinator()
    lost = crew.worker("--store", str(tmp_path / "elsewhere"))
    assert lost.wait() == 1
    assert "elsewhere: has no plan of " in lost.output
    assert "use the coordinator's --store" in lost.output


def test_a_worker_with_a_wrong_key_ends_and_leaves_its_shard_to_others(
    tmp_path: Path,
    alone: Artifact,
    redis_server: Redis,
    seaweedfs_server: SeaweedFS,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in seaweedfs_server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GPTFL_CACHE", str(tmp_path / "copies"))
    crew = Crew(tmp_path, redis_server.url, store=new_place(seaweedfs_server))
    try:
        coordinating = crew.coordinator()
        refused = crew.worker(first=lambda: os.environ.update(AWS_SECRET_ACCESS_KEY="a guess"))
        assert refused.wait() == 1
        assert "AWS_SECRET_ACCESS_KEY does not fit AWS_ACCESS_KEY_ID" in refused.output
        assert crew.worker().wait() == coordinating.wait() == 0
        assert crew.artifact().digest == alone.digest
    finally:
        crew.end()


def test_a_store_in_a_bucket_and_a_worker_that_is_killed(
    tmp_path: Path,
    alone_slowly: Artifact,
    redis_server: Redis,
    seaweedfs_server: SeaweedFS,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in seaweedfs_server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GPTFL_CACHE", str(tmp_path / "copies"))
    place = new_place(seaweedfs_server)
    crew = Crew(tmp_path, redis_server.url, store=place, steps=SLOW_STEPS)
    try:
        coordinating, victim = crew.coordinator(), crew.worker()
        victim.says("2.parquet: 5 images in")
        victim.kill()
        assert crew.worker().wait() == coordinating.wait() == 0
        assert len(set(crew.drew())) == SHARDS
        assert len(crew.drew()) <= SHARDS + 1, "the one in flight"
        assert crew.artifact().digest == alone_slowly.digest
    finally:
        crew.end()


def test_a_broker_with_a_password_behind_a_certificate(tmp_path: Path, alone: Artifact) -> None:
    pki = tmp_path / "pki"
    make_authority(pki)
    server = issue_server(pki, ["127.0.0.1"])
    port = free_port()
    with Process(
        [
            *(program("redis-server"), "--port", "0", "--tls-port", str(port), "--save", ""),
            *("--tls-cert-file", str(server.certificate), "--tls-key-file", str(server.key)),
            *("--tls-auth-clients", "no", "--tls-ca-cert-file", str(server.authority)),
            *("--requirepass", "open-sesame", "--dir", str(tmp_path)),
        ],
        tmp_path / "redis.log",
        ready=lambda: listens(port),
    ):
        host = f"127.0.0.1:{port}/0"
        authority = f"?ssl_ca_certs={server.authority}"
        for wrong, reason in (
            (f"rediss://:open-sesame@{host}", "certificate verify failed"),
            (f"rediss://:guess@{host}{authority}", "(?i)invalid username-password pair"),
            (f"redis://:open-sesame@{host}", "closed|reset"),
        ):
            with pytest.raises(BrokerAwayError, match=reason):
                Broker(wrong, "queue").size()

        crew = Crew(tmp_path, f"rediss://:open-sesame@{host}{authority}")
        try:
            coordinating, worker = crew.coordinator(), crew.worker()
            assert coordinating.wait() == worker.wait() == 0
            assert crew.artifact().digest == alone.digest
            assert "open-sesame" not in coordinating.output + worker.output
        finally:
            crew.end()


def test_a_broker_that_is_not_there_is_said_at_once(crew: Crew) -> None:
    crew.broker = f"redis://:secret@127.0.0.1:{free_port()}/0"
    nobody = crew.coordinator()
    assert nobody.wait() == 1
    assert "gptfl: --broker: redis://…@127.0.0.1:" in nobody.output
    assert "does not answer" in nobody.output
    assert "secret" not in nobody.output


def test_a_coordinator_without_workers_says_how_to_start_one(crew: Crew) -> None:
    def soon() -> None:
        coordinator.LONELY_SECONDS = 1.0

    waiting = crew.coordinator(first=soon)
    waiting.says(
        r"waiting for workers on gptfl\.default\.crew\.\w+; start one with: gptfl worker \S+crew"
    )
    time.sleep(1.5)
    assert waiting.output.count("waiting for workers") == 1


def _begun(crew: Crew) -> list[Path]:
    return list(crew.store.glob("artifacts/generation/*/partial/*.begun-*"))


def _is_made(crew: Crew) -> bool:
    return bool(list(crew.store.glob("artifacts/generation/*/record.json")))


assert IMAGES == SHARD * SHARDS
