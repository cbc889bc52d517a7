"""A federation over real connections: what a `Grid` promises, whoever is slow, late or wrong."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from flwr.clientapp import ClientApp
from network_lab import PATIENCE, ClientProcess, ask, clients, is_good, make_pki, task
from servers import wait_until

from gptfl.errors import NetworkError
from gptfl.federation.flower import NoReply
from gptfl.federation.network import (
    ClientIdentity,
    StreamGrid,
    StreamSettings,
    issue_server,
    make_authority,
    open_stream_grid,
    serve_tasks,
    server_security,
)

NAMES = ("a", "b", "c")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pki(tmp_path_factory.mktemp("pki"), NAMES)


@pytest.fixture(params=["plain", "mtls"])
def pki(request: pytest.FixtureRequest, folder: Path) -> Path | None:
    return folder if request.param == "mtls" else None


@pytest.fixture
def grid(pki: Path | None) -> Iterator[StreamGrid]:
    security = server_security(pki) if pki else None
    with open_stream_grid("127.0.0.1:0", NAMES, security) as made:
        yield made


def client(
    grid: StreamGrid, name: str, pki: Path | None, tmp_path: Path, **more: float
) -> ClientProcess:
    home = pki / "clients" / name if pki else None
    return ClientProcess(grid.address, name, home, tmp_path / f"{name}.calls", **more)


def test_clients_answer_round_after_round_in_client_order(
    grid: StreamGrid, pki: Path | None, tmp_path: Path
) -> None:
    everyone = [client(grid, name, pki, tmp_path) for name in NAMES]
    with clients(*everyone):
        for number in range(3):
            replies = ask(grid, [1, 2, 3], f"r{number}")
            assert [reply.metadata.src_node_id for reply in replies] == [1, 2, 3]
            assert all(map(is_good, replies))
            assert [reply.metadata.reply_to_message_id for reply in replies] == [
                f"r{number}-{node}" for node in (1, 2, 3)
            ]
        status = grid.status()
        assert status.connected == NAMES
        assert status.held_bytes == 0
        assert dict(status.counters.connections) == {"a": 1, "b": 1, "c": 1}
        assert status.counters.bytes_received["b"] >= 3 * 4000


def test_a_message_waits_for_its_client(tmp_path: Path) -> None:
    with open_stream_grid("127.0.0.1:0", NAMES, None) as grid:
        number = list(grid.push_messages([task(2)]))
        assert list(grid.pull_messages(number)) == []
        with client(grid, "b", None, tmp_path):
            replies: list[object] = []
            wait_until(
                lambda: bool(replies.extend(grid.pull_messages(number)) or replies), "a reply"
            )
            assert list(grid.pull_messages(number)) == []


def test_dismissed_clients_leave_by_themselves(tmp_path: Path) -> None:
    with open_stream_grid("127.0.0.1:0", NAMES, None) as grid:
        early = client(grid, "a", None, tmp_path)
        assert is_good(ask(grid, [1])[0])
        grid.dismiss()
        assert early.wait() == 0
        late = client(grid, "b", None, tmp_path)
        assert late.wait() == 0


def test_what_an_app_raises_is_an_error_reply(tmp_path: Path) -> None:
    with open_stream_grid("127.0.0.1:0", NAMES, None) as grid, client(grid, "a", None, tmp_path):
        bad = ask(grid, [1], "fail")[0]
        assert bad.error.reason == "ValueError: no such data"
        assert is_good(ask(grid, [1])[0])


def test_a_deadline_tells_who_is_late_from_who_is_not_there(tmp_path: Path) -> None:
    with open_stream_grid("127.0.0.1:0", NAMES, None) as grid:
        quick = client(grid, "a", None, tmp_path)
        slow = client(grid, "b", None, tmp_path, seconds=3)
        with clients(quick, slow):
            wait_until(lambda: grid.status().connected == ("a", "b"), "two clients")
            messages = [task(node, "r1") for node in (1, 2, 3)]
            replies = list(grid.send_and_receive(messages, timeout=1))
            assert is_good(replies[0])
            assert replies[1].error.code == NoReply.STRAGGLER
            assert replies[2].error.code == NoReply.DISCONNECTED
            wait_until(lambda: grid.status().counters.late_replies == 1, "the late reply")
            assert is_good(ask(grid, [2], "r2")[0])


def test_a_task_asked_again_is_not_done_again(tmp_path: Path) -> None:
    with open_stream_grid("127.0.0.1:0", NAMES, None) as grid:
        one = client(grid, "a", None, tmp_path)
        with clients(one):
            first, again = ask(grid, [1], "r1"), ask(grid, [1], "r1")
            assert is_good(first[0])
            assert is_good(again[0])
            assert one.calls == ["r1-1"]


def test_replies_beyond_the_budget_wait_at_their_clients(tmp_path: Path) -> None:
    settings = StreamSettings(held_bytes=0)
    with open_stream_grid("127.0.0.1:0", NAMES, None, settings=settings) as grid:
        everyone = [client(grid, name, None, tmp_path) for name in NAMES]
        with clients(*everyone):
            messages = [task(node) for node in (1, 2, 3)]
            for reply in grid.send_and_receive(messages, timeout=PATIENCE):
                assert is_good(reply)
                size = len(reply.content["arrays"]["w"].data)  # type: ignore[index]
                assert grid.status().held_bytes < 2 * size


def test_a_frozen_client_holds_nobody_up(tmp_path: Path) -> None:
    with open_stream_grid("127.0.0.1:0", NAMES, None) as grid:
        first, second = (client(grid, name, None, tmp_path) for name in ("a", "b"))
        with clients(first, second):
            assert all(map(is_good, ask(grid, [1, 2])))
            first.stop_and_go(signal.SIGSTOP)
            replies = list(grid.send_and_receive([task(1), task(2)], timeout=1))
            assert replies[0].has_error()
            assert is_good(replies[1])
            first.stop_and_go(signal.SIGCONT)
            assert is_good(ask(grid, [1])[0])


class Watched:
    """What a client tells of its connection."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        self.reasons: set[str] = set()

    def connected(self, server: str, node: int) -> None: ...

    def disconnected(self, reason: str, retry_seconds: float) -> None:
        self.waits.append(retry_seconds)
        self.reasons.add(reason)

    def task_received(self, task: str, size: int) -> None: ...

    def reply_sent(self, task: str, size: int) -> None: ...


def test_two_processes_that_are_one_client_do_not_chase_each_other() -> None:
    """Each takes the stream from the other; the longer they do so, the longer they wait."""
    watched = Watched()

    def serve() -> None:
        serve_tasks(
            grid.address, ClientIdentity("a"), lambda terms, node: ClientApp(), events=watched
        )

    with open_stream_grid("127.0.0.1:0", NAMES, None) as grid:
        both = [threading.Thread(target=serve, daemon=True) for _ in range(2)]
        for one in both:
            one.start()
        wait_until(lambda: max(watched.waits, default=0) > 1, "a longer wait")
        grid.dismiss()
        for one in both:
            one.join(PATIENCE)
    assert watched.reasons == {"another process has connected as this client; start only one"}
    assert len(watched.waits) < 40


def test_a_port_is_free_again_after_use() -> None:
    with open_stream_grid("127.0.0.1:0", NAMES, None) as grid:
        address = grid.address
        taken = open_stream_grid(address, NAMES, None)
        with pytest.raises(NetworkError, match="is the port taken"), taken:
            pass
    with open_stream_grid(address, NAMES, None):
        pass


def test_replies_that_are_let_go_after_their_grid_are_let_go_quietly() -> None:
    """As when an error ends both, and the error's own frames hold the replies."""
    with open_stream_grid("127.0.0.1:0", NAMES, None) as grid:
        replies = grid.send_and_receive([task(1)], timeout=0)
        assert next(replies).has_error()
    replies.close()  # type: ignore[attr-defined]


def test_plain_connections_stay_on_this_machine() -> None:
    open_to_all = open_stream_grid("0.0.0.0:0", NAMES, None)
    with pytest.raises(NetworkError, match="needs certificates"), open_to_all:
        pass
    with pytest.raises(NetworkError, match="needs a certificate"):
        serve_tasks("192.0.2.1:9092", ClientIdentity("a"), lambda terms, node: ClientApp())


def test_missing_files_are_named(tmp_path: Path) -> None:
    make_authority(tmp_path)
    security = issue_server(tmp_path, ["localhost"])
    security.certificate.unlink()
    incomplete = open_stream_grid("127.0.0.1:0", NAMES, security)
    with pytest.raises(NetworkError, match=r"server\.crt"), incomplete:
        pass
