"""A wrong field gives one line: its path in the file, what it is, what it may be, what to do."""

from pathlib import Path
from typing import Any

import pytest
from spec_runs import REMOVED, RIGHT, changed

from gptfl.errors import SpecError
from gptfl.spec.load import dump_run, load_run, parse_run

WRONG = [
    (changed(seed="3"),
     "spec.seed: '3' is a text; use a whole number from 0 to 9007199254740991"),
    (changed(seed=True),
     "spec.seed: true is a yes or no; use a whole number from 0 to 9007199254740991"),
    (changed(seed=1.5),
     "spec.seed: 1.5 is a number; use a whole number from 0 to 9007199254740991"),
    (changed(federation__rounds=0),
     "spec.federation.rounds: 0 is out of range; use a whole number from 1 to 100000"),
    (changed(federation__rounds=[1, 2]),
     "spec.federation.rounds: [1, 2] is a list; use a whole number from 1 to 100000"),
    (changed(federation__local__optimizer__learningRate=0),
     "spec.federation.local.optimizer.learningRate: 0 is out of range; "
     "use a number above 0 and up to 10"),
    (changed(federation__local__optimizer__momentum=1),
     "spec.federation.local.optimizer.momentum: 1 is out of range; "
     "use a number from 0 and below 1"),
    (changed(pretraining__optimizer__learningRate=float("nan")),
     "spec.pretraining.optimizer.learningRate: NaN is not finite; "
     "use a number above 0 and up to 10"),
    (changed(pretraining__schedule="cosine"),
     "spec.pretraining.schedule: 'cosine' is not known; use Constant or Cosine; "
     "did you mean Cosine?"),
    (changed(federation__strategy__name="FedAverage"),
     "spec.federation.strategy.name: 'FedAverage' is not known; use FedAvg, FedProx, FedAdam, "
     "FedYogi, FedAvgM, FedMedian, FedTrimmedAvg, Krum or Custom; did you mean FedAvg?"),
    (changed(task__labels=["cat", 3]),
     "spec.task.labels[1]: 3 is not a text (put it in quotes if it is meant); "
     "use a text of 1 to 200 characters"),
    (changed(task__labels=["cat"]),
     """spec.task.labels: ["cat"] has 1 entry; use a list of 2 to 1000 entries, """
     "each a text of 1 to 200 characters"),
    (changed(task__labels="cat, dog"),
     "spec.task.labels: 'cat, dog' is a text; use a list of 2 to 1000 entries, "
     "each a text of 1 to 200 characters"),
    (changed(task__labels=["cat", "d" * 201]),
     f"spec.task.labels[1]: '{'d' * 58}… is too long; use a text of 1 to 200 characters"),
    (changed(task__labels=REMOVED),
     "spec.task.labels: is missing; write labels: [cat, dog]"),
    (changed(evaluation__dataset=REMOVED),
     "spec.evaluation.dataset: is missing; write dataset: {uri: sklearn://digits}"),
    (changed(prompts=None),
     "spec.prompts: is empty; write a section with the fields perLabel, templates, attributes, "
     "languageModel, template, or leave it out"),
    (changed(evaluation=None),
     "spec.evaluation: is empty; write a section with the fields dataset, baselines, gate, "
     "template"),
    (changed(federation__clientPerRound=3),
     "spec.federation.clientPerRound: is not a field; did you mean clientsPerRound?"),
    (changed(federation__clients_per_round=3),
     "spec.federation.clients_per_round: is not a field; did you mean clientsPerRound?"),
    (changed(rounds=3),
     "spec.rounds: is not a field here; it belongs to spec.federation.rounds"),
    (changed(task__image__depth=3),
     "spec.task.image.depth: is not a field; spec.task.image has channels, height, width"),
    (changed(metadata__name="My Pets"),
     "metadata.name: 'My Pets' has the wrong form; use lower-case letters, digits and '-', "
     "with a letter or digit at both ends, at most 52 characters"),
    (changed(metadata__name=REMOVED),
     "metadata.name: is missing; write name: digits"),
    (changed(generation__filters__agreement={"scorer": "Custom", "function": "f"}),
     "spec.generation.filters.agreement.function: 'f' has the wrong form; use module:function"),
    (changed(evaluation__dataset__labelMap={"0": 1}),
     "spec.evaluation.dataset.labelMap.0: 1 is not a text (put it in quotes if it is meant); "
     "use a text"),
    (RIGHT | {"apiVersion": "gptfl.io/v1"},
     "apiVersion: 'gptfl.io/v1' is not known; write apiVersion: gptfl.io/v1alpha1"),
    ({key: RIGHT[key] for key in RIGHT if key != "apiVersion"},
     "apiVersion: is missing; write apiVersion: gptfl.io/v1alpha1"),
    (RIGHT | {"kind": "Pod"}, "kind: 'Pod' is not known; write kind: GPTFLRun"),
    (RIGHT | {"state": 1},
     "state: is not a field; a GPTFLRun has apiVersion, kind, metadata, spec"),
]  # fmt: skip


@pytest.mark.parametrize(("run", "line"), WRONG, ids=[line.split(":")[0] for _, line in WRONG])
def test_each_fault_is_one_line(run: dict[str, Any], line: str) -> None:
    with pytest.raises(SpecError) as raised:
        parse_run(run)

    assert str(raised.value) == line


def test_all_faults_are_reported_at_once() -> None:
    with pytest.raises(SpecError) as raised:
        parse_run(changed(seed=-1, task__labels=[], federation__rouds=3))

    paths = [problem.path for problem in raised.value.problems]
    assert paths == ["spec.seed", "spec.task.labels", "spec.federation.rouds"]


def test_what_kubernetes_writes_into_metadata_is_let_through() -> None:
    run = parse_run(changed(metadata__labels={"team": "a"}, metadata__uid="1"))

    assert run.metadata.name == "pets"


def test_a_file_that_came_from_a_cluster_may_bring_its_status() -> None:
    assert parse_run(RIGHT | {"status": {"phase": "Running"}}) == parse_run(RIGHT)


def test_a_text_that_is_no_run_is_refused() -> None:
    for text in ("", "- a", "just words"):
        with pytest.raises(SpecError, match=r"^run: is no GPTFLRun; begin with apiVersion"):
            parse_run(text)


def test_a_client_optimiser_keeps_its_own_defaults_when_one_is_set() -> None:
    run = parse_run(changed(federation__local__optimizer={"learningRate": 0.1}))

    optimizer = run.spec.federation.local.optimizer
    assert (optimizer.name, optimizer.learning_rate, optimizer.weight_decay) == ("Sgd", 0.1, 0.0)


def test_null_switches_a_filter_off_and_survives_the_dump() -> None:
    run = parse_run(changed(generation__filters={"blank": None}))

    assert run.spec.generation.filters.blank is None
    assert parse_run(dump_run(run)) == run


def test_a_dump_names_every_default_and_loads_to_the_same_run(tmp_path: Path) -> None:
    run = parse_run(RIGHT)
    path = tmp_path / "frozen.yaml"
    path.write_text(dump_run(run), encoding="utf-8")

    assert "clients: 10" in dump_run(run)
    assert "null" not in dump_run(run)
    assert load_run(path) == run
    assert dump_run(load_run(path)) == dump_run(run)


def test_the_examples_load() -> None:
    examples = Path(__file__).parents[3] / "examples"
    found = [load_run(path) for path in sorted(examples.rglob("*.yaml"))]

    assert "digits" in {run.metadata.name for run in found}
