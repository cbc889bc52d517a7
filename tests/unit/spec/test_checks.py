"""Fields that contradict each other are found before any work, each with what to do."""

from typing import Any

import pytest
from spec_runs import CLIENTS, REMOVED, changed

from gptfl.errors import SpecError
from gptfl.spec.load import parse_run

PARTITIONER = "federation__simulation__partitioner"


def simulated(**partitioner: Any) -> dict[str, Any]:
    return changed(**{f"{PARTITIONER}__{name}": value for name, value in partitioner.items()})


def strategy(**options: Any) -> dict[str, Any]:
    return changed(**{f"federation__strategy__{name}": value for name, value in options.items()})


def agreement(**options: Any) -> dict[str, Any]:
    return changed(generation__filters__agreement=options)


WRONG = [
    (changed(task__labels=["cat", "dog", "Cat "]),
     "spec.task.labels[2]: 'Cat' is the same as labels[0] 'cat'; use each label once"),
    (changed(task__labels=["big  cat", "BIG CAT"]),
     "spec.task.labels[1]: 'BIG CAT' is the same as labels[0] 'big  cat'; use each label once"),
    (changed(task__image__channels=2),
     "spec.task.image.channels: 2 is no image; use 1 (grey) or 3 (RGB)"),
    (changed(prompts__templates=["a photo"]),
     "spec.prompts.templates[0]: 'a photo' lacks {label}; say where the label goes"),
    (changed(prompts__templates=["a {label}", "a {size} {label}"]),
     "spec.prompts.templates[1]: 'a {size} {label}' names {size}; use {label}"),
    (changed(prompts__templates=["a {label"]),
     "spec.prompts.templates[0]: 'a {label' has a brace without its partner; "
     "write {{ for a brace itself"),
    (changed(prompts__templates=["a {label:>9}"]),
     "spec.prompts.templates[0]: 'a {label:>9}' names {label}; use {label}"),
    (changed(prompts__templates=[]),
     "spec.prompts.templates: is empty; give a template such as 'a photo of a {label}'"),
    (changed(prompts__languageModel={"source": "hf://a/b", "instruction": "Write."}),
     "spec.prompts.languageModel.instruction: 'Write.' lacks {label}; say where the label goes"),
    (changed(prompts__attributes=[{"name": "label", "values": ["x"]}]),
     "spec.prompts.attributes[0].name: 'label' stands for the label itself; use another name"),
    (changed(prompts__attributes=[{"name": "size", "values": ["x"]}] * 2),
     "spec.prompts.attributes[1].name: 'size' is used twice; give each attribute its own"),
    (changed(generation__guidance={"minimum": 6}),
     "spec.generation.guidance.minimum: 6 is more than the maximum 5; "
     "lower it or raise the maximum"),
    (changed(generation__generator={"precision": "Float16", "device": "Cpu"}),
     "spec.generation.generator.precision: Float16 does not run on Cpu; "
     "use Float32, BFloat16 or Cuda"),
    (changed(pretraining={"precision": "Float16", "device": "Cpu"}),
     "spec.pretraining.precision: Float16 does not run on Cpu; use Float32, BFloat16 or Cuda"),
    (agreement(scorer="Clip"),
     "spec.generation.filters.agreement.source: is missing; Clip needs it"),
    (agreement(scorer="Custom"),
     "spec.generation.filters.agreement.function: is missing; Custom needs it"),
    (agreement(source="hf://a/b"),
     "spec.generation.filters.agreement.source: does nothing for CrossFit; "
     "drop it or set scorer: Clip"),
    (changed(federation__clients=CLIENTS),
     "spec.federation.simulation: stands beside spec.federation.clients; keep one of the two"),
    (changed(federation__simulation=REMOVED),
     "spec.federation: has no clients; set simulation (made-up clients) or clients (real ones)"),
    (changed(federation__simulation=REMOVED, federation__clients=[*CLIENTS, CLIENTS[0]]),
     "spec.federation.clients[3].name: 'north' is also the name of clients[0]; give each its own"),
    (changed(federation__clientsPerRound=12),
     "spec.federation.clientsPerRound: 12 is more than the 10 clients of "
     "spec.federation.simulation; use 1 to 10"),
    (changed(federation__minimumReplies=11),
     "spec.federation.minimumReplies: 11 is more than the 10 clients of a round "
     "(spec.federation.simulation); use 1 to 10"),
    (changed(federation__clientsPerRound=1, federation__minimumReplies=2),
     "spec.federation.minimumReplies: 2 is more than the 1 client of a round "
     "(spec.federation.clientsPerRound); use 1"),
    (strategy(name="Custom"),
     "spec.federation.strategy.function: is missing; Custom needs it"),
    (strategy(function="mine:best"),
     "spec.federation.strategy.function: is an option of Custom and does nothing for FedAvg; "
     "drop it or set name: Custom"),
    (strategy(name="FedAvgM", tau=0.5),
     "spec.federation.strategy.tau: is an option of FedAdam or FedYogi and does nothing for "
     "FedAvgM; drop it or set name: FedAdam"),
    (strategy(name="Krum", maliciousClients=4),
     "spec.federation.strategy.maliciousClients: 4 of 10 clients a round is too many for Krum, "
     "which needs twice as many and three more; use at most 3"),
    (simulated(kind="Natural"),
     "spec.federation.simulation.partitioner.column: is missing; Natural needs the column whose "
     "values are the clients"),
    (simulated(kind="Iid", alpha=0.1),
     "spec.federation.simulation.partitioner.alpha: is an option of Dirichlet and does nothing "
     "for Iid; drop it or set kind: Dirichlet"),
    (simulated(kind="Pathological", classesPerClient=3),
     "spec.federation.simulation.partitioner.classesPerClient: 3 is more than the 2 labels of "
     "spec.task.labels; use 1 to 2"),
    (changed(evaluation__baselines=["FromScratch", "FromScratch"]),
     "spec.evaluation.baselines: FromScratch stands here 2 times; name it once"),
    (changed(evaluation__baselines=["PublicCheckpoint"]),
     "spec.evaluation.baselines[0]: PublicCheckpoint needs weights; "
     "set spec.pretraining.model.publicWeights or drop it"),
    (changed(federation={"clients": CLIENTS}, evaluation__baselines=["Centralised"]),
     "spec.evaluation.baselines[0]: Centralised needs all data in one place, which only "
     "spec.federation.simulation has; drop it"),
    (changed(evaluation__dataset={"uri": "sklearn://digits"}),
     "spec.evaluation.dataset: is the same data as spec.federation.simulation.dataset "
     "(sklearn://digits, train), so the accuracy would mean nothing; "
     "use another split or data set"),
    (changed(generation__generator__source="s3://bucket/model"),
     "spec.generation.generator.source: 's3://bucket/model' is of no known kind; "
     "use builtin://… or hf://… or file://… or a path"),
    (changed(evaluation__dataset__uri="http://example.org/x.csv"),
     "spec.evaluation.dataset.uri: 'http://example.org/x.csv' is of no known kind; "
     "use sklearn://… or hf://… or file://… or a path"),
]  # fmt: skip


@pytest.mark.parametrize(("run", "line"), WRONG, ids=[line[:60] for _, line in WRONG])
def test_each_contradiction_is_one_line(run: dict[str, Any], line: str) -> None:
    with pytest.raises(SpecError) as raised:
        parse_run(run)

    assert str(raised.value) == line


RIGHT = [
    changed(prompts={"templates": ["a {size} {label}, {{really}}"],
                     "attributes": [{"name": "size", "values": ["big", ""]}]}),
    changed(prompts={"templates": [], "languageModel": {"source": "hf://a/b"}}),
    changed(generation__generator={"precision": "Float16", "device": "Auto"}),
    changed(federation={"clients": CLIENTS}, evaluation__baselines=["FromScratch"]),
    changed(federation__clientsPerRound=10, federation__minimumReplies=10),
    strategy(name="Custom", function="mine:best", trimFraction=0.1),
    strategy(name="Krum", maliciousClients=3),
    strategy(trimFraction=0.2),
    simulated(kind="Natural", column="writer"),
    simulated(kind="Pathological", classesPerClient=2),
    changed(evaluation__baselines=["PublicCheckpoint"], pretraining__model__publicWeights="w"),
    agreement(scorer="Clip", source="hf://a/b"),
]  # fmt: skip


@pytest.mark.parametrize("run", RIGHT)
def test_what_makes_sense_is_let_through(run: dict[str, Any]) -> None:
    parse_run(run)


def test_contradictions_are_reported_together() -> None:
    wrong = changed(task__labels=["a", "A"], federation__clientsPerRound=99)

    with pytest.raises(SpecError) as raised:
        parse_run(wrong)

    assert [problem.path for problem in raised.value.problems] == [
        "spec.task.labels[1]",
        "spec.federation.clientsPerRound",
    ]
