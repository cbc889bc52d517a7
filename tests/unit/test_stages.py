"""The plan of a run: which steps there are, what each reads, and what a change makes stale."""

from typing import Any

import pytest

from gptfl.spec.base import canonical_json
from gptfl.spec.run import GPTFLRun
from gptfl.stages import Step, plan


def a_run(**changes: Any) -> GPTFLRun:
    """A small valid run; `changes` are dotted paths with `__` for the dots."""
    spec: dict[str, Any] = {
        "task": {"labels": ["zero", "one"], "image": {"channels": 1, "height": 8, "width": 8}},
        "federation": {"rounds": 2, "simulation": {"dataset": {"uri": "sklearn://digits"}}},
        "evaluation": {
            "dataset": {"uri": "sklearn://digits", "split": "train[80%:]"},
            "baselines": ["FromScratch", "SyntheticOnly", "Centralised"],
        },
        "prompts": {},
        "generation": {"filters": {}},
        "pretraining": {"optimizer": {}},
        "serving": {},
    }
    for path, value in changes.items():
        *parents, leaf = path.split("__")
        place = spec
        for parent in parents:
            place = place[parent]
        place[leaf] = value
    return GPTFLRun.model_validate({"metadata": {"name": "toy"}, "spec": spec})


def by_name(run: GPTFLRun) -> dict[str, Step]:
    return {step.name: step for step in plan(run)}


def test_the_steps_stand_in_order_after_their_inputs() -> None:
    steps = plan(a_run())

    assert [step.name for step in steps] == [
        "prompts",
        "generation",
        "pretraining",
        "federation",
        "federation/from-scratch",
        "federation/centralised",
        "evaluation",
        "serving",
    ]
    done: set[str] = set()
    for step in steps:
        assert set(step.inputs) <= done
        done.add(step.name)


def test_a_control_from_scratch_does_not_wait_for_synthetic_data() -> None:
    assert by_name(a_run())["federation/from-scratch"].inputs == ()


@pytest.mark.parametrize(
    ("change", "stale"),
    [
        ({"federation__rounds": 3}, {"federation", "federation/from-scratch"}),
        ({"generation__samplesPerLabel": 7}, {"generation"}),
        ({"generation__workers": 7}, set()),
        ({"prompts__perLabel": 7}, {"prompts"}),
        ({"pretraining__epochs": 7}, {"pretraining"}),
        ({"serving__name": "other"}, set()),
        ({"evaluation__gate": {"minimum": 0.5}}, {"evaluation"}),
        ({"task__image": {"channels": 3}}, {"pretraining", "federation", "evaluation", "serving"}),
        (
            {"seed": 1},
            {"prompts", "generation", "pretraining", "federation", "evaluation", "serving"},
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) and value else None,
)
def test_a_change_makes_stale_what_reads_it_and_nothing_else(
    change: dict[str, Any], stale: set[str]
) -> None:
    before, after = by_name(a_run()), by_name(a_run(**change))
    changed = {
        name
        for name, step in after.items()
        if canonical_json(step.section) != canonical_json(before[name].section)
    }
    controls = {name for name in changed if "/" in name}
    assert changed - controls == {name for name in stale if "/" not in name}
    assert bool(controls) == ("federation" in stale)


def test_defaults_and_their_explicit_values_are_the_same_spec() -> None:
    explicit = a_run(generation__samplesPerLabel=200, pretraining__epochs=20)
    assert canonical_json(explicit.spec) == canonical_json(a_run().spec)
