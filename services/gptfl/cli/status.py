"""`gptfl status`: all runs of a store, or one run step by step."""

from datetime import UTC, datetime

from gptfl.cli.output import console, local, say, table
from gptfl.cli.runs import find_run, latest_runs
from gptfl.cli.summary import summary, took
from gptfl.store import Phase, RunFolder, RunStatus, StepState, StepStatus, open_store
from gptfl.telemetry import words
from gptfl.telemetry.progress import best_metrics, title

STOPPED = "Stopped"
"""Said of a run whose status says Running while no process works on it: it was killed."""


def show_runs(store_uri: str | None, *, as_json: bool) -> None:
    """A line for the last run of each name."""
    store = open_store(store_uri, must_exist=True)
    runs = latest_runs(store)
    if as_json:
        say(f"[{','.join(status.model_dump_json(by_alias=True) for _, status in runs)}]")
        return
    if not runs:
        say(f"{local(store.uri)}: no runs yet")
        return
    say(table(("RUN", "PHASE", "STEPS", "ACCURACY", "TOOK", "AGE"), [_row(*run) for run in runs]))


def show_run(name: str, store_uri: str | None, *, as_json: bool) -> None:
    """A line for each step of a run, and what came of it."""
    folder, status = find_run(open_store(store_uri, must_exist=True), name)
    if as_json:
        say(status.model_dump_json(indent=2, by_alias=True))
        return
    out = console()
    say(f"{status.name}  {phase(folder, status)}  started {words.moment(status.started)}")
    if status.message:
        say(status.message)
    say()
    rows = [_step_row(step) for step in status.steps]
    say(table(("STEP", "STATE", "TIME", "RESULT", "WHY"), rows))
    if status.phase is Phase.SUCCEEDED:
        out.print()
        option = f" --store {store_uri}" if store_uri else ""
        for line in summary(status, store_option=option, width=out.width):
            out.print(line, soft_wrap=True)


def phase(folder: RunFolder, status: RunStatus) -> str:
    """The phase; a process that was killed could not write it down itself."""
    if status.phase is Phase.RUNNING and not folder.is_held():
        return STOPPED
    return status.phase.value


def _row(folder: RunFolder, status: RunStatus) -> tuple[str, ...]:
    done = sum(step.state is StepState.DONE for step in status.steps)
    accuracy = status.metrics.get("accuracy")
    name = status.name if status.namespace == "default" else f"{status.namespace}/{status.name}"
    return (
        name,
        phase(folder, status),
        f"{done}/{len(status.steps)}",
        "-" if accuracy is None else f"{accuracy:.3f}",
        took(status) or "-",
        words.ago(datetime.now(UTC) - status.started),
    )


def _step_row(step: StepStatus) -> tuple[str, ...]:
    state = "Cached" if step.cached else step.state.value
    time = words.duration(step.seconds) if step.seconds else "-"
    numbers = [f"{name} {value}" for name, value in best_metrics(step.metrics)]
    if step.state in (StepState.RUNNING, StepState.PENDING) and step.total:
        numbers.insert(0, f"{step.done:,}/{step.total:,} {step.unit}")
    return (
        title(step.name),
        state,
        time,
        ", ".join(numbers) or "-",
        step.message or step.reason,
    )
