"""A saved generator, sections that draw with it, and the stage as the engine runs it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from tiny_pipelines import stable_diffusion

from gptfl.prompts.results import LabelPrompts, PromptSet
from gptfl.spec.generation import GenerationSpec
from gptfl.spec.sections import GenerationSection
from gptfl.store import Artifact, Store, Workspace, open_store

LABELS = ["cat", "dog"]


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
