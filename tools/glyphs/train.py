"""Makes the glyph pipeline from scratch: draw, learn words, learn to compress, learn to draw."""

from __future__ import annotations

import argparse
import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderTiny
from torch import distributed
from transformers import CLIPTokenizer

from tools.glyphs import model
from tools.glyphs.compress import all_latents, learn_to_compress
from tools.glyphs.drawings import Drawings, draw_all
from tools.glyphs.paint import Painter, learn_to_draw, place
from tools.glyphs.prompts import prompt
from tools.glyphs.settings import Settings


def train(out: Path, work: Path, settings: Settings, processes: int) -> None:
    """All four steps, each skipped when its result lies in `work`; then the folder."""
    work.mkdir(parents=True, exist_ok=True)
    first = place()[0] == 0
    if not first:
        distributed.barrier()  # until the first process has made what all of them read
    drawings = draw_all(work, settings, processes)
    tokenizer = learn_words(work, settings, drawings)
    vae = learn_to_compress(work, settings, drawings.pixels)
    latents = all_latents(work, vae, drawings.pixels)
    if first and distributed.is_initialized():
        distributed.barrier()
    painter = Painter(settings, tokenizer)
    learn_to_draw(work / "painter.pt", painter, latents, drawings.glyphs)
    if first:
        _write(out, painter, vae)


def export(out: Path, work: Path, settings: Settings) -> None:
    """The folder as the last checkpoint would make it."""
    painter = Painter(settings, CLIPTokenizer.from_pretrained(work / "tokenizer"))
    painter.resume(work / "painter.pt")
    _write(out, painter, AutoencoderTiny.from_pretrained(work / "vae"))
    print(f"{out}: step {painter.step} of {settings.steps}")


def learn_words(folder: Path, settings: Settings, drawings: Drawings) -> Any:
    """The tokenizer, with a vocabulary learned from the prompts."""
    target = folder / "tokenizer"
    if not target.exists():
        random = np.random.default_rng(settings.seed)
        corpus = [prompt(glyph, random) for glyph in drawings.glyphs[:40_000]]
        model.learn_tokenizer(corpus, settings.vocabulary).save_pretrained(target)
    return CLIPTokenizer.from_pretrained(target)


def _write(out: Path, painter: Painter, vae: Any) -> None:
    painter.use_mean()
    model.save(model.Parts(painter.tokenizer, painter.text_encoder, vae, painter.unet), out)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the pipeline")
    parser.add_argument("--work", type=Path, required=True, help="drawings and checkpoints")
    parser.add_argument("--processes", type=int, default=2, help="that draw at once")
    parser.add_argument("--export-only", action="store_true", help="write the last checkpoint")
    parser.add_argument("--settings", type=json.loads, default={}, help='as JSON: {"steps": 100}')
    a = parser.parse_args()
    torch.set_num_threads(1)
    settings = Settings(**a.settings)
    if a.export_only:
        export(a.out, a.work, settings)
        return
    if "RANK" in os.environ:  # started by torchrun
        distributed.init_process_group("gloo", timeout=timedelta(hours=6))
    train(a.out, a.work, settings, a.processes)


if __name__ == "__main__":
    main()
