"""What hostile peers try, and that it fails while an honest client goes on: the security table.

Each row of `docs/security.md` on the federation's connections has its test here.
"""

import contextlib
import dataclasses
import socket
import ssl
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from flwr.app import RecordDict
from network_lab import ClientProcess, Speaker, ask, is_good, make_pki, task

from gptfl.federation.flower import NoReply
from gptfl.federation.network import (
    ClientIdentity,
    StreamGrid,
    StreamSettings,
    Turned,
    client_identity,
    issue_client,
    issue_server,
    make_authority,
    open_stream_grid,
    revoke,
    server_security,
)
from gptfl.federation.network.codec import pack
from gptfl.federation.network.frames import (
    Chunk,
    Done,
    Grant,
    Ready,
    Task,
    Want,
    Welcome,
    pack_chunk,
    pack_frame,
)

NAMES = ("honest", "mallory", "victim")
HONEST, MALLORY, VICTIM = 1, 2, 3
SETTINGS = StreamSettings(
    hello_seconds=1, stall_seconds=1, slowest_bytes_per_second=1000, keepalive_seconds=1
)


class Scene:
    """An aggregator, an honest client at work, and the files of the others."""

    def __init__(self, grid: StreamGrid, folder: Path, tmp_path: Path) -> None:
        self.grid = grid
        self.folder = folder
        self.tmp_path = tmp_path
        self._round = 0

    def identity(self, name: str) -> ClientIdentity:
        return client_identity(self.folder / "clients" / name, name)

    def speaker(self, identity: ClientIdentity | None = None) -> Speaker:
        identity = identity or self.identity("mallory")
        return Speaker(self.grid.address, identity.credentials())

    def let_in(self, name: str = "mallory") -> Speaker:
        """A peer with all that a client needs, past its welcome."""
        speaker = self.speaker(self.identity(name))
        speaker.hello(name, self.identity(name).token)
        assert isinstance(speaker.hear(), Welcome)
        return speaker

    def honest_goes_on(self) -> bool:
        self._round += 1
        return is_good(ask(self.grid, [HONEST], f"honest{self._round}")[0])

    def turned_away(self, reason: Turned) -> int:
        return self.grid.status().counters.turned_away[reason]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pki(tmp_path_factory.mktemp("pki"), NAMES)


@contextlib.contextmanager
def set_up(folder: Path, tmp_path: Path) -> Iterator[Scene]:
    security = server_security(folder)
    with open_stream_grid("127.0.0.1:0", NAMES, security, settings=SETTINGS) as grid:
        home = folder / "clients" / "honest"
        with ClientProcess(grid.address, "honest", home, tmp_path / "calls"):
            yield Scene(grid, folder, tmp_path)


@pytest.fixture(scope="module")
def stage(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One aggregator and one honest client for most attacks: none may leave a trace."""
    with set_up(folder, tmp_path_factory.mktemp("honest")) as scene:
        yield scene


@pytest.fixture
def own_scene(folder: Path, tmp_path: Path) -> Iterator[Scene]:
    """For those who leave a task undone."""
    with set_up(folder, tmp_path) as scene:
        yield scene
        assert scene.honest_goes_on()


@pytest.fixture
def scene(stage: Scene) -> Iterator[Scene]:
    """The honest client goes on after each attack, on the connection that it had."""
    assert stage.honest_goes_on()
    yield stage
    assert stage.honest_goes_on()
    assert stage.grid.status().counters.connections["honest"] == 1


def test_a_certificate_of_another_authority_gets_no_stream(scene: Scene, tmp_path: Path) -> None:
    make_authority(tmp_path)
    theirs = issue_client(tmp_path, "mallory")
    forged = dataclasses.replace(theirs, authority=scene.folder / "ca.crt")
    with scene.speaker(forged) as speaker:
        speaker.hello("mallory", scene.identity("mallory").token)
        assert speaker.fate()[0] is grpc.StatusCode.UNAVAILABLE


def test_without_a_certificate_there_is_no_stream(scene: Scene) -> None:
    root = (scene.folder / "ca.crt").read_bytes()
    with Speaker(scene.grid.address, grpc.ssl_channel_credentials(root)) as speaker:
        speaker.hello("mallory", scene.identity("mallory").token)
        assert speaker.fate()[0] is grpc.StatusCode.UNAVAILABLE
    with Speaker(scene.grid.address, None) as speaker:
        speaker.hello("mallory", scene.identity("mallory").token)
        assert speaker.fate()[0] is grpc.StatusCode.UNAVAILABLE


def test_the_servers_own_certificate_lets_no_client_in(scene: Scene) -> None:
    security = server_security(scene.folder)
    identity = dataclasses.replace(
        scene.identity("mallory"), certificate=security.certificate, key=security.key
    )
    with scene.speaker(identity) as speaker:
        speaker.hello("mallory", identity.token)
        assert speaker.fate()[0] is grpc.StatusCode.UNAVAILABLE


def test_a_client_does_not_believe_a_server_of_another_authority(
    scene: Scene, tmp_path: Path
) -> None:
    make_authority(tmp_path)
    issue_server(tmp_path, ["127.0.0.1"])
    with open_stream_grid("127.0.0.1:0", NAMES, server_security(tmp_path)) as impostor:
        home = scene.folder / "clients" / "victim"
        with ClientProcess(impostor.address, "victim", home, tmp_path / "calls"):
            time.sleep(1)
            assert impostor.status().counters.connections == {}


def test_a_certificate_names_whom_it_lets_in(scene: Scene) -> None:
    """With another client's token too: certificate, token and name must all agree."""
    before = scene.turned_away(Turned.UNAUTHENTICATED)
    for name, token in (
        ("victim", scene.identity("mallory").token),
        ("victim", scene.identity("victim").token),
        ("mallory", scene.identity("victim").token),
        ("mallory", ""),
        ("nobody", scene.identity("mallory").token),
    ):
        with scene.speaker() as speaker:
            speaker.hello(name, token)
            assert speaker.fate() == (grpc.StatusCode.UNAUTHENTICATED, "")
    assert scene.turned_away(Turned.UNAUTHENTICATED) == before + 5


@pytest.mark.parametrize(
    "data", [b"", b"\x01", b"\xff" * 100, pack_frame(Want(id="r", transfer=1, offset=0))]
)
def test_who_does_not_begin_with_a_hello_learns_nothing(scene: Scene, data: bytes) -> None:
    with scene.speaker() as speaker:
        speaker.say(data)
        assert speaker.fate() == (grpc.StatusCode.UNAUTHENTICATED, "")


def test_a_client_gets_its_own_tasks_alone(own_scene: Scene) -> None:
    with own_scene.let_in() as speaker:
        own_scene.grid.push_messages([task(VICTIM, "secret"), task(MALLORY, "mine")])
        offered = speaker.hear()
        assert isinstance(offered, Task)
        assert offered.id == f"mine-{MALLORY}"
        speaker.say(pack_frame(Want(id=f"secret-{VICTIM}", transfer=1, offset=0)))
        speaker.say(pack_frame(Want(id=f"mine-{MALLORY}", transfer=2, offset=0)))
        chunk = speaker.hear()
        assert isinstance(chunk, Chunk)
        assert chunk.transfer == 2


def test_a_client_cannot_answer_for_another(scene: Scene) -> None:
    number = first(scene.grid.push_messages([task(VICTIM, "private")]))
    reply = pack(RecordDict({}), {})
    before = scene.grid.status().counters.replayed_replies
    with scene.let_in() as speaker:
        speaker.say(ready(number, reply.edition, len(reply.header)))
        answer = speaker.hear()
        while not isinstance(answer, Done):
            answer = speaker.hear()
        assert not answer.accepted
    assert list(scene.grid.pull_messages([number])) == []
    assert scene.grid.status().counters.replayed_replies == before + 1


def test_a_replayed_reply_changes_nothing(scene: Scene) -> None:
    number = first(scene.grid.push_messages([task(MALLORY, "once")]))
    reply = pack(RecordDict({}), {})
    with scene.let_in() as speaker:
        offer(speaker, number)
        speaker.say(ready(number, reply.edition, len(reply.header)))
        grant = speaker.hear()
        assert isinstance(grant, Grant)
        whole = pack_chunk(grant.transfer, 0, reply.pieces(0, reply.size))
        speaker.say(whole)
        assert speaker.hear() == Done(id=number, accepted=True)
        assert len(list(scene.grid.pull_messages([number]))) == 1
        before = scene.grid.status().counters.replayed_replies
        speaker.say(whole, ready(number, reply.edition, len(reply.header)))
        assert speaker.hear() == Done(id=number, accepted=False)
        assert scene.grid.status().counters.replayed_replies == before + 1
        assert list(scene.grid.pull_messages([number])) == []


def test_a_revocation_ends_an_open_stream(folder: Path, tmp_path: Path) -> None:
    security = dataclasses.replace(server_security(folder), revoked=tmp_path / "revoked")
    with open_stream_grid("127.0.0.1:0", NAMES, security, settings=SETTINGS) as grid:
        scene = Scene(grid, folder, tmp_path)
        home = folder / "clients" / "honest"
        with ClientProcess(grid.address, "honest", home, tmp_path / "calls"), scene.let_in() as bad:
            revoke(tmp_path, "mallory")
            bad.say(pack_frame(Want(id="r", transfer=1, offset=0)))
            assert bad.fate() == (grpc.StatusCode.UNAUTHENTICATED, "")
            with scene.speaker() as again:
                again.hello("mallory", scene.identity("mallory").token)
                assert again.fate() == (grpc.StatusCode.UNAUTHENTICATED, "")
            assert scene.turned_away(Turned.REVOKED) == 2
            assert scene.honest_goes_on()


def test_a_revoked_client_is_sent_nothing_more(folder: Path, tmp_path: Path) -> None:
    security = dataclasses.replace(server_security(folder), revoked=tmp_path / "revoked")
    with open_stream_grid("127.0.0.1:0", NAMES, security) as grid:
        scene = Scene(grid, folder, tmp_path)
        with scene.let_in() as bad:
            revoke(tmp_path, "mallory")
            grid.push_messages([task(MALLORY, "late")])
            assert bad.fate() == (grpc.StatusCode.UNAUTHENTICATED, "")


def test_an_oversized_frame_ends_the_stream(scene: Scene) -> None:
    with scene.let_in() as speaker:
        speaker.say(bytes(SETTINGS.frame_bytes + 100_000))
        assert speaker.fate()[0] is not grpc.StatusCode.OK


def test_an_oversized_reply_is_refused_before_it_is_sent(scene: Scene) -> None:
    before = scene.turned_away(Turned.TOO_LARGE)
    number = first(scene.grid.push_messages([task(MALLORY, "large")]))
    with scene.let_in() as speaker:
        offer(speaker, number)
        speaker.say(ready(number, "e", 100, payload=2**40))
        assert speaker.hear() == Done(id=number, accepted=False)
    reply = first(scene.grid.pull_messages([number]))
    assert reply.error.code == NoReply.TOO_LARGE
    assert scene.turned_away(Turned.TOO_LARGE) == before + 1


def test_a_reply_of_garbage_is_refused(scene: Scene) -> None:
    number = first(scene.grid.push_messages([task(MALLORY, "garbage")]))
    with scene.let_in() as speaker:
        offer(speaker, number)
        speaker.say(ready(number, "e", 100))
        grant = speaker.hear()
        assert isinstance(grant, Grant)
        speaker.say(pack_chunk(grant.transfer, 0, [memoryview(bytes(100))]))
        assert speaker.hear() == Done(id=number, accepted=False)
    reply = first(scene.grid.pull_messages([number]))
    assert reply.error.code == NoReply.MALFORMED


@pytest.mark.parametrize(
    "frames",
    [
        [b"\xff\xff"],
        [b""],
        [pack_frame(Welcome(node=1, frame_bytes=1, terms=b""))],
        [pack_chunk(1, 0, [memoryview(b"never granted")])],
        [pack_chunk(0, 0, [memoryview(b"never granted")])],
    ],
)
def test_what_has_no_place_in_a_stream_ends_it(scene: Scene, frames: list[bytes]) -> None:
    before = scene.turned_away(Turned.PROTOCOL)
    with scene.let_in() as speaker:
        speaker.say(*frames)
        assert speaker.fate() == (grpc.StatusCode.ABORTED, "Protocol")
    assert scene.turned_away(Turned.PROTOCOL) == before + 1


def test_another_version_is_told_so_once_it_is_known_who_asks(scene: Scene) -> None:
    with scene.speaker() as speaker:
        speaker.hello("mallory", scene.identity("mallory").token, protocol=99)
        assert speaker.fate() == (grpc.StatusCode.ABORTED, "Protocol")


def test_a_second_stream_of_a_client_replaces_the_first_only_when_it_is_proved(
    scene: Scene,
) -> None:
    with scene.let_in() as first:
        with scene.speaker() as impostor:
            impostor.hello("mallory", "wrong")
            assert impostor.fate() == (grpc.StatusCode.UNAUTHENTICATED, "")
        assert "mallory" in scene.grid.status().connected
        with scene.let_in():
            assert first.fate() == (grpc.StatusCode.ABORTED, "Replaced")


def test_who_connects_and_says_nothing_is_cut_off(scene: Scene) -> None:
    """Slow-loris: on the socket, after the handshake, and on a stream."""
    host, _, port = scene.grid.address.rpartition(":")
    before = scene.turned_away(Turned.SILENT)
    silent = [socket.create_connection((host, int(port))) for _ in range(50)]
    shaken = tls(scene)
    with scene.speaker() as speaker:
        assert scene.honest_goes_on()
        assert speaker.fate() == (grpc.StatusCode.UNAUTHENTICATED, "")
    assert scene.turned_away(Turned.SILENT) == before + 1
    for one in [*silent, shaken]:
        one.settimeout(30)
        with contextlib.suppress(ConnectionError):
            while one.recv(1024):
                pass
        one.close()


def test_who_drips_bytes_is_cut_off(scene: Scene) -> None:
    """A byte now and then, of a handshake that never ends."""
    host, _, port = scene.grid.address.rpartition(":")
    with socket.create_connection((host, int(port))) as one:
        hello = b"\x16\x03\x01\x02\x00\x01"
        cut_off = False
        for index in range(300):
            try:
                one.sendall(hello[index % len(hello) : index % len(hello) + 1])
            except ConnectionError:
                cut_off = True
                break
            time.sleep(0.1)
        assert cut_off


def test_who_is_granted_a_reply_and_drips_it_is_cut_off(own_scene: Scene) -> None:
    number = first(own_scene.grid.push_messages([task(MALLORY, "drip")]))
    before = own_scene.turned_away(Turned.SLOW)
    with own_scene.let_in() as speaker:
        offer(speaker, number)
        speaker.say(ready(number, "e", 1000, payload=100))
        grant = speaker.hear()
        assert isinstance(grant, Grant)
        offset = 0
        while speaker.call.is_active():
            speaker.say(pack_chunk(grant.transfer, offset, [memoryview(b" ")]))
            offset += 1
            time.sleep(0.2)
        assert speaker.fate() == (grpc.StatusCode.ABORTED, "Slow")
    assert own_scene.turned_away(Turned.SLOW) == before + 1


def test_who_is_granted_a_reply_and_speaks_of_another_is_cut_off_all_the_same(
    own_scene: Scene,
) -> None:
    number = first(own_scene.grid.push_messages([task(MALLORY, "held")]))
    with own_scene.let_in() as speaker:
        offer(speaker, number)
        speaker.say(ready(number, "e", 1000, payload=100))
        assert isinstance(speaker.hear(), Grant)
        speaker.say(ready("another", "e", 1000))
        assert speaker.hear() == Done(id="another", accepted=False)
        assert speaker.fate() == (grpc.StatusCode.ABORTED, "Slow")


def test_unknown_methods_and_garbage_on_the_socket_come_to_nothing(scene: Scene) -> None:
    credentials = scene.identity("mallory").credentials()
    with grpc.secure_channel(scene.grid.address, credentials) as channel:
        call = channel.unary_unary("/grpc.reflection.v1.ServerReflection/List")
        with pytest.raises(grpc.RpcError) as caught:
            call(b"", timeout=10)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    with tls(scene) as one:
        one.settimeout(30)
        with contextlib.suppress(ConnectionError):
            one.sendall(b"GET / HTTP/1.1\r\n\r\n" * 100)
            while one.recv(1024):
                pass


def test_many_streams_of_one_peer_do_not_starve_others(scene: Scene) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(scene.speaker())
        assert scene.honest_goes_on()


def test_errors_and_logs_hold_no_token(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    token = scene.identity("victim").token
    with scene.speaker() as speaker:
        speaker.hello("mallory", token)
        assert token not in str(speaker.fate())
    assert token not in caplog.text


def first(things: Iterable[Any]) -> Any:
    return next(iter(things))


def ready(number: str, edition: str, header: int, payload: int = 0) -> bytes:
    return pack_frame(Ready(id=number, edition=edition, header=header, payload=payload))


def offer(speaker: Speaker, number: str) -> None:
    """Listens until a task is offered."""
    while True:
        frame = speaker.hear()
        if isinstance(frame, Task) and frame.id == number:
            return


def tls(scene: Scene) -> ssl.SSLSocket:
    """A connection with a client's certificate and no HTTP/2 on it as yet."""
    identity = scene.identity("mallory")
    assert identity.certificate is not None
    context = ssl.create_default_context(cafile=str(identity.authority))
    context.load_cert_chain(identity.certificate, identity.key)
    context.set_alpn_protocols(["h2"])
    host, _, port = scene.grid.address.rpartition(":")
    raw = socket.create_connection((host, int(port)))
    return context.wrap_socket(raw, server_hostname=host)
