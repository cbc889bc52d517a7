"""A status is what its events made of it, and is written when something has changed."""

from functools import reduce

from story import BEGIN, DIGEST, ENDING, FAILURE, KEY, STEPS, STORY, at, nothing_done

from gptfl.store import Phase, RunStatus, StepState
from gptfl.telemetry.status import StatusRecorder, apply

MIDWAY = reduce(apply, STORY, nothing_done())


def test_the_steps_are_those_of_the_run_in_its_order() -> None:
    assert tuple(step.name for step in MIDWAY.steps) == STEPS
    assert [step.stage for step in MIDWAY.steps][3] == "federation"


def test_each_step_is_where_its_events_left_it() -> None:
    prompts, generation, federation, scratch, _ = MIDWAY.steps

    assert (prompts.state, prompts.cached) == (StepState.DONE, True)
    assert (generation.state, generation.seconds) == (StepState.DONE, 21.0)
    assert generation.reason == "generation.steps: 10 → 20"
    assert (generation.key, generation.digest) == (KEY, DIGEST)
    assert (federation.state, federation.done, federation.total) == (StepState.RUNNING, 2, 3)
    assert federation.metrics["accuracy"] == 0.8
    assert scratch.state is StepState.PENDING


def test_the_end_brings_the_final_numbers() -> None:
    done = reduce(apply, ENDING, MIDWAY)

    assert (done.phase, done.finished) == (Phase.SUCCEEDED, at(30))
    assert done.metrics == {"accuracy": 0.9, "accuracy/from-scratch": 0.4}


def test_a_failure_is_said_in_one_line() -> None:
    failed = apply(MIDWAY, FAILURE)

    assert failed.phase is Phase.FAILED
    assert failed.message == "federation: spec.x: diverged; use less"
    step = failed.step("federation")
    assert step is not None
    assert (step.state, step.message) == (StepState.FAILED, "spec.x: diverged; use less")


def test_applying_changes_no_status() -> None:
    before = nothing_done()
    reduce(apply, STORY, before)

    assert before == nothing_done()


class Keeper:
    """Keeps what was written."""

    def __init__(self) -> None:
        self.written: list[RunStatus] = []

    def write_status(self, status: RunStatus) -> None:
        self.written.append(status)


def recorder(keeper: Keeper, seconds: list[float]) -> StatusRecorder:
    return StatusRecorder(keeper, nothing_done(), clock=lambda: seconds[0], now=lambda: at(99))


def test_progress_is_written_at_most_twice_a_second_and_the_work_of_a_step_at_once() -> None:
    keeper, clock = Keeper(), [0.0]
    listen = recorder(keeper, clock)
    for seconds, event in zip((0, 0.1, 0.2, 0.3, 0.6, 0.8, 0.9, 1.0, 1.2, 1.4), STORY, strict=True):
        clock[0] = seconds
        listen(event)

    # Of the five reports of progress, only the ones half a second after a write were written; and
    # not the step that was found in the store, which the write after it tells as well.
    assert [len(keeper.written), keeper.written[-1].steps[2].done] == [4, 0]
    assert listen.status.steps[2].done == 2


def test_an_interrupted_run_leaves_no_step_running() -> None:
    keeper = Keeper()
    listen = recorder(keeper, [0.0])
    for event in STORY:
        listen(event)
    status = listen.finish(Phase.INTERRUPTED, "interrupted")

    assert keeper.written[-1] == status
    assert (status.phase, status.finished, status.started) == (Phase.INTERRUPTED, at(99), BEGIN)
    assert StepState.RUNNING not in {step.state for step in status.steps}
    assert status.steps[2].done == 2
