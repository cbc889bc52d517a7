"""The aggregator's books without a network: who is asked, whose reply may come, what is counted."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from flwr.app import Array, ArrayRecord, Message, RecordDict

from gptfl.federation.flower import NoReply, become_server, number_message
from gptfl.federation.network.codec import Limits, Packed, pack
from gptfl.federation.network.counters import Counters, Turned
from gptfl.federation.network.exchange import Exchange
from gptfl.federation.network.frames import Chunk, Ready
from gptfl.federation.network.slots import Slot, State

SIZE = 1000


@pytest.fixture(autouse=True)
def _server() -> None:
    become_server()


def content(size: int = SIZE) -> RecordDict:
    array = Array("uint8", (size,), "numpy.ndarray", bytes(size))
    return RecordDict({"arrays": ArrayRecord({"w": array})})


def slot(node: int, name: str = "", order: int | None = None) -> Slot:
    message = Message(content(), node, "train")
    number_message(message, name or f"r1-{node}")
    limits = Limits(header=2000, payload=2 * SIZE, items=10)
    return Slot(message, pack(message.content, {}), limits, node if order is None else order)


class FakeLine:
    """A line that writes down what it is told."""

    def __init__(self, exchange: Exchange, node: int) -> None:
        self.node = node
        self.exchange = exchange
        self.offered: list[str] = []
        self.granted: list[tuple[str, int]] = []
        self.finished: list[tuple[str, bool]] = []
        self.replaced = False

    def offer(self, slot: Slot) -> None:
        self.offered.append(slot.id)

    def grant(self, slot: Slot, offset: int) -> None:
        self.granted.append((slot.id, offset))

    def finish(self, task: str, *, accepted: bool) -> None:
        self.finished.append((task, accepted))

    def replace(self) -> None:
        self.replaced = True

    def announce(self, slot: Slot, reply: Packed | None = None, name: str = "") -> Packed:
        reply = reply or pack(content(), {})
        ready = Ready(
            id=name or slot.id,
            edition=reply.edition,
            header=len(reply.header),
            payload=reply.payload,
        )
        self.exchange.announce(self, ready)
        return reply

    def send(self, slot: Slot, reply: Packed, offset: int = 0, end: int | None = None) -> None:
        data = b"".join(reply.pieces(0, reply.size))[offset:end]
        self.exchange.receive(slot, Chunk(1, offset, memoryview(data)))


class Bench:
    def __init__(self, nodes: int, budget: int | None = None) -> None:
        self.counters = Counters()
        self.exchange = Exchange(budget, self.counters)
        self.lines = {node: FakeLine(self.exchange, node) for node in range(1, nodes + 1)}
        self.slots = [slot(node) for node in self.lines]

    def start(self) -> None:
        for line in self.lines.values():
            self.exchange.join(line)
        self.exchange.submit(self.slots)


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(coroutine)


def test_a_task_is_offered_once_its_client_is_there() -> None:
    bench = Bench(2)
    bench.exchange.submit(bench.slots)
    bench.exchange.join(bench.lines[2])
    assert bench.lines[2].offered == ["r1-2"]
    assert bench.lines[1].offered == []


def test_a_client_is_only_ever_offered_its_own() -> None:
    bench = Bench(3)
    bench.start()
    assert [line.offered for line in bench.lines.values()] == [["r1-1"], ["r1-2"], ["r1-3"]]


def test_a_client_does_one_task_after_another() -> None:
    bench = Bench(1)
    bench.slots = [slot(1, "first", 1), slot(1, "second", 2)]
    bench.start()
    line = bench.lines[1]
    assert line.offered == ["first"]
    line.send(bench.slots[0], line.announce(bench.slots[0]))
    assert line.finished == [("first", True)]
    assert line.offered == ["first", "second"]


def test_replies_wait_at_their_clients_while_there_is_no_room() -> None:
    bench = Bench(4, budget=2 * SIZE + 1000)
    bench.start()
    replies = {node: line.announce(bench.slots[node - 1]) for node, line in bench.lines.items()}
    assert [bool(line.granted) for line in bench.lines.values()] == [True, True, False, False]

    async def fold() -> None:
        bench.lines[1].send(bench.slots[0], replies[1])
        await bench.exchange.take(bench.slots[0])
        assert not bench.lines[3].granted
        bench.exchange.let_go([bench.slots[0]])
        assert bench.lines[3].granted
        assert not bench.lines[4].granted

    run(fold())


def test_the_reply_that_is_waited_for_comes_even_when_others_fill_the_room() -> None:
    bench = Bench(3, budget=2 * SIZE + 1000)
    bench.start()

    async def straggler() -> None:
        waiting = asyncio.create_task(bench.exchange.take(bench.slots[0]))
        await asyncio.sleep(0)
        for node in (2, 3):
            line, place = bench.lines[node], bench.slots[node - 1]
            line.send(place, line.announce(place))
        assert bench.exchange.held >= 2 * SIZE
        line = bench.lines[1]
        reply = line.announce(bench.slots[0])
        assert line.granted
        line.send(bench.slots[0], reply)
        assert (await waiting).has_content()

    run(straggler())


def test_nothing_is_held_when_all_is_let_go() -> None:
    bench = Bench(3)
    bench.start()
    for node, line in bench.lines.items():
        line.send(bench.slots[node - 1], line.announce(bench.slots[node - 1]), end=node * 100)
    bench.exchange.let_go(bench.slots)
    assert bench.exchange.held == 0


def test_a_broken_upload_goes_on_where_it_stopped() -> None:
    bench = Bench(1)
    bench.start()
    line, place = bench.lines[1], bench.slots[0]
    reply = line.announce(place)
    line.send(place, reply, end=700)
    bench.exchange.leave(line)
    again = FakeLine(bench.exchange, 1)
    bench.exchange.join(again)
    assert again.offered == ["r1-1"]
    again.announce(place, reply)
    assert again.granted == [("r1-1", 700)]
    again.send(place, reply, offset=700)
    assert place.reply is not None
    assert place.reply.content["arrays"]["w"].data == bytes(SIZE)


def test_half_of_one_reply_never_goes_with_half_of_another() -> None:
    bench = Bench(1)
    bench.start()
    line, place = bench.lines[1], bench.slots[0]
    line.send(place, line.announce(place), end=700)
    bench.exchange.leave(line)
    again = FakeLine(bench.exchange, 1)
    bench.exchange.join(again)
    again.announce(place, pack(content(), {}))
    assert again.granted == [("r1-1", 0)]


def test_a_second_stream_of_a_client_ends_the_first() -> None:
    bench = Bench(1)
    bench.start()
    again = FakeLine(bench.exchange, 1)
    bench.exchange.join(again)
    assert bench.lines[1].replaced
    bench.exchange.leave(bench.lines[1])
    assert bench.exchange.connected == {1}


def test_a_deadline_tells_stragglers_from_those_who_are_not_there() -> None:
    bench = Bench(2)
    bench.exchange.join(bench.lines[1])
    bench.exchange.submit(bench.slots)
    bench.exchange.expire(bench.slots)
    replies = [place.reply for place in bench.slots]
    assert [reply and reply.error.code for reply in replies] == [
        NoReply.STRAGGLER,
        NoReply.DISCONNECTED,
    ]


def test_a_reply_that_was_announced_in_time_is_still_fetched() -> None:
    bench = Bench(2, budget=0)
    bench.start()
    reply = bench.lines[1].announce(bench.slots[0])
    assert not bench.lines[1].granted
    bench.exchange.expire(bench.slots)

    async def fetch() -> None:
        waiting = asyncio.create_task(bench.exchange.take(bench.slots[0]))
        await asyncio.sleep(0)
        bench.lines[1].send(bench.slots[0], reply)
        assert (await waiting).has_content()

    run(fetch())


def test_after_the_deadline_a_client_that_goes_is_not_waited_for() -> None:
    bench = Bench(1)
    bench.start()
    bench.lines[1].send(bench.slots[0], bench.lines[1].announce(bench.slots[0]), end=10)
    bench.exchange.expire(bench.slots)
    bench.exchange.leave(bench.lines[1])
    assert bench.slots[0].reply is not None
    assert bench.slots[0].reply.error.code == NoReply.DISCONNECTED
    assert bench.exchange.held == 0


def test_a_late_reply_is_counted_and_not_delivered() -> None:
    bench = Bench(1)
    bench.start()
    bench.exchange.expire(bench.slots)
    bench.exchange.let_go(bench.slots)
    bench.lines[1].announce(bench.slots[0])
    assert (bench.counters.late_replies, bench.counters.replayed_replies) == (1, 0)
    assert bench.lines[1].granted == []
    assert bench.lines[1].finished[-1] == ("r1-1", False)


def test_a_replayed_reply_is_counted_and_not_delivered() -> None:
    bench = Bench(1)
    bench.start()
    line, place = bench.lines[1], bench.slots[0]
    reply = line.announce(place)
    line.send(place, reply)
    line.announce(place, reply)
    line.send(place, reply)
    assert bench.counters.replayed_replies == 1
    assert len(line.granted) == 1


def test_a_client_cannot_reply_in_the_place_of_another() -> None:
    bench = Bench(2)
    bench.start()
    bench.lines[2].announce(bench.slots[0], name="r1-1")
    assert bench.slots[0].state is State.WAITING
    assert bench.counters.replayed_replies == 1


def test_a_reply_that_is_too_large_is_refused_before_it_is_sent() -> None:
    bench = Bench(1)
    bench.start()
    bench.lines[1].announce(bench.slots[0], pack(content(3 * SIZE), {}))
    assert bench.lines[1].granted == []
    assert bench.slots[0].reply is not None
    assert bench.slots[0].reply.error.code == NoReply.TOO_LARGE
    assert bench.counters.turned_away == {Turned.TOO_LARGE: 1}


def test_a_reply_that_is_no_message_is_refused() -> None:
    bench = Bench(1)
    bench.start()
    line, place = bench.lines[1], bench.slots[0]
    garbage = Packed(b"garbage", (), 0, "edition")
    line.send(place, line.announce(place, garbage))
    assert place.reply is not None
    assert place.reply.error.code == NoReply.MALFORMED
    assert bench.counters.turned_away == {Turned.MALFORMED: 1}
    assert bench.exchange.held == 0


def test_replies_can_be_pulled_in_any_order() -> None:
    bench = Bench(3, budget=0)
    bench.start()
    replies = {node: line.announce(bench.slots[node - 1]) for node, line in bench.lines.items()}
    assert bench.exchange.collect([bench.slots[2]]) == {}
    bench.lines[3].send(bench.slots[2], replies[3])
    assert list(bench.exchange.collect([bench.slots[2]])) == [bench.slots[2]]
