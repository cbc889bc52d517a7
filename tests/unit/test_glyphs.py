"""The shipped glyph pipeline: it loads as any other does, and draws what it is asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

FOLDER = Path(__file__).parents[2] / "services" / "gptfl" / "generation" / "glyphs"
STEPS = 8
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
# diffusers' scheduler hands a tensor to numpy in a way that numpy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
REAL_FOR_CHOICES = 1437  # the rest of the real digits is the product's test set


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def pipe() -> Any:
    from diffusers import DiffusionPipeline

    loaded = DiffusionPipeline.from_pretrained(FOLDER, local_files_only=True)
    loaded.set_progress_bar_config(disable=True)
    return loaded


def draw(pipe: Any, prompts: list[str], seeds: list[int], guidance: float = 3.0) -> list[Any]:
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    images = pipe(
        prompts, num_inference_steps=STEPS, guidance_scale=guidance, generator=generators
    ).images
    return list(images)


def pixels(images: list[Any]) -> NDArray[np.float64]:
    return np.stack([np.asarray(image, dtype=np.float64) for image in images])


def recognised(images: list[Any], expected: list[int]) -> float:
    """The share that the nearest real digits, at their 8 x 8, agree with."""
    real = load_digits()
    judge = KNeighborsClassifier(3).fit(
        real.data[:REAL_FOR_CHOICES], real.target[:REAL_FOR_CHOICES]
    )
    small = pixels(images).reshape(-1, 8, 4, 8, 4).mean(axis=(2, 4)).reshape(-1, 64) * 16 / 255
    return float((judge.predict(small) == expected).mean())


def test_is_an_ordinary_stable_diffusion_folder(pipe: Any) -> None:
    assert type(pipe).__name__ == "StableDiffusionPipeline"
    assert pipe.scheduler.config.prediction_type == "v_prediction"


def test_draws_grey_squares(pipe: Any) -> None:
    images = draw(pipe, ["a handwritten digit three", "seven"], [0, 1])
    assert [(image.mode, image.size) for image in images] == [("L", (32, 32))] * 2


def test_ink_is_white_on_black(pipe: Any) -> None:
    image = pixels(draw(pipe, ["a handwritten digit zero"], [3]))[0]
    assert image.max() > 200
    assert np.median(image) < 50


@pytest.mark.parametrize(
    "wording", ["a {} handwritten digit {}", "a photo of the digit {1}", "{1}"]
)
def test_digits_are_recognisable(pipe: Any, wording: str) -> None:
    expected = [digit for digit in range(10) for _ in range(2)]
    weights = ["thin", "medium", "bold"]
    prompts = [wording.format(weights[i % 3], NAMES[digit]) for i, digit in enumerate(expected)]
    images = draw(pipe, prompts, list(range(20)))
    assert recognised(images, expected) >= 0.7  # chance is 0.1


@pytest.mark.parametrize("guidance", [1.0, 5.0])
def test_any_guidance_of_the_product_works(pipe: Any, guidance: float) -> None:
    expected = list(range(10))
    prompts = [f"a handwritten digit {digit}" for digit in expected]
    images = draw(pipe, prompts, list(range(10)), guidance)
    assert recognised(images, expected) >= 0.6


def test_an_image_does_not_depend_on_its_batch(pipe: Any) -> None:
    alone = pixels(draw(pipe, ["a bold digit five"], [11]))[0]
    among = pixels(draw(pipe, ["two", "a bold digit five", "a thin digit nine"], [10, 11, 12]))[1]
    again = pixels(draw(pipe, ["a bold digit five"], [11]))[0]
    assert np.array_equal(alone, again)
    # Another batch size sums in another order: a grey level or two, no more.
    assert np.abs(alone - among).max() <= 3


def test_embedded_prompts_draw_the_same(pipe: Any) -> None:
    prompts = ["a thin digit four", "a digit eight"]
    wanted, unwanted = pipe.encode_prompt(prompts, torch.device("cpu"), 1, True)
    seeds = [torch.Generator().manual_seed(seed) for seed in (5, 6)]
    embedded = pipe(
        prompt_embeds=wanted,
        negative_prompt_embeds=unwanted,
        num_inference_steps=STEPS,
        guidance_scale=3.0,
        generator=seeds,
    ).images
    assert np.abs(pixels(embedded) - pixels(draw(pipe, prompts, [5, 6]))).max() <= 3


def test_bold_has_more_ink_than_thin(pipe: Any) -> None:
    seeds = list(range(10))
    thin, bold = (
        pixels(draw(pipe, [f"a {word} handwritten digit {d}" for d in range(10)], seeds)).mean()
        for word in ("thin", "bold")
    )
    assert bold > 1.3 * thin


def test_every_file_matches_its_sum() -> None:
    lines = (FOLDER / "SHA256SUMS").read_text().splitlines()
    listed = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    files = {p.relative_to(FOLDER).as_posix(): p for p in FOLDER.rglob("*") if p.is_file()}
    assert set(files) - set(listed) == {"README.md", "SHA256SUMS"}
    assert {name: hashlib.sha256(files[name].read_bytes()).hexdigest() for name in listed} == listed


def test_the_folder_stays_small() -> None:
    assert sum(p.stat().st_size for p in FOLDER.rglob("*") if p.is_file()) <= 6 * 2**20
