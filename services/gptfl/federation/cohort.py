"""The clients of a federation on one machine, and what each holds of the images in memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gptfl.data.images import ImageSet
from gptfl.data.load import open_dataset
from gptfl.data.partition import partition
from gptfl.errors import DataError
from gptfl.spec.federation import ClientSpec, SimulationSpec
from gptfl.spec.sections import FederationSection, Pooling
from gptfl.store import Workspace

POOLED = "pooled"
"""The name of the one client that holds all data in the control `Centralised`."""


@dataclass(frozen=True)
class Share:
    """A part of a data set that several clients hold together in memory."""

    name: str
    pool: ImageSet
    indices: NDArray[np.int64] | None = None
    """Positions in `pool`; None is all of it."""

    def __len__(self) -> int:
        return len(self.pool) if self.indices is None else len(self.indices)

    def samples(self) -> ImageSet:
        return self.pool if self.indices is None else self.pool.take(self.indices)

    def labels(self) -> NDArray[np.int64]:
        """[N], positions in the task's labels"""
        labels: NDArray[Any] = self.pool.labels.numpy()
        return labels if self.indices is None else labels[self.indices]


def make_clients(section: FederationSection, workspace: Workspace) -> list[Share]:
    """The clients and what they hold, decoded once; Centralised pools them into one."""
    federation = section.federation
    if federation.simulation is not None:
        clients = _simulated(section, federation.simulation, workspace)
    else:
        clients = _named(section, federation.clients or [], workspace)
    if section.pooling is Pooling.CENTRALISED:
        return [_pooled(clients)]
    if not any(len(client) for client in clients):
        raise DataError("no client has a sample; give spec.federation more data")
    return clients


def _simulated(
    section: FederationSection, simulation: SimulationSpec, workspace: Workspace
) -> list[Share]:
    """Clients that share one set of images and hold positions in it."""
    dataset = open_dataset(
        simulation.dataset,
        section.task.labels,
        workspace.folder,
        field="spec.federation.simulation.dataset",
    )
    parts = partition(dataset, simulation, workspace.derive_seed("federation", "partition"))
    pool = dataset.images(section.task.image)
    width = len(str(len(parts) - 1))
    return [Share(f"client-{i:0{width}}", pool, part) for i, part in enumerate(parts)]


def _named(
    section: FederationSection, clients: Sequence[ClientSpec], workspace: Workspace
) -> list[Share]:
    """Parties with data sets of their own; all are opened before the first is decoded."""
    opened = [
        (
            client.name,
            open_dataset(
                client.data,
                section.task.labels,
                workspace.folder,
                field=f"spec.federation.clients[{index}].data",
            ),
        )
        for index, client in enumerate(clients)
    ]
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
