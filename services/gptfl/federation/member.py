"""A client's own process: from the server's terms and its own data to the app that trains."""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import ClientAppCallable

from gptfl.data.load import open_dataset
from gptfl.errors import ModelError, NetworkError
from gptfl.federation.client import make_client_app
from gptfl.federation.cohort import Share, simulated_clients
from gptfl.federation.orders import Orders
from gptfl.federation.replies import EXAMPLES, TRAIN_ACCURACY, TRAIN_LOSS
from gptfl.federation.terms import Terms
from gptfl.models.build import build_model
from gptfl.models.device import torch_device
from gptfl.seeds import derive_seed
from gptfl.spec.data import DatasetSpec
from gptfl.spec.federation import SimulationSpec
from gptfl.spec.pretraining import ModelSpec
from gptfl.telemetry.context import about

_LOG = logging.getLogger(__name__)

ShareOf = Callable[[Context], Share]


@dataclass(frozen=True)
class Member:
    """A party with data of its own."""

    name: str
    data: DatasetSpec
    folder: Path
    """Where relative paths start, and where a module of its own may lie."""
    tells_labels: bool = False
    """Whether the server may know how many samples it has of each label."""
    model: str | None = None
    """The one model of its own, `module:function`, that it lets a server ask for."""

    def make_app(self, terms: bytes, node: int) -> ClientApp:
        """For `gptfl.federation.network.serve_tasks`. Raises GPTFLError when the data do not fit
        the task, or when the model is none that this client has."""
        del node
        agreed = Terms.from_bytes(terms)
        _check_model(agreed.model, self.model)
        task = agreed.task
        data = open_dataset(self.data, task.labels, self.folder, field="--data")
        share = Share(self.name, data.images(task.image), tells_labels=self.tells_labels)
        _LOG.info("run %s: %d samples, of %d labels", agreed.run, len(share), len(task.labels))
        return build_app(agreed, lambda context: share, self.folder)


@dataclass
class Simulated:
    """Made-up clients of one simulation, which share a process, its data and its model."""

    simulation: SimulationSpec
    """As this process's own file has it: a server does not choose what is opened here."""
    names: Sequence[str]
    """Of all clients of the simulation, in their order."""
    folder: Path
    model: str | None = None
    _turn: threading.Lock = field(default_factory=threading.Lock)
    _made: dict[bytes, ClientApp] = field(default_factory=dict)

    def make_app(self, terms: bytes, node: int) -> ClientApp:
        """For `serve_tasks`, in a thread for each client; the first one makes it for all."""
        del node
        with self._turn:
            if terms not in self._made:
                self._made = {terms: self._make(Terms.from_bytes(terms))}
            return self._made[terms]

    def _make(self, terms: Terms) -> ClientApp:
        if terms.simulation != self.simulation:
            raise NetworkError(
                f"run {terms.run} deals out other data than this file "
                "(spec.federation.simulation); give client and aggregator the same file"
            )
        _check_model(terms.model, self.model)
        shares = simulated_clients(self.simulation, self.names, terms.task, terms.seed, self.folder)
        _LOG.info("run %s: %d simulated clients", terms.run, len(shares))
        return build_app(
            terms, lambda context: shares[context.node_id - 1], self.folder, turn=self._turn
        )


def build_app(
    terms: Terms,
    share_of: ShareOf,
    folder: Path,
    *,
    turn: AbstractContextManager[object] | None = None,
) -> ClientApp:
    """The app of a run's terms, for the clients whose data `share_of` gives.

    With `turn`, one client trains at a time: they share a model and torch's random state.
    """
    torch.set_num_threads(terms.compute_threads)
    module = build_model(
        terms.model,
        terms.task.image,
        len(terms.task.labels),
        seed=derive_seed(terms.seed, "federation", "model"),
        folder=folder,
    ).to(torch_device(terms.device, "spec.federation.local.device"))

    def in_turn(message: Message, context: Context, call: ClientAppCallable) -> Message:
        if turn is None:
            return call(message, context)
        with turn:
            torch.set_num_threads(terms.compute_threads)  # each thread has a number of its own
            return call(message, context)

    def spoken(message: Message, context: Context, call: ClientAppCallable) -> Message:
        with about(client=share_of(context).name):
            return _spoken(message, context, call)

    return make_client_app(module, share_of, mods=[in_turn, spoken])


def _spoken(message: Message, context: Context, call: ClientAppCallable) -> Message:
    """One turn, with a line of the log that says what was done, in numbers that the server gets."""
    began = time.monotonic()
    reply = call(message, context)
    seconds = time.monotonic() - began
    if not reply.has_content() or Orders.KEY not in message.content:
        return reply
    numbers: Mapping[str, object] = next(iter(reply.content.metric_records.values()))
    _LOG.info(
        "round %d: trained on %d samples in %.1f s, loss %.3f, accuracy %.3f",
        Orders.of(message.content).round,
        numbers[EXAMPLES],
        seconds,
        numbers[TRAIN_LOSS],
        numbers[TRAIN_ACCURACY],
    )
    return reply


def _check_model(model: ModelSpec, own: str | None) -> None:
    """A server can name any function of any module that is installed here; the client says which
    it may call."""
    scheme, _, function = model.source.partition("://")
    if scheme == "python" and function != own:
        raise ModelError(
            f"the run's model is {function}; a client runs no code that it has not chosen: "
            f"if you have read it, join with --model {function}"
        )
