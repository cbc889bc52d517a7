"""What a client has in hand: nothing is done twice, and nothing that is no longer wanted."""

from flwr.app import ConfigRecord, Error, RecordDict

from gptfl.federation.network.codec import pack
from gptfl.federation.network.desk import Desk, Received
from gptfl.federation.network.frames import Chunk, Grant, Ready, Task, Want

CONTENT = RecordDict({"orders": ConfigRecord({"round": 1, "bytes": bytes(1000)})})


class Server:
    """Tells a desk of tasks and sends them."""

    def __init__(self) -> None:
        self.desk = Desk()

    def send(self, name: str, *, most: int = 1 << 20) -> Received | None:
        """A task, or its first bytes."""
        packed = pack(CONTENT, {"type": "train"})
        task = Task(
            id=name, edition=packed.edition, header=len(packed.header), payload=packed.payload
        )
        want = self.desk.task(task)
        assert isinstance(want, Want)
        data = b"".join(packed.pieces(want.offset, most))
        return self.desk.chunk(Chunk(want.transfer, want.offset, memoryview(data)))


def test_a_task_is_given_out_once() -> None:
    server = Server()
    received = server.send("first")
    assert received is not None
    assert received.content == CONTENT
    assert server.desk.next_work() == received
    assert server.desk.next_work() is None


def test_a_task_that_the_server_has_replaced_is_not_done() -> None:
    server = Server()
    server.send("first")
    second = server.send("second")
    assert server.desk.next_work() == second


def test_a_task_that_the_server_has_given_up_is_not_done() -> None:
    server = Server()
    server.send("first")
    assert server.desk.done("first") is None
    assert server.desk.next_work() is None
    again = server.send("first")
    assert server.desk.next_work() == again


def test_what_was_given_up_in_the_middle_comes_from_its_beginning_when_asked_again() -> None:
    server = Server()
    assert server.send("first", most=100) is None
    server.desk.done("first")
    assert server.send("first") is not None


def test_the_end_of_one_task_leaves_another_alone() -> None:
    server = Server()
    second = server.send("second")
    server.desk.done("first")
    assert server.desk.next_work() == second


def test_a_reply_is_kept_for_an_aggregator_that_asks_again() -> None:
    server = Server()
    server.send("first")
    server.desk.next_work()
    reply = pack(RecordDict(), {})
    ready = server.desk.made("first", reply)
    assert server.desk.done("first") == reply.size
    assert server.desk.task(Task(id="first", edition="other", header=1, payload=0)) == ready
    assert isinstance(ready, Ready)
    assert len(list(server.desk.granted(Grant(id="first", transfer=1, offset=0), 10))) > 1


def test_an_error_is_handed_in_once_and_made_anew_when_asked_again() -> None:
    server = Server()
    server.send("first")
    server.desk.next_work()
    server.desk.made("first", pack(Error(0, "the disk is full"), {}))
    server.desk.done("first")

    again = server.send("first")
    assert server.desk.next_work() == again
