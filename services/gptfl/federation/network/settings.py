"""What a stream may cost: sizes, waits and how much an aggregator holds at once."""

from dataclasses import dataclass


@dataclass(frozen=True)
class StreamSettings:
    """Bounds of the server; a client learns what concerns it from the welcome."""

    frame_bytes: int = 4 << 20
    """Payload of a frame, at most; 4 MiB is also the most that there may be."""
    sending_bytes: int = 16 << 20
    """Frames on their way to clients, all together: the more there are, the smaller the next."""
    held_bytes: int | None = None
    """Replies on their way or not yet taken, all clients together, beside the one that is due.
    None for 256 MB or two replies, whichever is more."""
    reply_factor: float = 1.1
    """A reply may have this many times the bytes of what was asked …"""
    reply_extra: int = 1 << 20
    """… and so many more."""
    reply_items: int = 100_000
    """Arrays, metrics and settings in a reply, at most."""
    hello_seconds: float = 10
    """From a connection to its hello; cuts off who connects and says nothing."""
    stall_seconds: float = 30
    """Without a byte of a reply that was granted, or with one frame of a task that is not read."""
    slowest_bytes_per_second: float = 64 * 1024
    """A granted reply that comes slower than this is cut off, and so is who reads slower."""
    keepalive_seconds: float = 10
    """Between two signs of life on a silent connection; twice that and it is given up."""
    connections: int = 4096
    """Streams at once; more are turned away."""
