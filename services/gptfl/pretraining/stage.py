"""The stage `pretraining`: a classifier learns from the synthetic data set, at the server."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from gptfl.data.images import ImageSet
from gptfl.errors import SpecError, StageError
from gptfl.models.build import build_model
from gptfl.models.config import WEIGHTS_NAME
from gptfl.models.device import compute_alike, torch_device
from gptfl.models.training import Epoch, Recipe, make_optimizer, train_epoch
from gptfl.models.weights import weights_to_bytes
from gptfl.pretraining.checkpoint import Progress, Trained, restore, to_bytes
from gptfl.pretraining.results import HISTORY_NAME, EpochRecord, PretrainingHistory
from gptfl.pretraining.samples import load_samples
from gptfl.spec.generation import Precision
from gptfl.spec.pretraining import PretrainingSpec, Schedule
from gptfl.spec.sections import PretrainingSection
from gptfl.store import Artifact, Workspace

CHECKPOINT = "training.safetensors"

STEPS_BETWEEN_REPORTS = 25


def run(
    section: PretrainingSection, inputs: Mapping[str, Artifact], workspace: Workspace
) -> dict[str, float]:
    """Trains on all of `generation`'s samples; leaves `model.safetensors` and `history.json`.

    Goes on after the last checkpoint of an interrupted attempt and ends with the same bits.
    Raises StageError when the training diverges.
    """
    spec = section.pretraining
    _check(spec)
    compute_alike(section.compute_threads)
    device = torch_device(spec.device, "spec.pretraining.device")
    data = load_samples(inputs["generation"], section.task.image)
    module = build_model(
        spec.model,
        section.task.image,
        len(section.task.labels),
        seed=workspace.derive_seed("pretraining", "model"),
        folder=workspace.folder,
    ).to(device)
    trained = Trained(module, make_optimizer(spec.optimizer, module.parameters()))
    progress = _Training(spec, data.to(device), trained, workspace).finish()
    _write(section, workspace, trained, progress, samples=len(data))
    workspace.device_seconds = progress.seconds
    last = progress.epochs[-1]
    return {
        "loss": last.loss,
        "accuracy": last.accuracy,
        "samples": float(len(data)),
        "images_per_second": len(data) * spec.epochs / max(progress.seconds, 1e-9),
    }


def _check(spec: PretrainingSpec) -> None:
    if spec.precision is Precision.FLOAT16:
        raise SpecError.of(
            "spec.pretraining.precision",
            "is Float16, in which small gradients vanish; use BFloat16 or Float32",
        )


@dataclass(frozen=True)
class _Training:
    """The epochs of one run."""

    spec: PretrainingSpec
    data: ImageSet
    trained: Trained
    workspace: Workspace

    def finish(self) -> Progress:
        """Does the epochs that have not been done yet."""
        saved = self.workspace.load_checkpoint(CHECKPOINT)
        progress = Progress() if saved is None else restore(saved, self.trained)
        for epoch in range(len(progress.epochs) + 1, self.spec.epochs + 1):
            began = time.monotonic()
            done = self._epoch(epoch)
            seconds = progress.seconds + time.monotonic() - began
            record = EpochRecord(epoch=epoch, loss=done.loss, accuracy=done.accuracy)
            progress = Progress(epochs=(*progress.epochs, record), seconds=seconds)
            if epoch % self.spec.checkpoint_epochs == 0:
                self.workspace.save_checkpoint(CHECKPOINT, to_bytes(self.trained, progress))
            self._report(epoch * len(self.data), loss=done.loss, accuracy=done.accuracy)
        return progress

    def _epoch(self, epoch: int) -> Epoch:
        steps = math.ceil(len(self.data) / self.spec.batch_size)
        first = (epoch - 1) * steps
        seed = self.workspace.derive_seed("pretraining", "epoch", epoch)
        pace = _Pace(self, first, first * self.spec.batch_size)
        pace.set_rate()
        with torch.random.fork_rng():
            torch.manual_seed(seed)  # for dropout
            done = train_epoch(
                self.trained.module,
                self.data,
                self.trained.optimizer,
                _recipe(self.spec),
                torch.Generator().manual_seed(seed),
                after_step=pace.step,
            )
        if not math.isfinite(done.loss):
            raise StageError(
                f"spec.pretraining.optimizer.learningRate: training diverged in epoch {epoch} "
                f"with {self.spec.optimizer.learning_rate:g}; use a smaller one"
            )
        return done

    def _report(self, done: int, **metrics: float) -> None:
        self.workspace.progress(done, self.spec.epochs * len(self.data), "images", **metrics)


class _Pace:
    """Counts the steps of all epochs, sets each one's learning rate and says how far it is."""

    def __init__(self, training: _Training, steps: int, images: int) -> None:
        self._training, self._steps, self._images = training, steps, images
        spec, samples = training.spec, len(training.data)
        self._total = spec.epochs * math.ceil(samples / spec.batch_size)

    def set_rate(self) -> None:
        spec = self._training.spec
        rate = learning_rate(spec.schedule, spec.optimizer.learning_rate, self._steps / self._total)
        for group in self._training.trained.optimizer.param_groups:
            group["lr"] = rate

    def step(self) -> None:
        self._steps += 1
        self._images += self._training.spec.batch_size
        self.set_rate()
        if self._steps % STEPS_BETWEEN_REPORTS == 0:
            self._training._report(self._images)


def learning_rate(schedule: Schedule, rate: float, done: float) -> float:
    """The learning rate when the part `done` (0..1) of all steps has been done.

    `Cosine` falls from `rate` to nothing along half a wave: Loshchilov and Hutter, arXiv
    1608.03983, without restarts.
    """
    if schedule is Schedule.CONSTANT:
        return rate
    return rate * (1 + math.cos(math.pi * done)) / 2


def _recipe(spec: PretrainingSpec) -> Recipe:
    return Recipe(
        batch_size=spec.batch_size,
        augmentation=spec.augmentation,
        label_smoothing=spec.label_smoothing,
        precision=spec.precision,
    )


def _write(
    section: PretrainingSection,
    workspace: Workspace,
    trained: Trained,
    progress: Progress,
    *,
    samples: int,
) -> None:
    history = PretrainingHistory(
        labels=section.task.labels,
        samples=samples,
        parameters=sum(weight.numel() for weight in trained.module.parameters()),
        epochs=progress.epochs,
    )
    workspace.write(WEIGHTS_NAME, weights_to_bytes(trained.module.state_dict()))
    workspace.write_model(HISTORY_NAME, history)
