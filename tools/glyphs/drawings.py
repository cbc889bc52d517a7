"""Draws all training glyphs into files, so that a training that was ended need not draw again."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tools.glyphs import fonts
from tools.glyphs.render import Glyph, Mix, Renderer
from tools.glyphs.settings import Settings

FACTS = ("character", "style", "stroke", "slant")


@dataclass(frozen=True)
class Drawings:
    """All training glyphs: pixels in one array, and each glyph with what is true of it."""

    pixels: NDArray[np.uint8]
    glyphs: list[Glyph]


def draw_all(folder: Path, settings: Settings, processes: int) -> Drawings:
    """Every glyph, drawn by several processes unless it lies there already."""
    files = [folder / f"glyphs-{n:04d}.npz" for n in range(settings.glyphs // settings.shard)]
    missing = [(file, number) for number, file in enumerate(files) if not file.exists()]
    if missing:
        fonts.fetch()
        with ProcessPoolExecutor(processes) as pool:
            jobs = [pool.submit(_draw_shard, file, settings, number) for file, number in missing]
            for job in jobs:
                job.result()
    glyphs = [glyph for file in files for glyph in _read(file)]
    return Drawings(np.stack([glyph.pixels for glyph in glyphs]), glyphs)


def _draw_shard(target: Path, settings: Settings, number: int) -> None:
    """One file of glyphs with a seed of its own; that it exists says that it is whole."""
    renderer = Renderer(fonts.faces(), Mix())
    random = np.random.default_rng([settings.seed, number])
    glyphs = [renderer(random) for _ in range(settings.shard)]
    columns = {name: np.array([getattr(g, name) for g in glyphs]) for name in ("pixels", *FACTS)}
    part = target.with_suffix(".part")
    with part.open("wb") as file:
        np.savez(file, **columns)  # type: ignore[arg-type]
    part.rename(target)


def _read(file: Path) -> list[Glyph]:
    with np.load(file) as shard:
        columns = [shard["pixels"], *(shard[name].tolist() for name in FACTS)]
    return [Glyph(*row) for row in zip(*columns, strict=True)]
