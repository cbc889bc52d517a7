"""Deals a public data set out to made-up clients, so that a run can be tried before real ones."""

import contextlib
import io
import warnings
from collections.abc import Callable

import datasets
import numpy as np
from flwr_datasets.partitioner import (
    DirichletPartitioner,
    IidPartitioner,
    NaturalIdPartitioner,
    Partitioner,
    PathologicalPartitioner,
    ShardPartitioner,
)
from numpy.typing import NDArray

from gptfl.data.load import LabelledDataset
from gptfl.errors import SpecError
from gptfl.seeds import derive_seed
from gptfl.spec.data import PartitionerKind
from gptfl.spec.federation import SimulationSpec

FIELD = "spec.federation.simulation"

DIRICHLET_DRAWS = 20
"""Times ten draws (flwr-datasets' own limit) before a minimum size is called out of reach."""

Indices = NDArray[np.int64]


def partition(dataset: LabelledDataset, simulation: SimulationSpec, seed: int) -> list[Indices]:
    """The positions in `dataset` of each client's samples, by client; only positions are held.

    The same seed gives the same parts. No sample belongs to two clients. Raises SpecError when
    what is asked for cannot be had of these data.
    """
    _check(dataset, simulation)
    return _DEALERS[simulation.partitioner.kind](dataset, simulation, seed)


def _check(dataset: LabelledDataset, simulation: SimulationSpec) -> None:
    """What can be said before anything is drawn."""
    clients, spec, samples = simulation.clients, simulation.partitioner, len(dataset)
    if clients > samples:
        raise SpecError.of(
            f"{FIELD}.clients",
            f"{clients} is more than the {samples} samples of the data set; use 1 to {samples}",
        )
    if spec.kind is PartitionerKind.DIRICHLET and spec.minimum_size * clients > samples:
        raise SpecError.of(
            f"{FIELD}.partitioner.minimumSize",
            f"{clients} clients with {spec.minimum_size} samples each need "
            f"{spec.minimum_size * clients}, and there are {samples}; "
            f"use at most {samples // clients}",
        )
    present = int((dataset.label_counts > 0).sum())
    if spec.kind is PartitionerKind.PATHOLOGICAL and spec.classes_per_client > present:
        raise SpecError.of(
            f"{FIELD}.partitioner.classesPerClient",
            f"{spec.classes_per_client} is more than the {present} labels that occur in the "
            f"data set; use 1 to {present}",
        )
    if spec.kind is PartitionerKind.SHARDS and spec.shards_per_client * clients > samples:
        raise SpecError.of(
            f"{FIELD}.partitioner.shardsPerClient",
            f"{clients} clients with {spec.shards_per_client} shards each need "
            f"{spec.shards_per_client * clients} samples, and there are {samples}; "
            f"use at most {samples // clients}",
        )


def _dealt(
    partitioner: Partitioner,
    labels: NDArray[np.generic],
    clients: int,
    order: Indices | None = None,
) -> list[Indices]:
    """Each client's positions by a partitioner of flwr-datasets, through its public interface."""
    positions = np.arange(len(labels)) if order is None else order
    partitioner.dataset = datasets.Dataset.from_dict(
        {"position": positions, "label": labels[positions]}
    )
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        # flwr-datasets warns of each draw it throws away and shows a bar of its own.
        warnings.simplefilter("ignore")
        return [
            np.asarray(partitioner.load_partition(client)["position"], dtype=np.int64)
            for client in range(clients)
        ]


def _iid(dataset: LabelledDataset, simulation: SimulationSpec, seed: int) -> list[Indices]:
    # IidPartitioner cuts without shuffling, and files often lie sorted by label.
    order = np.random.default_rng(seed).permutation(len(dataset))
    partitioner = IidPartitioner(simulation.clients)
    return _dealt(partitioner, dataset.labels, simulation.clients, order)


def _dirichlet(dataset: LabelledDataset, simulation: SimulationSpec, seed: int) -> list[Indices]:
    spec, clients = simulation.partitioner, simulation.clients
    for draw in range(DIRICHLET_DRAWS):
        partitioner = DirichletPartitioner(
            clients,
            "label",
            spec.alpha,
            min_partition_size=spec.minimum_size,
            seed=derive_seed(seed, draw),
        )
        # ValueError is how it says that its draws have been used up.
        with contextlib.suppress(ValueError):
            return _dealt(partitioner, dataset.labels, clients)
    raise SpecError.of(
        f"{FIELD}.partitioner.minimumSize",
        f"{10 * DIRICHLET_DRAWS} draws with alpha {spec.alpha:g} never gave each of {clients} "
        f"clients {spec.minimum_size} of {len(dataset)} samples; use a smaller minimumSize, "
        "fewer clients or a larger alpha",
    )


def _pathological(dataset: LabelledDataset, simulation: SimulationSpec, seed: int) -> list[Indices]:
    spec, clients = simulation.partitioner, simulation.clients
    partitioner = PathologicalPartitioner(
        clients, "label", spec.classes_per_client, "first-deterministic", seed=seed
    )
    try:
        return _dealt(partitioner, dataset.labels, clients)
    except ValueError as error:
        raise SpecError.of(
            f"{FIELD}.partitioner.classesPerClient",
            f"{clients} clients with {spec.classes_per_client} labels each need more samples of a "
            "label than there are; use fewer clients or fewer classesPerClient",
        ) from error


def _shards(dataset: LabelledDataset, simulation: SimulationSpec, seed: int) -> list[Indices]:
    per_client = simulation.partitioner.shards_per_client
    partitioner = ShardPartitioner(simulation.clients, "label", per_client, seed=seed)
    return _dealt(partitioner, dataset.labels, simulation.clients)


def _natural(dataset: LabelledDataset, simulation: SimulationSpec, seed: int) -> list[Indices]:
    del seed  # nothing is drawn
    values = _natural_ids(dataset, simulation.partitioner.column)
    parts = len(set(values.tolist()))
    if parts != simulation.clients:
        raise SpecError.of(
            f"{FIELD}.clients",
            f"is {simulation.clients}, and column {simulation.partitioner.column!r} has {parts} "
            f"different values; write {parts}",
        )
    return _dealt(NaturalIdPartitioner("label"), values, parts)


def _natural_ids(dataset: LabelledDataset, column: str | None) -> NDArray[np.generic]:
    columns = [name for name in dataset.hf.column_names if name != dataset.sample_column]
    if column not in dataset.hf.column_names:
        what = "is not set" if column is None else f"{column!r} is not a column of the data set"
        raise SpecError.of(
            f"{FIELD}.partitioner.column", f"{what}; the columns are {', '.join(columns)}"
        )
    values = np.asarray(dataset.hf[column][:])
    if values.ndim != 1 or values.dtype == object:
        raise SpecError.of(
            f"{FIELD}.partitioner.column",
            f"column {column!r} has gaps or values that are neither numbers nor text; "
            "name one that says whose a sample is",
        )
    return values


_DEALERS: dict[PartitionerKind, Callable[[LabelledDataset, SimulationSpec, int], list[Indices]]] = {
    PartitionerKind.IID: _iid,
    PartitionerKind.DIRICHLET: _dirichlet,
    PartitionerKind.PATHOLOGICAL: _pathological,
    PartitionerKind.SHARDS: _shards,
    PartitionerKind.NATURAL: _natural,
}
