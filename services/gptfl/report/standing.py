"""Whether a run is whole, has passed its gate, and what is missing when it is not."""

from dataclasses import dataclass
from datetime import UTC, datetime

from gptfl.report.facts import Facts
from gptfl.report.formats import percent
from gptfl.spec.evaluation import GateMetric
from gptfl.store import Phase, StepState

METRICS = {
    GateMetric.ACCURACY: "accuracy",
    GateMetric.BALANCED_ACCURACY: "balanced accuracy",
    GateMetric.MACRO_F1: "macro F1",
}


@dataclass(frozen=True)
class Chip:
    """A word or two beside the title."""

    text: str
    style: str = ""


@dataclass(frozen=True)
class Missing:
    """A step that has left nothing, and why."""

    name: str
    why: str


@dataclass(frozen=True)
class Standing:
    """How a run stands."""

    chips: tuple[Chip, ...]
    missing: tuple[Missing, ...]
    failed: bool
    """Whether it has ended before it was whole."""
    message: str
    """What a failed run said."""
    made: str
    """When its last artifact was made."""
    model_digest: str | None


def standing(facts: Facts) -> Standing:
    """How the run stands, by its artifacts and, for what is missing, its status."""
    status = facts.status
    last = max((a.record.created for a in facts.artifacts.values()), default=None)
    model = facts.artifacts.get("serving")
    return Standing(
        chips=tuple(_chips(facts)),
        missing=tuple(Missing(step.name, _why(facts, step.name)) for step in facts.missing),
        failed=status is not None and status.phase in (Phase.FAILED, Phase.INTERRUPTED),
        message=status.message if status and facts.missing else "",
        made=_date(last) if last else "",
        model_digest=model.digest if model else None,
    )


def _chips(facts: Facts) -> list[Chip]:
    chips = []
    if facts.missing:
        phase = facts.status.phase if facts.status else Phase.RUNNING
        words = {Phase.FAILED: "Failed", Phase.INTERRUPTED: "Interrupted"}
        chips.append(Chip(words[phase], "bad") if phase in words else Chip("Unfinished"))
    gate = facts.evaluation.gate if facts.evaluation else None
    if gate is not None and gate.minimum > 0:
        word, style = ("passed", "good") if gate.passed else ("not passed", "bad")
        metric = METRICS[gate.metric]
        text = f"Gate {word}: {metric} {percent(gate.value)}, at least {percent(gate.minimum)}"
        chips.append(Chip(text, style))
    return chips or [Chip("Complete", "good")]


def _why(facts: Facts, name: str) -> str:
    step = facts.status.step(name) if facts.status else None
    if step is None:
        return "not done yet"
    if step.state is StepState.FAILED:
        return f"failed: {step.message or 'it left no message'}"
    if step.state is StepState.RUNNING and step.total:
        far = f"{step.done:,} of {step.total:,} {step.unit}".rstrip()
        running = facts.status is not None and facts.status.phase is Phase.RUNNING
        return f"at {far}" if running else f"stopped at {far}"
    return "not done yet"


def _date(at: datetime) -> str:
    return f"{at.astimezone(UTC):%-d %B %Y, %H:%M} UTC"
