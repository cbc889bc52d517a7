"""Evaluation counts what each model says of the test data, and says whether the gate was passed."""

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

from gptfl.errors import DataError, ModelError
from gptfl.evaluation.results import EvaluationReport
from gptfl.evaluation.stage import run
from gptfl.models.build import build_model
from gptfl.models.weights import weights_to_bytes
from gptfl.spec.evaluation import EvaluationSpec
from gptfl.spec.pretraining import ModelSpec
from gptfl.spec.sections import EvaluationSection
from gptfl.spec.task import ImageShape, TaskSpec
from gptfl.store import Artifact, Store, Workspace, open_store

LABELS = ["dark", "light", "none"]
SHAPE = ImageShape(channels=1, height=4, width=4)
LINEAR = ModelSpec(source="builtin://linear")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def judge(threshold: float) -> nn.Module:
    """Says light where the mean brightness, in -1..1, is above `threshold`, and dark otherwise."""
    module = build_model(LINEAR, SHAPE, 3, seed=0, folder=Path())
    layer: nn.Linear = module.body[1]  # type: ignore[assignment, union-attr, index]
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[-1.0], [1.0], [0.0]]).repeat(1, 16))
        layer.bias.copy_(torch.tensor([16 * threshold, -16 * threshold, -1000.0]))
    return module


def trained(store: Store, key: str, module: nn.Module) -> Artifact:
    """A model as a stage before leaves it."""
    workspace = Workspace(store.blobs, "federation", key * 64, seed=0, folder=Path())
    workspace.write("model.safetensors", weights_to_bytes(module.state_dict()))
    return store.commit(
        workspace, stage="federation", version=1, key=key * 64, section={}, inputs={}, metrics={},
        seconds=0.0, software={},
    )  # fmt: skip


def section(**evaluation: Any) -> EvaluationSection:
    spec = {"dataset": {"uri": "test"}, "baselines": ["FromScratch", "SyntheticOnly"]}
    return EvaluationSection(
        seed=0,
        compute_threads=1,
        task=TaskSpec(labels=LABELS, image=SHAPE),
        model=LINEAR,
        evaluation=EvaluationSpec.model_validate(spec | evaluation),
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three dark images and one light one; no image of the third label."""
    for name, grey in (("dark/1", 20), ("dark/2", 60), ("dark/3", 140), ("light/4", 200)):
        path = tmp_path / "test" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4), grey).save(path)
    return tmp_path


@pytest.fixture
def inputs(store: Store) -> dict[str, Artifact]:
    return {
        "pretraining": trained(store, "1", judge(-0.7)),  # light above 38
        "federation": trained(store, "2", judge(0.25)),  # light above 159
        "federation/from-scratch": trained(store, "3", judge(0.9)),  # light above 242
    }


def evaluate(
    store: Store, folder: Path, inputs: dict[str, Artifact], spec: EvaluationSection
) -> tuple[dict[str, float], EvaluationReport]:
    workspace = Workspace(store.blobs, "evaluation", "e" * 64, seed=0, folder=folder)
    metrics = run(spec, inputs, workspace)
    assert set(workspace.files) == {"evaluation.json"}
    data = store.blobs.read(f"artifacts/evaluation/{'e' * 64}/evaluation.json")
    return metrics, EvaluationReport.model_validate_json(data or b"")


def test_every_model_is_counted_under_its_name(
    store: Store, folder: Path, inputs: dict[str, Artifact]
) -> None:
    metrics, report = evaluate(store, folder, inputs, section())
    confusions = {model.name: model.confusion for model in report.models}
    assert confusions == {
        "gpt-fl": [[3, 0, 0], [0, 1, 0], [0, 0, 0]],
        "synthetic-only": [[1, 2, 0], [0, 1, 0], [0, 0, 0]],
        "from-scratch": [[3, 0, 0], [1, 0, 0], [0, 0, 0]],
    }
    assert metrics["accuracy"] == 1
    assert metrics["accuracy/synthetic-only"] == 0.5
    assert metrics["accuracy/from-scratch"] == 0.75
    assert {"balanced_accuracy", "macro_f1", "loss"} < set(metrics)


def test_a_label_without_test_data_is_said_and_counts_in_no_mean(
    store: Store, folder: Path, inputs: dict[str, Artifact]
) -> None:
    _, report = evaluate(store, folder, inputs, section())
    assert report.absent_labels == ["none"]
    assert report.samples == 4
    scratch = report.model("from-scratch")
    assert scratch is not None
    assert scratch.balanced_accuracy == 0.5
    assert report.model("centralised") is None


def test_synthetic_only_is_judged_only_when_asked_for(
    store: Store, folder: Path, inputs: dict[str, Artifact]
) -> None:
    _, report = evaluate(store, folder, inputs, section(baselines=["FromScratch"]))
    assert [model.name for model in report.models] == ["gpt-fl", "from-scratch"]


@pytest.mark.parametrize(
    ("gate", "value", "passed"),
    [
        ({"metric": "Accuracy", "minimum": 0.75}, 0.75, True),
        ({"metric": "Accuracy", "minimum": 0.76}, 0.75, False),
        ({"metric": "BalancedAccuracy", "minimum": 0.5}, 0.5, True),
        ({"metric": "MacroF1", "minimum": 0.5}, 3 / 7, False),
    ],
)
def test_the_gate_looks_at_the_number_it_names(
    store: Store, folder: Path, gate: dict[str, Any], value: float, passed: bool
) -> None:
    weak = {"federation": trained(store, "3", judge(0.9))}
    spec = section(gate=gate, baselines=[])
    _, report = evaluate(store, folder, weak, spec)
    assert report.gate.value == pytest.approx(value)
    assert report.gate.passed is passed


def test_wrong_test_data_are_named_by_their_field(
    store: Store, folder: Path, inputs: dict[str, Artifact]
) -> None:
    Image.new("L", (4, 4)).save(folder / "test" / "light" / "5.png")
    (folder / "test" / "lihgt").mkdir()
    (folder / "test" / "light" / "5.png").rename(folder / "test" / "lihgt" / "5.png")
    with pytest.raises(DataError, match=r"^spec\.evaluation\.dataset: .*'lihgt'.*mean 'light'"):
        evaluate(store, folder, inputs, section())


def test_weights_of_another_model_are_refused(store: Store, folder: Path) -> None:
    other = build_model(ModelSpec(), SHAPE, 3, seed=0, folder=Path())
    with pytest.raises(ModelError, match=r"model\.safetensors: .*use weights that were trained"):
        evaluate(store, folder, {"federation": trained(store, "9", other)}, section(baselines=[]))
