"""The engine: a step is done once, resumed when it was killed, and its reasons are told."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import pytest

from gptfl.engine import Engine
from gptfl.errors import DamagedArtifactError, StageError
from gptfl.spec.sections import Section
from gptfl.stages import Step
from gptfl.store import Artifact, RunStatus, StepStatus, Store, Workspace, open_store
from gptfl.telemetry.events import Event, StepFailed, StepFinished, StepProgress, StepStarted

T = TypeVar("T")


class Counting(Section):
    """The section of a toy stage that counts to `upto` and may stumble on the way."""

    upto: int


class WithFile(Counting):
    """A toy stage that reads a local file."""

    source: str


stumble_at: set[int] = set()
worked: list[int] = []


def run(
    section: Counting, inputs: Mapping[str, Artifact], workspace: Workspace
) -> dict[str, float]:
    """A stage: sums numbers one by one, with a checkpoint after each."""
    state = json.loads(workspace.load_checkpoint("sum") or '{"next": 0, "sum": 0}')
    for number in range(state["next"], section.upto):
        if number in stumble_at:
            raise StageError(f"stumbled over {number}")
        worked.append(number)
        state = {"next": number + 1, "sum": state["sum"] + number}
        workspace.save_checkpoint("sum", json.dumps(state).encode())
        workspace.progress(number + 1, section.upto, "numbers")
    offset = sum(int(artifact.read("sum.txt")) for artifact in inputs.values())
    workspace.write("sum.txt", str(state["sum"] + offset).encode())
    return {"sum": float(state["sum"])}


def counting(upto: int, name: str = "count", version: int = 1, *inputs: str) -> Step:
    return Step(name, Counting(seed=0, compute_threads=1, upto=upto), inputs, __name__, version)


@pytest.fixture(autouse=True)
def _nothing_worked_yet() -> None:
    stumble_at.clear()
    worked.clear()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


class Listening:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type[T]) -> list[T]:
        return [event for event in self.events if isinstance(event, kind)]


def test_a_step_leaves_an_artifact_with_its_metrics_and_no_checkpoints(store: Store) -> None:
    artifact = Engine(store, Path()).do(counting(4), {})

    assert artifact.read("sum.txt") == b"6"
    assert artifact.record.metrics == {"sum": 6.0}
    assert artifact.record.cost.bytes_written == 1
    assert not list(store.blobs.names(f"{artifact.prefix}/partial"))


def test_the_same_step_is_not_done_twice_and_says_why(store: Store) -> None:
    engine = Engine(store, Path(), [heard := Listening()])
    first = engine.do(counting(4), {})
    second = engine.do(counting(4), {})

    assert second.digest == first.digest
    assert worked == [0, 1, 2, 3]
    assert [event.cached for event in heard.of(StepFinished)] == [False, True]
    assert heard.of(StepFinished)[1].reason.startswith(f"same spec and inputs as {first.key[:12]}")


def test_a_killed_step_goes_on_from_its_checkpoint_to_the_same_bytes(store: Store) -> None:
    undisturbed = Engine(store, Path()).do(counting(6), {}).digest
    store.remove("count", next(store.artifacts()).key)
    worked.clear()

    stumble_at.add(3)
    with pytest.raises(StageError, match="stumbled over 3"):
        Engine(store, Path()).do(counting(6), {})
    stumble_at.clear()
    resumed = Engine(store, Path()).do(counting(6), {})

    assert worked == [0, 1, 2, 3, 4, 5]
    assert resumed.digest == undisturbed


@pytest.mark.parametrize(
    "other",
    [counting(5), counting(4, version=2), counting(4, name="other")],
    ids=["section", "version", "stage"],
)
def test_whatever_a_result_depends_on_changes_its_key(store: Store, other: Step) -> None:
    engine = Engine(store, Path())
    assert engine.do(counting(4), {}).key != engine.do(other, {}).key


def test_a_changed_input_changes_the_key_and_an_equal_one_does_not(store: Store) -> None:
    engine = Engine(store, Path())
    three, four = engine.do(counting(3), {}), engine.do(counting(4), {})
    after_three = engine.do(counting(2, "sum", 1, "count"), {"count": three})
    after_four = engine.do(counting(2, "sum", 1, "count"), {"count": four})

    assert after_three.key != after_four.key
    assert after_three.record.inputs["count"].digest == three.digest


def status_after(made: Artifact) -> RunStatus:
    return RunStatus(
        namespace="default",
        name="toy",
        uid="0",
        started=made.record.created,
        steps=(StepStatus(name="count", stage="count", key=made.key),),
    )


def test_a_step_that_is_done_again_names_the_field_that_changed(store: Store) -> None:
    before = Engine(store, Path()).do(counting(4), {})
    status = status_after(before)
    Engine(store, Path(), [heard := Listening()], previous=status).do(counting(5), {})

    assert heard.of(StepStarted)[0].reason == "upto: 4 → 5"


def test_events_tell_the_whole_story_in_order(store: Store) -> None:
    engine = Engine(store, Path(), [heard := Listening()])
    engine.do(counting(2), {})
    stumble_at.add(0)
    with pytest.raises(StageError):
        engine.do(counting(3), {})

    kinds = [type(event) for event in heard.events]
    assert kinds == [StepStarted, StepProgress, StepProgress, StepFinished, StepStarted, StepFailed]
    assert heard.of(StepFailed)[0].message == "stumbled over 0"


def test_a_damaged_file_is_never_used(store: Store) -> None:
    artifact = Engine(store, Path()).do(counting(4), {})
    path = Path(artifact.path("sum.txt"))
    path.write_bytes(b"7")

    found = store.find("count", artifact.key)
    assert found is not None
    with pytest.raises(
        DamagedArtifactError, match=r"sum\.txt: is damaged .*gptfl artifacts remove"
    ):
        found.read("sum.txt")


def test_a_stage_function_can_be_replaced_by_one_with_other_hands(store: Store) -> None:
    def by_others(
        section: Counting, inputs: Mapping[str, Artifact], workspace: Workspace
    ) -> dict[str, float]:
        workspace.write("sum.txt", b"6")
        return {"sum": 6.0}

    engine = Engine(store, Path(), functions={"count": by_others})

    assert engine.do(counting(4), {}).read("sum.txt") == b"6"
    assert worked == []


def test_what_another_process_has_made_is_taken(store: Store) -> None:
    made = Engine(store, Path()).do(counting(4), {})

    assert Engine(store, Path()).take(counting(4), {}).digest == made.digest


def of_a_file(name: str) -> Step:
    section = WithFile(seed=0, compute_threads=1, upto=4, source=f"file:{name}")
    return Step("count", section, (), __name__, 1)


def test_what_was_made_from_files_of_another_machine_is_taken_as_this_runs(
    store: Store, tmp_path: Path
) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    there.mkdir()
    here.mkdir()
    (there / "weights").write_bytes(b"known there alone")
    made = Engine(store, there).do(of_a_file("weights"), {})
    status = status_after(made)

    assert Engine(store, here, previous=status).take(of_a_file("weights"), {}).key == made.key
    (here / "weights").write_bytes(b"others, and to be seen")
    with pytest.raises(StageError, match="has not been done"):
        Engine(store, here, previous=status).take(of_a_file("weights"), {})
    with pytest.raises(StageError, match="has not been done"):
        Engine(store, here, previous=status).take(of_a_file("other"), {})


def test_what_nobody_has_made_cannot_be_taken(store: Store) -> None:
    with pytest.raises(StageError, match=r"count has not been done.*--only count"):
        Engine(store, Path()).take(counting(4), {})


def test_before_the_first_work_and_only_then_one_looks_around(store: Store) -> None:
    looks: list[str] = []
    engine = Engine(store, Path(), before_work=lambda: looks.append("look"))

    engine.do(counting(4), {})
    engine.do(counting(4), {})

    assert looks == ["look"]
