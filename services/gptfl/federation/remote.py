"""Clients that are in processes of their own, as a federation sees them."""

from collections.abc import Callable
from dataclasses import dataclass

from flwr.serverapp import Grid

from gptfl.federation.rollcall import Roster
from gptfl.spec.federation import FederationSpec


@dataclass
class RemoteClients:
    """The way to clients; client i is node i + 1 of the grid."""

    grid: Grid
    names: tuple[str, ...]
    late_replies: Callable[[], int] = lambda: 0
    """How many have come so far when their round was over."""
    roster: Roster | None = None
    """The answers to the last roll call. A run and its controls have the same clients, and one
    that was lost in the run holds up no control."""


def client_names(federation: FederationSpec) -> tuple[str, ...]:
    """The clients of a run in their order, whatever they hold."""
    if federation.simulation is None:
        return tuple(client.name for client in federation.clients or ())
    count = federation.simulation.clients
    width = len(str(count - 1))
    return tuple(f"client-{index:0{width}}" for index in range(count))
