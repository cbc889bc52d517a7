"""Models and weights of the Hugging Face hub, as classifiers of the task."""

import json
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
        found: dict[str, JsonValue] = json.loads(self.model.config.to_json_string(use_diff=False))
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

    Its head, which is as wide as there are classes, keeps its own values where the weights have
    none of that shape: public weights were trained for other labels. Raises ModelError for
    anything else that does not fit.
    """
    state = weights_from_bytes(_weights_file(uri, folder, field).read_bytes())
    target = module.model if isinstance(module, TransformersClassifier) else module
    if isinstance(module, TransformersClassifier):
        state = _renamed(module.model, state)
    own = target.state_dict()
    classes = list(own.values())[-1].shape[0]
    for name, tensor in own.items():
        if tensor.shape[:1] == (classes,) and _fits_no_head(tensor, state.get(name)):
            state[name] = tensor
    problem = mismatch(target, state)
    if problem is not None:
        raise ModelError(f"{field}: {uri}: {problem}; use weights of this architecture")
    target.load_state_dict(state)


def _fits_no_head(own: torch.Tensor, other: torch.Tensor | None) -> bool:
    """Whether weights for other labels, or none, stand where a head's should."""
    return other is None or (other.shape != own.shape and other.shape[1:] == own.shape[1:])


def _renamed(
    model: transformers.PreTrainedModel, state: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """`state` by the names of `model`: those in files are older than those in memory.

    What the file lacks or has in another shape is left as the file has it, to be judged after.
    """
    with torch.random.fork_rng(devices=[]):
        loaded, report = type(model).from_pretrained(
            None,
            config=model.config,
            state_dict=dict(state),
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    found: dict[str, torch.Tensor] = loaded.state_dict()
    for name in report["missing_keys"]:
        del found[name]
    for name, shape, _ in report["mismatched_keys"]:
        found[name] = torch.empty(tuple(shape))
    return found


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
