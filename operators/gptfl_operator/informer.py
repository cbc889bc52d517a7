"""Keeps a cache in step with the API server: one list, then a watch from there, for ever.

A watch that ends is taken up where it was. Where that is too long ago (410), everything is listed
again, and what vanished in between is told like any deletion. Every now and then it is listed
anyway: a change that was missed for whatever reason is then missed no longer.
"""

import json
import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Any

from gptfl_operator.api import Api, ApiError
from gptfl_operator.cache import Cache, kept
from gptfl_operator.resources import Resource

_LOG = logging.getLogger("gptfl.operator.informer")

PAGE = 500
WATCH_SECONDS = 300
"""After which the API server ends a watch by itself; up to twice that, or all would end at once."""
SHORT_WATCH = 1.0
RELIST_SECONDS = 1800
LONGEST_PAUSE = 2.0
"""Seconds between tries when the API server is overloaded, away or refuses: it may be back, and a
thousand runs should not wait longer than that."""
ABSENT_PAUSE = 60.0
"""Seconds between looks for a kind that the cluster does not have."""


class Backoff:
    """Pauses that grow, each a little different, up to the longest."""

    def __init__(self, jitter: Callable[[], float] = random.random) -> None:
        self._jitter, self._tries = jitter, 0

    def next(self) -> float:
        """Seconds to wait after one more failure."""
        self._tries = min(self._tries + 1, 10)
        return min(0.05 * 2.0**self._tries, LONGEST_PAUSE) * (1 - 0.5 * self._jitter())

    def reset(self) -> None:
        """It went well."""
        self._tries = 0


class Informer:
    """One kind of object, in one namespace or all, in a cache."""

    def __init__(
        self,
        api: Api,
        resource: Resource,
        cache: Cache,
        *,
        namespace: str = "",
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        is_wanted: Callable[[dict[str, Any]], bool] = lambda _: True,
    ) -> None:
        """`is_wanted` says which of the objects that come are kept."""
        self.resource, self.namespace = resource, namespace
        self._api, self._cache, self._clock, self._jitter = api, cache, clock, jitter
        self._is_wanted = is_wanted
        self._backoff = Backoff(jitter)
        self._version = ""
        """What was heard last; empty when everything is to be listed."""
        self._listed_at = 0.0
        self._said = ""
        self._synced = threading.Event()
        self.is_installed = False

    @property
    def is_synced(self) -> bool:
        """Whether the cache is what a list and all that was told since make it."""
        return self._synced.is_set()

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set."""
        while not stop.is_set():
            stop.wait(self.step())

    def step(self) -> float:
        """One list, or one watch until it ends. Returns the seconds to wait before the next."""
        try:
            if not self._version or self._clock() - self._listed_at > RELIST_SECONDS:
                self._list()
            elif not self._watch():
                return self._backoff.next()
        except ApiError as error:
            return self._after(error)
        except Exception:
            _LOG.exception("what came of %s is listed again", self.resource.plural)
            self._version = ""
            return self._backoff.next()
        self._backoff.reset()
        self._said = ""
        return 0.0

    def _list(self) -> None:
        listed: list[dict[str, Any]] = []
        query = {**self._selectors(), "limit": str(PAGE)}
        while True:
            page = self._api.request("GET", self.resource.path(self.namespace), query)
            listed += page["items"]
            metadata = page["metadata"]
            if not metadata.get("continue"):
                break
            query["continue"] = metadata["continue"]
        # Lists say what they hold once, at the top.
        head = {"apiVersion": self.resource.api_version, "kind": self.resource.kind}
        wanted = [one for one in listed if self._is_wanted(one)]
        self._cache.replace(
            [kept({**head, **one}) for one in wanted],
            int(metadata["resourceVersion"]),
            within=self.namespace,
        )
        self._version = metadata["resourceVersion"]
        self._listed_at = self._clock()
        self.is_installed = True
        self._synced.set()

    def _watch(self) -> bool:
        """Until it ends. Returns whether it was of use: one that ends at once, by the hand of a
        proxy perhaps, would else be begun again all the time."""
        began, heard = self._clock(), False
        seconds = WATCH_SECONDS * (1 + self._jitter())
        query = {
            **self._selectors(),
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(int(seconds)),
        }
        for line in self._api.stream(self.resource.path(self.namespace), query, seconds + 30):
            heard = self._hear(json.loads(line)) or heard
        return heard or self._clock() - began >= SHORT_WATCH

    def _hear(self, event: dict[str, Any]) -> bool:
        """Takes in an event; returns whether it was about an object."""
        given = event["object"]
        if event["type"] == "ERROR":  # an answer of 200 that says 410
            raise ApiError(given.get("code", 0), given.get("reason", ""), given.get("message", ""))
        version = given["metadata"]["resourceVersion"]
        if event["type"] == "DELETED":
            self._cache.remove(kept(given))
        elif event["type"] != "BOOKMARK" and self._is_wanted(given):
            self._cache.put(kept(given))
        self._version = version
        return bool(event["type"] != "BOOKMARK")

    def _after(self, error: ApiError) -> float:
        """What follows from an error: seconds to wait."""
        if error.status == 404 and self.resource.is_optional:
            self._version, self.is_installed = "", False
            self._cache.clear(within=self.namespace)
            self._synced.set()
            return ABSENT_PAUSE
        if error.status == 410:
            self._version = ""
            self._synced.clear()
        if error.reason != self._said:  # once, however long it lasts
            _LOG.warning("%s cannot be watched: %s", self.resource.plural, error)
            self._said = error.reason
        return self._backoff.next()

    def _selectors(self) -> dict[str, str]:
        chosen = {"labelSelector": self.resource.labels, "fieldSelector": self.resource.fields}
        return {name: value for name, value in chosen.items() if value}
