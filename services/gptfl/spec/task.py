"""What is to be learned: the kind of data, the labels, and the shape a model sees."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from gptfl.spec.base import SpecModel


class Modality(StrEnum):
    """The kind of data that is classified."""

    IMAGE_CLASSIFICATION = "ImageClassification"


Label = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]


class ImageShape(SpecModel):
    """The pixels a model sees; every image, drawn or private, is brought to this shape."""

    channels: Annotated[int, Field(ge=1, le=3)] = 3
    """1 for grey, 3 for RGB."""
    height: Annotated[int, Field(ge=4, le=1024)] = 32
    """Rows of pixels."""
    width: Annotated[int, Field(ge=4, le=1024)] = 32
    """Columns of pixels."""


class TaskSpec(SpecModel):
    """The question that the final model answers."""

    modality: Modality = Modality.IMAGE_CLASSIFICATION
    """What a sample is."""
    # Atomic on a server: the order of a list that is a set there may change in a merge.
    labels: Annotated[list[Label], Field(min_length=2, max_length=1000)]
    """The names of the classes, in the order of the model's outputs. Prompts are made of them."""
    image: ImageShape = ImageShape()
    """The shape of the model's input."""
