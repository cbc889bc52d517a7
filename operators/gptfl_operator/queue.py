"""Which runs wait to be looked at: each once, none that is being looked at, and some not yet.

Runs that have nothing yet go first, so that a thousand that come at once all get their first
objects before anybody writes down how the first of them are doing.
"""

import heapq
import random
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

Key = tuple[str, str]
"""Namespace and name of a run."""

FIRST_RETRY, LAST_RETRY = 0.2, 60.0
"""Seconds from a failure to the next try: the first time, and at most."""


@dataclass
class WorkQueue:
    """Hands out keys to any number of workers, no key to two at a time."""

    clock: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = random.random
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _fresh: OrderedDict[Key, None] = field(default_factory=OrderedDict)
    _waiting: OrderedDict[Key, None] = field(default_factory=OrderedDict)
    _in_work: set[Key] = field(default_factory=set)
    _again: dict[Key, bool] = field(default_factory=dict)
    """Keys that came while they were in work, and whether as fresh ones."""
    _due: dict[Key, float] = field(default_factory=dict)
    _timers: list[tuple[float, Key]] = field(default_factory=list)
    """A heap; an entry counts when `_due` says the same."""
    _failures: dict[Key, int] = field(default_factory=dict)
    is_closed: bool = False

    def add(self, key: Key, *, fresh: bool = False) -> None:
        """The run is to be looked at; `fresh` says that it has nothing yet."""
        with self._changed:
            self._add(key, fresh=fresh)

    def add_after(self, key: Key, seconds: float) -> None:
        """The run is to be looked at later, unless an earlier time was set already."""
        with self._changed:
            due = self.clock() + seconds
            if due < self._due.get(key, float("inf")):
                self._due[key] = due
                heapq.heappush(self._timers, (due, key))
                self._changed.notify()

    def retry(self, key: Key) -> float:
        """The run could not be seen to: later, and later still each time. Returns the seconds."""
        with self._changed:
            failures = self._failures.get(key, 0)
            self._failures[key] = failures + 1
        pause = min(FIRST_RETRY * 2.0 ** min(failures, 32), LAST_RETRY)
        pause *= 1 - 0.5 * self.jitter()  # or all that failed together come back together
        self.add_after(key, pause)
        return pause

    def forgive(self, key: Key) -> None:
        """The run was seen to: its next failure is its first."""
        with self._changed:
            self._failures.pop(key, None)

    def forget(self, key: Key) -> None:
        """The run is gone: no timer and no count is kept for it."""
        with self._changed:
            self._failures.pop(key, None)
            self._due.pop(key, None)

    def get(self) -> Key | None:
        """The next key, as soon as there is one; None when the queue was closed."""
        with self._changed:
            while not self.is_closed:
                key = self._take()
                if key is not None:
                    return key
                self._changed.wait(self._seconds_to_next())
            return None

    def take(self) -> Key | None:
        """The next key, or None when nothing is due."""
        with self._changed:
            return self._take()

    def done(self, key: Key) -> None:
        """The key is in work no longer; it comes again if it was added meanwhile."""
        with self._changed:
            self._in_work.discard(key)
            if key in self._again:
                self._add(key, fresh=self._again.pop(key))

    def close(self) -> None:
        """Nobody gets a key any more."""
        with self._changed:
            self.is_closed = True
            self._changed.notify_all()

    @property
    def depth(self) -> int:
        """How many keys are due and not in work."""
        with self._changed:
            self._promote()
            return len(self._fresh) + len(self._waiting) + len(self._again)

    @property
    def has_fresh(self) -> bool:
        """Whether a run that has nothing yet waits."""
        with self._changed:
            return bool(self._fresh)

    def _add(self, key: Key, *, fresh: bool) -> None:
        if key in self._in_work:
            self._again[key] = fresh or self._again.get(key, False)
            return
        if fresh and key not in self._fresh:
            self._waiting.pop(key, None)
            self._fresh[key] = None
        elif key not in self._fresh:
            self._waiting.setdefault(key)
        self._changed.notify()

    def _take(self) -> Key | None:
        self._promote()
        lane = self._fresh or self._waiting
        if not lane:
            return None
        key, _ = lane.popitem(last=False)
        self._in_work.add(key)
        return key

    def _promote(self) -> None:
        """Timers that are due become keys that wait."""
        while self._timers and self._timers[0][0] <= self.clock():
            due, key = heapq.heappop(self._timers)
            if self._due.get(key) == due:
                del self._due[key]
                self._add(key, fresh=False)

    def _seconds_to_next(self) -> float | None:
        return max(self._timers[0][0] - self.clock(), 0.0) if self._timers else None
