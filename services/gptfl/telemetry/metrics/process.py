"""What every process of ours says of itself: its version, memory, processor time and open files."""

import platform
from importlib import metadata

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    ProcessCollector,
    disable_created_metrics,
)

from gptfl.telemetry.metrics.base import Metric, Recorder

BUILD_INFO = Metric(
    "gptfl_build_info",
    Gauge,
    ("version", "python", "command"),
    "Always 1; the labels say which version runs, on which Python, and as which command.",
)
METRICS = (BUILD_INFO,)


def open_registry(command: str) -> CollectorRegistry:
    """The registry of this process, which does what `command` (such as `gptfl run`) names."""
    # A second series beside each counter, which nobody asks for.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    about = Recorder(registry, METRICS)
    about.set(BUILD_INFO, 1, metadata.version("gptfl"), platform.python_version(), command)
    return registry
