"""A lock in a bucket ends with its holder, however that ends, and a holder that lost it notices."""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from faulty_proxy import FaultyProxy
from s3_buckets import new_place
from servers import S3Server, wait_until

from gptfl.errors import StoreError, StoreUnavailableError
from gptfl.store import holder
from gptfl.store.s3 import S3Blobs, s3_settings
from gptfl.store.s3.client import S3Client
from gptfl.store.watch import Unwatched

LEASE = 2.0


@pytest.fixture
def uri(s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GPTFL_CACHE", str(tmp_path / "cache"))
    return new_place(s3_server)


def open_blobs(uri: str) -> S3Blobs:
    return S3Blobs(replace(s3_settings(uri), lease_seconds=LEASE))


class Worker:
    """A process that holds a lock, and writes or removes when it is told to."""

    def __init__(self, uri: str) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(uri, theirs))
        self.process.start()
        assert self.pipe.poll(60)
        assert self.pipe.recv() == "held"

    def signal(self, number: int) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def does(self, what: str) -> str:
        """What comes of it."""
        self.pipe.send(what)
        assert self.pipe.poll(30)
        return str(self.pipe.recv())


def _work(uri: str, pipe: Connection) -> None:
    blobs = open_blobs(uri)
    with blobs.lock("key"):
        pipe.send("held")
        while (what := pipe.recv()) != "end":
            try:
                if what == "write":
                    blobs.write("a", b"of the worker")
                else:
                    blobs.remove("a")
                pipe.send("done")
            except StoreError as error:
                pipe.send(str(error))


@pytest.fixture
def worker(uri: str) -> Iterator[Worker]:
    worker = Worker(uri)
    yield worker
    worker.process.kill()
    worker.process.join()


def test_a_living_holder_keeps_the_lock_for_longer_than_a_lease(uri: str, worker: Worker) -> None:
    blobs = open_blobs(uri)
    beats = set()

    def beaten() -> bool:
        with blobs.try_lock("key") as taken:
            assert not taken
        beats.add(blobs.read("locks/key"))
        return len(beats) >= 7  # two leases

    wait_until(beaten, "the renewal of a lease")
    assert worker.does("write") == "done"


def test_a_renewal_that_came_through_unheard_does_not_end_the_lease(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    renew, unheard = S3Client.replace, []

    def lose_an_answer(client: S3Client, key: str, *given: Any, **named: Any) -> str | None:
        etag = renew(client, key, *given, **named)
        if not unheard:
            unheard.append(etag)
            raise StoreUnavailableError("the server is gone before it answers")
        return etag

    monkeypatch.setattr(S3Client, "replace", lose_an_answer)
    blobs, beats = open_blobs(uri), set()

    def beaten() -> bool:
        beats.add(blobs.read("locks/key"))
        return len(beats) >= 7  # two leases

    with blobs.lock("key"):
        wait_until(beaten, "the renewal of a lease")
        blobs.write("a", b"of the holder")
    assert unheard
    assert blobs.read("locks/key") is None


def test_a_renewal_that_stalls_does_not_outlive_the_lease(uri: str, s3_server: S3Server) -> None:
    """The store's own time limit is longer than the lease, as it is by default."""
    with FaultyProxy(s3_server.port, percent=0, stall_seconds=4 * LEASE) as proxy:
        settings = replace(
            s3_settings(uri, endpoint=proxy.endpoint), lease_seconds=LEASE, stall_seconds=3 * LEASE
        )
        blobs, others, watch, beats = S3Blobs(settings), open_blobs(uri), Retries(), set()
        blobs.watch(watch)

        def beaten() -> bool:
            with others.try_lock("key") as taken:
                assert not taken
            beats.add(others.read("locks/key"))
            return len(beats) >= 4  # a lease

        with blobs.lock("key"):
            proxy.next = ["stall"]
            wait_until(beaten, "the renewal of a lease")
            blobs.write("a", b"of the holder")
    assert proxy.faults["stall"] == 1
    assert watch.told == [("write", "connection")]


class Retries(Unwatched):
    """A watch that remembers what was asked again."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def retry(self, operation: str, reason: str) -> None:
        self.told.append((operation, reason))


def test_the_lock_of_a_killed_process_elsewhere_ends_with_its_lease(
    uri: str, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = open_blobs(uri)
    monkeypatch.setattr(holder, "_machine", lambda: "another machine")
    worker.process.kill()
    worker.process.join()

    assert blobs.is_locked("key")
    with blobs.lock("key"):
        assert blobs.is_locked("key")


def test_a_holder_that_stood_still_for_longer_than_its_lease_changes_nothing_more(
    uri: str, worker: Worker
) -> None:
    blobs = open_blobs(uri)
    worker.signal(signal.SIGSTOP)
    with blobs.lock("key"):
        blobs.write("a", b"of who came after")
        worker.signal(signal.SIGCONT)
        for what in ("write", "remove"):
            said = worker.does(what)
            assert "another one has taken it over; run the same command again" in said
        assert blobs.read("a") == b"of who came after"
        assert blobs.is_locked("key")


def test_a_holder_that_stood_still_unnoticed_goes_on(uri: str, worker: Worker) -> None:
    blobs = open_blobs(uri)
    worker.signal(signal.SIGSTOP)
    wait_until(lambda: not blobs.is_locked("key"), "the end of a lease")
    worker.signal(signal.SIGCONT)

    assert worker.does("write") == "done"
    assert blobs.is_locked("key")
    worker.pipe.send("end")
    worker.process.join(30)
    assert worker.process.exitcode == 0
    assert not blobs.is_locked("key")
    assert blobs.read("locks/key") is None


def _race(uri: str, pipe: Connection) -> None:
    blobs = open_blobs(uri)
    pipe.recv()
    with blobs.lock("key"):
        done = blobs.read("done")
        if done is None:
            blobs.write("done", b"once")
            pipe.send("made")
        else:
            pipe.send("found")


def test_of_processes_that_race_for_a_dead_ones_lock_one_at_a_time_gets_it(
    uri: str, worker: Worker
) -> None:
    context = multiprocessing.get_context("spawn")
    pipes, racers = [], []
    for _ in range(3):
        ours, theirs = context.Pipe()
        racer = context.Process(target=_race, args=(uri, theirs))
        racer.start()
        pipes.append(ours)
        racers.append(racer)
    worker.process.kill()
    for pipe in pipes:
        pipe.send("go")
    came = sorted(pipe.recv() for pipe in pipes if pipe.poll(60))
    for racer in racers:
        racer.join(30)

    assert came == ["found", "found", "made"]
