"""Drawing: a generator and a guidance for each image, in batches that fit into memory."""

import functools
import inspect
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from tiny_pipelines import stable_diffusion, stable_diffusion_3, stable_diffusion_xl, unet

from gptfl.errors import ModelError, SpecError, StageError
from gptfl.generation.draw import (
    THREAD_NAME,
    BrokenDeviceError,
    DrawingStoppedError,
    Painter,
    draw_shard,
    draw_together,
)
from gptfl.generation.families import AS_TEXT, FAMILIES, GuidanceByImage, family_of
from gptfl.generation.items import Item, Shard
from gptfl.generation.rawshards import ShardFiles
from gptfl.generation.workers import Studio
from gptfl.spec.generation import GenerationSpec
from gptfl.store import Workspace
from gptfl.store.folder import FolderBlobs

ITEMS = [
    Item(0, n, f"a cat {n % 2}", seed=100 + n, guidance=guidance)
    for n, guidance in enumerate([1.0, 2.5, 9.0, 0.0])
]


def painter(pipeline: Any, **changes: Any) -> Painter:
    pipeline.set_progress_bar_config(disable=True)
    spec = GenerationSpec.model_validate({"steps": 2, "batchSize": 4} | changes)
    return Painter(pipeline, spec, threading.Event())


def pixels(samples: Any) -> np.ndarray:
    return np.stack([np.asarray(one.image(), dtype=np.int64) for one in samples])


def alone(pipeline: Any, item: Item) -> np.ndarray:
    """What plain diffusers draws."""
    image = pipeline(
        item.prompt,
        guidance_scale=item.guidance,
        num_inference_steps=2,
        generator=torch.Generator().manual_seed(item.seed),
    ).images[0]
    return np.asarray(image, dtype=np.int64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("vocabulary")


@pytest.mark.parametrize("build", [stable_diffusion, stable_diffusion_xl, stable_diffusion_3])
def test_a_batch_is_what_diffusers_draws_one_by_one(
    build: Callable[[Path], Any], folder: Path
) -> None:
    pipeline = build(folder)
    drawn = pixels(draw_shard(painter(pipeline), ITEMS))
    expected = np.stack([alone(pipeline, item) for item in ITEMS])
    assert np.abs(drawn - expected).max() <= 1  # another batch, other low bits
    assert len({image.tobytes() for image in drawn}) == len(ITEMS)


def test_prompts_as_text_draw_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = stable_diffusion(folder)
    embedded = pixels(draw_shard(painter(pipeline), ITEMS))
    monkeypatch.delitem(FAMILIES, "StableDiffusionPipeline")
    as_text = painter(pipeline)
    assert as_text.family == AS_TEXT
    assert np.abs(pixels(draw_shard(as_text, ITEMS)) - embedded).max() <= 1
    # Its text encoder works inside the call, so another thread needs another one.
    assert as_text.another().pipeline.text_encoder is not pipeline.text_encoder


@pytest.mark.parametrize("as_text", [False, True])
def test_a_negative_prompt_counts(
    folder: Path, monkeypatch: pytest.MonkeyPatch, as_text: bool
) -> None:
    if as_text:
        monkeypatch.delitem(FAMILIES, "StableDiffusionPipeline")
    pipeline = stable_diffusion(folder)
    drawn = pixels(draw_shard(painter(pipeline, negativePrompt="zzz"), ITEMS))
    plain = pixels(draw_shard(painter(pipeline), ITEMS))
    assert (drawn[2] != plain[2]).any()
    assert (drawn[3] == plain[3]).all()  # no guidance, nothing to be guided away from


def test_each_distinct_prompt_is_encoded_once(folder: Path) -> None:
    pipeline = stable_diffusion(folder)
    asked: list[str] = []
    encode = pipeline.encode_prompt

    @functools.wraps(encode)
    def heard(prompt: Any, *args: Any, **kwargs: Any) -> Any:
        asked.extend(prompt or ())
        return encode(prompt, *args, **kwargs)

    pipeline.encode_prompt = heard
    draw_shard(painter(pipeline, batchSize=1), ITEMS * 3)
    assert asked == ["a cat 0", "a cat 1"]


def test_two_painters_share_weights_and_not_schedulers(folder: Path) -> None:
    one = painter(stable_diffusion(folder))
    two = one.another()
    assert two.pipeline.unet is one.pipeline.unet
    assert two.pipeline.scheduler is not one.pipeline.scheduler


def with_call(pipeline: Any, call: Callable[..., Any]) -> Any:
    """The pipeline with `call` in front of its own, under the same name and signature."""
    kind = type(pipeline)
    wrapped = functools.wraps(kind.__call__)(
        lambda self, **given: call(functools.partial(kind.__call__, self), given)
    )
    pipeline.__class__ = type(kind.__name__, (kind,), {"__call__": wrapped})
    return pipeline


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda error: type(error).__name__)
def test_a_batch_is_halved_until_it_fits(folder: Path, error: Exception) -> None:
    sizes: list[int] = []

    def small(call: Any, given: dict[str, Any]) -> Any:
        sizes.append(len(given["generator"]))
        if sizes[-1] > 2:
            raise error
        return call(**given)

    one = painter(with_call(stable_diffusion(folder), small), batchSize=8)
    drawn = draw_shard(one, ITEMS * 3)
    assert one.largest == 2
    assert sizes == [8, 4, 2, 2, 2, 2, 2, 2]
    assert [sample.item for sample in drawn] == ITEMS * 3
    plain = painter(stable_diffusion(folder), batchSize=2)
    assert (pixels(drawn) == pixels(draw_shard(plain, ITEMS * 3))).all()


def test_one_image_that_does_not_fit_ends_the_stage(folder: Path) -> None:
    def never(call: Any, given: dict[str, Any]) -> Any:
        raise torch.OutOfMemoryError("out of memory")

    with pytest.raises(StageError, match="memory does not suffice for a single image"):
        draw_shard(painter(with_call(stable_diffusion(folder), never)), ITEMS)


def test_an_accelerator_that_fails_is_not_the_pipelines_fault(folder: Path) -> None:
    def broken(call: Any, given: dict[str, Any]) -> Any:
        raise torch.AcceleratorError("CUDA error: unspecified launch failure\nmore")

    with pytest.raises(BrokenDeviceError, match=r"failed \(CUDA error: unspecified launch fail"):
        draw_shard(painter(with_call(stable_diffusion(folder), broken)), ITEMS)


def test_any_other_failure_is_one_line(folder: Path) -> None:
    def broken(call: Any, given: dict[str, Any]) -> Any:
        raise RuntimeError("shapes\ndo not fit")

    with pytest.raises(
        ModelError, match=r"StableDiffusionPipeline cannot draw \(shapes do not fit"
    ):
        draw_shard(painter(with_call(stable_diffusion(folder), broken)), ITEMS)


def test_several_painters_on_one_shard_draw_the_same_bits(folder: Path) -> None:
    one = painter(stable_diffusion(folder), batchSize=2)
    alone = draw_shard(one, ITEMS * 3)
    assert draw_together([one, one.another(), one.another()], ITEMS * 3, 1) == alone


def test_several_painters_stop_within_a_step(folder: Path) -> None:
    one = painter(stable_diffusion(folder), batchSize=1)
    one._stop.set()
    with pytest.raises(DrawingStoppedError):
        draw_together([one, one.another()], ITEMS * 3, 1)


def test_progress_is_told_batch_by_batch(folder: Path) -> None:
    heard: list[int] = []
    draw_shard(painter(stable_diffusion(folder), batchSize=3), ITEMS, heard.append)
    assert heard == [3, 1]


def test_drawing_stops_within_a_step(folder: Path) -> None:
    pipeline = stable_diffusion(folder)
    one = painter(pipeline, steps=50)
    steps: list[int] = []
    step = pipeline.scheduler.step

    def stop_soon(*args: Any, **kwargs: Any) -> Any:
        steps.append(1)
        if len(steps) == 3:
            one._stop.set()
        return step(*args, **kwargs)

    pipeline.scheduler.step = functools.wraps(step)(stop_soon)
    with pytest.raises(DrawingStoppedError):
        draw_shard(one, ITEMS)
    assert len(steps) == 3


def test_a_failure_in_a_worker_stops_all_and_reaches_the_caller(
    folder: Path, tmp_path: Path
) -> None:
    def broken(call: Any, given: dict[str, Any]) -> Any:
        raise RuntimeError("broken")

    good = painter(stable_diffusion(folder))
    bad = Painter(with_call(stable_diffusion(folder), broken), good.spec, good._stop)
    shards = [Shard(0, index, tuple(ITEMS)) for index in range(20)]
    blobs = FolderBlobs(tmp_path)
    workspace = Workspace(blobs, "generation", "k", seed=0, folder=tmp_path)
    files = ShardFiles(workspace, ["cat", "dog"])
    with pytest.raises(ModelError, match="broken"):
        Studio([good, bad], good._stop, 1).draw(shards, files, lambda _: None)
    assert len(workspace.checkpoints()) < len(shards)
    assert THREAD_NAME not in {thread.name for thread in threading.enumerate()}


def test_guidance_by_image_is_a_number_for_each() -> None:
    guidance = GuidanceByImage([0.0, 1.0, 3.0])
    difference = torch.ones(3, 2, 1, 1)
    assert (guidance * difference)[:, 0, 0, 0].tolist() == [1.0, 1.0, 3.0]
    assert guidance > 1
    assert not GuidanceByImage([0.5, 1.0]) > 1


@pytest.mark.parametrize("name", FAMILIES)
def test_the_known_pipelines_take_what_they_are_given(name: str) -> None:
    call = inspect.signature(getattr(diffusers, name).__call__).parameters
    assert {argument for argument in FAMILIES[name].embeddings if argument} <= call.keys()


def test_a_distilled_model_has_one_guidance_a_batch(folder: Path) -> None:
    pipeline = stable_diffusion(folder)
    assert family_of(pipeline).guidance_by_image
    pipeline.unet = unet(time_cond_proj_dim=8)
    assert not family_of(pipeline).guidance_by_image
    drawn = draw_shard(painter(pipeline), [ITEMS[0], ITEMS[1], ITEMS[0]])
    assert [sample.item for sample in drawn] == [ITEMS[0], ITEMS[1], ITEMS[0]]


def test_what_a_pipeline_has_no_argument_for_is_told(folder: Path) -> None:
    pipeline = stable_diffusion(folder)
    kind = type(pipeline)

    def plain(self: Any, prompt: Any, guidance_scale: Any, generator: Any) -> None: ...

    pipeline.__class__ = type("PlainPipeline", (kind,), {"__call__": plain})
    with pytest.raises(SpecError, match=r"negativePrompt: PlainPipeline takes none"):
        painter(pipeline, negativePrompt="x")
    with pytest.raises(SpecError, match=r"height: PlainPipeline has one size"):
        painter(pipeline, width=16)
