"""Flower's `Grid` without a network: the clients are called in turn, in this process."""

import logging
from collections.abc import Iterable, Iterator, Sequence

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid

from gptfl.errors import StageError
from gptfl.federation.flower import RUN_ID, error_reply, number_message
from gptfl.federation.gridbase import GridAround, OwnGrid

_LOG = logging.getLogger(__name__)


class InProcessGrid(OwnGrid):
    """A grid whose nodes are one client app, called with the node's id in its context.

    The app keeps a single warm model for all nodes. Replies are yielded one by one, so that
    whoever folds them in holds one at a time. What an app raises becomes an error reply, as it
    would across a network.
    """

    def __init__(self, app: ClientApp, nodes: Sequence[int]) -> None:
        """`nodes` are the clients' node ids, in client order."""
        super().__init__(nodes)
        self._app = app
        self._pushed: dict[str, Message] = {}
        self._count = 0

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        pushed = {self._number(message): message for message in messages}
        self._pushed |= pushed
        return list(pushed)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Calls the clients now; each message is answered once."""
        known = [self._pushed.pop(number) for number in message_ids if number in self._pushed]
        return [self._call(message) for message in known]

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterator[Message]:
        """The replies in the order of `messages`, each made when it is asked for."""
        for message in messages:
            self._number(message)
            yield self._call(message)

    def _number(self, message: Message) -> str:
        self._count += 1
        if not message.metadata.message_id:
            number_message(message, str(self._count))
        return message.metadata.message_id

    def _call(self, message: Message) -> Message:
        node = message.metadata.dst_node_id
        context = Context(RUN_ID, node, {}, RecordDict(), {})
        try:
            return self._app(message, context)
        except Exception as error:
            _LOG.debug("the app of node %d has raised", node, exc_info=True)
            return error_reply(f"{type(error).__name__}: {error}", message)


class RoundGrid(GridAround):
    """Another grid as one round sees it: only the selected nodes are there.

    A Flower strategy that trains on all nodes of this grid trains on our selection, so neither
    its own sampling nor the global `random` that it draws from has a say.
    """

    _PATIENCE = 5

    def __init__(self, grid: Grid, nodes: Sequence[int]) -> None:
        super().__init__(grid)
        self._nodes = tuple(nodes)
        self._asked = 0

    def get_node_ids(self) -> Iterable[int]:
        """The selected nodes. Raises StageError to a strategy that waits for more to come."""
        self._asked += 1
        if self._asked > self._PATIENCE:
            raise StageError(
                f"the strategy waits for more clients than the {len(self._nodes)} of a round; "
                "lower its min_available_nodes and min_train_nodes, "
                "or raise spec.federation.clientsPerRound"
            )
        return self._nodes

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        return self._grid.push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        return self._grid.pull_messages(message_ids)

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        return self._grid.send_and_receive(messages, timeout=timeout)
