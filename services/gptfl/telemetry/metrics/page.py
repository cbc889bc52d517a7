"""The reference page of the metrics."""

from collections.abc import Iterator, Sequence

from gptfl.telemetry.metrics.base import Metric

INTRODUCTION = """\
# Metrics

<!-- Derived from services/gptfl/telemetry/metrics by `make generate`. -->

Each process serves its own at `http://HOST:PORT/metrics` with `--metrics-port PORT`;
[observability](../observability.md) says how they are scraped. `run` is the run's name; `step` is a
stage, or a control such as `federation/from-scratch`. No label names a client, of which there may
be many thousands: who was refused, and when, is in the run's history.
"""


def page(sections: Sequence[tuple[str, Sequence[Metric]]]) -> str:
    """`docs/reference/metrics.md`: a heading and a table for each kind of process."""
    return "\n".join([INTRODUCTION, *_lines(sections)])


def _lines(sections: Sequence[tuple[str, Sequence[Metric]]]) -> Iterator[str]:
    for heading, metrics in sections:
        yield f"## {heading}\n"
        yield "| metric | type | labels | meaning |"
        yield "| --- | --- | --- | --- |"
        for metric in metrics:
            labels = ", ".join(f"`{label}`" for label in metric.labels)
            kind = metric.kind.__name__.lower()
            yield f"| `{metric.name}` | {kind} | {labels} | {metric.meaning} |"
        yield ""
