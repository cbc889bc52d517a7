"""A public data set is dealt out to clients: all by the seed, nothing twice, or a clear refusal."""

from pathlib import Path

import datasets
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptfl.data.load import LabelledDataset
from gptfl.data.partition import partition
from gptfl.errors import SpecError
from gptfl.spec.data import DatasetSpec, PartitionerKind, PartitionerSpec
from gptfl.spec.federation import SimulationSpec

DRAWN = [kind for kind in PartitionerKind if kind is not PartitionerKind.NATURAL]


def labelled(labels: list[int], classes: int, **columns: list[object]) -> LabelledDataset:
    """A data set of which only labels and extra columns matter."""
    rows = datasets.Dataset.from_dict({"image": [""] * len(labels), "label": labels, **columns})
    names = tuple(f"label {number}" for number in range(classes))
    array = np.asarray(labels, dtype=np.int64)
    return LabelledDataset(rows, "image", array, names, Path(), "spec.evaluation.dataset")


def simulation(clients: int, **partitioner: object) -> SimulationSpec:
    return SimulationSpec(
        dataset=DatasetSpec(uri="unused"),
        clients=clients,
        partitioner=PartitionerSpec.model_validate(partitioner),
    )


TEN_EACH = labelled([number % 5 for number in range(50)], classes=5)


@pytest.mark.parametrize("kind", DRAWN)
def test_the_seed_decides(kind: PartitionerKind) -> None:
    spec = simulation(5, kind=kind)
    first, again, other = (partition(TEN_EACH, spec, seed) for seed in (1, 1, 2))
    assert [part.tolist() for part in first] == [part.tolist() for part in again]
    assert [part.tolist() for part in first] != [part.tolist() for part in other]


@pytest.mark.parametrize("kind", DRAWN)
def test_no_sample_belongs_to_two_clients_and_none_is_lost(kind: PartitionerKind) -> None:
    dealt = np.concatenate(partition(TEN_EACH, simulation(5, kind=kind), seed=3))
    assert sorted(dealt.tolist()) == list(range(50))


@settings(max_examples=30, deadline=None)
@given(
    labels=st.lists(st.integers(0, 3), min_size=12, max_size=60),
    clients=st.integers(1, 6),
    alpha=st.sampled_from([0.05, 0.5, 100.0]),
    seed=st.integers(0, 2**53 - 1),
)
def test_dirichlet_gives_everybody_something(
    labels: list[int], clients: int, alpha: float, seed: int
) -> None:
    spec = simulation(clients, kind="Dirichlet", alpha=alpha, minimumSize=0)
    parts = partition(labelled(labels, classes=4), spec, seed)
    assert len(parts) == clients
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(labels)))


def test_iid_mixes_what_lies_sorted() -> None:
    in_order = labelled(sorted(number % 5 for number in range(500)), classes=5)
    for part in partition(in_order, simulation(5, kind="Iid"), seed=0):
        assert len(part) == 100
        assert set(in_order.labels[part].tolist()) == {0, 1, 2, 3, 4}


def test_the_smaller_alpha_the_fewer_clients_share_a_label() -> None:
    def most(alpha: float) -> int:
        """Samples that lie with the client that has most of their label."""
        parts = partition(TEN_EACH, simulation(3, kind="Dirichlet", alpha=alpha), seed=0)
        counts = np.stack([np.bincount(TEN_EACH.labels[part], minlength=5) for part in parts])
        return int(counts.max(0).sum())

    assert most(0.01) > most(1.0) > most(1000.0)


def test_dirichlet_keeps_its_minimum() -> None:
    spec = simulation(5, kind="Dirichlet", alpha=0.3, minimumSize=4)
    assert min(len(part) for part in partition(TEN_EACH, spec, seed=1)) >= 4


def test_pathological_clients_see_so_many_labels() -> None:
    parts = partition(TEN_EACH, simulation(5, kind="Pathological", classesPerClient=2), seed=0)
    assert all(len(set(TEN_EACH.labels[part].tolist())) == 2 for part in parts)


def test_a_client_may_have_one_class_and_two_samples() -> None:
    pairs = labelled([0, 0, 1, 1, 2, 2], classes=3)
    parts = partition(pairs, simulation(3, kind="Pathological", classesPerClient=1), seed=0)
    assert sorted(len(part) for part in parts) == [2, 2, 2]


def test_natural_clients_are_the_values_of_a_column_in_their_order() -> None:
    speakers = labelled([0, 1, 0, 1], classes=2, speaker=["bo", "al", "bo", "al"])
    parts = partition(speakers, simulation(2, kind="Natural", column="speaker"), seed=0)
    assert [part.tolist() for part in parts] == [[1, 3], [0, 2]]


def test_a_thousand_clients_are_positions_only() -> None:
    many = labelled([number % 10 for number in range(5000)], classes=10)
    parts = partition(many, simulation(1000, kind="Iid"), seed=0)
    assert {(part.dtype, len(part)) for part in parts} == {(np.dtype(np.int64), 5)}


@pytest.mark.parametrize(
    ("clients", "partitioner", "path", "advice"),
    [
        (51, {"kind": "Iid"}, "clients", "51 is more than the 50 samples"),
        (10, {"minimumSize": 6}, "partitioner.minimumSize", "use at most 5"),
        (10, {"minimumSize": 5, "alpha": 0.01}, "partitioner.minimumSize", "larger alpha"),
        (
            5,
            {"kind": "Pathological", "classesPerClient": 6},
            "partitioner.classesPerClient",
            "use 1 to 5",
        ),
        (
            40,
            {"kind": "Pathological", "classesPerClient": 5},
            "partitioner.classesPerClient",
            "fewer clients",
        ),
        (
            10,
            {"kind": "Shards", "shardsPerClient": 6},
            "partitioner.shardsPerClient",
            "use at most 5",
        ),
        (2, {"kind": "Natural"}, "partitioner.column", "is not set; the columns are label"),
        (
            2,
            {"kind": "Natural", "column": "speker"},
            "partitioner.column",
            "'speker' is not a column",
        ),
        (3, {"kind": "Natural", "column": "label"}, "clients", "5 different values; write 5"),
    ],
)
def test_what_cannot_be_dealt_is_refused(
    clients: int, partitioner: dict[str, object], path: str, advice: str
) -> None:
    with pytest.raises(SpecError, match=advice) as caught:
        partition(TEN_EACH, simulation(clients, **partitioner), seed=0)
    assert [problem.path for problem in caught.value.problems] == [
        f"spec.federation.simulation.{path}"
    ]


def test_a_column_with_gaps_says_nothing_of_whose_a_sample_is() -> None:
    gaps = labelled([0, 1], classes=2, speaker=["al", None])
    with pytest.raises(SpecError, match="has gaps"):
        partition(gaps, simulation(2, kind="Natural", column="speaker"), seed=0)
