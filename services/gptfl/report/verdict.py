"""What a run has shown, in one sentence and a handful of numbers, made from its artifacts alone."""

from collections.abc import Iterator
from dataclasses import dataclass

from gptfl.report.facts import CONTROLS, OWN, Arm, Facts
from gptfl.report.formats import (
    count,
    counted,
    duration,
    is_level,
    percent,
    points,
    signed_points,
    size,
)


@dataclass(frozen=True)
class KeyFigure:
    """A number that stands large at the top."""

    name: str
    value: str
    aside: str
    style: str = ""


def verdict(facts: Facts) -> str:
    """The run in one sentence: what it began with, what it reached, and how that compares."""
    accuracy = facts.accuracy(OWN)
    if facts.own is None or accuracy is None:
        return _unfinished(facts)
    rounds = facts.own.rounds[-1].round
    images = sum(facts.generation.kept) if facts.generation else None
    start = counted(images, "synthetic image") if images is not None else "synthetic images"
    reached = (
        f"Started from {start}, {counted(len(facts.own.clients), 'client')} reached "
        f"{percent(accuracy)} in {counted(rounds, 'round')}"
    )
    return f"{reached}: {_joined(list(_comparisons(facts, accuracy)))}."


def key_figures(facts: Facts) -> list[KeyFigure]:
    """The numbers that a reader looks for first; those that are not known are left out."""
    return [
        figure
        for figure in (
            _accuracy(facts),
            *(_gain(facts, arm) for arm in CONTROLS[:2]),
            _head_start(facts),
            _images(facts),
            _time(facts),
        )
        if figure is not None
    ]


def rounds_to_pass(facts: Facts, accuracy: float) -> int | None:
    """The first round after which the run's own model is at least that good; 0 is its start."""
    rounds = facts.own.rounds if facts.own else ()
    return next((record.round for record in rounds if record.accuracy >= accuracy), None)


def _unfinished(facts: Facts) -> str:
    if facts.generation is None:
        return "This run has not drawn its synthetic images yet; what is known so far stands below."
    drawn = f"This run has drawn {counted(sum(facts.generation.kept), 'synthetic image')}"
    if "pretraining" in facts.artifacts:
        return f"{drawn} and pre-trained a model on them; its clients have not finished yet."
    return f"{drawn}; no model has been trained on them yet."


def _comparisons(facts: Facts, accuracy: float) -> Iterator[str]:
    """``14.2 points above the synthetic start``, then the others without the unit."""
    unit = " points"
    for arm in CONTROLS:
        other = facts.accuracy(arm)
        if other is None:
            continue
        difference = accuracy - other
        if is_level(difference):
            yield f"level with {arm.words}"
            continue
        yield f"{points(difference)}{unit} {'above' if difference > 0 else 'below'} {arm.words}"
        unit = ""


def _joined(parts: list[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]


def _accuracy(facts: Facts) -> KeyFigure | None:
    accuracy, scores = facts.accuracy(OWN), facts.scores(OWN)
    if accuracy is None:
        return None
    aside = "in the last round" if scores is None else f"macro F1 {percent(scores.macro_f1)}"
    return KeyFigure("Accuracy", percent(accuracy), aside, "own")


def _gain(facts: Facts, arm: Arm) -> KeyFigure | None:
    accuracy, other = facts.accuracy(OWN), facts.accuracy(arm)
    if accuracy is None or other is None:
        return None
    return KeyFigure(
        f"Against {arm.name.lower()}",
        signed_points(accuracy - other),
        f"points, from {percent(other)}",
    )


def _head_start(facts: Facts) -> KeyFigure | None:
    """How soon the run is as good as federation from scratch ever gets."""
    scratch = facts.histories.get("from-scratch")
    if scratch is None or facts.own is None:
        return None
    best = max(record.accuracy for record in scratch.rounds)
    passed = rounds_to_pass(facts, best)
    value = "never" if passed is None else f"round {passed}"
    return KeyFigure("Passes scratch’s best", value, f"which is {percent(best)}")


def _images(facts: Facts) -> KeyFigure | None:
    if facts.generation is None:
        return None
    kept, drawn = sum(facts.generation.kept), sum(facts.generation.drawn)
    aside = f"of {count(drawn)} drawn" if drawn != kept else "none dropped"
    return KeyFigure("Synthetic images", count(kept), aside)


def _time(facts: Facts) -> KeyFigure | None:
    own = ("prompts", "generation", "pretraining", "federation")
    if any(name not in facts.artifacts for name in own):
        return None
    seconds = sum(facts.artifacts[name].record.cost.seconds for name in own)
    cost = facts.artifacts["federation"].record.cost
    sent = cost.bytes_sent + cost.bytes_received
    aside = f"{size(sent)} between server and clients" if sent else "without the controls"
    return KeyFigure("Time to the model", duration(seconds), aside)
