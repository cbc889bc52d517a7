"""Scorers say how likely an image shows its label."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_pipelines import clip_tokenizer

from gptfl.errors import ModelError, SpecError
from gptfl.generation.agreement import make_scorer
from gptfl.generation.items import Item
from gptfl.generation.samples import Sample, encode_png
from gptfl.spec.generation import AgreementFilter, Device, Scorer

LABELS = ["left", "right"]


def half(side: int, n: int, *, label: int | None = None, colour: bool = False) -> Sample:
    """A noisy image with one bright half, called by that side or by another label."""
    random = np.random.default_rng([side, n])
    pixels = random.integers(0, 80, (16, 16, 3) if colour else (16, 16), dtype=np.uint8)
    pixels[:, 8 * side : 8 * side + 8] += 150
    item = Item(side if label is None else label, n, LABELS[side], n, 1.0)
    return Sample(item, encode_png(Image.fromarray(pixels)))


def scorer(folder: Path, seed: int = 1, **spec: Any) -> Any:
    return make_scorer(
        AgreementFilter.model_validate(spec), LABELS, seed=seed, folder=folder, device=Device.CPU
    )


@pytest.mark.parametrize("colour", [False, True])
def test_cross_fit_finds_the_images_that_were_called_something_else(
    tmp_path: Path, colour: bool
) -> None:
    right = [half(side, n, colour=colour) for side in (0, 1) for n in range(30)]
    wrong = [half(0, 100 + n, label=1, colour=colour) for n in range(3)]
    one = scorer(tmp_path)
    one.look(right[:40])
    one.look(right[40:] + wrong)
    scores = one.scores()
    assert scores.shape == (63,)
    assert np.median(scores[:60]) > 0.8
    assert scores[60:].max() < np.sort(scores[:60])[3]


def test_cross_fit_asks_all_judges_about_a_refill_and_repeats_itself(tmp_path: Path) -> None:
    def both() -> tuple[np.ndarray, np.ndarray]:
        one = scorer(tmp_path)
        one.look([half(side, n) for side in (0, 1) for n in range(12)])
        first = one.scores()
        one.look([half(0, 50), half(0, 50, label=1)])
        return first, one.scores()

    (first, refill), (again, refill_again) = both(), both()
    assert (first == again).all()
    assert (refill == refill_again).all()
    assert refill[0] > refill[1]
    assert refill.sum() == pytest.approx(1, abs=1e-5)  # two labels, the same image


def test_cross_fit_does_with_a_single_image_of_a_label(tmp_path: Path) -> None:
    one = scorer(tmp_path)
    one.look([half(0, 0), half(1, 1)])
    scores = one.scores()
    assert ((scores >= 0) & (scores <= 1)).all()


def clip(folder: Path) -> Path:
    """A CLIP model of random weights."""
    from transformers import (
        CLIPConfig,
        CLIPImageProcessorPil,
        CLIPModel,
        CLIPTextConfig,
        CLIPVisionConfig,
    )

    torch.manual_seed(0)
    tokenizer = clip_tokenizer(folder / "vocabulary")
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=40,
        num_attention_heads=2,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
        **small,
    )
    vision = CLIPVisionConfig(image_size=16, patch_size=8, num_attention_heads=2, **small)
    model = CLIPModel(
        CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=8)
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    CLIPImageProcessorPil(
        size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}
    ).save_pretrained(folder)
    return folder


def test_clip_compares_an_image_with_all_labels(tmp_path: Path) -> None:
    one = scorer(tmp_path, scorer="Clip", source=clip(tmp_path).as_uri())
    one.look([half(0, 0), half(1, 1, colour=True), half(0, 0, label=1)])
    scores = one.scores()
    assert scores.shape == (3,)
    assert scores[0] + scores[2] == pytest.approx(1, abs=1e-4)  # two labels, the same image


def test_a_label_too_long_for_clip_is_one_line(tmp_path: Path) -> None:
    filter_ = AgreementFilter(scorer=Scorer.CLIP, source=clip(tmp_path).as_uri())
    labels = ["left", "r" * 60]
    one = make_scorer(filter_, labels, seed=1, folder=tmp_path, device=Device.CPU)
    with pytest.raises(ModelError, match=r"agreement\.source: .* cannot score \(Sequence length"):
        one.look([half(0, 0)])


def test_clip_needs_a_model(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"agreement\.source: .*has no config\.json"):
        scorer(tmp_path, scorer="Clip", source=tmp_path.as_uri())
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"agreement\.source: .* cannot be loaded"):
        scorer(tmp_path, scorer="Clip", source=tmp_path.as_uri())


def custom(folder: Path, name: str, body: str) -> Any:
    (folder / f"{name}.py").write_text(f"def score(images, indices, labels):\n    {body}\n")
    return scorer(folder, scorer="Custom", function=f"{name}:score")


def test_a_custom_function_gets_images_label_indices_and_labels(tmp_path: Path) -> None:
    one = custom(
        tmp_path,
        "own_scorer",
        "return [0.5 * (image.size == (16, 16)) * (labels[index] == 'right')"
        " for image, index in zip(images, indices)]",
    )
    one.look([half(0, 0), half(1, 1)])
    one.look([half(1, 2)])
    assert one.scores().tolist() == [0.0, 0.5, 0.5]


@pytest.mark.parametrize(
    ("name", "body", "said"),
    [
        ("short", "return [0.5]", "returned (1,) for 2 images"),
        ("large", "return [0.5, 1.5]", "or numbers outside 0..1"),
        ("broken", "raise KeyError('x')", "fails: KeyError: 'x'"),
        ("absent", "return [float('nan')] * 2", "or numbers outside 0..1"),
    ],
)
def test_a_custom_function_that_does_wrong_is_named(
    tmp_path: Path, name: str, body: str, said: str
) -> None:
    one = custom(tmp_path, f"{name}_scorer", body)
    with pytest.raises(ModelError, match=rf"^spec\..*\.function: {name}_scorer:score") as caught:
        one.look([half(0, 0), half(1, 1)])
    assert said in str(caught.value)
