"""One replica of the operator: watches at once, works while it holds the lease, goes cleanly.

Which replica works is decided after the watches have begun, so that the next one has all it needs
in memory when its turn comes.
"""

import logging
import threading
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from gptfl.telemetry.metrics.operator import OperatorMetrics, OperatorState
from gptfl_operator.api import Api
from gptfl_operator.cluster import Cluster
from gptfl_operator.controller import Brain, Controller
from gptfl_operator.lease import Lease
from gptfl_operator.queue import WorkQueue
from gptfl_operator.world import World

_LOG = logging.getLogger("gptfl.operator")

WORKERS = 8
"""More were no faster for a thousand runs: it is the API server that they wait for."""
STUCK_SECONDS = 300.0


@dataclass(frozen=True)
class OperatorOptions:
    """How one replica runs."""

    identity: str
    namespaces: tuple[str, ...] = ()
    """Where runs are looked after; none means everywhere."""
    lease_namespace: str = "default"
    lease_name: str = "gptfl-operator"
    workers: int = WORKERS


class Operator:
    """The parts of a replica, put together."""

    def __init__(
        self, api: Api, brain: Brain, options: OperatorOptions, registry: CollectorRegistry
    ) -> None:
        self.options = options
        self.world = World(api, options.namespaces)
        self.queue = WorkQueue()
        self.lease = Lease(api, options.lease_namespace, options.lease_name, options.identity)
        metrics = OperatorMetrics(registry)
        cluster = Cluster(api, options.identity, metrics, may_write=lambda: self.lease.is_held)
        self.controller = Controller(
            self.world, cluster, self.queue, brain, metrics, is_turn=lambda: self.lease.is_held
        )
        self._threads: list[threading.Thread] = []
        OperatorState(
            registry,
            phases=self._phases,
            depth=lambda: self.queue.depth,
            is_synced=lambda: self.world.is_synced,
            is_leading=lambda: self.lease.is_held,
        )

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set. When it loses the lease it goes on watching, and waits its turn."""
        self._threads = self.world.start(stop)
        workers = self._start_workers()
        try:
            while self.lease.acquire(stop):
                self.lease.keep(stop)
        finally:
            self.queue.close()
            for worker in workers:
                worker.join(timeout=30)
        self.lease.release()
        _LOG.info("%s has stopped", self.options.identity)

    def why_unhealthy(self) -> str | None:
        """What a restart may mend."""
        dead = [thread.name for thread in self._threads if not thread.is_alive()]
        if dead:
            return f"ended: {', '.join(dead)}"
        longest = self.controller.longest_look
        return f"a run has been looked at for {longest:.0f} s" if longest > STUCK_SECONDS else None

    def why_unready(self) -> str | None:
        """What is missing before it could work, or take over."""
        return None if self.world.is_synced else "what there is in the cluster is not known yet"

    def _start_workers(self) -> list[threading.Thread]:
        workers = [
            threading.Thread(target=self.controller.work, name=f"worker-{number}", daemon=True)
            for number in range(self.options.workers)
        ]
        for worker in workers:
            worker.start()
        self._threads += workers
        return workers

    def _phases(self) -> list[str]:
        return [run.get("status", {}).get("phase") or "Pending" for run in self.world.runs.all()]
