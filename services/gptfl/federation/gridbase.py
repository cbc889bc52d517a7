"""What grids have in common, however their messages travel."""

from collections.abc import Iterable, Sequence

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from gptfl.federation.flower import FlowerRun, become_server, empty_run, leave_log_to_logging


class MessageGrid(Grid):
    """A grid that makes its messages itself."""

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)


class OwnGrid(MessageGrid):
    """A grid that none of Flower's servers is behind."""

    def __init__(self, nodes: Sequence[int]) -> None:
        """`nodes` are the clients' node ids, in client order."""
        become_server()
        leave_log_to_logging()
        self._nodes = tuple(nodes)
        self._run = empty_run()

    def set_run(self, run: FlowerRun) -> None:
        self._run = run

    @property
    def run(self) -> FlowerRun:
        return self._run

    def get_node_ids(self) -> Iterable[int]:
        """All nodes, whether they are there or not."""
        return self._nodes


class GridAround(MessageGrid):
    """Another grid, seen in another way."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid

    def set_run(self, run: FlowerRun) -> None:
        self._grid.set_run(run)

    @property
    def run(self) -> FlowerRun:
        return self._grid.run
