"""What differs between the text-to-image pipelines of diffusers, as far as drawing is concerned."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from gptfl.errors import ModelError, SpecError


@dataclass(frozen=True)
class Family:
    """How a class of pipelines takes prompts and guidance."""

    embeddings: tuple[str | None, ...]
    """What `encode_prompt` returns, by the name under which a call takes it (None: not taken).
    Empty where prompts can only be given as text."""
    guidance_by_image: bool
    """A call may have another guidance for each image."""


_SD = Family(("prompt_embeds", "negative_prompt_embeds"), guidance_by_image=True)
_POOLED = Family(
    (
        "prompt_embeds",
        "negative_prompt_embeds",
        "pooled_prompt_embeds",
        "negative_pooled_prompt_embeds",
    ),
    guidance_by_image=True,
)
_MASKED = Family(
    (
        "prompt_embeds",
        "prompt_attention_mask",
        "negative_prompt_embeds",
        "negative_prompt_attention_mask",
    ),
    guidance_by_image=True,
)
# Guidance is an input of the distilled transformer: one number for the batch.
_FLUX = Family(("prompt_embeds", "pooled_prompt_embeds", None), guidance_by_image=False)

FAMILIES = {
    "StableDiffusionPipeline": _SD,
    "StableDiffusionXLPipeline": _POOLED,
    "StableDiffusion3Pipeline": _POOLED,
    "PixArtAlphaPipeline": _MASKED,
    "PixArtSigmaPipeline": _MASKED,
    "FluxPipeline": _FLUX,
}
"""Read from the sources of diffusers 0.42: each of these, where it guides by image, computes
``uncond + guidance_scale * (text - uncond)`` and asks nothing else than ``guidance_scale > 1``."""

AS_TEXT = Family((), guidance_by_image=False)
"""Any other text-to-image pipeline: text in, one guidance a batch."""

NEEDED = ("prompt", "guidance_scale", "num_inference_steps", "generator")
"""Arguments without which a pipeline is not a text-to-image diffusion pipeline."""
_OTHER_MODALITIES = ("num_frames", "audio_length_in_s", "audio_end_in_s", "video", "mask_image")


def family_of(pipeline: Any) -> Family:
    """How `pipeline` takes prompts and guidance."""
    unet = getattr(pipeline, "unet", None)
    return family_by_name(type(pipeline).__name__, {} if unet is None else unet.config)


def family_by_name(kind: str, unet: Mapping[str, Any]) -> Family:
    """The same from what is known without the weights: the class, and the configuration of its
    U-Net (empty where it has none)."""
    family = FAMILIES.get(kind, AS_TEXT)
    # A latent consistency model embeds the guidance as one number, whatever its pipeline is.
    is_distilled = unet.get("time_cond_proj_dim") is not None
    return Family(family.embeddings, guidance_by_image=False) if is_distilled else family


def check_text_to_image(kind: type, field: str, uri: str) -> None:
    """Raises ModelError unless a pipeline of class `kind` makes images of text alone."""
    arguments = inspect.signature(kind.__call__).parameters
    missing = [name for name in NEEDED if name not in arguments]
    foreign = [name for name in _OTHER_MODALITIES if name in arguments]
    image = arguments.get("image")
    # Some text-to-image pipelines can take an image besides; `strength` means that they must.
    if missing or foreign or (image is not None and "strength" in arguments):
        raise ModelError(
            f"{field}: {uri} is a {kind.__name__}, which is not a text-to-image pipeline; "
            "name one that is, such as a StableDiffusionPipeline"
        )


def check_arguments(pipeline: Any, *, negative_prompt: bool, sized: bool) -> None:
    """Raises SpecError for what the spec asks for and this pipeline has no argument for."""
    arguments = inspect.signature(pipeline.__call__).parameters
    name = type(pipeline).__name__
    if negative_prompt and "negative_prompt" not in arguments:
        raise SpecError.of("spec.generation.negativePrompt", f"{name} takes none; leave it out")
    if sized and not {"height", "width"} <= arguments.keys():
        raise SpecError.of(
            "spec.generation.height", f"{name} has one size; leave height and width out"
        )


class GuidanceByImage:
    """A guidance for each image of a batch, where a pipeline expects one number.

    Pipelines ask whether it is above 1, which turns guidance on, and multiply it with a tensor
    [N, …]. Without guidance is the same as with 1, so an image whose own number is less than 1
    gets what it would get alone: 1.
    """

    def __init__(self, values: list[float]) -> None:
        self._values = torch.tensor(values, dtype=torch.float64).clamp(min=1.0)

    def __gt__(self, other: float) -> bool:
        return bool((self._values > other).any())

    def __mul__(self, difference: torch.Tensor) -> torch.Tensor:
        column = self._values.to(difference.device, difference.dtype)
        return column.view(-1, *(1,) * (difference.ndim - 1)) * difference
