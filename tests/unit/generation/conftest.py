"""A text-to-image pipeline small enough to build, save, load and draw with in a test."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from gptfl.prompts.results import LabelPrompts, PromptSet
from gptfl.spec.generation import GenerationSpec
from gptfl.spec.sections import GenerationSection
from gptfl.store import Artifact, Store, Workspace, open_store

LABELS = ["cat", "dog"]


def clip_tokenizer(folder: Path) -> Any:
    """Letters are tokens: no merges."""
    from transformers import CLIPTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    letters = [chr(code) for code in range(33, 127)]
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{one}</w>" for one in letters)]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=16
    )


def clip_text(tokenizer: Any, *, projected: bool = False) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=16,
        projection_dim=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=16,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config).eval()


def unet(**changes: Any) -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        **{
            "sample_size": 8,
            "in_channels": 4,
            "out_channels": 4,
            "block_out_channels": (8, 16),
            "layers_per_block": 1,
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
            "cross_attention_dim": 16,
            "attention_head_dim": 8,
            "norm_num_groups": 4,
        }
        | changes
    ).eval()


def vae(channels: int = 1) -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        in_channels=channels,
        out_channels=channels,
        latent_channels=4,
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
        sample_size=16,
    ).eval()


def scheduler() -> Any:
    from diffusers import DDIMScheduler

    return DDIMScheduler(clip_sample=False, steps_offset=1)


def stable_diffusion(folder: Path) -> Any:
    """16 x 16 grey pixels; drawn from random weights."""
    from diffusers import StableDiffusionPipeline

    torch.manual_seed(0)
    tokenizer = clip_tokenizer(folder / "vocabulary")
    return StableDiffusionPipeline(
        vae=vae(),
        text_encoder=clip_text(tokenizer),
        tokenizer=tokenizer,
        unet=unet(),
        scheduler=scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


@pytest.fixture(scope="session")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a saved StableDiffusionPipeline."""
    folder = tmp_path_factory.mktemp("generator")
    stable_diffusion(folder).save_pretrained(folder / "saved")
    return folder / "saved"


MakeSection = Callable[..., GenerationSection]


@pytest.fixture
def section(generator: Path) -> MakeSection:
    """A GenerationSection that draws six 16 x 16 images of two labels, with changes."""

    def make(labels: list[str] = LABELS, seed: int = 7, **changes: Any) -> GenerationSection:
        given = {
            "generator": {"source": generator.as_uri(), "device": "Cpu"},
            "samplesPerLabel": 6,
            "steps": 2,
            "batchSize": 4,
            "shardSize": 4,
            "workers": 1,
            "filters": {"blank": None, "duplicates": None},
        }
        return GenerationSection(
            seed=seed,
            compute_threads=1,
            modality="ImageClassification",
            labels=labels,
            generation=GenerationSpec.model_validate(given | changes),
        )

    return make


class Stage:
    """Runs the stage as the engine does: prompts from a store, an artifact out of it."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store, self.folder = store, folder

    def prompts(self, labels: list[str]) -> Artifact:
        workspace = Workspace(self.store.blobs, "prompts", "p" * 64, seed=0, folder=self.folder)
        texts = [
            LabelPrompts(label=label, prompts=[f"a {label}", f"one {label}", f"the {label}"])
            for label in labels
        ]
        workspace.write_model("prompts.json", PromptSet(prompts=texts))
        return self._commit(workspace, "prompts", "p" * 64, {})

    def workspace(self, section: GenerationSection, key: str, **hooks: Any) -> Workspace:
        return Workspace(
            self.store.blobs, "generation", key, seed=section.seed, folder=self.folder, **hooks
        )

    def run(
        self, section: GenerationSection, key: str = "a" * 64, **hooks: Any
    ) -> tuple[Artifact, dict[str, float]]:
        from gptfl.generation.stage import run

        workspace = self.workspace(section, key, **hooks)
        metrics = run(section, {"prompts": self.prompts(section.labels)}, workspace)
        return self._commit(workspace, "generation", key, metrics), metrics

    def _commit(
        self, workspace: Workspace, stage: str, key: str, metrics: Mapping[str, float]
    ) -> Artifact:
        return self.store.commit(
            workspace,
            stage=stage,
            version=1,
            key=key,
            section={},
            inputs={},
            metrics=metrics,
            seconds=0.0,
            software={},
        )


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(open_store(str(tmp_path / "store")), tmp_path)
