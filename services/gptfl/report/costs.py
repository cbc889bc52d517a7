"""What each step took and came from: time, bytes, rates, keys and digests."""

from dataclasses import dataclass

from gptfl.report.facts import Facts
from gptfl.report.formats import counted, duration, number, size
from gptfl.store import Artifact, StepState


@dataclass(frozen=True)
class StepCost:
    """A row of the table of costs."""

    name: str
    work: str
    """What was done, and how fast."""
    seconds: str
    share: float
    """Of the longest step's time, in 0..1."""
    device: str
    written: str
    network: str
    cached: bool
    """Whether it was there before this run."""


@dataclass(frozen=True)
class Costs:
    """The table: the run's own steps, its controls, and the sum of both."""

    own: tuple[StepCost, ...]
    controls: tuple[StepCost, ...]
    total: StepCost
    words: str


@dataclass(frozen=True)
class Origin:
    """A row of the table of lineage."""

    name: str
    key: str
    digest: str
    inputs: str
    files: str
    made: str


def costs(facts: Facts) -> Costs | None:
    """The cost of every step that is done; None when none is."""
    if not facts.artifacts:
        return None
    longest = max(artifact.record.cost.seconds for artifact in facts.artifacts.values())
    done = [
        _step_cost(facts, step.name, facts.artifacts[step.name], longest)
        for step in facts.steps
        if step.name in facts.artifacts
    ]
    all_costs = [artifact.record.cost for artifact in facts.artifacts.values()]
    total = StepCost(
        name="Together",
        work="",
        seconds=duration(sum(cost.seconds for cost in all_costs)),
        share=0,
        device=_device(sum(cost.device_seconds for cost in all_costs)),
        written=size(sum(cost.bytes_written for cost in all_costs)),
        network=_network(sum(cost.bytes_sent + cost.bytes_received for cost in all_costs)),
        cached=False,
    )
    return Costs(
        own=tuple(cost for cost in done if "/" not in cost.name),
        controls=tuple(cost for cost in done if "/" in cost.name),
        total=total,
        words=_words(facts),
    )


def lineage(facts: Facts) -> list[Origin]:
    """Where every artifact came from, in the order of the steps."""
    return [
        Origin(
            name=step.name,
            key=artifact.key,
            digest=artifact.digest,
            inputs=", ".join(artifact.record.inputs) or "–",
            files=f"{counted(len(artifact.record.files), 'file')}, "
            f"{size(artifact.record.cost.bytes_written)}",
            made=f"{artifact.record.created:%Y-%m-%d %H:%M} UTC",
        )
        for step in facts.steps
        if (artifact := facts.artifacts.get(step.name)) is not None
    ]


def software(facts: Facts) -> list[tuple[str, str]]:
    """Versions of the packages that made the artifacts; all of them when they differ."""
    found: dict[str, list[str]] = {}
    for artifact in facts.artifacts.values():
        for package, version in artifact.record.software.items():
            if version not in found.setdefault(package, []):
                found[package].append(version)
    return [(package, ", ".join(sorted(versions))) for package, versions in sorted(found.items())]


def _words(facts: Facts) -> str:
    words = "Wall-clock time of each stage, and for how long its workers held a core or a device."
    if facts.status is not None and any(step.cached for step in facts.status.steps):
        words += " A cached stage was there already: the time is what it took when it was made."
    return words


def _step_cost(facts: Facts, name: str, artifact: Artifact, longest: float) -> StepCost:
    cost = artifact.record.cost
    status = facts.status.step(name) if facts.status else None
    return StepCost(
        name=name,
        work=_work(facts, name, cost.seconds),
        seconds=duration(cost.seconds),
        share=cost.seconds / (longest or 1),
        device=_device(cost.device_seconds),
        written=size(cost.bytes_written),
        network=_network(cost.bytes_sent + cost.bytes_received),
        cached=bool(status and status.cached and status.state is StepState.DONE),
    )


def _work(facts: Facts, name: str, seconds: float) -> str:
    """``2,202 images, 35.3 a second``, or ``30 rounds, 3.3 s each``."""
    amount, unit = _amount(facts, name)
    if amount < 2 or seconds < 0.05:
        return counted(amount, unit) if unit else ""
    rate = amount / seconds
    each = f"{number(rate, 1)} a second" if rate >= 1 else f"{duration(1 / rate)} each"
    return f"{counted(amount, unit)}, {each}"


def _amount(facts: Facts, name: str) -> tuple[int, str]:
    """What a step did, in its own unit, which is empty where there is none."""
    history = facts.history_of(name)
    if history is not None:
        return history.rounds[-1].round, "round"
    if name == "prompts" and facts.prompts:
        return sum(len(one.prompts) for one in facts.prompts.prompts), "prompt"
    if name == "generation" and facts.generation:
        return sum(facts.generation.drawn), "image"
    if name == "pretraining" and facts.pretraining:
        return len(facts.pretraining.epochs), "epoch"
    if name == "evaluation" and facts.evaluation:
        return len(facts.evaluation.models), "model"
    return 0, ""


def _device(seconds: float) -> str:
    return duration(seconds) if seconds else "–"


def _network(amount: int) -> str:
    return size(amount) if amount else "–"
