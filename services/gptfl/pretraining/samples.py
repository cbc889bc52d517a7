"""Reads the synthetic data set from the shards that generation left."""

from collections.abc import Iterator

import pyarrow.parquet as pq
import torch

from gptfl.data.images import ImageSet, decode_image
from gptfl.errors import DamagedArtifactError, DataError, StageError
from gptfl.spec.task import ImageShape
from gptfl.store import Artifact


def load_samples(generation: Artifact, shape: ImageShape) -> ImageSet:
    """All synthetic images in the order of the shards, brought to `shape`, with their labels.

    Raises StageError when there are none, and DamagedArtifactError for a file that has changed
    or an image that cannot be read.
    """
    images: list[torch.Tensor] = []
    labels: list[int] = []
    for data, label in _rows(generation):
        try:
            images.append(decode_image(data, shape))
        except DataError as error:
            raise DamagedArtifactError(f"{generation.uri}: image {len(labels)} {error}") from error
        labels.append(label)
    if not labels:
        raise StageError(
            f"{generation.uri} has no samples: the filters dropped every image; loosen "
            "spec.generation.filters"
        )
    return ImageSet(torch.stack(images), torch.tensor(labels, dtype=torch.int64))


def _rows(generation: Artifact) -> Iterator[tuple[bytes, int]]:
    """The encoded images and the positions of their labels."""
    for name in generation.names():
        if name.endswith(".parquet"):
            table = pq.read_table(generation.path(name), columns=["image", "label"])
            encoded = table.column("image").combine_chunks().field("bytes").to_pylist()
            yield from zip(encoded, table.column("label").to_pylist(), strict=True)
