"""How a store across a network says what it does to whoever watches."""

from typing import Protocol


class StoreWatch(Protocol):
    """Told of each request. Operations and reasons are words of a few, not names of objects."""

    def request(self, operation: str, seconds: float, *, sent: int = 0, received: int = 0) -> None:
        """A request was answered, after `seconds` with all its retries."""

    def retry(self, operation: str, reason: str) -> None:
        """A request is made again because of `reason`."""

    def failure(self, operation: str, reason: str) -> None:
        """A request was given up because of `reason`."""


class Unwatched:
    """Nobody watches."""

    def request(self, operation: str, seconds: float, *, sent: int = 0, received: int = 0) -> None:
        return None

    def retry(self, operation: str, reason: str) -> None:
        return None

    def failure(self, operation: str, reason: str) -> None:
        return None
