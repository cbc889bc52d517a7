"""Which of several replicas works: who holds a Lease, and renews it before it runs out.

No two clocks are compared: a lease has run out when it has looked the same for its whole time to
the replica that waits. And the one that holds it stops writing well before that, when it cannot
renew it, whatever it is that keeps it from doing so.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from gptfl_operator.api import Api, ApiError

_LOG = logging.getLogger("gptfl.operator.lease")

DURATION = 15.0
"""Seconds after which a lease that was not renewed may be taken."""
RENEW_DEADLINE = 10.0
"""Seconds after which its holder, unable to renew it, holds it no more."""
PAUSE = 2.0
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/{}/leases"


@dataclass
class Lease:
    """One replica's view of the lease."""

    api: Api
    namespace: str
    name: str
    identity: str
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    _seen: dict[str, Any] = field(default_factory=dict)
    """The spec as it was read last, and since when it has been so."""
    _seen_at: float = 0.0
    _mine: dict[str, Any] | None = None
    """The lease as this replica wrote it last: as long as nobody else writes it, it need not be
    read."""
    _renewed_at: float = float("-inf")

    @property
    def is_held(self) -> bool:
        """Whether this replica may write."""
        return self.clock() - self._renewed_at < RENEW_DEADLINE

    def step(self) -> bool:
        """Takes the lease or renews it if that can be; returns whether this replica may write."""
        started = self.clock()
        try:
            if self._take():
                # Counted from before the request: others count from when it was written.
                self._renewed_at = started
            else:
                self._renewed_at = float("-inf")
        except ApiError as error:
            # 409: somebody was faster. All else may pass before the deadline.
            if error.status == 409:
                self._renewed_at = float("-inf")
            else:
                _LOG.warning("lease %s: %s", self.name, error)
        return self.is_held

    def acquire(self, stop: threading.Event) -> bool:
        """Waits until this replica may work; False when `stop` is set before."""
        while not stop.is_set():
            if self.step():
                _LOG.info("%s works now", self.identity)
                return True
            stop.wait(PAUSE)
        return False

    def keep(self, stop: threading.Event) -> bool:
        """Renews the lease until `stop`, or until it is lost. Returns whether it is still held."""
        while not stop.wait(PAUSE):
            if not self.step():
                _LOG.error("%s has lost the lease", self.identity)
                return False
        return self.is_held

    def release(self) -> None:
        """Hands over at once, when nothing is written any more."""
        self._renewed_at, self._mine = float("-inf"), None
        try:
            lease = self._read()
            if lease is not None and lease["spec"].get("holderIdentity") == self.identity:
                self._write(lease, holder="", seconds=1)
        except ApiError as error:
            _LOG.warning("lease %s is left to run out: %s", self.name, error)

    def _take(self) -> bool:
        if self._mine is not None and self._renew(self._mine):
            return True
        lease = self._read()
        if lease is None:
            self._mine = self._create()
            return True
        if lease["spec"] != self._seen:
            self._seen, self._seen_at = lease["spec"], self.clock()
        holder = lease["spec"].get("holderIdentity")
        seconds = float(lease["spec"].get("leaseDurationSeconds", DURATION))
        if holder not in ("", None, self.identity) and self.clock() - self._seen_at < seconds:
            return False
        self._mine = self._write(lease, holder=self.identity, seconds=int(DURATION))
        return True

    def _renew(self, mine: dict[str, Any]) -> bool:
        """Whether the lease is still as this replica left it, and renewed."""
        try:
            self._mine = self._write(mine, holder=self.identity, seconds=int(DURATION))
        except ApiError as error:
            if error.status not in (404, 409):
                raise
            self._mine = None
            return False
        return True

    def _read(self) -> dict[str, Any] | None:
        try:
            return self.api.request("GET", f"{_LEASES.format(self.namespace)}/{self.name}")
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def _create(self) -> dict[str, Any]:
        return self.api.request(
            "POST",
            _LEASES.format(self.namespace),
            body={
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": self.name, "namespace": self.namespace},
                "spec": self._spec({}, self.identity, int(DURATION)),
            },
        )

    def _write(self, lease: dict[str, Any], *, holder: str, seconds: int) -> dict[str, Any]:
        """Refused with 409 when somebody has written it since it was read."""
        spec = self._spec(lease["spec"], holder, seconds)
        path = f"{_LEASES.format(self.namespace)}/{self.name}"
        return self.api.request("PUT", path, body={**lease, "spec": spec})

    def _spec(self, before: dict[str, Any], holder: str, seconds: int) -> dict[str, Any]:
        at = self.now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        changes = before.get("leaseTransitions", 0)
        is_new = before.get("holderIdentity") != holder
        return {
            "holderIdentity": holder,
            "leaseDurationSeconds": seconds,
            "renewTime": at,
            "acquireTime": at if is_new else before.get("acquireTime", at),
            "leaseTransitions": changes + 1 if is_new and holder and before else changes,
        }
