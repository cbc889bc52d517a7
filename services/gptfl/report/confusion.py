"""What the model takes for what: confusion matrices, and how much of each label is found."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gptfl.evaluation.results import ModelScores
from gptfl.report.bars import Dots, Segment, dot_chart
from gptfl.report.charts import Cell, heat_map, heat_map_box, name_width
from gptfl.report.facts import CONTROLS, OWN, SYNTHETIC, Arm, Facts
from gptfl.report.formats import count, counted, number, percent
from gptfl.report.tables import Figure, Key, Table

MOST_LABELS_WITH_COUNTS = 24
"""With more labels a cell is too small for its number, and a table of all pairs for a reader."""
MOST_PAIRS = 8
MOST_RECALLS = 40
"""Labels whose recall is drawn; of more, the worst."""


@dataclass(frozen=True)
class Confusion:
    """What the section shows."""

    matrices: tuple[Figure, ...]
    pairs: Table | None
    """What is most often taken for what by the final model."""
    scores: Table
    """Every model's numbers."""
    recall: Figure
    dense: bool
    """Whether there are too many labels for two matrices side by side."""


def confusion(facts: Facts) -> Confusion | None:
    """Of the final model and, beside it, of what it began as; None without an evaluation."""
    own, start = facts.scores(OWN), facts.scores(SYNTHETIC)
    if own is None:
        return None
    compared = [(OWN, own), *([(SYNTHETIC, start)] if start is not None else [])]
    return Confusion(
        matrices=tuple(_matrix(arm, scores, facts.labels) for arm, scores in compared),
        pairs=_pairs(own, facts.labels),
        scores=_scores(facts),
        recall=_recall(facts.labels, compared),
        dense=len(facts.labels) > MOST_LABELS_WITH_COUNTS,
    )


def recalls(matrix: Sequence[Sequence[int]]) -> list[float | None]:
    """Of each label, the share of its samples that was found; None without a sample."""
    return [row[label] / sum(row) if sum(row) else None for label, row in enumerate(matrix)]


def _matrix(arm: Arm, scores: ModelScores, labels: Sequence[str]) -> Figure:
    with_counts = len(labels) <= MOST_LABELS_WITH_COUNTS
    cells = [
        [
            Cell(
                # The root lets a single mistake be seen.
                shade=math.sqrt(n / sum(row)),
                text=count(n) if with_counts else "",
                tip=_tip(true, taken, n, sum(row)),
            )
            if n
            else None
            for taken, n in zip(labels, row, strict=True)
        ]
        for true, row in zip(labels, scores.confusion, strict=True)
    ]
    return Figure(
        title=arm.name,
        chart=heat_map(
            cells,
            labels,
            labels,
            label=f"Confusion matrix of {arm.name}: accuracy {percent(scores.accuracy)}.",
            row_height=30 if with_counts else 11,
        ),
        box=heat_map_box(labels, labels, 26 if with_counts else 7),
        table=Table(
            ("True label", *labels),
            tuple(
                (label, *map(count, row))
                for label, row in zip(labels, scores.confusion, strict=True)
            ),
        )
        if with_counts
        else None,
    )


def _tip(true: str, taken: str, samples: int, of: int) -> str:
    head = f"{true}, recognised" if true == taken else f"{true}, taken for {taken}"
    return f"{head}\n{counted(samples, 'sample')}\t{percent(samples / of)}"


def _pairs(scores: ModelScores, labels: Sequence[str]) -> Table | None:
    found = [
        (n, true, taken)
        for true, row in enumerate(scores.confusion)
        for taken, n in enumerate(row)
        if n and true != taken
    ]
    if not found:
        return None
    found.sort(key=lambda pair: (-pair[0], pair[1], pair[2]))
    return Table(
        ("True label", "Taken for", "Samples", "Of its label"),
        tuple(
            (labels[true], labels[taken], count(n), percent(n / sum(scores.confusion[true])))
            for n, true, taken in found[:MOST_PAIRS]
        ),
        note=f"The {MOST_PAIRS} most frequent of {count(len(found))} confusions."
        if len(found) > MOST_PAIRS
        else "",
    )


def _scores(facts: Facts) -> Table:
    return Table(
        ("Model", "Accuracy", "Balanced accuracy", "Macro F1", "Loss"),
        tuple(
            (
                arm.name,
                percent(scores.accuracy),
                percent(scores.balanced_accuracy),
                percent(scores.macro_f1),
                number(scores.loss, 3),
            )
            for arm in (OWN, *CONTROLS)
            if (scores := facts.scores(arm)) is not None
        ),
    )


def _recall(labels: Sequence[str], compared: Sequence[tuple[Arm, ModelScores]]) -> Figure:
    found = [recalls(scores.confusion) for _, scores in compared]
    sizes = [sum(row) for row in compared[0][1].confusion]
    present = [index for index in range(len(labels)) if sizes[index]]
    shown = present
    if len(present) > MOST_RECALLS:
        shown = sorted(present, key=lambda index: (found[0][index] or 0, index))[:MOST_RECALLS]
    rows = [
        Dots(
            labels[index],
            # The final model is painted last, over what it began as.
            tuple(
                Segment(arm.name, arm.style, column[index] or 0)
                for (arm, _), column in reversed(list(zip(compared, found, strict=True)))
            ),
        )
        for index in shown
    ]
    return Figure(
        chart=dot_chart(rows, label="Recall of each label on a scale from 0 to 100 %."),
        box=f"padding-left: {name_width([row.name for row in rows]) + 18:.0f}px",
        legend=tuple(Key(arm.name, arm.style) for arm, _ in compared),
        caption=_recall_caption(labels, present, shown),
        table=Table(
            ("Label", "Test samples", *(arm.name for arm, _ in compared)),
            tuple(
                (label, count(sizes[index]), *(_share(column[index]) for column in found))
                for index, label in enumerate(labels)
            ),
        ),
    )


def _recall_caption(labels: Sequence[str], present: Sequence[int], shown: Sequence[int]) -> str:
    words = []
    if len(shown) < len(present):
        words.append(f"The {len(shown)} labels of {len(present)} that are found least.")
    absent = [labels[index] for index in range(len(labels)) if index not in present]
    if absent:
        words.append(f"Without a test sample: {', '.join(absent)}.")
    return " ".join(words)


def _share(value: float | None) -> str:
    return "–" if value is None else percent(value)
