"""Processes that are killed, connections that break: the same replies, and nothing done twice."""

import hashlib
import socket
from pathlib import Path

import numpy as np
import pytest
from network_lab import (
    ClientProcess,
    Process,
    Proxy,
    ask,
    at_random,
    clients,
    is_good,
    make_pki,
    task,
)
from servers import wait_until

from gptfl.federation.arrays import encode_array
from gptfl.federation.network import StreamSettings, open_stream_grid, server_security

NAMES = ("a", "b", "c")
LARGE = 5_000_000
"""Numbers of a model of 20 MB."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pki(tmp_path_factory.mktemp("pki"), NAMES)


def client(
    address: str, name: str, folder: Path, tmp_path: Path, seconds: float = 0
) -> ClientProcess:
    home = folder / "clients" / name
    return ClientProcess(address, name, home, tmp_path / f"{name}.calls", seconds=seconds)


def free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return f"127.0.0.1:{one.getsockname()[1]}"


class Aggregator:
    """A process that can be killed and started again at the same address."""

    def __init__(self, folder: Path, tmp_path: Path, *, rounds: int, numbers: int) -> None:
        self.address = free_address()
        self._out = tmp_path / "digests"
        self._rounds = rounds
        self._numbers = numbers
        self._folder = folder

    def start(self) -> Process:
        names = ",".join(NAMES)
        size = self._rounds, self._numbers
        return Process("network_server.py", self.address, self._folder, names, *size, self._out)

    @property
    def digests(self) -> list[str]:
        return self._out.read_text().split() if self._out.exists() else []

    @property
    def undisturbed(self) -> list[str]:
        """What each round must come to."""
        digest = hashlib.sha256()
        model = np.arange(self._numbers, dtype=np.float32)
        for node in range(1, len(NAMES) + 1):
            digest.update(encode_array(model + np.float32(node)).data)
        return [digest.hexdigest()] * self._rounds


def test_a_client_that_was_killed_gets_its_task_again(folder: Path, tmp_path: Path) -> None:
    with open_stream_grid("127.0.0.1:0", NAMES, server_security(folder)) as grid:
        doomed = client(grid.address, "a", folder, tmp_path, seconds=60)
        number = list(grid.push_messages([task(1, "r1")]))
        wait_until(lambda: doomed.calls == ["r1-1"], "the client at work")
        doomed.kill()
        replies: list[object] = []
        with client(grid.address, "a", folder, tmp_path):
            wait_until(lambda: replies.extend(grid.pull_messages(number)) or bool(replies), "it")
        assert is_good(replies[0])  # type: ignore[arg-type]
        assert doomed.calls == ["r1-1", "r1-1"]


def test_an_upload_that_was_cut_goes_on_where_it_stopped(folder: Path, tmp_path: Path) -> None:
    with (
        open_stream_grid("127.0.0.1:0", NAMES, server_security(folder)) as grid,
        Proxy(grid.address, seconds_per_mebibyte=0.05) as proxy,
    ):
        one = client(proxy.address, "a", folder, tmp_path)
        with clients(one):
            number = list(grid.push_messages([task(1, "r1", LARGE)]))
            wait_until(lambda: proxy.up > 12_000_000, "half of the upload")
            proxy.cut()
            replies: list[object] = []
            wait_until(lambda: replies.extend(grid.pull_messages(number)) or bool(replies), "it")
            assert is_good(replies[0], LARGE)  # type: ignore[arg-type]
            assert one.calls == ["r1-1"]
            assert proxy.connections == 2
            assert proxy.up < 30_000_000


def test_a_download_that_was_cut_goes_on_where_it_stopped(folder: Path, tmp_path: Path) -> None:
    with (
        open_stream_grid("127.0.0.1:0", NAMES, server_security(folder)) as grid,
        Proxy(grid.address, seconds_per_mebibyte=0.05) as proxy,
    ):
        one = client(proxy.address, "a", folder, tmp_path)
        with clients(one):
            number = list(grid.push_messages([task(1, "r1", LARGE)]))
            wait_until(lambda: proxy.down > 12_000_000, "half of the download")
            proxy.cut()
            replies: list[object] = []
            wait_until(lambda: replies.extend(grid.pull_messages(number)) or bool(replies), "it")
            assert is_good(replies[0], LARGE)  # type: ignore[arg-type]
            assert proxy.down < 30_000_000


def test_connections_that_are_cut_at_random_lose_nothing(folder: Path, tmp_path: Path) -> None:
    with (
        open_stream_grid("127.0.0.1:0", NAMES, server_security(folder)) as grid,
        Proxy(grid.address) as proxy,
    ):
        proxy.cut_each = at_random(3, 2_000_000, 15_000_000)
        everyone = [client(proxy.address, name, folder, tmp_path) for name in NAMES]
        with clients(*everyone):
            for number in range(3):
                replies = ask(grid, [1, 2, 3], f"r{number}", LARGE)
                assert all(is_good(reply, LARGE) for reply in replies)
            assert [one.calls for one in everyone] == [
                [f"r{number}-{node}" for number in range(3)] for node in (1, 2, 3)
            ]
            assert proxy.connections > 10


@pytest.mark.parametrize("when", ["working", "uploading"])
def test_an_aggregator_that_was_killed_comes_back_to_the_same_replies(
    folder: Path, tmp_path: Path, when: str
) -> None:
    aggregator = Aggregator(folder, tmp_path, rounds=3, numbers=LARGE)
    with Proxy(aggregator.address, seconds_per_mebibyte=0.02) as proxy:
        everyone = [client(proxy.address, name, folder, tmp_path, 0.5) for name in NAMES]
        with clients(*everyone):
            with aggregator.start() as first:
                wait_until(lambda: len(aggregator.digests) == 1, "the first round")
                if when == "working":
                    wait_until(lambda: len(everyone[0].calls) == 2, "the second")
                else:
                    up = proxy.up
                    wait_until(lambda: proxy.up > up + 20_000_000, "an upload")
                first.kill()
            with aggregator.start() as second:
                assert second.wait() == 0
            assert [one.wait() for one in everyone] == [0, 0, 0]
        assert aggregator.digests == aggregator.undisturbed
        assert [one.calls for one in everyone] == [
            [f"r{number}-{node}" for number in range(3)] for node in (1, 2, 3)
        ]


def test_a_round_that_is_asked_again_does_not_train_again(folder: Path, tmp_path: Path) -> None:
    """Killed after all replies were taken and before the round was kept."""
    address = free_address()
    everyone = [client(address, name, folder, tmp_path) for name in NAMES]
    with clients(*everyone):
        for _ in range(2):
            with open_stream_grid(address, NAMES, server_security(folder)) as grid:
                assert all(map(is_good, ask(grid, [1, 2, 3], "r1")))
        assert [one.calls for one in everyone] == [["r1-1"], ["r1-2"], ["r1-3"]]


def test_clients_that_are_killed_one_after_another_change_nothing(
    folder: Path, tmp_path: Path
) -> None:
    aggregator = Aggregator(folder, tmp_path, rounds=4, numbers=100_000)
    victims = at_random(7, 0, 2)
    with aggregator.start() as server:
        everyone = [client(aggregator.address, name, folder, tmp_path, 0.3) for name in NAMES]
        try:
            for number in range(3):
                wait_until(lambda at=number: len(aggregator.digests) > at, "a round")  # type: ignore[misc]
                victim = victims()
                everyone[victim].kill()
                everyone[victim] = client(aggregator.address, NAMES[victim], folder, tmp_path)
            assert server.wait() == 0
        finally:
            with clients(*everyone):
                pass
    assert aggregator.digests == aggregator.undisturbed


@pytest.mark.slow
def test_a_model_of_more_than_two_gigabytes_passes(tmp_path: Path) -> None:
    numbers = 540_000_000
    settings = StreamSettings(stall_seconds=120)
    with open_stream_grid("127.0.0.1:0", NAMES, None, settings=settings) as grid:
        one = ClientProcess(grid.address, "a", None, tmp_path / "calls")
        with clients(one):
            replies = list(grid.send_and_receive([task(1, "large", numbers)]))
            assert is_good(replies[0], numbers)
