"""A model that passed the gate becomes a folder that can be served; another is not published."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from served_model import LABELS, SHAPE, TASK, digit

from gptfl.errors import ModelError, StageError
from gptfl.evaluation.results import REPORT_NAME, EvaluationReport, GateResult
from gptfl.models.build import build_model
from gptfl.models.config import CONFIG_NAME, WEIGHTS_NAME, ModelConfig
from gptfl.models.folder import load_classifier
from gptfl.models.weights import weights_to_bytes
from gptfl.serving.stage import run
from gptfl.spec.evaluation import GateMetric
from gptfl.spec.pretraining import ModelSpec
from gptfl.spec.sections import ServingSection
from gptfl.store import Artifact, Store, Workspace, open_store

MODEL = ModelSpec(source="builtin://small-cnn")
SECTION = ServingSection(seed=0, compute_threads=1, task=TASK, model=MODEL)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def workspace(store: Store, stage: str) -> Workspace:
    key = hashlib.sha256(stage.encode()).hexdigest()
    return Workspace(store.blobs, stage, key, seed=0, folder=Path())


def committed(store: Store, made: Workspace, stage: str) -> Artifact:
    return store.commit(
        made,
        stage=stage,
        version=1,
        key=hashlib.sha256(stage.encode()).hexdigest(),
        section={},
        inputs={},
        metrics={},
        seconds=0.0,
        software={},
    )


def inputs(
    store: Store, module: torch.nn.Module, *, value: float, minimum: float = 0.9
) -> dict[str, Artifact]:
    """A federation and its evaluation, with the gate's metric at `value`."""
    federation = workspace(store, "federation")
    federation.write(WEIGHTS_NAME, weights_to_bytes(module.state_dict()))
    evaluation = workspace(store, "evaluation")
    gate = GateResult(
        metric=GateMetric.BALANCED_ACCURACY, minimum=minimum, value=value, passed=value >= minimum
    )
    report = EvaluationReport(labels=LABELS, samples=1, absent_labels=[], models=[], gate=gate)
    evaluation.write_model(REPORT_NAME, report)
    return {
        "federation": committed(store, federation, "federation"),
        "evaluation": committed(store, evaluation, "evaluation"),
    }


def module(seed: int = 1) -> torch.nn.Module:
    return build_model(MODEL, SHAPE, len(LABELS), seed=seed, folder=Path())


def test_the_folder_answers_as_the_federations_model_does(store: Store) -> None:
    trained = module().eval()
    made = workspace(store, "serving")
    metrics = run(SECTION, inputs(store, trained, value=0.95), made)
    artifact = committed(store, made, "serving")
    assert artifact.names() == (CONFIG_NAME, WEIGHTS_NAME)
    images = torch.from_numpy(digit(7))[None, None]
    with torch.no_grad():
        expected = trained(images / 255).softmax(1).numpy()
    np.testing.assert_array_equal(load_classifier(artifact.folder()).predict(images), expected)
    assert metrics["parameters"] == sum(tensor.numel() for tensor in trained.parameters())


def test_the_config_says_what_the_model_is(store: Store) -> None:
    made = workspace(store, "serving")
    run(SECTION, inputs(store, module(), value=0.95), made)
    config = committed(store, made, "serving").read_model(CONFIG_NAME, ModelConfig)
    assert (config.source, config.labels, config.image) == (MODEL.source, LABELS, SHAPE)


def test_a_model_at_the_minimum_passes(store: Store) -> None:
    made = workspace(store, "serving")
    run(SECTION, inputs(store, module(), value=0.9), made)
    assert CONFIG_NAME in made.files


def test_a_model_below_the_gate_is_not_published(store: Store) -> None:
    made = workspace(store, "serving")
    with pytest.raises(StageError) as raised:
        run(SECTION, inputs(store, module(), value=0.81234), made)
    assert str(raised.value) == (
        "spec.evaluation.gate: BalancedAccuracy is 0.8123, 0.0877 less than the minimum of 0.9, "
        "so the model is not published; train it further (federation.rounds, "
        "generation.samplesPerLabel) or lower the minimum"
    )
    assert made.files == {}


def test_weights_of_another_model_are_not_published(store: Store) -> None:
    other = build_model(ModelSpec(source="builtin://linear"), SHAPE, 10, seed=0, folder=Path())
    with pytest.raises(ModelError, match="use weights that were trained with this model"):
        run(SECTION, inputs(store, other, value=0.95), workspace(store, "serving"))
