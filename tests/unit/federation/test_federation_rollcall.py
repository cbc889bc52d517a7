"""Before the first round everybody is asked who is there and what they hold."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from flwr.app import ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from gptfl.errors import DataError, StageError, StoreError
from gptfl.federation.flower import NoReply, become_server, no_reply
from gptfl.federation.grid import InProcessGrid
from gptfl.federation.presence import Presence, Question
from gptfl.federation.rollcall import RollCall, Roster, roster_from_bytes, roster_to_bytes

NAMES = ("a", "b", "c")
Answer = Callable[[int], RecordDict]


def honest(node: int) -> RecordDict:
    return Presence(NAMES[node - 1], 10 * node, [10 * node, 0]).to_content()


def grid(answer: Answer = honest) -> InProcessGrid:
    app = ClientApp()

    @app.query()
    def who(message: Message, context: Context) -> Message:
        assert Question.of(message.content).classes == 2
        return Message(answer(context.node_id), reply_to=message)

    return InProcessGrid(app, range(1, len(NAMES) + 1))


def call(asked: InProcessGrid, *, minimum: int = 1, timeout: float | None = 0) -> Roster:
    return RollCall("key", NAMES, 2, minimum, timeout).call(asked)


def test_everybody_says_name_samples_and_labels() -> None:
    roster = call(grid())
    assert [(one.name, one.samples, one.label_counts, one.joined) for one in roster] == [
        ("a", 10, [10, 0], True),
        ("b", 20, [20, 0], True),
        ("c", 30, [30, 0], True),
    ]


def test_label_counts_are_the_clients_to_give() -> None:
    roster = call(grid(lambda node: Presence(NAMES[node - 1], 5, None).to_content()))
    assert [one.label_counts for one in roster] == [None, None, None]


def spoilt(**held: Any) -> RecordDict:
    return RecordDict({"who": ConfigRecord({"name": "b"}), "held": MetricRecord(held)})


@pytest.mark.parametrize(
    "content",
    [
        RecordDict(),
        Presence("a", 5, None).to_content(),  # another one's name
        Presence("b", -1, None).to_content(),
        Presence("b", 10**12, None).to_content(),
        Presence("b", 5, [5]).to_content(),  # of one label
        Presence("b", 5, [4, 4]).to_content(),
        Presence("b", 5, [6, -1]).to_content(),
        spoilt(samples=2.5),
        spoilt(samples=[5]),
        spoilt(**{"samples": 5, "label-counts": 5}),
        spoilt(**{"samples": 5, "label-counts": [2.5, 2.5]}),
        RecordDict({"who": ConfigRecord({"name": 7}), "held": MetricRecord({"samples": 5})}),
    ],
)
def test_an_answer_that_cannot_be_is_none(content: RecordDict) -> None:
    roster = call(grid(lambda node: content if node == 2 else honest(node)))
    assert [one.joined for one in roster] == [True, False, True]
    assert (roster[1].name, roster[1].samples) == ("b", 0)


def test_a_client_that_fails_is_away() -> None:
    def answer(node: int) -> RecordDict:
        if node == 3:
            raise OSError("disk")
        return honest(node)

    assert [one.joined for one in call(grid(answer))] == [True, True, False]


class Slow(InProcessGrid):
    """A grid whose client `b` is there only from the second time on that it is asked."""

    asked: list[list[str]]

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterator[Message]:
        asked = list(messages)
        self.asked.append([message.metadata.message_id for message in asked])
        for message in asked:
            if message.metadata.dst_node_id == 2 and len(self.asked) == 1:
                yield no_reply(NoReply.DISCONNECTED, "not connected", message)
            else:
                yield from super().send_and_receive([message])


def test_only_those_who_have_not_come_are_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gptfl.federation.rollcall._FIRST_WAIT", 0.01)
    become_server()
    slow = grid()
    slow.__class__ = Slow
    assert isinstance(slow, Slow)
    slow.asked = []
    assert all(one.joined for one in call(slow, timeout=None))
    assert slow.asked == [
        ["key/roll-call-1/a", "key/roll-call-1/b", "key/roll-call-1/c"],
        ["key/roll-call-2/b"],
    ]


def test_too_few_are_an_error_that_names_those_who_are_away() -> None:
    answers = grid(lambda node: honest(node) if node == 1 else RecordDict())
    with pytest.raises(StageError) as error:
        call(answers, minimum=2)
    assert str(error.value) == (
        "1 clients with samples have come within spec.federation.joinTimeoutSeconds, and 2 are "
        "needed; away: b, c"
    )


def test_without_a_single_sample_there_is_nothing_to_do() -> None:
    with pytest.raises(DataError, match="no client has a sample"):
        call(grid(lambda node: Presence(NAMES[node - 1], 0, None).to_content()))


def test_a_roster_is_kept_and_read_again() -> None:
    roster = call(grid())
    assert roster_from_bytes(roster_to_bytes(roster)) == roster
    with pytest.raises(StoreError, match="roll call is damaged"):
        roster_from_bytes(b"[{}]")
