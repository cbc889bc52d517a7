"""Every metric of every kind of process; `docs/reference/metrics.md` is made from this list."""

from gptfl.telemetry.metrics import (
    aggregator,
    client,
    operator,
    process,
    run,
    serving,
    store,
    worker,
)
from gptfl.telemetry.metrics.base import Metric
from gptfl.telemetry.metrics.page import page

SECTIONS: tuple[tuple[str, tuple[Metric, ...]], ...] = (
    ("Every process", process.METRICS),
    ("A run and its stages", run.METRICS),
    ("A generation worker", worker.METRICS),
    ("The aggregator of a federation over the network", aggregator.METRICS),
    ("A client of a federation over the network", client.METRICS),
    ("A process with a store on S3", store.METRICS),
    ("A server of a model", serving.METRICS),
    ("The operator", operator.METRICS),
)
METRICS = tuple(metric for _, metrics in SECTIONS for metric in metrics)


def metrics_page() -> str:
    """`docs/reference/metrics.md`."""
    return page(SECTIONS)
