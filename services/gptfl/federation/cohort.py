"""The clients of a federation on one machine, and what each holds of the images in memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gptfl.data.check import data_of
from gptfl.data.images import ImageSet
from gptfl.data.load import open_dataset
from gptfl.data.partition import partition
from gptfl.federation.remote import client_names
from gptfl.seeds import derive_seed
from gptfl.spec.federation import ClientSpec, SimulationSpec
from gptfl.spec.sections import FederationSection, Pooling
from gptfl.spec.task import TaskSpec

POOLED = "pooled"
"""The name of the one client that holds all data in the control `Centralised`."""


@dataclass(frozen=True)
class Share:
    """A part of a data set that several clients hold together in memory."""

    name: str
    pool: ImageSet
    indices: NDArray[np.int64] | None = None
    """Positions in `pool`; None is all of it."""
    tells_labels: bool = True
    """Whether others may know how many samples it has of each label."""

    def __len__(self) -> int:
        return len(self.pool) if self.indices is None else len(self.indices)

    def samples(self) -> ImageSet:
        return self.pool if self.indices is None else self.pool.take(self.indices)

    def labels(self) -> NDArray[np.int64]:
        """[N], positions in the task's labels"""
        labels: NDArray[Any] = self.pool.labels.numpy()
        return labels if self.indices is None else labels[self.indices]

    def label_counts(self, classes: int) -> list[int] | None:
        """Samples of each of `classes` labels, if others may know."""
        if not self.tells_labels:
            return None
        counts: list[int] = np.bincount(self.labels(), minlength=classes).tolist()
        return counts


def make_clients(section: FederationSection, folder: Path) -> list[Share]:
    """The clients and what they hold, decoded once; Centralised pools them into one.

    `folder` is where relative paths start.
    """
    federation = section.federation
    if federation.simulation is not None:
        names = client_names(federation)
        clients = simulated_clients(
            federation.simulation, names, section.task, section.seed, folder
        )
    else:
        clients = _named(section, federation.clients or [], folder)
    return [_pooled(clients)] if section.pooling is Pooling.CENTRALISED else clients


def simulated_clients(
    simulation: SimulationSpec, names: Sequence[str], task: TaskSpec, seed: int, folder: Path
) -> list[Share]:
    """Clients that share one set of images and hold positions in it; `seed` is the run's."""
    field = "spec.federation.simulation.dataset"
    dataset = open_dataset(simulation.dataset, task.labels, folder, field=field)
    parts = partition(dataset, simulation, derive_seed(seed, "federation", "partition"))
    pool = dataset.images(task.image)
    return [Share(name, pool, part) for name, part in zip(names, parts, strict=True)]


def _named(section: FederationSection, clients: Sequence[ClientSpec], folder: Path) -> list[Share]:
    """Parties with data sets of their own; all are opened before the first is decoded."""
    opened = []
    for index, client in enumerate(clients):
        field = f"spec.federation.clients[{index}].data"
        data = data_of(client, field)
        opened.append((client.name, open_dataset(data, section.task.labels, folder, field=field)))
    return [Share(name, dataset.images(section.task.image)) for name, dataset in opened]


def _pooled(clients: list[Share]) -> Share:
    pools = [client.pool for client in clients]
    if all(before is after for before, after in pairwise(pools)) and clients[0].indices is not None:
        indices = np.sort(np.concatenate([client.indices for client in clients]))
        return Share(POOLED, pools[0], indices)
    parts = [client.samples() for client in clients]
    return Share(
        POOLED,
        ImageSet(
            torch.cat([part.images for part in parts]), torch.cat([part.labels for part in parts])
        ),
    )
