"""Reads a finished synthetic data set back, each image with what it was drawn from; no torch."""

from gptfl.errors import DataError
from gptfl.generation.results import GenerationReport
from gptfl.generation.samples import Sample, from_parquet
from gptfl.store import Artifact


def read_samples(generation: Artifact, label: str, count: int) -> list[Sample]:
    """The first `count` images of a label in the order in which they were drawn.

    Raises DataError for a label that the data set does not have.
    """
    labels = generation.read_model("generation.json", GenerationReport).labels
    if label not in labels:
        raise DataError(f"{label!r} is not a label of this data set; it has {', '.join(labels)}")
    wanted = labels.index(label)
    found: list[Sample] = []
    for name in generation.names():
        if name.endswith(".parquet") and len(found) < count:
            samples, _ = from_parquet(generation.read(name))
            found += [sample for sample in samples if sample.item.label == wanted]
    return found[:count]
