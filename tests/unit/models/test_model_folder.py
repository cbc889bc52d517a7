"""An exported model is a folder that stands alone: what was trained answers the same elsewhere."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from gptfl.data.images import decode_image
from gptfl.errors import ModelError
from gptfl.models.build import build_model
from gptfl.models.config import ModelConfig
from gptfl.models.folder import load_classifier, model_config, save_model
from gptfl.spec.pretraining import ModelSpec
from gptfl.spec.task import ImageShape, TaskSpec

TASK = TaskSpec(labels=["a", "b", "c"], image=ImageShape(channels=1, height=8, width=8))


def exported(folder: Path, source: str = "builtin://small-cnn") -> torch.nn.Module:
    spec = ModelSpec(source=source)
    module = build_model(spec, TASK.image, 3, seed=4, folder=folder)
    save_model(folder, model_config(TASK, spec, module), module.state_dict())
    return module.eval()


def test_it_answers_with_the_probabilities_of_the_model(tmp_path: Path) -> None:
    module = exported(tmp_path)
    images = torch.randint(0, 256, (5, 1, 8, 8), dtype=torch.uint8)
    classifier = load_classifier(tmp_path)
    found = classifier.predict(images)
    with torch.inference_mode():
        expected = module(images / 255).softmax(1).numpy()
    assert found.dtype == np.float32
    assert np.allclose(found, expected, atol=1e-6)
    assert np.allclose(found.sum(1), 1, atol=1e-6)
    assert classifier.config.task == TASK


def test_it_is_two_files_without_pickles(tmp_path: Path) -> None:
    exported(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["format"] == "gptfl.classifier/1"
    assert config["labels"] == ["a", "b", "c"]


def test_one_of_transformers_needs_nothing_but_the_folder(tmp_path: Path) -> None:
    config = transformers.ViTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        image_size=16, patch_size=4,
    )  # fmt: skip
    config.save_pretrained(tmp_path / "vit")
    module = exported(tmp_path, "transformers://vit")
    (tmp_path / "vit" / "config.json").unlink()
    images = torch.randint(0, 256, (2, 1, 8, 8), dtype=torch.uint8)
    found = load_classifier(tmp_path).predict(images)
    with torch.inference_mode():
        assert np.allclose(found, module(images / 255).softmax(1).numpy(), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "data", "line"),
    [
        ("config.json", None, "config.json: cannot be read"),
        ("model.safetensors", None, "model.safetensors: cannot be read"),
        ("config.json", b"{", "config.json: is not the config of a gptfl model"),
        ("config.json", b'{"source": "x"}', r"not the config of a gptfl model \(labels: "),
        ("model.safetensors", b"no weights", "not readable as safetensors"),
    ],
)
def test_a_folder_that_holds_no_model_is_refused(
    tmp_path: Path, name: str, data: bytes | None, line: str
) -> None:
    exported(tmp_path)
    (tmp_path / name).unlink() if data is None else (tmp_path / name).write_bytes(data)
    with pytest.raises(ModelError, match=line):
        load_classifier(tmp_path)


def test_files_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    exported(tmp_path)
    config = ModelConfig(source="builtin://linear", labels=TASK.labels, image=TASK.image)
    (tmp_path / "config.json").write_text(config.model_dump_json(by_alias=True))
    with pytest.raises(ModelError, match=r"model\.safetensors: 'body\.1\.weight' is \[16\]"):
        load_classifier(tmp_path)


def test_images_of_any_size_are_prepared_as_in_training(tmp_path: Path) -> None:
    exported(tmp_path)
    classifier = load_classifier(tmp_path)
    large = np.full((32, 32), 90, dtype=np.uint8)
    shape = classifier.config.image
    expected = classifier.predict(decode_image(large, shape)[None])
    assert np.array_equal(classifier.predict_images([large]), expected)


def test_equal_pixels_get_equal_numbers_however_they_lie_in_memory(tmp_path: Path) -> None:
    exported(tmp_path)
    classifier = load_classifier(tmp_path)
    shape = classifier.config.image
    pixels = torch.randint(0, 256, (3, shape.channels, shape.height, shape.width)).to(torch.uint8)
    last = pixels.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    assert np.array_equal(classifier.predict(pixels), classifier.predict(last))
