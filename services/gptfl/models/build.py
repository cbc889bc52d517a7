"""Builds the classifier that `spec.pretraining.model` names."""

import difflib
import importlib
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from gptfl.data.functions import load_function
from gptfl.errors import MissingDependencyError, ModelError, SpecError
from gptfl.models.builtin import BUILTIN, Normalised
from gptfl.models.check import FIELD, check_model
from gptfl.models.hub import architecture, load_hub_weights, transformers_model
from gptfl.spec.pretraining import ModelSpec
from gptfl.spec.task import ImageShape


def build_model(
    model: ModelSpec, shape: ImageShape, classes: int, *, seed: int, folder: Path
) -> nn.Module:
    """The classifier with random weights drawn from `seed`; torch's global state is left alone.

    It takes float32 [N, C, H, W] in 0..1 and gives logits [N, classes]; how it wants its input
    scaled is its own affair. `transformers://` and `timm://` name an architecture: pre-trained
    weights have their place in `publicWeights`. `folder` is where relative paths start.
    Raises SpecError for a name that is not known and ModelError for a model that does not work.
    """
    check_model(model, folder)
    scheme, _, name = model.source.partition("://")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = _BUILDERS[scheme](name, shape, classes, folder)
    _try(module, shape, classes, model.source)
    return module


def load_public_weights(module: nn.Module, model: ModelSpec, folder: Path) -> None:
    """Puts the weights of `publicWeights` into `module`, whose head may stay as it is.

    Raises SpecError when none are named and ModelError when they do not fit.
    """
    field, uri = f"{FIELD}.publicWeights", model.public_weights
    if uri is None:
        raise SpecError.of(field, "is not set; name the weights of the control PublicCheckpoint")
    load_hub_weights(module, uri, folder, field)


def _builtin(name: str, shape: ImageShape, classes: int, folder: Path) -> nn.Module:
    del folder
    return BUILTIN[name](shape, classes)


def _timm(name: str, shape: ImageShape, classes: int, folder: Path) -> nn.Module:
    del folder
    try:
        timm = importlib.import_module("timm")
    except ImportError as error:
        raise MissingDependencyError(
            f"{FIELD}.source: timm://{name} needs the package timm; "
            "install it with: pip install 'gptfl[timm]'"
        ) from error
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=1)
        hint = f"; did you mean timm://{near[0]}?" if near else ""
        raise SpecError.of(f"{FIELD}.source", f"timm has no model {name!r}{hint}")
    body: nn.Module = timm.create_model(name, num_classes=classes, in_chans=shape.channels)
    return Normalised(body)


def _python(value: str, shape: ImageShape, classes: int, folder: Path) -> nn.Module:
    """A function of the user's: from an ImageShape and the number of classes to a module."""
    module = load_function(value, folder, f"{FIELD}.source")(shape, classes)
    if not isinstance(module, nn.Module):
        raise ModelError(
            f"{FIELD}.source: python://{value} returned {type(module).__name__}, "
            "not a torch.nn.Module"
        )
    return module


def _transformers(name: str, shape: ImageShape, classes: int, folder: Path) -> nn.Module:
    return transformers_model(architecture(name, folder, f"{FIELD}.source"), shape, classes)


_BUILDERS: dict[str, Callable[[str, ImageShape, int, Path], nn.Module]] = {
    "builtin": _builtin,
    "transformers": _transformers,
    "timm": _timm,
    "python": _python,
}


def _try(module: nn.Module, shape: ImageShape, classes: int, source: str) -> None:
    """Asks the model about one black image, so that a wrong shape shows now and not in an hour."""
    black = torch.zeros(1, shape.channels, shape.height, shape.width)
    was_training = module.training
    module.eval()
    try:
        with torch.inference_mode():
            found = list(module(black).shape)
    except Exception as error:  # whatever a model of somebody else's raises
        raise ModelError(
            f"{FIELD}.source: {source} cannot take a {shape.channels} x {shape.height} x "
            f"{shape.width} image ({' '.join(str(error).split())}); change spec.task.image or "
            "the model"
        ) from error
    finally:
        module.train(was_training)
    if found != [1, classes]:
        raise ModelError(
            f"{FIELD}.source: {source} gives {found} for one image, not [1, {classes}] logits"
        )
