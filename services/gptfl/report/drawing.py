"""The synthetic data set: a grid of its images, and what the filters threw away."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gptfl.generation.results import GenerationReport
from gptfl.report.bars import Bar, Segment, bar_chart
from gptfl.report.charts import name_width
from gptfl.report.facts import Facts
from gptfl.report.formats import count, counted, percent, short_number
from gptfl.report.samples import MOST_LABELS, Sample, samples_by_label
from gptfl.report.tables import Figure, Key, Table

DROPS = {
    "blank": "Blank",
    "duplicate": "Duplicate",
    "disagreement": "Not its label",
}
"""The filters by the name in `GenerationReport.dropped`, as they are written in the report."""
MOST_BARS = 40
"""Labels whose bar is drawn; of more, those that lost most."""


@dataclass(frozen=True)
class LabelImages:
    """A row of the grid."""

    name: str
    counts: tuple[str, ...]
    """Drawn, kept and dropped, in words."""
    samples: Sequence[Sample]


@dataclass(frozen=True)
class Drawing:
    """What the section shows."""

    words: str
    ratio: str
    """Width over height, as CSS has it."""
    labels: tuple[LabelImages, ...]
    note: str
    filters: Figure | None
    table: Table


def drawing(facts: Facts) -> Drawing | None:
    """The data set of a run; None when it is not drawn yet."""
    report, artifact = facts.generation, facts.artifacts.get("generation")
    if report is None or artifact is None:
        return None
    samples = samples_by_label(artifact, len(report.labels))
    shown = report.labels[:MOST_LABELS]
    more = len(report.labels) - len(shown)
    return Drawing(
        words=" ".join(_words(facts, report)),
        ratio=f"{report.width} / {report.height}",
        labels=tuple(
            LabelImages(name, _counts(report, index), samples.get(index, ()))
            for index, name in enumerate(shown)
        ),
        note=f"{counted(more, 'label')} more are not shown." if more else "",
        filters=_filters(report),
        table=_table(report),
    )


def _words(facts: Facts, report: GenerationReport) -> Iterator[str]:
    spec = facts.run.spec.generation
    low, high = short_number(spec.guidance.minimum), short_number(spec.guidance.maximum)
    yield (
        f"{counted(sum(report.kept), 'image')} of {report.width} × {report.height} pixels, drawn "
        f"by {spec.generator.source} from the label names alone, with {counted(spec.steps, 'step')}"
        f" and a guidance between {low} and {high}."
    )
    dropped = sum(map(sum, report.dropped.values()))
    if dropped:
        share = percent(dropped / (sum(report.drawn) or 1))
        yield f"The filters dropped {count(dropped)} of {count(sum(report.drawn))} ({share})."
    yield "Each row goes from the lowest guidance, which stands before the prompt, to the highest."


def _counts(report: GenerationReport, label: int) -> tuple[str, ...]:
    drawn, kept = report.drawn[label], report.kept[label]
    drops = (
        f"{count(lost[label])} {DROPS.get(name, name).lower()}"
        for name, lost in report.dropped.items()
        if lost[label]
    )
    return (
        f"{count(kept)} kept of {count(drawn)}" if kept != drawn else f"{count(kept)} kept",
        *drops,
    )


def _filters(report: GenerationReport) -> Figure | None:
    """Bars of what was dropped, None when nothing was."""
    lost = [sum(column) for column in zip(*report.dropped.values(), strict=True)]
    if not any(lost):
        return None
    shown = list(range(len(report.labels)))
    if len(shown) > MOST_BARS:
        shown = sorted(shown, key=lambda label: (-lost[label], label))[:MOST_BARS]
    bars = [
        Bar(
            report.labels[label],
            tuple(
                Segment(DROPS.get(name, name), name if name in DROPS else "other", column[label])
                for name, column in report.dropped.items()
            ),
            _lost(report, label, lost[label]),
        )
        for label in shown
    ]
    return Figure(
        chart=bar_chart(bars, label="Bars of the images of each label that the filters dropped."),
        box=f"padding-left: {name_width([bar.name for bar in bars]) + 14:.0f}px",
        legend=tuple(
            Key(DROPS.get(name, name), name if name in DROPS else "other")
            for name, column in report.dropped.items()
            if any(column)
        ),
        caption=f"The {len(shown)} labels of {len(report.labels)} that lost most."
        if len(shown) < len(report.labels)
        else "",
    )


def _lost(report: GenerationReport, label: int, lost: int) -> str:
    drawn = report.drawn[label]
    return f"{count(lost)} of {count(drawn)}, {percent(lost / drawn)}" if lost else "none"


def _table(report: GenerationReport) -> Table:
    names = list(report.dropped)
    return Table(
        ("Label", "Drawn", "Kept", "Surplus", *(DROPS.get(name, name) for name in names)),
        tuple(
            (
                label,
                count(report.drawn[i]),
                count(report.kept[i]),
                count(report.surplus[i]),
                *(count(report.dropped[name][i]) for name in names),
            )
            for i, label in enumerate(report.labels)
        ),
    )
