"""Loads the pipeline that draws, set up as the spec says, or says in one line why not."""

import copy
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch

from gptfl.errors import ModelError, SpecError
from gptfl.generation.families import Family, check_text_to_image, family_by_name
from gptfl.models.device import DTYPES, torch_device
from gptfl.prompts.pretrained import Source, check_digests, loading, resolve
from gptfl.spec.generation import Compilation, GeneratorSpec, Scheduler

FIELD = "spec.generation.generator"
INDEX = "model_index.json"
BUILTIN = {"builtin://glyphs": Path(__file__).parent / "glyphs"}
"""Generators that come with gptfl: digits and letters, 32 x 32, grey."""
DIGESTS = "SHA256SUMS"

SCHEDULERS = {
    Scheduler.DPM_SOLVER_MULTISTEP: "DPMSolverMultistepScheduler",
    Scheduler.DDIM: "DDIMScheduler",
    Scheduler.EULER: "EulerDiscreteScheduler",
    Scheduler.EULER_ANCESTRAL: "EulerAncestralDiscreteScheduler",
    Scheduler.UNI_PC: "UniPCMultistepScheduler",
}


def find_source(spec: GeneratorSpec, folder: Path) -> Source:
    """Where the generator's weights are; files that came with gptfl or a store are checked.

    Raises SpecError for a source that cannot be and DamagedArtifactError for changed files.
    """
    field = f"{FIELD}.source"
    if not spec.source.startswith("builtin://"):
        return resolve(spec.source, folder, field=field, needs=INDEX)
    path = BUILTIN.get(spec.source)
    if path is None:
        known = ", ".join(BUILTIN)
        raise SpecError.of(field, f"{spec.source!r} is not built in; use {known}")
    sums = path / DIGESTS
    if not sums.is_file():
        raise ModelError(f"{field}: {path} has no {DIGESTS}; install gptfl again")
    lines = [line.split(maxsplit=1) for line in sums.read_text().splitlines() if line.strip()]
    digests = {name.lstrip("*"): digest for digest, name in lines}
    check_digests(path, digests, "install gptfl again")
    return Source(str(path), local=True, uri=spec.source, field=field)


@dataclass(frozen=True)
class PipelineKind:
    """What is known of a generator without its weights."""

    name: str
    """The pipeline's class."""
    family: Family


def kind_of(spec: GeneratorSpec, source: Source) -> PipelineKind:
    """Reads the generator's index alone, which takes no memory and no accelerator.

    Raises ModelError when there is none or it is not of a text-to-image pipeline.
    """
    with loading(source):
        kind, parts = _kind(spec, source)
        check_text_to_image(kind, source.field, source.uri)
        unet = (
            diffusers.UNet2DConditionModel.load_config(
                source.where, subfolder="unet", revision=spec.revision
            )
            if "unet" in parts
            else {}
        )
        return PipelineKind(kind.__name__, family_by_name(kind.__name__, unet))


def drawing_devices(spec: GeneratorSpec, workers: int, compute_threads: int) -> list[torch.device]:
    """The device of each worker; 0 workers is one for each accelerator, or for each core."""
    device = torch_device(spec.device, f"{FIELD}.device")
    if device.type == "cpu":
        cores = len(os.sched_getaffinity(0))
        return [device] * (workers or max(1, cores // compute_threads))
    found = torch.cuda.device_count()
    return [torch.device("cuda", worker % found) for worker in range(workers or found)]


def load_pipeline(spec: GeneratorSpec, source: Source, device: torch.device) -> Any:
    """A diffusers text-to-image pipeline on `device`: no pickles, no safety checker, no bars.

    A safety checker replaces what it dislikes by black, which the filters would count as blank.
    Raises ModelError when it cannot be loaded, is not text-to-image, or its weights cannot take
    the scheduler.
    """
    with loading(source):
        kind, _ = _kind(spec, source)
        check_text_to_image(kind, source.field, source.uri)
        options = _options(kind, spec)
        pipeline = kind.from_pretrained(  # type: ignore[attr-defined]
            source.where,
            dtype=DTYPES[spec.precision],
            use_safetensors=True,
            **options,
        )
        pipeline.set_progress_bar_config(disable=True)
        pipeline.scheduler = _scheduler(spec.scheduler, pipeline)
        pipeline.to(device)
        if spec.compilation is Compilation.ALWAYS:
            _denoiser(pipeline).compile()
    return pipeline


def second_pipeline(pipeline: Any, *, share_weights: bool) -> Any:
    """Another pipeline like this one, for another thread.

    With the same weights, where they are only read, and a scheduler of its own, which every step
    changes.
    """
    if not share_weights:
        return copy.deepcopy(pipeline)
    twin = copy.copy(pipeline)
    twin.scheduler = copy.deepcopy(pipeline.scheduler)
    return twin


def _kind(spec: GeneratorSpec, source: Source) -> tuple[type, Mapping[str, Any]]:
    """The pipeline's class and its index: a wrong one is told before gigabytes are read."""
    config = diffusers.DiffusionPipeline.load_config(source.where, revision=spec.revision)
    name = config.get("_class_name")
    kind = getattr(diffusers, name, None) if isinstance(name, str) else None
    if not isinstance(kind, type):
        raise ModelError(
            f"{source.field}: {source.uri} is a {name}, which diffusers {diffusers.__version__} "
            "does not have; name a pipeline of diffusers"
        )
    return kind, config


def _options(kind: Any, spec: GeneratorSpec) -> dict[str, Any]:
    expected, optional = kind._get_signature_keys(kind)
    options: dict[str, Any] = {}
    if "safety_checker" in expected:
        options["safety_checker"] = None
    if "requires_safety_checker" in optional:
        options["requires_safety_checker"] = False
    named = {"revision": spec.revision, "variant": spec.variant}
    return options | {name: value for name, value in named.items() if value is not None}


def _scheduler(wanted: Scheduler, pipeline: Any) -> Any:
    if wanted is Scheduler.DEFAULT:
        return pipeline.scheduler
    kind = getattr(diffusers, SCHEDULERS[wanted])
    if kind not in pipeline.scheduler.compatibles:
        raise SpecError.of(
            f"{FIELD}.scheduler",
            f"{wanted.value} does not fit the weights of a {type(pipeline).__name__}, which came "
            f"with a {type(pipeline.scheduler).__name__}; use Default",
        )
    return kind.from_config(pipeline.scheduler.config)


def _denoiser(pipeline: Any) -> torch.nn.Module:
    """The network that runs at every step."""
    network: torch.nn.Module = getattr(pipeline, "unet", None) or pipeline.transformer
    return network
