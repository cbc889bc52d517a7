"""Measures a pipeline folder: transfer to real digits, cost an image, and a sheet to look at."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline
from numpy.typing import NDArray
from PIL import Image

from tools.glyphs import classify, fonts
from tools.glyphs.prompts import DIGITS, SLANTS, WEIGHTS
from tools.glyphs.render import Mix, Renderer

Random = np.random.Generator
Ask = Callable[[int, Random], str]


def by_attributes(digit: int, random: Random) -> str:
    """What a careful user writes: the attributes varied, by hand."""
    words = [list(WEIGHTS)[random.integers(3)], list(SLANTS)[random.integers(3)], "handwritten"]
    return f"a {' '.join(words)} digit {DIGITS[digit]}"


def naive(digit: int, random: Random) -> str:
    """What a user writes who read nothing."""
    return f"a photo of the digit {DIGITS[digit]}"


def bare(digit: int, random: Random) -> str:
    """The label alone."""
    return DIGITS[digit]


ASKS: dict[str, Ask] = {"attributes": by_attributes, "naive": naive, "bare": bare}


def generate(
    pipe: Any, ask: Ask, count: int, *, steps: int, guidance: tuple[float, float]
) -> tuple[NDArray[np.uint8], NDArray[np.int64], float]:
    """`count` digits in batches of 100, each batch at its own guidance; also the core seconds."""
    random = np.random.default_rng(0)
    digits = np.arange(count) % 10
    images, spent = [], 0.0
    for start in range(0, count, 100):
        prompts = [ask(int(d), random) for d in digits[start : start + 100]]
        seeds = [torch.Generator().manual_seed(start + i) for i in range(len(prompts))]
        scale = float(random.uniform(*guidance))
        before = time.process_time()
        drawn = pipe(
            prompts, num_inference_steps=steps, guidance_scale=scale, generator=seeds
        ).images
        spent += time.process_time() - before
        images += [np.asarray(image) for image in drawn]
    return np.stack(images), digits, spent


def score(pixels: NDArray[np.uint8], digits: NDArray[np.int64], seeds: int) -> dict[str, Any]:
    """Accuracy on the real digits by seed, and the recall of each digit."""
    images, labels = classify.to_eight(pixels), torch.tensor(digits)
    results = [classify.transfer(images, labels, seed) for seed in range(seeds)]
    confusion = sum(c for _, c in results)
    recall = np.diag(confusion) / np.sum(confusion, axis=1)
    return {
        "accuracy": [round(accuracy, 4) for accuracy, _ in results],
        "recall": [round(float(r), 3) for r in recall],
    }


def rendered(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The training distribution itself: what the pipeline could reach at best."""
    renderer, random = Renderer(fonts.faces(), Mix()), np.random.default_rng([seed, 77])
    digits = np.arange(count) % 10
    return np.stack([renderer.draw(str(d), random).pixels for d in digits]), digits


def sheet(pipe: Any, steps: int, target: Path) -> None:
    """Digits by guidance and wording, then every letter in both cases."""
    rows = []
    for scale in (1.0, 3.0, 5.0):
        for ask in ASKS.values():
            rows.append(
                _row(pipe, [ask(d % 10, np.random.default_rng(d)) for d in range(30)], steps, scale)
            )
    for words in (
        "thin upright handwritten",
        "bold slanted handwritten",
        "left-leaning",
        "bold printed",
        "cursive",
    ):
        rows.append(_row(pipe, [f"a {words} digit {d % 10}" for d in range(30)], steps, 2.5))
    for case in ("capital", "small"):
        for style in ("handwritten", "printed"):
            letters = [f"a {style} {case} letter {chr(97 + i % 26)}" for i in range(30)]
            rows.append(_row(pipe, letters, steps, 2.5))
    image = Image.fromarray(np.concatenate(rows))
    image.save(target)


def _row(pipe: Any, prompts: list[str], steps: int, scale: float) -> NDArray[np.uint8]:
    seeds = [torch.Generator().manual_seed(i) for i in range(len(prompts))]
    images = pipe(prompts, num_inference_steps=steps, guidance_scale=scale, generator=seeds).images
    return np.concatenate([np.asarray(image) for image in images], axis=1)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=2_000)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--guidance", type=float, nargs=2, default=(1.0, 5.0))
    parser.add_argument("--asks", nargs="+", default=list(ASKS), choices=list(ASKS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--bound", action="store_true", help="also score the rendered glyphs")
    a = parser.parse_args()
    torch.set_num_threads(1)
    pipe = DiffusionPipeline.from_pretrained(a.folder)
    pipe.set_progress_bar_config(disable=True)
    if a.sheet:
        sheet(pipe, a.steps, a.sheet)
    for name in a.asks:
        pixels, digits, spent = generate(
            pipe, ASKS[name], a.count, steps=a.steps, guidance=tuple(a.guidance)
        )
        cost = {"core_ms_an_image": round(1000 * spent / a.count, 2)}
        print(json.dumps({"ask": name, **score(pixels, digits, a.seeds), **cost}), flush=True)
    if a.bound:
        print(json.dumps({"ask": "rendered", **score(*rendered(a.count, 0), a.seeds)}), flush=True)


if __name__ == "__main__":
    main()
