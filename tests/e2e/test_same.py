"""Same spec, same seed: same model, however it is computed; and nothing is computed twice."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small import small_run

import gptfl
from gptfl.store import Phase
from gptfl.telemetry.events import Event, StepFinished, StepStarted


def finished(events: list[Event]) -> dict[str, StepFinished]:
    return {event.step: event for event in events if isinstance(event, StepFinished)}


@pytest.mark.parametrize("workers", [1, 4])
def test_any_number_of_workers_draws_the_same_data_set(
    tmp_path: Path, undisturbed: gptfl.Result, workers: int
) -> None:
    result = gptfl.run(small_run(generation={"workers": workers}), store=str(tmp_path / "store"))

    for step, artifact in undisturbed.outcome.artifacts.items():
        assert result.outcome.artifacts[step].digest == artifact.digest


def test_an_unchanged_run_does_nothing_and_says_why(undisturbed: gptfl.Result) -> None:
    events: list[Event] = []
    store = undisturbed.outcome.model.uri.partition("/artifacts/")[0]
    again = gptfl.run(small_run(), store=store, listeners=[events.append])

    assert again.outcome.model.digest == undisturbed.outcome.model.digest
    assert not [event for event in events if isinstance(event, StepStarted)]
    for event in finished(events).values():
        assert event.cached
        assert event.reason.startswith("same spec and inputs")


def test_more_rounds_draw_and_pretrain_nothing_and_the_reason_names_the_field(
    undisturbed: gptfl.Result,
) -> None:
    events: list[Event] = []
    store = undisturbed.outcome.model.uri.partition("/artifacts/")[0]
    gptfl.run(small_run(federation={"rounds": 6}), store=store, listeners=[events.append])

    cached = {step for step, event in finished(events).items() if event.cached}
    assert cached == {"prompts", "generation", "pretraining"}
    reasons = {event.step: event.reason for event in events if isinstance(event, StepStarted)}
    assert reasons["federation"] == "federation.rounds: 5 → 6"
    assert reasons["evaluation"].startswith("new federation, ")


@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    seed=st.integers(0, 2**53 - 1),
    samples=st.integers(1, 5),
    shard=st.integers(1, 9),
    batch=st.integers(1, 6),
    per_round=st.integers(1, 3),
    strategy=st.sampled_from(["FedAvg", "FedProx", "FedYogi", "FedAvgM", "FedMedian"]),
    alpha=st.floats(0.05, 5),
)
def test_random_small_specs_run_to_their_end_and_repeat_to_the_bit(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    samples: int,
    shard: int,
    batch: int,
    per_round: int,
    strategy: str,
    alpha: float,
) -> None:
    run = small_run(
        seed=seed,
        generation={
            "samplesPerLabel": samples,
            "shardSize": shard,
            "batchSize": batch,
            "steps": 2,
            "filters": {"maximumDraws": 20},
        },
        pretraining={"epochs": 1},
        federation={
            "rounds": 2,
            "clientsPerRound": per_round,
            "strategy": {"name": strategy},
            "simulation": {
                "dataset": {"uri": "sklearn://digits", "split": "train[:5%]"},
                "clients": 3,
                "partitioner": {"kind": "Dirichlet", "alpha": alpha},
            },
        },
        evaluation={"baselines": ["SyntheticOnly"]},
    )
    first, second = (
        gptfl.run(run, store=str(tmp_path_factory.mktemp("random") / "store")) for _ in range(2)
    )
    assert 0 <= first.accuracy <= 1
    assert first.outcome.model.digest == second.outcome.model.digest


def test_stage_by_stage_in_any_process_it_is_the_same_run(
    undisturbed: gptfl.Result, tmp_path: Path
) -> None:
    store = str(tmp_path / "store")
    stages = ("prompts", "generation", "pretraining", "federation", "evaluation", "serving")

    statuses = [gptfl.run_stage(small_run(), stage, store=store) for stage in stages]

    assert {step.name: step.digest for step in statuses[-1].steps} == {
        step.name: step.digest for step in undisturbed.status.steps
    }
    assert [status.phase for status in statuses] == [Phase.RUNNING] * 5 + [Phase.SUCCEEDED]
    assert statuses[-1].report is not None
    assert all(step.cached for step in gptfl.run(small_run(), store=store).status.steps)
