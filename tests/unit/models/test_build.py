"""Every way to name a model gives a classifier of the task, or one line that says why not."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gptfl.errors import GPTFLError, MissingDependencyError, ModelError, SpecError
from gptfl.models.build import build_model, load_public_weights
from gptfl.models.builtin import BUILTIN as BUILDERS
from gptfl.models.check import BUILTIN, check_model
from gptfl.models.weights import load_weights, weights_from_bytes, weights_to_bytes
from gptfl.spec.pretraining import ModelSpec
from gptfl.spec.task import ImageShape

GREY_8 = ImageShape(channels=1, height=8, width=8)


def build(source: str, folder: Path = Path(), seed: int = 0, classes: int = 3) -> nn.Module:
    return build_model(ModelSpec(source=source), GREY_8, classes, seed=seed, folder=folder)


def vit(folder: Path, labels: int = 5) -> Path:
    """A folder with a tiny Vision Transformer that was trained for other labels."""
    config = transformers.ViTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        image_size=8, patch_size=4, num_channels=1, num_labels=labels,
    )  # fmt: skip
    transformers.ViTForImageClassification(config).save_pretrained(folder)
    return folder


class TestBuiltin:
    @settings(max_examples=25, deadline=None)
    @given(
        name=st.sampled_from(sorted(BUILDERS)),
        channels=st.sampled_from([1, 3]),
        height=st.integers(4, 40),
        width=st.integers(4, 40),
        classes=st.integers(2, 12),
    )
    def test_they_take_any_shape(
        self, name: str, channels: int, height: int, width: int, classes: int
    ) -> None:
        shape = ImageShape(channels=channels, height=height, width=width)
        spec = ModelSpec(source=f"builtin://{name}")
        module = build_model(spec, shape, classes, seed=0, folder=Path())
        assert module(torch.rand(2, channels, height, width)).shape == (2, classes)

    def test_the_small_one_is_small_and_as_large_for_large_pictures(self) -> None:
        sizes = {
            sum(weight.numel() for weight in build_model(
                ModelSpec(), ImageShape(channels=1, height=side, width=side), 10,
                seed=0, folder=Path(),
            ).parameters())
            for side in (8, 32)
        }  # fmt: skip
        assert len(sizes) == 1
        assert sizes.pop() < 50_000

    def test_the_names_that_are_checked_are_the_names_that_are_built(self) -> None:
        assert sorted(BUILTIN) == sorted(BUILDERS)


def test_the_seed_draws_the_weights_and_nothing_else_is_touched() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, again, other = (
        weights_to_bytes(build("builtin://small-cnn", seed=seed).state_dict()) for seed in (1, 1, 2)
    )
    assert first == again != other
    assert torch.equal(torch.get_rng_state(), before)


class TestPython:
    def test_a_function_of_the_users_gives_the_module(self, tmp_path: Path) -> None:
        (tmp_path / "nets_a.py").write_text(
            "from torch import nn\n"
            "def net(shape, classes):\n"
            "    return nn.Sequential(nn.Flatten(), nn.Linear(shape.height * shape.width, classes))"
        )
        assert build("python://nets_a:net", tmp_path)(torch.rand(2, 1, 8, 8)).shape == (2, 3)

    @pytest.mark.parametrize(
        ("body", "line"),
        [
            ("return 3", "returned int, not a torch.nn.Module"),
            ("return nn.Flatten()", r"gives \[1, 64\] for one image, not \[1, 3\] logits"),
            ("return nn.Linear(9, 3)", r"cannot take a 1 x 8 x 8 image"),
        ],
    )
    def test_a_module_that_cannot_be_used_is_refused(
        self, tmp_path: Path, body: str, line: str
    ) -> None:
        name = f"nets_{abs(hash(body))}"
        code = f"from torch import nn\ndef net(shape, classes):\n    {body}\n"
        (tmp_path / f"{name}.py").write_text(code)
        with pytest.raises(ModelError, match=rf"^spec\.pretraining\.model\.source: .*{line}"):
            build(f"python://{name}:net", tmp_path)


class TestTransformers:
    def test_a_folder_names_an_architecture_and_not_its_weights(self, tmp_path: Path) -> None:
        vit(tmp_path / "vit")
        first, other = (build("transformers://vit", tmp_path, seed=seed) for seed in (1, 2))
        assert first(torch.rand(2, 1, 8, 8)).shape == (2, 3)
        assert weights_to_bytes(first.state_dict()) != weights_to_bytes(other.state_dict())

    def test_a_folder_without_a_configuration_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        with pytest.raises(ModelError, match=r"source: transformers://empty cannot be read"):
            build("transformers://empty", tmp_path)

    def test_what_is_no_image_classifier_is_refused(self, tmp_path: Path) -> None:
        transformers.BertConfig(hidden_size=8, num_attention_heads=2).save_pretrained(tmp_path)
        with pytest.raises(ModelError, match=r"bert is not an image classifier"):
            build(f"transformers://{tmp_path}", tmp_path)


class TestPublicWeights:
    def public(self, folder: Path, module: nn.Module, weights: str | None) -> None:
        load_public_weights(module, ModelSpec(public_weights=weights), folder)

    def test_a_file_that_matches_is_taken(self, tmp_path: Path) -> None:
        theirs, ours = (build("builtin://linear", seed=seed) for seed in (1, 2))
        (tmp_path / "w.safetensors").write_bytes(weights_to_bytes(theirs.state_dict()))
        self.public(tmp_path, ours, "w.safetensors")
        assert weights_to_bytes(ours.state_dict()) == weights_to_bytes(theirs.state_dict())

    def test_the_head_for_other_labels_keeps_its_own_weights(self, tmp_path: Path) -> None:
        vit(tmp_path / "vit", labels=5)
        ours = build("transformers://vit", tmp_path)
        head = ours.model.classifier.weight.detach().clone()  # type: ignore[union-attr]
        self.public(tmp_path, ours, "vit/model.safetensors")
        theirs = weights_from_bytes((tmp_path / "vit" / "model.safetensors").read_bytes())
        state = ours.state_dict()
        assert torch.equal(state["model.classifier.weight"], head)
        assert torch.equal(
            state["model.vit.embeddings.cls_token"], theirs["vit.embeddings.cls_token"]
        )

    @pytest.mark.parametrize(
        ("weights", "line"),
        [
            (None, "is not set; name the weights"),
            ("gone.safetensors", "is not a file; name a safetensors file"),
            (
                "other.safetensors",
                r"'body\.1\.weight' is \[16\], the model's is \[3, 64\]; use weights of this",
            ),
            ("text.safetensors", "not readable as safetensors"),
        ],
    )
    def test_others_are_refused(self, tmp_path: Path, weights: str | None, line: str) -> None:
        (tmp_path / "text.safetensors").write_text("no weights")
        other = weights_to_bytes(build("builtin://small-cnn").state_dict())
        (tmp_path / "other.safetensors").write_bytes(other)
        with pytest.raises(GPTFLError, match=line):
            self.public(tmp_path, build("builtin://linear"), weights)


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("builtin://smal-cnn", r"'builtin://smal-cnn' is not known; .* did you mean builtin://sm"),
        ("resnet18", r"'resnet18' is not known; use one of builtin://small-cnn"),
        ("https://x/y", r"is not known; use one of"),
        ("python://nowhere_at_all:net", r"there is no module 'nowhere_at_all'"),
    ],
)
def test_unknown_models_are_refused_before_anything_is_loaded(source: str, line: str) -> None:
    for refuse in (lambda: build(source), lambda: check_model(ModelSpec(source=source), Path())):
        with pytest.raises(SpecError, match=rf"^spec\.pretraining\.model\.source: .*{line}"):
            refuse()


def test_public_weights_that_are_not_there_are_missed_before_anything_is_loaded() -> None:
    with pytest.raises(ModelError, match=r"^spec\.pretraining\.model\.publicWeights: .* not a fil"):
        check_model(ModelSpec(public_weights="gone.safetensors"), Path())


def test_timm_is_asked_for_by_its_name_when_it_is_not_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'gptfl\[timm\]'"):
        build("timm://resnet18")


class TestWeights:
    def test_the_same_tensors_are_the_same_bytes_in_any_order_and_layout(self) -> None:
        a, b = torch.rand(2, 3, 4, 5), torch.rand(3)
        striped = a.to(memory_format=torch.channels_last)
        assert weights_to_bytes({"a": a, "b": b}) == weights_to_bytes({"b": b, "a": striped})

    def test_they_come_back_as_they_went(self) -> None:
        state = {"a": torch.rand(2, 3), "n": torch.tensor(3), "h": torch.rand(2).bfloat16()}
        back = weights_from_bytes(weights_to_bytes(state))
        assert all(torch.equal(back[name], state[name]) for name in state)

    @pytest.mark.parametrize(
        ("change", "line"),
        [
            ({"body.1.bias": None}, "'body.1.bias' is missing"),
            ({"more": torch.zeros(1)}, "'more' is not in the model"),
            ({"body.1.bias": torch.zeros(4)}, r"'body.1.bias' is \[4\], the model's is \[3\]"),
        ],
    )
    def test_weights_of_another_model_are_named(self, change: dict[str, Any], line: str) -> None:
        module = build("builtin://linear")
        state = {k: v for k, v in (module.state_dict() | change).items() if v is not None}
        with pytest.raises(ModelError, match=rf"^here: {line}; use weights that were trained"):
            load_weights(module, state, "here")


def test_checking_a_model_loads_no_torch() -> None:
    code = "import sys, gptfl.models.check; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
