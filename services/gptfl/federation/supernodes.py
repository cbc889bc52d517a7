"""Clients on stock SuperNodes: Flower's own grid with our node numbers, and the app they run."""

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid

from gptfl.errors import SpecError
from gptfl.federation.cohort import simulated_clients
from gptfl.federation.flower import NoReply, no_reply
from gptfl.federation.gridbase import GridAround
from gptfl.federation.member import Member, build_app
from gptfl.federation.presence import AbsentError, Question, presence_in
from gptfl.federation.remote import client_names
from gptfl.federation.terms import Terms
from gptfl.spec.data import DatasetSpec
from gptfl.spec.federation import FederationSpec
from gptfl.spec.run import GPTFLRun

_LOG = logging.getLogger(__name__)
_POLL_SECONDS = 1.0
_WHO_SECONDS = 300.0
"""For a node to say who it is; a stock SuperNode starts a process to answer."""


class NamedGrid(GridAround):
    """Another grid whose nodes have numbers by chance, as one whose node i + 1 is client i.

    Who is who, nodes are asked once; one that has come back under another number is asked again.
    """

    def __init__(self, grid: Grid, names: Sequence[str], classes: int) -> None:
        super().__init__(grid)
        self._names = tuple(names)
        self._classes = classes
        self._nodes: dict[int, int] = {}
        """Flower's numbers by ours."""
        self._said: dict[int, RecordDict] = {}
        """What each has said of itself, by our numbers."""

    def get_node_ids(self) -> Iterable[int]:
        return range(1, len(self._names) + 1)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        raise NotImplementedError("use send_and_receive")

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        raise NotImplementedError("use send_and_receive")

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterator[Message]:
        """The replies as they come; what has not come in time is an error reply."""
        end = None if timeout is None else time.monotonic() + timeout
        waiting = list(messages)
        asked: dict[str, Message] = {}
        while waiting or asked:
            self._meet([message.metadata.dst_node_id for message in waiting])
            for message in [one for one in waiting if one.metadata.dst_node_id in self._nodes]:
                waiting.remove(message)
                node = message.metadata.dst_node_id
                if message.metadata.message_type == "query" and node in self._said:
                    yield Message(self._said[node], reply_to=message)
                else:
                    asked[self._push(message)] = message
            for reply in self._grid.pull_messages(list(asked)) if asked else ():
                yield _translated(reply, asked.pop(reply.metadata.reply_to_message_id))
            if end is not None and time.monotonic() > end:
                break
            time.sleep(_POLL_SECONDS if waiting or asked else 0)
        for message in asked.values():
            yield no_reply(NoReply.STRAGGLER, "still at work when the time was up", message)
        for message in waiting:
            yield no_reply(NoReply.DISCONNECTED, "not there when the time was up", message)

    def _push(self, message: Message) -> str:
        metadata = message.metadata
        node = self._nodes[metadata.dst_node_id]
        copy = Message(message.content, node, metadata.message_type, group_id=metadata.group_id)
        (number,) = self._grid.push_messages([copy])
        return number

    def _meet(self, wanted: Iterable[int]) -> None:
        """Asks the nodes that have come, if somebody is wanted who is not known."""
        there = set(self._grid.get_node_ids())
        self._nodes = {ours: node for ours, node in self._nodes.items() if node in there}
        new = there - set(self._nodes.values())
        if not new or all(ours in self._nodes for ours in wanted):
            return
        question = Question(self._classes).to_content()
        messages = [Message(question, node, "query") for node in sorted(new)]
        for reply in self._grid.send_and_receive(messages, timeout=_WHO_SECONDS):
            self._introduce(reply)

    def _introduce(self, reply: Message) -> None:
        node = reply.metadata.src_node_id
        try:
            name = presence_in(reply, self._classes).name
        except AbsentError as error:
            _LOG.warning("node %d does not say who it is: %s", node, error)
            return
        if name not in self._names or self._names.index(name) + 1 in self._nodes:
            _LOG.warning("node %d calls itself %r, which is nobody's name here now", node, name)
            return
        ours = self._names.index(name) + 1
        self._nodes[ours] = node
        self._said[ours] = reply.content


def _translated(reply: Message, message: Message) -> Message:
    if reply.has_error():
        return Message(reply.error, reply_to=message)
    return Message(reply.content, reply_to=message)


def supernode_app(run: GPTFLRun, folder: Path) -> ClientApp:
    """What a SuperNode runs for its client of `run`.

    Its `--node-config` says who it is, `name="north"` or `partition-id=0`, and for real clients
    where the data are, `data="/srv/images"`. `folder` is where the run's relative paths start.
    """
    app = ClientApp()

    @app.query()
    def who(message: Message, context: Context) -> Message:
        return _own_app(run, folder, context)(message, context)

    @app.train()
    def train(message: Message, context: Context) -> Message:
        return _own_app(run, folder, context)(message, context)

    return app


def _own_app(run: GPTFLRun, folder: Path, context: Context) -> ClientApp:
    federation = run.spec.federation
    name = _own_name(federation, context)
    terms = Terms.of(run)
    if federation.simulation is None:
        data = DatasetSpec(uri=str(_setting(context, "data")))
        tells = bool(context.node_config.get("label-counts", False))
        member = Member(name, data, Path.cwd(), tells, _own_model(context))
        return member.make_app(terms.to_bytes(), context.node_id)
    names = client_names(federation)
    shares = simulated_clients(federation.simulation, names, terms.task, terms.seed, folder)
    share = shares[names.index(name)]
    return build_app(terms, lambda _: share, folder)


def _own_name(federation: FederationSpec, context: Context) -> str:
    names = client_names(federation)
    number = context.node_config.get("partition-id")
    if isinstance(number, int) and number < len(names):
        return names[number]
    name = str(_setting(context, "name"))
    if name not in names:
        raise SpecError.of("--node-config name", f"{name!r} is no client of the run")
    return name


def _own_model(context: Context) -> str | None:
    model = context.node_config.get("model")
    return None if model is None else str(model)


def _setting(context: Context, name: str) -> object:
    value = context.node_config.get(name)
    if value is None:
        raise SpecError.of(f"--node-config {name}", "is not set; say it when the SuperNode starts")
    return value
