"""The exported model: a folder with `config.json` and `model.safetensors`, written and read."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import nn

from gptfl.data.images import ImageSource, as_float, decode_image
from gptfl.errors import ModelError
from gptfl.models.build import build_model
from gptfl.models.config import CONFIG_NAME, WEIGHTS_NAME, ModelConfig
from gptfl.models.hub import TransformersClassifier, transformers_model
from gptfl.models.weights import load_weights, weights_from_bytes, weights_to_bytes
from gptfl.spec.pretraining import ModelSpec
from gptfl.spec.task import TaskSpec


class Classifier:
    """A model that answers."""

    def __init__(self, config: ModelConfig, module: nn.Module) -> None:
        self.config = config
        self.module = module.eval()

    def predict(self, images: torch.Tensor) -> NDArray[np.float32]:
        """Probabilities [N, classes] for images uint8 [N, C, H, W] of the config's shape."""
        # By its strides torch chooses how to add up, and a single channel's say nothing of its
        # layout: without this, equal pixels could get other last digits.
        images = images.clone(memory_format=torch.contiguous_format)
        with torch.inference_mode():
            return self.module(as_float(images)).float().softmax(1).numpy()  # type: ignore[no-any-return]

    def predict_images(self, images: Sequence[ImageSource]) -> NDArray[np.float32]:
        """Probabilities [N, classes] for images of any size, prepared as the training data were.

        Takes what `gptfl.data.images.decode_image` takes, and raises what it raises.
        """
        shape = self.config.image
        return self.predict(torch.stack([decode_image(image, shape) for image in images]))


def model_config(task: TaskSpec, model: ModelSpec, module: nn.Module) -> ModelConfig:
    """What the folder of `module`, built for `task` from `model`, says of it."""
    return ModelConfig(
        source=model.source,
        architecture=(module.architecture if isinstance(module, TransformersClassifier) else None),
        modality=task.modality,
        labels=task.labels,
        image=task.image,
    )


def model_files(config: ModelConfig, state: Mapping[str, torch.Tensor]) -> dict[str, bytes]:
    """The files of the folder by name, for whoever keeps files (an artifact's workspace)."""
    return {
        CONFIG_NAME: config.model_dump_json(indent=1, by_alias=True).encode(),
        WEIGHTS_NAME: weights_to_bytes(state),
    }


def save_model(folder: Path, config: ModelConfig, state: Mapping[str, torch.Tensor]) -> None:
    """Writes the two files."""
    for name, data in model_files(config, state).items():
        (folder / name).write_bytes(data)


def load_classifier(folder: Path) -> Classifier:
    """The model in a folder, ready to answer on the CPU.

    `python://` models need their module: beside the folder, or installed. Raises ModelError for a
    folder that holds no model or whose files do not belong together.
    """
    config = _config(folder / CONFIG_NAME)
    if config.architecture is not None:
        module = transformers_model(config.architecture, config.image, len(config.labels))
    else:
        spec = ModelSpec(source=config.source)
        module = build_model(spec, config.image, len(config.labels), seed=0, folder=folder)
    path = folder / WEIGHTS_NAME
    load_weights(module, weights_from_bytes(_read(path)), str(path))
    return Classifier(config, module)


def _config(path: Path) -> ModelConfig:
    try:
        return ModelConfig.model_validate_json(_read(path))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ModelError(
            f"{path}: is not the config of a gptfl model ({where}: {first['msg']})"
        ) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"{path}: cannot be read ({error.strerror}); name a model folder"
        ) from error
