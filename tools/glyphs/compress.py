"""Trains the autoencoder, whose latents the diffusion learns to draw."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderTiny
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from tools.glyphs import model
from tools.glyphs.settings import Settings


def learn_to_compress(folder: Path, settings: Settings, pixels: NDArray[np.uint8]) -> Any:
    """The autoencoder; noise on its latents makes the decoder forgive what diffusion gets wrong."""
    target = folder / "vae"
    if target.exists():
        return AutoencoderTiny.from_pretrained(target)
    torch.manual_seed(settings.seed)
    vae = model.new_vae().to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(vae.parameters(), lr=settings.vae_rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.vae_rate, total_steps=settings.vae_steps, pct_start=0.1
    )
    random = np.random.default_rng(settings.seed)
    for step in range(settings.vae_steps):
        picked = random.integers(len(pixels), size=settings.vae_batch)
        loss = _loss(vae, to_model(pixels[picked]), settings.latent_noise)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 50 == 0:
            print(f"compress {step}/{settings.vae_steps} loss {float(loss):.4f}", flush=True)
    vae.register_to_config(scaling_factor=1 / float(encode(vae, pixels[:2_000]).std()))
    vae.save_pretrained(target)
    return vae


def _loss(vae: Any, images: Tensor, noise: float) -> Tensor:
    latents = vae.encode(images).latents
    drawn = vae.decode(latents + noise * torch.randn_like(latents)).sample
    # Each channel near mean 0 and variance 1, as the diffusion expects.
    mean, spread = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    centred = mean.square().mean() + (spread - 1).square().mean()
    loss: Tensor = functional.mse_loss(drawn, images) + 0.02 * centred
    return loss


def all_latents(folder: Path, vae: Any, pixels: NDArray[np.uint8]) -> Tensor:
    """What the diffusion learns from, kept in a file."""
    target = folder / "latents.safetensors"
    if not target.exists():
        part = target.with_suffix(".part")
        latents = encode(vae, pixels) * vae.config.scaling_factor
        save_file({"latents": latents.contiguous()}, part)
        part.rename(target)
    stored: Tensor = load_file(target)["latents"]
    return stored


def to_model(pixels: NDArray[np.uint8]) -> Tensor:
    """Grey levels as the autoencoder takes them: from -1 to 1."""
    return torch.from_numpy(pixels).float()[:, None] / 127.5 - 1


def encode(vae: Any, pixels: NDArray[np.uint8]) -> Tensor:
    """The latents of many images."""
    with torch.inference_mode():
        return torch.cat([vae.encode(to_model(part)).latents for part in _chunks(pixels, 250)])


def _chunks(pixels: NDArray[np.uint8], size: int) -> Iterator[NDArray[np.uint8]]:
    for start in range(0, len(pixels), size):
        yield pixels[start : start + size]
