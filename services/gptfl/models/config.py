"""`config.json` of an exported model: all that is needed to build it and to feed it; no torch."""

from typing import Literal

from pydantic import JsonValue

from gptfl.spec.base import SpecModel
from gptfl.spec.task import ImageShape, Label, Modality, TaskSpec

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"


class ModelConfig(SpecModel):
    """What a folder with a classifier holds."""

    format: Literal["gptfl.classifier/1"] = "gptfl.classifier/1"
    """The layout of the folder."""
    source: str
    """The architecture, as `spec.pretraining.model.source` names it."""
    architecture: dict[str, JsonValue] | None = None
    """For `transformers://`: its configuration, so that the folder stands alone."""
    modality: Modality = Modality.IMAGE_CLASSIFICATION
    """What a sample is."""
    labels: list[Label]
    """The names of the outputs, in order."""
    image: ImageShape
    """The shape of the input."""

    @property
    def task(self) -> TaskSpec:
        """The task that the model was trained for."""
        return TaskSpec(modality=self.modality, labels=self.labels, image=self.image)
