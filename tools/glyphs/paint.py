"""Trains the diffusion: text encoder and U-Net together, in one process or in several."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.training_utils import EMAModel
from torch import Tensor, distributed
from torch.nn import functional

from tools.glyphs import model
from tools.glyphs.prompts import prompt
from tools.glyphs.render import Glyph
from tools.glyphs.settings import Settings


class Painter:
    """Text encoder, U-Net, their optimiser, and the running mean of their weights."""

    def __init__(self, settings: Settings, tokenizer: Any) -> None:
        torch.manual_seed(settings.seed)
        self.settings, self.tokenizer = settings, tokenizer
        self.text_encoder = model.new_text_encoder(tokenizer)
        self.unet = model.new_unet().to(memory_format=torch.channels_last)  # a tenth faster
        self.weights = [*self.text_encoder.parameters(), *self.unet.parameters()]
        self.mean = EMAModel(self.weights, decay=settings.ema, use_ema_warmup=True, power=0.75)
        self.optimiser = torch.optim.AdamW(
            self.weights, lr=settings.rate, betas=(0.9, 0.99), weight_decay=1e-2
        )
        self.signal = model.scheduler().alphas_cumprod
        self.step = 0

    def train_step(self, latents: Tensor, glyphs: list[Glyph]) -> float:
        """One step on a batch that follows from seed and step: a resumed training is the same."""
        loss = self._loss(latents, glyphs)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        _average_gradients(self.weights)
        torch.nn.utils.clip_grad_norm_(self.weights, 1.0)
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate()
        self.optimiser.step()
        self.mean.step(self.weights)
        self.step += 1
        return float(loss.detach())

    def _rate(self) -> float:
        """Up, level, and down at the end: any level moment makes a usable pipeline."""
        s = self.settings
        left = (s.steps - self.step) / (s.cool_down * s.steps)
        return s.rate * min(1.0, (self.step + 1) / s.warm_up, max(0.0, left))

    def _loss(self, latents: Tensor, glyphs: list[Glyph]) -> Tensor:
        rank, processes = place()
        size = self.settings.batch // processes
        random = np.random.default_rng([self.settings.seed, self.step, rank])
        noise_source = torch.Generator().manual_seed(int(random.integers(2**62)))
        picked = random.integers(len(glyphs), size=size)
        images = latents[torch.from_numpy(picked)]
        noise = torch.randn(images.shape, generator=noise_source)
        # Stratified over the batch: less noise in the gradient than independent draws.
        spread = (torch.arange(size) + torch.rand(size, generator=noise_source)) / size
        time = (spread * len(self.signal)).long()
        keep = self.signal[time].sqrt()[:, None, None, None]
        lose = (1 - self.signal[time]).sqrt()[:, None, None, None]
        text = self.text_encoder(self._tokens([glyphs[i] for i in picked], random))[0]
        guess = self.unet(keep * images + lose * noise, time, text).sample
        return functional.mse_loss(guess, keep * noise - lose * images)

    def _tokens(self, glyphs: list[Glyph], random: np.random.Generator) -> Tensor:
        blank = self.settings.blank
        words = ["" if random.random() < blank else prompt(glyph, random) for glyph in glyphs]
        batch = self.tokenizer(
            words,
            padding="max_length",
            truncation=True,
            max_length=model.PROMPT_TOKENS,
            return_tensors="pt",
        )
        return batch.input_ids  # type: ignore[no-any-return]

    def save(self, target: Path) -> None:
        """Everything that the next step needs."""
        state = {
            "step": self.step,
            "text_encoder": self.text_encoder.state_dict(),
            "unet": self.unet.state_dict(),
            "mean": self.mean.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        part = target.with_suffix(".part")
        torch.save(state, part)
        part.rename(target)

    def resume(self, source: Path) -> None:
        """Go on where `save` was called."""
        state = torch.load(source, weights_only=True)
        self.step = state["step"]
        self.text_encoder.load_state_dict(state["text_encoder"])
        self.unet.load_state_dict(state["unet"])
        self.mean.load_state_dict(state["mean"])
        self.optimiser.load_state_dict(state["optimiser"])

    def use_mean(self) -> None:
        """From here on the weights are their running mean, which draws better."""
        self.mean.copy_to(self.weights)


def learn_to_draw(checkpoint: Path, painter: Painter, latents: Tensor, glyphs: list[Glyph]) -> None:
    """Train on from the last checkpoint to the last step."""
    if checkpoint.exists():
        painter.resume(checkpoint)
    first = place()[0] == 0
    settings, recent = painter.settings, math.nan
    while painter.step < settings.steps:
        loss = painter.train_step(latents, glyphs)
        recent = loss if math.isnan(recent) else 0.98 * recent + 0.02 * loss
        if first and painter.step % 50 == 0:
            print(f"draw {painter.step}/{settings.steps} loss {recent:.4f}", flush=True)
        if first and painter.step % settings.save_every == 0:
            painter.save(checkpoint)
    if first:
        painter.save(checkpoint)


def place() -> tuple[int, int]:
    """This process's number, and how many there are."""
    if not distributed.is_initialized():
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def _average_gradients(weights: list[Tensor]) -> None:
    if not distributed.is_initialized():
        return
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    start = 0
    for gradient in gradients:
        gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
        start += gradient.numel()
