"""Everything that decides what a training makes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """The defaults made the folder that gptfl ships."""

    seed: int = 0
    glyphs: int = 80_000
    shard: int = 4_000
    vocabulary: int = 1_000
    vae_steps: int = 800
    vae_batch: int = 48
    vae_rate: float = 2e-3
    latent_noise: float = 0.1
    steps: int = 7_000
    batch: int = 96
    rate: float = 1.5e-3
    warm_up: int = 300
    cool_down: float = 0.35
    """Share of the steps at the end in which the rate falls to nothing."""
    blank: float = 0.12
    """Share of prompts dropped, so that guidance has something to lead away from."""
    ema: float = 0.999
    save_every: int = 100
