"""Accuracy and gradient diversity by round: the run's own model against its controls."""

from collections.abc import Callable, Sequence

from gptfl.federation.results import FederationHistory
from gptfl.report.facts import CONTROLS, OWN, SYNTHETIC, Arm, Facts
from gptfl.report.formats import counted, number, percent
from gptfl.report.lines import Level, LineChart, Series
from gptfl.report.scales import thin
from gptfl.report.tables import Figure, Key, Table

MOST_ROWS = 200
"""Rounds in a table; more are thinned evenly."""


def accuracy_figure(facts: Facts) -> Figure | None:
    """Accuracy on the test data by round, None when no federation has finished."""
    series = [
        Series(arm.name, arm.style, tuple((r.round, r.accuracy) for r in history.rounds))
        for arm, history in _federations(facts)
    ]
    if not series:
        return None
    synthetic = facts.accuracy(SYNTHETIC)
    levels = [] if synthetic is None else [Level(SYNTHETIC.name, SYNTHETIC.style, synthetic)]
    ends = "; ".join(f"{line.name} ends at {percent(line.points[-1][1])}" for line in series)
    return Figure(
        chart=LineChart(
            tuple(series),
            tuple(levels),
            label=f"Line chart of accuracy by round. {ends}.",
            x_name="Round",
            y_format=percent,
            tick_format=lambda share, digits: percent(share, max(digits - 2, 0)),
            height=340,
        ).svg(),
        legend=tuple(
            [Key(line.name, line.style) for line in series]
            + [Key(level.name, level.style) for level in levels]
        ),
        axis="Round",
        table=_table(series, percent),
    )


def diversity_figure(facts: Facts) -> Figure | None:
    """Gradient diversity by round of the run and of federation from scratch."""
    series = [
        Series(arm.name, arm.style, points)
        for arm, history in _federations(facts)
        if arm.model in (OWN.model, "from-scratch") and (points := _diversity(history))
    ]
    if not series:
        return None
    means = "; ".join(
        f"{line.name} {number(sum(y for _, y in line.points) / len(line.points))} on average"
        for line in series
    )
    return Figure(
        chart=LineChart(
            tuple(series),
            (),
            label=f"Line chart of gradient diversity by round. {means}.",
            x_name="Round",
            y_format=number,
            tick_format=number,
            height=240,
        ).svg(),
        legend=tuple(Key(line.name, line.style) for line in series),
        caption=f"{means}.",
        axis="Round",
        table=_table(series, number),
    )


def training_words(facts: Facts) -> str:
    """What was trained before round 0, and what the centralised line is where there is one."""
    words = []
    if facts.pretraining is not None:
        epochs = counted(len(facts.pretraining.epochs), "epoch")
        words.append(
            f"Round 0 is the model of {counted(facts.pretraining.parameters, 'parameter')} after "
            f"{epochs} on synthetic images, before any client has seen it."
        )
    central = facts.histories.get("centralised")
    if central is not None:
        samples = counted(sum(client.samples for client in central.clients), "private sample")
        words.append(
            f"Centralised training sees all {samples} in one place, which is what federation is "
            "there to avoid: a mark to measure against."
        )
    return " ".join(words)


def _federations(facts: Facts) -> list[tuple[Arm, FederationHistory]]:
    return [
        (arm, facts.histories[arm.model])
        for arm in (OWN, *CONTROLS)
        if arm.model in facts.histories and facts.histories[arm.model].rounds
    ]


def _diversity(history: FederationHistory) -> tuple[tuple[int, float], ...]:
    return tuple(
        (record.round, record.gradient_diversity)
        for record in history.rounds
        if record.gradient_diversity is not None
    )


def _table(series: Sequence[Series], y_format: Callable[[float], str]) -> Table:
    found = [dict(line.points) for line in series]
    rounds = sorted({x for line in series for x, _ in line.points})
    shown = thin(rounds, MOST_ROWS)
    return Table(
        head=("Round", *(line.name for line in series)),
        rows=tuple(
            (str(at), *(y_format(points[at]) if at in points else "–" for points in found))
            for at in shown
        ),
        note=f"{len(shown)} of {len(rounds)} rounds, evenly spaced."
        if shown != tuple(rounds)
        else "",
    )
