"""Counts requests by protocol and by how they ended."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry

from gptfl.serving.refusals import Outcome, refusal
from gptfl.telemetry.metrics.serving import ServingMetrics

PROTOCOLS = ("v1", "v2", "grpc")


class Counting(ServingMetrics):
    """The metrics of a server, with a way to count what a block of code answers."""

    def __init__(self, registry: CollectorRegistry, model: str) -> None:
        super().__init__(registry, model, protocols=PROTOCOLS, outcomes=tuple(Outcome))

    @contextmanager
    def request(self, protocol: str) -> Iterator[None]:
        """Whatever the block raises, the request is counted."""
        began = time.perf_counter()
        try:
            yield
        except Exception as error:
            self.ended(protocol, refusal(error).outcome)
            raise
        self.answered(protocol, time.perf_counter() - began)
        self.ended(protocol, Outcome.ANSWERED)
