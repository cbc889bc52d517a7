"""Asks a new revision of a model one question before users may, as they would ask it."""

import json
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import urllib3

from gptfl_operator.model import ProbeRequest
from gptfl_operator.queue import Key

SECONDS = 10.0
"""The longest that a model may take over an answer."""
PAUSE = 5.0
"""Seconds from one answer to the next question."""

Try = Callable[[ProbeRequest], str]
"""What came of a probe, in one line; empty when it was answered well."""

_Name = tuple[Key, str, str]
"""A run, its uid, since another one of its name has other revisions, and a revision."""


class Trials:
    """Probes that are under way and what came of the last ones, by run and revision.

    They are made beside the workers: a model that hangs keeps no other run waiting.
    """

    def __init__(
        self,
        attempt: Try | None = None,
        pool: ThreadPoolExecutor | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._attempt = attempt or try_revision
        self._pool = pool or ThreadPoolExecutor(4, thread_name_prefix="probe")
        self._clock = clock
        self._lock = threading.Lock()
        self._answers: dict[_Name, tuple[float, str]] = {}
        self._under_way: set[_Name] = set()

    def answers(self, run: Key, uid: str) -> dict[str, str]:
        """What came of the last probe of each revision of a run."""
        with self._lock:
            found = self._answers.items()
            return {name: said for (*of, name), (_, said) in found if of == [run, uid]}

    def ask(
        self, run: Key, uid: str, requests: Sequence[ProbeRequest], answered: Callable[[], None]
    ) -> float | None:
        """Makes what probes are due; returns the seconds until another one is, if one waits."""
        waits = []
        with self._lock:
            for request in requests:
                name = (run, uid, request.revision)
                at, _ = self._answers.get(name, (float("-inf"), ""))
                pause = at + PAUSE - self._clock()
                if name not in self._under_way and pause <= 0:
                    self._under_way.add(name)
                    self._pool.submit(self._make, name, request, answered)
                elif pause > 0:
                    waits.append(pause)
        return min(waits, default=None)

    def forget(self, run: Key) -> None:
        """The run is gone."""
        with self._lock:
            self._answers = {name: one for name, one in self._answers.items() if name[0] != run}

    def _make(self, name: _Name, request: ProbeRequest, answered: Callable[[], None]) -> None:
        try:
            said = self._attempt(request)
        except Exception as error:  # whatever a model answers with
            said = f"{request.url}: {error}"
        with self._lock:
            self._under_way.discard(name)
            self._answers[name] = self._clock(), said
        answered()


def try_revision(request: ProbeRequest) -> str:
    """Asks over HTTP."""
    try:
        answer = urllib3.request(
            "POST", request.url, json=request.body, timeout=SECONDS, retries=False
        )
    except urllib3.exceptions.HTTPError as error:
        return f"{request.url} does not answer: {error}"
    if answer.status != 200:
        said = answer.data[:200].decode(errors="replace").strip()
        return f"{request.url} answers with {answer.status}: {' '.join(said.split())}"
    return _judged(answer.data, request)


def _judged(data: bytes, request: ProbeRequest) -> str:
    try:
        said: Any = json.loads(data)
    except ValueError:
        return f"{request.url} answers with what is not JSON"
    predictions = said.get("predictions") if isinstance(said, dict) else None
    if not isinstance(predictions, list) or len(predictions) != request.answers:
        return f"{request.url} answers without the {request.answers} predictions that it should"
    return ""
