"""The roll call before the first round: which clients there are, and how much each holds."""

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from flwr.app import Message
from flwr.serverapp import Grid
from pydantic import TypeAdapter, ValidationError

from gptfl.errors import DataError, StageError, StoreError
from gptfl.federation.flower import number_message
from gptfl.federation.orders import task_name
from gptfl.federation.presence import AbsentError, Question, presence_in
from gptfl.federation.results import ClientSummary

_LOG = logging.getLogger(__name__)
_FIRST_WAIT = 60.0
_LONGEST_WAIT = 600.0

Roster = tuple[ClientSummary, ...]
_ROSTER = TypeAdapter(Roster)


@dataclass(frozen=True)
class RollCall:
    """Whom to ask, and how long to wait for them."""

    key: str
    """Of the artifact."""
    names: Sequence[str]
    """In client order; client i is node i + 1."""
    classes: int
    """Labels of the task."""
    minimum: int
    """Clients with samples without which no round can be done."""
    timeout: float | None
    """Seconds, after which it goes on with those that have come; None waits for all."""

    def call(self, grid: Grid) -> Roster:
        """Asks until all clients have answered or the time is up.

        Raises StageError when too few have come, and DataError when nobody has a sample.
        """
        found: dict[int, ClientSummary] = {}
        nodes = range(1, len(self.names) + 1)
        began, wait, attempt = time.monotonic(), _FIRST_WAIT, 0
        while missing := [node for node in nodes if node not in found]:
            left = self._left(began)
            if attempt and left == 0:
                break
            asked = time.monotonic()
            attempt, patience = attempt + 1, wait if left is None else min(wait, left)
            found |= self._ask(grid, missing, attempt, patience)
            away = [self.names[node - 1] for node in missing if node not in found]
            if away:
                _LOG.warning("waiting for %d of %d clients: %s", len(away), len(nodes), _some(away))
                # Who answers wrongly does so at once.
                time.sleep(max(0.0, asked + patience - time.monotonic()))
            wait = min(2 * wait, _LONGEST_WAIT)
        if missing:
            _LOG.warning("going on without %d of %d clients", len(missing), len(nodes))
        roster = tuple(found.get(node) or self._absent(node) for node in nodes)
        self._check(roster)
        return roster

    def _left(self, began: float) -> float | None:
        if self.timeout is None:
            return None
        return max(0.0, began + self.timeout - time.monotonic())

    def _ask(
        self, grid: Grid, nodes: Sequence[int], attempt: int, patience: float
    ) -> dict[int, ClientSummary]:
        messages = [self._question(node, attempt) for node in nodes]
        found = {}
        for reply in grid.send_and_receive(messages, timeout=patience):
            node = reply.metadata.src_node_id
            try:
                found[node] = self._summary(node, reply)
            except AbsentError as error:
                _LOG.info("client %s is not there: %s", self.names[node - 1], error)
        return found

    def _question(self, node: int, attempt: int) -> Message:
        message = Message(Question(self.classes).to_content(), node, "query")
        what = f"roll-call-{attempt}"
        number_message(message, task_name(self.key, what, self.names[node - 1]))
        return message

    def _summary(self, node: int, reply: Message) -> ClientSummary:
        presence = presence_in(reply, self.classes)
        if presence.name != self.names[node - 1]:
            raise AbsentError(f"it calls itself {presence.name!r}")
        counts = None if presence.label_counts is None else list(presence.label_counts)
        return ClientSummary(name=presence.name, samples=presence.samples, label_counts=counts)

    def _absent(self, node: int) -> ClientSummary:
        return ClientSummary(name=self.names[node - 1], samples=0, label_counts=None, joined=False)

    def _check(self, roster: Roster) -> None:
        away = [client.name for client in roster if not client.joined]
        able = sum(client.samples > 0 for client in roster)
        if able >= self.minimum:
            return
        if away:
            raise StageError(
                f"{able} clients with samples have come within "
                f"spec.federation.joinTimeoutSeconds, and {self.minimum} are needed; "
                f"away: {_some(away)}"
            )
        if not able:
            raise DataError("no client has a sample; give spec.federation more data")


def roster_to_bytes(roster: Roster) -> bytes:
    """For a checkpoint."""
    return _ROSTER.dump_json(roster, by_alias=True)


def roster_from_bytes(data: bytes) -> Roster:
    """What `roster_to_bytes` made. Raises StoreError for anything else."""
    try:
        return _ROSTER.validate_json(data)
    except ValidationError as error:
        raise StoreError(
            "the checkpoint of a roll call is damaged; remove it with 'gptfl artifacts remove' "
            "and run again"
        ) from error


def _some(names: Iterable[str], most: int = 10) -> str:
    every = list(names)
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more
