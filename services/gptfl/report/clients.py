"""Who took part: what each client holds, how unlike the clients are, and whose work was refused."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from gptfl.federation.results import ClientSummary, FederationHistory, Refusal
from gptfl.report.bars import Bar, Segment, bar_chart
from gptfl.report.charts import Cell, heat_map, heat_map_box
from gptfl.report.facts import Facts
from gptfl.report.formats import count, counted, percent
from gptfl.report.tables import Figure, Table

MOST_CLIENTS = 40
"""Clients that are drawn; quantiles stand for the rest."""
MOST_LABELS_WITH_COUNTS = 24
"""With more labels a cell is too small for its number."""

REASONS = {
    Refusal.NO_REPLY: "No reply came",
    Refusal.STRAGGLER: "Still at work when the round’s time was up",
    Refusal.DISCONNECTED: "Not there when the round’s time was up",
    Refusal.TOO_LARGE: "Larger than a reply may be",
    Refusal.ERROR: "The client could not do what it was asked",
    Refusal.MALFORMED: "A part is missing, twice there, or not what it says it is",
    Refusal.NAMES: "Not the model’s weights by name",
    Refusal.SHAPE: "A weight has another shape",
    Refusal.DTYPE: "A weight has another type of number",
    Refusal.NOT_FINITE: "A weight or a metric is infinite or not a number",
    Refusal.EXAMPLES: "Trained on no sample, or on more than the client has",
}


@dataclass(frozen=True)
class Clients:
    """What the section shows."""

    words: str
    distribution: Figure
    sizes: Figure
    """Samples of each client, on the rows of the distribution."""
    quantiles: Table
    refusals: Table | None
    refusal_words: str


def clients(facts: Facts) -> Clients | None:
    """The clients of the run's own federation; None when it has not finished."""
    history = facts.own
    if history is None:
        return None
    shown = history.clients[:MOST_CLIENTS]
    turns = Counter(name for record in history.rounds for name in record.selected)
    return Clients(
        words=_words(history, simulated=facts.run.spec.federation.simulation is not None),
        distribution=_distribution(shown, facts.labels, len(history.clients)),
        sizes=_sizes(shown),
        quantiles=_quantiles(history.clients, turns),
        refusals=_refusals(history),
        refusal_words=_refusal_words(history),
    )


def effective_labels(counts: Sequence[int]) -> float:
    """How many equally frequent labels are as varied as these: the exponential of the entropy.

    1 for a client with one label, the number of labels for an even one, 0 for an empty one.
    """
    total = sum(counts)
    if not total:
        return 0.0
    return math.exp(-sum(n / total * math.log(n / total) for n in counts if n))


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the values lie, interpolated linearly."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def _words(history: FederationHistory, *, simulated: bool) -> str:
    samples = sum(client.samples for client in history.clients)
    chosen = max((len(record.selected) for record in history.rounds), default=0)
    part = "all of them" if chosen == len(history.clients) else f"{count(chosen)} of them"
    kind = "simulated client" if simulated else "client"
    away = sum(not client.joined for client in history.clients)
    without = f" {counted(away, 'client')} had not come when it began." if away else ""
    return (
        f"{counted(len(history.clients), kind)} hold {counted(samples, 'private sample')}; "
        f"{part} took part in each round. Only weights travelled, never a sample.{without}"
    )


def _distribution(shown: Sequence[ClientSummary], labels: Sequence[str], of: int) -> Figure:
    with_counts = len(labels) <= MOST_LABELS_WITH_COUNTS
    most = max((n for client in shown for n in client.label_counts or ()), default=0) or 1
    cells = [
        [
            Cell(
                # The root keeps small counts apart from none at all.
                shade=math.sqrt(n / most),
                text=count(n) if with_counts else "",
                tip=f"{client.name}\n{label}\t{counted(n, 'sample')}",
            )
            if n
            else None
            for label, n in zip(labels, client.label_counts or [0] * len(labels), strict=True)
        ]
        for client in shown
    ]
    names = [client.name for client in shown]
    caption = f"The first {len(shown)} of {count(of)} clients." if of > len(shown) else ""
    silent = sum(client.label_counts is None for client in shown)
    if silent:
        caption += f" {counted(silent, 'row')} empty: their labels are not known here."
    return Figure(
        chart=heat_map(
            cells,
            names,
            labels,
            label=f"Heat map of the samples of each label that {len(shown)} clients hold.",
            row_height=_row_height(len(shown)),
        ),
        box=heat_map_box(names, labels, 24 if with_counts else 7),
        caption=caption.strip(),
        table=Table(
            ("Client", *labels),
            tuple((c.name, *_counts(c, len(labels))) for c in shown),
        )
        if with_counts
        else None,
    )


def _counts(client: ClientSummary, labels: int) -> list[str]:
    if client.label_counts is None:
        return ["–"] * labels
    return [count(n) for n in client.label_counts]


def _sizes(shown: Sequence[ClientSummary]) -> Figure:
    bars = [
        Bar("", (Segment(client.name, "plain", client.samples),), f"{count(client.samples)}")
        for client in shown
    ]
    return Figure(
        chart=bar_chart(
            bars, label="Bars of the samples of each client.", row_height=_row_height(len(shown))
        )
    )


def _row_height(rows: int) -> int:
    return 28 if rows <= 20 else 20


def _quantiles(found: Sequence[ClientSummary], turns: Counter[str]) -> Table:
    told = [client.label_counts for client in found if client.label_counts is not None]
    measures: list[tuple[str, list[float], int]] = [
        ("Samples", [float(client.samples) for client in found], 0),
        ("Labels present", [float(sum(n > 0 for n in counts)) for counts in told], 0),
        ("Effective labels", [effective_labels(counts) for counts in told], 1),
        ("Rounds taken part in", [float(turns[client.name]) for client in found], 0),
    ]
    return Table(
        ("Over the clients", "least", "10 %", "median", "90 %", "most"),
        tuple(
            (name, *(f"{quantile(values, q):,.{digits}f}" for q in (0, 0.1, 0.5, 0.9, 1)))
            for name, values, digits in measures
            if values
        ),
        note="Effective labels: how many equally frequent labels would be as varied.",
    )


def _refusals(history: FederationHistory) -> Table | None:
    found = Counter[Refusal]()
    rounds: dict[Refusal, list[int]] = {}
    for record in history.rounds:
        for reason, n in record.refused.items():
            found[reason] += n
            rounds.setdefault(reason, []).append(record.round)
    if not found:
        return None
    return Table(
        ("Why a reply was not used", "Replies", "In rounds"),
        tuple(
            (REASONS[reason], count(n), _some(rounds[reason])) for reason, n in found.most_common()
        ),
    )


def _some(rounds: Sequence[int], most: int = 12) -> str:
    text = ", ".join(map(str, rounds[:most]))
    return f"{text} and {len(rounds) - most} more" if len(rounds) > most else text


def _refusal_words(history: FederationHistory) -> str:
    asked = sum(len(record.selected) for record in history.rounds)
    used = sum(record.replied for record in history.rounds)
    idle = sum(not record.aggregated for record in history.rounds if record.selected)
    words = f"{count(used)} of {counted(asked, 'reply', 'replies')} asked for were used"
    words += f" ({percent(used / asked)})." if asked and used < asked else "."
    late = sum(record.late for record in history.rounds)
    if late:
        words += f" {counted(late, 'reply', 'replies')} came when the round was over."
    if idle:
        words += f" {counted(idle, 'round')} had too few good replies and left the model as it was."
    return words
