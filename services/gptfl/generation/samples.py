"""Reads drawn samples back, each with what it was drawn from; needs no torch."""

import io
from dataclasses import dataclass

import pyarrow.dataset as ds
from PIL import Image

from gptfl.errors import DataError
from gptfl.generation.results import GenerationReport
from gptfl.store import Artifact


@dataclass(frozen=True)
class Sample:
    """One synthetic image."""

    image: Image.Image
    label: str
    prompt: str
    guidance: float
    seed: int


def read_samples(generation: Artifact, label: str, count: int) -> list[Sample]:
    """The first `count` images of a label in the order in which they were drawn.

    Raises DataError for a label that the data set does not have.
    """
    labels = generation.read_model("generation.json", GenerationReport).labels
    if label not in labels:
        raise DataError(f"{label!r} is not a label of this data set; it has {', '.join(labels)}")
    paths = [str(generation.path(name)) for name in generation.names() if name.endswith(".parquet")]
    table = ds.dataset(paths).head(
        count,
        columns=["image", "prompt", "guidance", "seed"],
        filter=ds.field("label") == labels.index(label),
    )
    return [
        Sample(
            image=Image.open(io.BytesIO(row["image"]["bytes"])),
            label=label,
            prompt=row["prompt"],
            guidance=row["guidance"],
            seed=row["seed"],
        )
        for row in table.to_pylist()
    ]
