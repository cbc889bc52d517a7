"""Says how likely each image shows its label: the scorers behind the filter `agreement`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from gptfl.data.functions import load_function
from gptfl.data.images import ImageSet, as_float, decode_image
from gptfl.errors import ModelError, SpecError
from gptfl.generation.samples import Sample
from gptfl.models.build import build_model
from gptfl.models.device import torch_device
from gptfl.models.training import Recipe, make_optimizer, train_epoch
from gptfl.prompts.pretrained import loading, resolve
from gptfl.seeds import derive_seed
from gptfl.spec.generation import AgreementFilter, Device, Scorer
from gptfl.spec.pretraining import (
    AugmentationSpec,
    ModelSpec,
    OptimizerName,
    OptimizerSpec,
)
from gptfl.spec.task import ImageShape

FIELD = "spec.generation.filters.agreement"

Scores = NDArray[np.float64]


class AgreementScorer(Protocol):
    """Gives the probability of each image's own label."""

    def look(self, samples: Sequence[Sample]) -> None:
        """Takes some more images of the round, in order."""

    def scores(self) -> Scores:
        """For all images taken since the last call: [N] in 0..1."""


def make_scorer(
    spec: AgreementFilter, labels: Sequence[str], *, seed: int, folder: Path, device: Device
) -> AgreementScorer:
    """The scorer of the spec, ready to work.

    Raises SpecError or ModelError when what it needs is not there.
    """
    if spec.scorer is Scorer.CLIP:
        return ClipScorer(spec, labels, folder, device)
    if spec.scorer is Scorer.CUSTOM:
        return CustomScorer(spec, labels, folder)
    return CrossFitScorer(len(labels), seed)


class CrossFitScorer:
    """Classifiers that were trained on some of the images are asked about the others.

    An image whose label a classifier cannot guess after having seen its siblings does not look
    like them. The images of the first round are dealt out to three folds; those of refills, which
    no classifier has seen, get the mean of all three. (Cross-fitting as in Northcutt et al.,
    "Confident Learning", arXiv 1911.00068.)
    """

    FOLDS = 3
    EPOCHS = 12
    RECIPE = Recipe(batch_size=32, augmentation=AugmentationSpec(shift=0.1))
    OPTIMIZER = OptimizerSpec(name=OptimizerName.ADAMW, learning_rate=3e-3, weight_decay=0.05)

    def __init__(self, classes: int, seed: int) -> None:
        self._classes, self._seed = classes, seed
        self._shape: ImageShape | None = None
        self._images: list[torch.Tensor] = []
        self._labels: list[int] = []
        self._judges: list[nn.Module] = []

    def look(self, samples: Sequence[Sample]) -> None:
        shape = self._shape = self._shape or _small_shape(samples[0])
        self._images += [decode_image(sample.png, shape) for sample in samples]
        self._labels += [sample.item.label for sample in samples]

    def scores(self) -> Scores:
        data = ImageSet(torch.stack(self._images), torch.tensor(self._labels))
        self._images, self._labels = [], []
        if self._judges:
            answers = np.stack([_ask(judge, data) for judge in self._judges])
            mean: Scores = answers.mean(axis=0)
            return mean
        return self._cross_fit(data)

    def _cross_fit(self, data: ImageSet) -> Scores:
        folds = _folds(data.labels, self.FOLDS)
        scores = np.zeros(len(data))
        for fold in range(self.FOLDS):
            others, own = torch.nonzero(folds != fold)[:, 0], torch.nonzero(folds == fold)[:, 0]
            judge = self._train(data.take(others), derive_seed(self._seed, "agreement", fold))
            self._judges.append(judge)
            if len(own):
                scores[own.numpy()] = _ask(judge, data.take(own))
        return scores

    def _train(self, data: ImageSet, seed: int) -> nn.Module:
        _, channels, height, width = data.images.shape
        shape = ImageShape(channels=channels, height=height, width=width)
        module = build_model(ModelSpec(), shape, self._classes, seed=seed, folder=Path())
        generator = torch.Generator().manual_seed(seed)
        optimizer = make_optimizer(self.OPTIMIZER, module.parameters())
        with torch.random.fork_rng(devices=[]):  # dropout draws from the global state
            torch.manual_seed(seed)
            for _ in range(self.EPOCHS):
                train_epoch(module, data, optimizer, self.RECIPE, generator)
        return module.eval()


class ClipScorer:
    """A zero-shot model of transformers that compares an image with the names of all labels."""

    def __init__(
        self, spec: AgreementFilter, labels: Sequence[str], folder: Path, device: Device
    ) -> None:
        import transformers

        if spec.source is None:
            raise SpecError.of(f"{FIELD}.source", "is missing; Clip needs a zero-shot model")
        source = resolve(spec.source, folder, field=f"{FIELD}.source", needs="config.json")
        with loading(source):
            self._pipeline: Any = transformers.pipeline(
                "zero-shot-image-classification",
                model=source.where,
                device=torch_device(device, "spec.generation.generator.device"),
                model_kwargs={"use_safetensors": True},
            )
        self._uri = source.uri
        self._labels = list(labels)
        self._scores: list[float] = []

    def look(self, samples: Sequence[Sample]) -> None:
        images = [sample.image().convert("RGB") for sample in samples]
        try:
            answers = self._pipeline(images, candidate_labels=self._labels, batch_size=16)
        except (ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:300]
            raise ModelError(
                f"{FIELD}.source: {self._uri} cannot score ({reason}); use another model"
            ) from error
        for sample, answer in zip(samples, answers, strict=True):
            label = self._labels[sample.item.label]
            self._scores.append(next(one["score"] for one in answer if one["label"] == label))

    def scores(self) -> Scores:
        scores, self._scores = np.array(self._scores, dtype=np.float64), []
        return scores


class CustomScorer:
    """A function of the user's: (Pillow images, label indices, labels) to probabilities [N]."""

    def __init__(self, spec: AgreementFilter, labels: Sequence[str], folder: Path) -> None:
        if spec.function is None:
            raise SpecError.of(f"{FIELD}.function", "is missing; Custom needs module:function")
        self._name = spec.function
        self._function = load_function(spec.function, folder, f"{FIELD}.function")
        self._labels = list(labels)
        self._scores: list[Scores] = []

    def look(self, samples: Sequence[Sample]) -> None:
        images = [sample.image() for sample in samples]
        indices = [sample.item.label for sample in samples]
        try:
            scores = np.asarray(self._function(images, indices, self._labels), dtype=np.float64)
        except Exception as error:  # whatever the user's function raises
            raise ModelError(
                f"{FIELD}.function: {self._name} fails: {type(error).__name__}: {error}"
            ) from error
        if scores.shape != (len(images),) or not ((scores >= 0) & (scores <= 1)).all():
            raise ModelError(
                f"{FIELD}.function: {self._name} returned {scores.shape} for {len(images)} "
                "images, or numbers outside 0..1; return one probability for each image"
            )
        self._scores.append(scores)

    def scores(self) -> Scores:
        scores, self._scores = np.concatenate(self._scores), []
        return scores


def _small_shape(sample: Sample) -> ImageShape:
    """Small, since a judge only has to tell labels apart, and three of them are trained."""
    image = sample.image()
    side = 16 if max(image.size) <= 32 else 32
    return ImageShape(channels=1 if image.mode == "L" else 3, height=side, width=side)


def _folds(labels: torch.Tensor, count: int) -> torch.Tensor:
    """The fold of each image [N]: a label's images take turns, so each fold has some of each.

    Labels begin at different folds, or a fold would hold everything when there is one of each.
    """
    folds = torch.zeros_like(labels)
    for label in set(labels.tolist()):
        mine = labels == label
        folds[mine] = (torch.arange(int(mine.sum())) + label) % count
    return folds


def _ask(judge: nn.Module, data: ImageSet) -> Scores:
    """The probability that `judge` gives to each image's label."""
    with torch.inference_mode():
        chances = [
            judge(as_float(images)).softmax(1)[torch.arange(len(labels)), labels]
            for images, labels in zip(
                torch.split(data.images, 512), torch.split(data.labels, 512), strict=True
            )
        ]
    return torch.cat(chances).numpy().astype(np.float64)
