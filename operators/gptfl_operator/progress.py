"""How far runs are, as their processes write it into their stores.

A store that does not answer must not hold up the workers: it is asked for a short time, and those
who come next are told the same for a while without asking.
"""

import base64
import os
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from gptfl.errors import GPTFLError, SpecError, StoreError
from gptfl.store.runs import RunStatus
from gptfl.store.s3 import S3Blobs, s3_settings
from gptfl.store.store import Store
from gptfl_operator.api import Api, ApiError
from gptfl_operator.manifests.scope import Scope
from gptfl_operator.model import Object
from gptfl_operator.plan import understand
from gptfl_operator.resources import SECRETS
from gptfl_operator.settings import OperatorSettings

PATIENCE = 3.0
"""Seconds for which a store is asked again."""
SILENCE = 15.0
"""Seconds for which one that has not answered is left alone."""
FRESH = 2.0
"""Seconds for which a status is news."""
KEYS_SECONDS = 60.0
"""Seconds after which a Secret is read again: its keys may have changed."""

_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


@dataclass(frozen=True)
class _Place:
    """A store, and the Secret that opens it."""

    uri: str
    environment: tuple[tuple[str, str], ...]
    namespace: str
    secret: str | None


@dataclass
class _Opened:
    """A store that was opened, or why it could not be asked."""

    store: Store | None
    until: float
    problem: str = ""


Open = Callable[[str, Mapping[str, str]], Store]
"""A store by its URI and the variables of its keys."""


class StoreProgress:
    """Reads the status of runs; stores are opened once for all runs that share them."""

    def __init__(
        self,
        api: Api,
        settings: OperatorSettings,
        *,
        opened: Open | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api, self._settings, self._clock = api, settings, clock
        self._open = opened or _open
        self._lock = threading.Lock()
        self._stores: dict[_Place, _Opened] = {}
        self._read: dict[tuple[str, str, str], tuple[float, RunStatus | None]] = {}

    def __call__(self, run: Object) -> tuple[RunStatus | None, str | None]:
        """The status, or None; and why the store could not be asked, if so."""
        try:
            read = understand(run)
        except SpecError:
            return None, None
        namespace = str(run["metadata"]["namespace"])
        scope = Scope(read.run, read.uid, namespace, self._settings)
        if not scope.store.startswith("s3://"):
            return None, None  # a folder of a pod is seen by no one else
        now, name = self._clock(), (namespace, scope.name, read.uid)
        at, status = self._read.get(name, (float("-inf"), None))
        if now - at < FRESH:
            return status, None
        return self._ask(scope, name)

    def _ask(self, scope: Scope, name: tuple[str, str, str]) -> tuple[RunStatus | None, str | None]:
        place = _place(scope)
        opened = self._opened(place)
        if opened.store is None:
            return None, opened.problem
        try:
            status = opened.store.run_folder(*name).read_status()
        except GPTFLError as error:
            problem = str(error)
            with self._lock:
                self._stores[place] = _Opened(None, self._clock() + SILENCE, problem)
            return None, problem
        now = self._clock()
        with self._lock:
            self._read = {key: one for key, one in self._read.items() if now - one[0] < FRESH}
            self._read[name] = now, status
        return status, None

    def _opened(self, place: _Place) -> _Opened:
        with self._lock:
            found = self._stores.get(place)
            if found is not None and self._clock() < found.until:
                return found
        made = self._opened_anew(place)
        with self._lock:
            self._stores[place] = made
        return made

    def _opened_anew(self, place: _Place) -> _Opened:
        now = self._clock()
        try:
            keys = self._keys(place)
            store = self._open(place.uri, {**dict(place.environment), **keys})
        except (GPTFLError, OSError) as error:
            return _Opened(None, now + SILENCE, str(error))
        return _Opened(store, now + KEYS_SECONDS)

    def _keys(self, place: _Place) -> dict[str, str]:
        """What is in the Secret. Raises StoreError when there is none."""
        if place.secret is None:
            return {name: os.environ[name] for name in _VARIABLES if name in os.environ}
        try:
            found = self._api.request("GET", SECRETS.path(place.namespace, place.secret))
        except ApiError as error:
            raise StoreError(f"the Secret {place.secret} cannot be read: {error}") from error
        data = {name: base64.b64decode(value) for name, value in (found.get("data") or {}).items()}
        keys = {name: data[name].decode().strip() for name in _VARIABLES if name in data}
        if "ca.crt" in data:
            keys["AWS_CA_BUNDLE"] = str(_authority_file(data["ca.crt"]))
        return keys


def _place(scope: Scope) -> _Place:
    environment = tuple(sorted(scope.store_environment.items()))
    return _Place(scope.store, environment, scope.namespace, scope.store_secret)


def _open(uri: str, variables: Mapping[str, str]) -> Store:
    settings = replace(
        s3_settings(uri, environment=variables),
        connect_seconds=PATIENCE,
        stall_seconds=PATIENCE,
        first_patience_seconds=PATIENCE,
        patience_seconds=PATIENCE,
    )
    return Store(S3Blobs(settings))


def _authority_file(certificate: bytes) -> Path:
    """A CA's certificate as the file that TLS wants; one for each certificate."""
    folder = Path(tempfile.gettempdir()) / f"gptfl-operator-{os.getpid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{abs(hash(certificate)):x}.crt"
    if not path.exists():
        path.write_bytes(certificate)
    return path
