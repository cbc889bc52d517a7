"""What drawing costs: the stage against one image a call and against a bare batched loop.

    python benchmarks/generation.py

The three take turns, and each ratio is of two numbers of the same turn; medians are printed. By
default the built-in generator draws; `--source hf://OWNER/NAME` measures another.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gptfl.generation.items import Catalogue
from gptfl.generation.pipeline import find_source, load_pipeline
from gptfl.generation.rawshards import RawShards, ShardFiles
from gptfl.generation.workers import Studio, open_studio
from gptfl.prompts.results import LabelPrompts, PromptSet
from gptfl.prompts.templates import fill_templates
from gptfl.spec.generation import GenerationSpec
from gptfl.spec.prompts import Attribute, PromptsSpec
from gptfl.store import Workspace
from gptfl.store.folder import FolderBlobs

LABELS = ["zero", "one", "two", "three"]
PROMPTS = PromptsSpec(
    per_label=40,
    templates=["a {weight} {slant} handwritten digit {label}"],
    attributes=[
        Attribute(name="weight", values=["thin", "medium", "bold"]),
        Attribute(name="slant", values=["upright", "slanted", ""]),
    ],
)
REFERENCE_STEPS = 50
REFERENCE_IMAGES = 4


@dataclass(frozen=True)
class Cost:
    """Of one image, in milliseconds."""

    wall: float
    cpu: float
    """Over all threads: what is left when the machine does other things besides."""


def measured(images: int, work: Callable[[], object]) -> Cost:
    """Runs `work`, which draws so many images."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return Cost(1000 * wall / images, 1000 * cpu / images)


def catalogue(spec: GenerationSpec, *, even: bool) -> Catalogue:
    """What is drawn, by all of the ways."""
    texts = [
        LabelPrompts(label=label, prompts=fill_templates(label, PROMPTS, 0)) for label in LABELS
    ]
    return Catalogue(0, LABELS, PromptSet(prompts=texts), spec.guidance, even=even)


def by_the_stage(studio: Studio, spec: GenerationSpec) -> None:
    """Drawing as a run does it: shards, PNG, checkpoints, progress."""
    items = catalogue(spec, even=studio.painters[0].family.guidance_by_image)
    wanted = {label: range(spec.samples_per_label) for label in range(len(LABELS))}
    with tempfile.TemporaryDirectory() as folder:
        blobs = FolderBlobs(Path(folder))
        workspace = Workspace(blobs, "generation", "benchmark", seed=0, folder=Path(folder))
        raw = RawShards(ShardFiles(workspace, LABELS), studio)
        raw.draw(items.shards(0, wanted, spec.shard_size))


def by_a_bare_loop(pipeline: Any, spec: GenerationSpec) -> None:
    """diffusers in batches with one guidance, images left in memory."""
    items = catalogue(spec, even=True)
    prompts = [
        items.item(label, n).prompt
        for label in range(len(LABELS))
        for n in range(spec.samples_per_label)
    ]
    for start in range(0, len(prompts), spec.batch_size):
        pipeline(
            prompts[start : start + spec.batch_size],
            num_inference_steps=spec.steps,
            guidance_scale=3.0,
        )


def by_the_reference(pipeline: Any) -> None:
    """The implementation of the paper: one image a call, 50 steps."""
    items = catalogue(GenerationSpec(), even=True)
    for n in range(REFERENCE_IMAGES):
        pipeline(items.item(0, n).prompt, num_inference_steps=REFERENCE_STEPS)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--source", default="builtin://glyphs")
    parser.add_argument("--images", type=int, default=256, help="drawn by each way, each time")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    spec = GenerationSpec.model_validate(
        {
            "generator": {"source": given.source},
            "samplesPerLabel": given.images // len(LABELS),
            "steps": given.steps,
            "batchSize": given.batch,
            "shardSize": given.batch,
        }
    )
    torch.set_num_threads(1)
    here = Path.cwd()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    bare = load_pipeline(spec.generator, find_source(spec.generator, here), device)
    studios = {
        workers: open_studio(spec.model_copy(update={"workers": workers}), here, 1)
        for workers in (1, 2)
    }
    images = spec.samples_per_label * len(LABELS)
    ways: dict[str, tuple[int, Callable[[], object]]] = {
        "the stage, one worker": (images, lambda: by_the_stage(studios[1], spec)),
        "the stage, two workers": (images, lambda: by_the_stage(studios[2], spec)),
        "a bare loop of batches": (images, lambda: by_a_bare_loop(bare, spec)),
        "one image a call, 50 steps": (REFERENCE_IMAGES, lambda: by_the_reference(bare)),
    }
    by_a_bare_loop(bare, spec.model_copy(update={"samples_per_label": 1}))  # warms up
    turns: list[dict[str, Cost]] = []
    for turn in range(given.repeats):
        turns.append({name: measured(*way) for name, way in ways.items()})
        print(f"turn {turn + 1} of {given.repeats}", file=sys.stderr)
    report(turns, given)


def report(turns: list[dict[str, Cost]], given: argparse.Namespace) -> None:
    """Milliseconds an image, and how often the stage's one worker fits into each."""
    base = "a bare loop of batches"
    print(f"{given.source}, {given.steps} steps, batches of {given.batch}; medians of ", end="")
    print(f"{len(turns)} turns, ratios to a bare loop of the same turn")
    print(f"{'':28}{'ms/image':>10}{'ratio':>8}{'CPU ms':>10}{'ratio':>8}")
    for name in turns[0]:
        wall = statistics.median(turn[name].wall for turn in turns)
        cpu = statistics.median(turn[name].cpu for turn in turns)
        wall_ratio = statistics.median(turn[name].wall / turn[base].wall for turn in turns)
        cpu_ratio = statistics.median(turn[name].cpu / turn[base].cpu for turn in turns)
        print(f"{name:28}{wall:10.2f}{wall_ratio:8.2f}{cpu:10.2f}{cpu_ratio:8.2f}")


if __name__ == "__main__":
    main()
