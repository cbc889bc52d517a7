"""The model, and how it is trained on the synthetic data before it meets a client."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from gptfl.spec.base import NOT_IN_KEY, SpecModel
from gptfl.spec.generation import Device, Precision
from gptfl.spec.pods import PodTemplate


class ModelSpec(SpecModel):
    """The classifier."""

    source: Annotated[str, StringConstraints(min_length=1)] = "builtin://small-cnn"
    """`builtin://NAME`, `transformers://OWNER/NAME`, `timm://NAME` or `python://module:function`
    (a function of input shape and number of classes that returns a torch module)."""
    public_weights: str | None = None
    """Weights trained on public data for the control `PublicCheckpoint`: `hf://OWNER/NAME`, or a
    `file://` safetensors file whose names and shapes match the model's."""


class OptimizerName(StrEnum):
    """A rule that turns gradients into steps."""

    SGD = "Sgd"
    ADAM = "Adam"
    ADAMW = "AdamW"


class OptimizerSpec(SpecModel):
    """How weights move."""

    name: OptimizerName = OptimizerName.ADAMW
    """The rule."""
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 1e-3
    """The step's size."""
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 0.05
    """Decay of the weights; the paper advises a large one on synthetic data."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Momentum of `Sgd`."""


class Schedule(StrEnum):
    """How the learning rate goes on."""

    CONSTANT = "Constant"
    COSINE = "Cosine"


class AugmentationSpec(SpecModel):
    """Random changes to each image each time it is seen; all off when left out."""

    shift: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Moved by up to this part of the side, each way."""
    rotate: Annotated[float, Field(ge=0, le=180)] = 0.0
    """Turned by up to this many degrees, each way."""
    scale: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Grown or shrunk by up to this part."""
    shear: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Slanted by up to this tangent, each way."""
    contrast: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Contrast changed by up to this part."""
    noise: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Standard deviation of Gaussian noise, where white is 1."""
    flip: Annotated[float, Field(ge=0, le=1)] = 0.0
    """The chance of being mirrored, left to right."""


class PretrainingSpec(SpecModel):
    """Training on the synthetic data set, at the server."""

    model: ModelSpec = ModelSpec()
    """The classifier."""
    optimizer: OptimizerSpec = OptimizerSpec()
    """How weights move."""
    schedule: Schedule = Schedule.COSINE
    """How the learning rate goes on."""
    epochs: Annotated[int, Field(ge=1, le=10_000)] = 20
    """Times that each sample is seen."""
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 64
    """Samples a step."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Part of the target spread over the other labels."""
    augmentation: AugmentationSpec = AugmentationSpec()
    """Random changes to what is seen."""
    precision: Precision = Precision.FLOAT32
    """The floating-point type of the forward pass."""
    device: Device = Device.AUTO
    """Where it runs."""
    checkpoint_epochs: Annotated[int, Field(ge=1, le=1000)] = 1
    """Epochs between checkpoints, which is what a killed trainer loses at most."""
    template: Annotated[PodTemplate | None, NOT_IN_KEY] = None
    """The stage's pod."""
