"""Models and weights of the Hugging Face hub, as classifiers of the task."""

from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub import hf_hub_download
from pydantic import JsonValue
from torch import nn

from gptfl.errors import ModelError
from gptfl.freshness import local_path
from gptfl.models.config import WEIGHTS_NAME
from gptfl.models.weights import mismatch, weights_from_bytes


class TransformersClassifier(nn.Module):
    """An image classifier of transformers behind the one interface: 0..1 in, logits out."""

    def __init__(self, model: transformers.PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    @property
    def architecture(self) -> dict[str, JsonValue]:
        """Its configuration, from which it can be built again."""
        found: dict[str, JsonValue] = self.model.config.to_dict()
        return found

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """float32 [N, C, H, W] in 0..1 to logits [N, classes]"""
        logits: torch.Tensor = self.model(pixel_values=images * 2 - 1).logits
        return logits


def architecture(name: str, folder: Path, field: str) -> dict[str, JsonValue]:
    """The configuration of a hub id or of a folder with a `config.json`, without its weights."""
    local = folder / name
    source = str(local) if local.is_dir() else name
    try:
        found: dict[str, JsonValue] = transformers.AutoConfig.from_pretrained(source).to_dict()
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(
            f"{field}: transformers://{name} cannot be read ({reason[:200]}); name a hub id or a "
            "folder with a config.json"
        ) from error
    return found


def transformers_model(found: dict[str, JsonValue], shape: Any, classes: int) -> nn.Module:
    """A classifier of that architecture with random weights, for `shape` and `classes`."""
    config = transformers.AutoConfig.for_model(**found)
    config.num_labels = classes
    config.num_channels = shape.channels
    if hasattr(config, "image_size"):
        square = shape.height == shape.width
        config.image_size = shape.height if square else (shape.height, shape.width)
    try:
        return TransformersClassifier(
            transformers.AutoModelForImageClassification.from_config(config)
        )
    except ValueError as error:
        raise ModelError(
            f"spec.pretraining.model.source: {config.model_type} is not an image classifier of "
            "transformers; name one that is, such as a ViT, ResNet or ConvNeXt"
        ) from error


def load_hub_weights(module: nn.Module, uri: str, folder: Path, field: str) -> None:
    """Puts the weights at `uri` into `module`.

    The head, known by being as wide as there are classes in the model and of another width in the
    weights, keeps its own values: public weights were trained for other labels. Raises ModelError
    for anything else that does not fit.
    """
    target = module.model if isinstance(module, TransformersClassifier) else module
    state = weights_from_bytes(_weights_file(uri, folder, field).read_bytes())
    own = target.state_dict()
    classes = _classes(own)
    for name, tensor in own.items():
        other = state.get(name)
        if other is not None and other.shape != tensor.shape and _is_head(tensor, other, classes):
            state[name] = tensor
    problem = mismatch(target, state)
    if problem is not None:
        raise ModelError(f"{field}: {uri}: {problem}; use weights of this architecture")
    target.load_state_dict(state)


def _classes(state: dict[str, torch.Tensor]) -> int:
    """The width of the last layer."""
    return list(state.values())[-1].shape[0]


def _is_head(own: torch.Tensor, other: torch.Tensor, classes: int) -> bool:
    return own.shape[0] == classes and own.shape[1:] == other.shape[1:]


def _weights_file(uri: str, folder: Path, field: str) -> Path:
    path = local_path(uri, folder)
    if path is not None and path.is_file():
        return path
    if path is not None:
        raise ModelError(f"{field}: {path} is not a file; name a safetensors file")
    try:
        return Path(hf_hub_download(uri.removeprefix("hf://"), WEIGHTS_NAME))
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(
            f"{field}: {uri} cannot be read ({reason[:200]}); it must have a {WEIGHTS_NAME}"
        ) from error
