"""The stage `evaluation`: the final model and its controls on real data that no client saw."""

import time
from collections.abc import Iterator, Mapping

import numpy as np

from gptfl.data.images import ImageSet
from gptfl.data.load import open_dataset
from gptfl.evaluation.results import (
    OWN,
    REPORT_NAME,
    SYNTHETIC_ONLY,
    EvaluationReport,
    GateResult,
    ModelScores,
)
from gptfl.models.build import build_model
from gptfl.models.config import WEIGHTS_NAME
from gptfl.models.device import compute_alike, torch_device
from gptfl.models.scores import Scores, evaluate
from gptfl.models.weights import load_weights, weights_from_bytes
from gptfl.spec.evaluation import Baseline, GateMetric, GateSpec
from gptfl.spec.generation import Device
from gptfl.spec.sections import EvaluationSection
from gptfl.store import Artifact, Workspace

FIELD = "spec.evaluation.dataset"


def run(
    section: EvaluationSection, inputs: Mapping[str, Artifact], workspace: Workspace
) -> dict[str, float]:
    """Leaves `evaluation.json`. Says whether the gate was passed; to act on it is for serving.

    A label without a test sample is no error: it is listed and left out of the means.
    """
    compute_alike(section.compute_threads)
    task = section.task
    dataset = open_dataset(section.evaluation.dataset, task.labels, workspace.folder, field=FIELD)
    data = dataset.images(task.image)
    models: list[ModelScores] = []
    judged = list(_judged(section, inputs))
    for name, artifact in judged:
        workspace.progress(len(models), len(judged), "models")
        models.append(_scores(name, _evaluate(artifact, section, data, workspace)))
    workspace.progress(len(models), len(judged), "models")
    report = EvaluationReport(
        labels=task.labels,
        samples=len(data),
        absent_labels=[task.labels[label] for label in np.flatnonzero(dataset.label_counts == 0)],
        models=models,
        gate=_gate(section.evaluation.gate, models[0]),
    )
    workspace.write_model(REPORT_NAME, report)
    return _metrics(report)


def _judged(
    section: EvaluationSection, inputs: Mapping[str, Artifact]
) -> Iterator[tuple[str, Artifact]]:
    """The models to be judged by their names, the run's own first."""
    yield OWN, inputs["federation"]
    if Baseline.SYNTHETIC_ONLY in section.evaluation.baselines:
        yield SYNTHETIC_ONLY, inputs["pretraining"]
    for step, artifact in inputs.items():
        stage, _, control = step.partition("/")
        if stage == "federation" and control:
            yield control, artifact


def _evaluate(
    artifact: Artifact, section: EvaluationSection, data: ImageSet, workspace: Workspace
) -> Scores:
    task = section.task
    module = build_model(
        section.model, task.image, len(task.labels), seed=0, folder=workspace.folder
    )
    state = weights_from_bytes(artifact.read(WEIGHTS_NAME))
    load_weights(module, state, f"{artifact.uri}/{WEIGHTS_NAME}")
    began = time.monotonic()
    scores = evaluate(module.to(torch_device(Device.AUTO, FIELD)), data, len(task.labels))
    workspace.device_seconds += time.monotonic() - began
    return scores


def _scores(name: str, scores: Scores) -> ModelScores:
    return ModelScores(
        name=name,
        accuracy=scores.accuracy,
        balanced_accuracy=scores.balanced_accuracy,
        macro_f1=scores.macro_f1,
        loss=scores.loss,
        confusion=scores.confusion.tolist(),
    )


def _gate(spec: GateSpec, own: ModelScores) -> GateResult:
    value = {
        GateMetric.ACCURACY: own.accuracy,
        GateMetric.BALANCED_ACCURACY: own.balanced_accuracy,
        GateMetric.MACRO_F1: own.macro_f1,
    }[spec.metric]
    return GateResult(
        metric=spec.metric, minimum=spec.minimum, value=value, passed=value >= spec.minimum
    )


def _metrics(report: EvaluationReport) -> dict[str, float]:
    """The run's own numbers, and the accuracy of each control under its name."""
    own, *controls = report.models
    return {
        "accuracy": own.accuracy,
        "balanced_accuracy": own.balanced_accuracy,
        "macro_f1": own.macro_f1,
        "loss": own.loss,
    } | {f"accuracy/{model.name}": model.accuracy for model in controls}
