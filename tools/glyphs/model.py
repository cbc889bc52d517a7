"""The parts of the pipeline, each tiny, and the folder that diffusers loads them from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from diffusers import (
    AutoencoderTiny,
    DPMSolverMultistepScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

PROMPT_TOKENS = 24
START, END = "<|startoftext|>", "<|endoftext|>"
SUMS = "SHA256SUMS"
DOCUMENTS = ("README.md", SUMS)


@dataclass(frozen=True)
class Parts:
    """What a pipeline folder is made of."""

    tokenizer: CLIPTokenizer
    text_encoder: CLIPTextModel
    vae: AutoencoderTiny
    unet: UNet2DConditionModel


def learn_tokenizer(prompts: Iterable[str], words: int) -> CLIPTokenizer:
    """CLIP's own byte-pair scheme with a vocabulary learned from the prompts."""
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token=END))
    blank: CLIPTokenizer = CLIPTokenizer(vocab={START: 0, END: 1}, merges=[])
    learner.normalizer = blank.backend_tokenizer.normalizer
    learner.pre_tokenizer = blank.backend_tokenizer.pre_tokenizer
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    learner.decoder = decoders.ByteLevel()
    learner.train_from_iterator(
        [*prompts, " ".join(alphabet)],
        trainers.BpeTrainer(
            vocab_size=words,
            min_frequency=2,
            initial_alphabet=alphabet,
            end_of_word_suffix="</w>",
            show_progress=False,
        ),
    )
    merges = _merges(learner)
    tokens = [*alphabet, *(letter + "</w>" for letter in alphabet), *map("".join, merges)]
    vocabulary = {
        token: number for number, token in enumerate([*dict.fromkeys(tokens), START, END])
    }
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=PROMPT_TOKENS)


def _merges(learner: Tokenizer) -> list[tuple[str, str]]:
    return [(left, right) for left, right in json.loads(learner.to_str())["model"]["merges"]]


def new_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """CLIP's text model, small enough to learn with the U-Net."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=192,
            projection_dim=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=PROMPT_TOKENS,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def new_vae() -> AutoencoderTiny:
    """32 x 32 grey to 4 x 8 x 8; most of its work is at the low resolutions, where it is cheap."""
    return AutoencoderTiny(
        in_channels=1,
        out_channels=1,
        encoder_block_out_channels=(32, 32, 32),
        decoder_block_out_channels=(32, 32, 32),
        num_encoder_blocks=(0, 1, 2),
        num_decoder_blocks=(2, 1, 0),
        latent_channels=4,
    )


def new_unet() -> UNet2DConditionModel:
    """Text is read at 4 x 4 only: at 8 x 8 attention would cost as much as all the rest."""
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=64,
        attention_head_dim=4,
        norm_num_groups=8,
    )


def scheduler() -> DPMSolverMultistepScheduler:
    """Ten steps are enough with it; at its first step next to nothing of the image is left."""
    return DPMSolverMultistepScheduler(
        num_train_timesteps=1000,
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        algorithm_type="dpmsolver++",
        solver_order=2,
        timestep_spacing="trailing",
        steps_offset=1,
    )


def pipeline(parts: Parts) -> StableDiffusionPipeline:
    """The parts as diffusers knows them."""
    return StableDiffusionPipeline(
        vae=parts.vae,
        text_encoder=parts.text_encoder,
        tokenizer=parts.tokenizer,
        unet=parts.unet,
        scheduler=scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def save(parts: Parts, folder: Path) -> None:
    """Write the folder and the digests of its files."""
    pipeline(parts).save_pretrained(folder, safe_serialization=True)
    # The first is derived, and loading it again warns; the second is a path of this machine.
    _drop(folder / "vae" / "config.json", "block_out_channels", "_name_or_path")
    write_sums(folder)


def write_sums(folder: Path) -> None:
    """The digests of the files that decide what is drawn; the product checks them."""
    sums = [f"{_digest(file)}  {file.relative_to(folder).as_posix()}\n" for file in _files(folder)]
    (folder / SUMS).write_text("".join(sums))


def _drop(config: Path, *keys: str) -> None:
    values = {k: v for k, v in json.loads(config.read_text()).items() if k not in keys}
    config.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n")


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.name not in DOCUMENTS)


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
