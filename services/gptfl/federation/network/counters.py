"""What the streams of an aggregator have carried and turned away; numbers only, never content."""

import copy
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum


class Turned(StrEnum):
    """Why a connection or a reply was turned away."""

    SILENT = "Silent"
    """No hello in time."""
    UNAUTHENTICATED = "Unauthenticated"
    """Name, token and certificate do not belong together."""
    REVOKED = "Revoked"
    """It was let in once, and is no longer."""
    REPLACED = "Replaced"
    """The same client has connected anew."""
    PROTOCOL = "Protocol"
    """It sent what has no place in a stream, or speaks another version."""
    SLOW = "Slow"
    """It was given leave to send, and hardly did; or it did not read."""
    TOO_LARGE = "TooLarge"
    """Its reply is larger than it may be."""
    MALFORMED = "Malformed"
    """Its reply is no message."""


@dataclass
class Counters:
    """Since the grid was opened."""

    bytes_sent: Counter[str] = field(default_factory=Counter)
    """Of tasks, by client's name."""
    bytes_received: Counter[str] = field(default_factory=Counter)
    """Of replies, by client's name."""
    frames_sent: int = 0
    frames_received: int = 0
    connections: Counter[str] = field(default_factory=Counter)
    """Streams let in, by client's name; all but the first are reconnects."""
    turned_away: Counter[Turned] = field(default_factory=Counter)
    late_replies: int = 0
    """Finished after their deadline."""
    replayed_replies: int = 0
    """Offered when nobody had asked, or again."""


@dataclass(frozen=True)
class StreamStatus:
    """A snapshot."""

    connected: tuple[str, ...]
    """Names in client order."""
    held_bytes: int
    """Replies on their way or not yet taken."""
    counters: Counters

    @classmethod
    def of(cls, connected: tuple[str, ...], held: int, counters: Counters) -> "StreamStatus":
        """A snapshot that later events do not change."""
        return cls(connected, held, copy.deepcopy(counters))
