"""Draws the items of a shard: in batches, each image with its own noise and its own guidance.

A shard is drawn the same wherever it is drawn, so a queue may hand it to any worker.
"""

import inspect
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image

from gptfl.errors import ModelError, StageError
from gptfl.generation.families import Family, GuidanceByImage, check_arguments, family_of
from gptfl.generation.items import Item, batches
from gptfl.generation.pipeline import second_pipeline
from gptfl.generation.samples import Sample, encode_png
from gptfl.spec.generation import GenerationSpec

ENCODED_AT_ONCE = 16
"""Prompts that go through the text encoders together."""

THREAD_NAME = "gptfl-drawing"

Heard = Callable[[int], None]
"""Told how many more images have been drawn."""


class DrawingStoppedError(Exception):
    """The drawing was told to stop; nothing of the shard is left."""


class BrokenDeviceError(StageError):
    """The accelerator fails, and will for this process; another one may draw."""


class Painter:
    """A pipeline in the hands of one thread, and the number of images that fit into its memory."""

    def __init__(self, pipeline: Any, spec: GenerationSpec, stop: threading.Event) -> None:
        check_arguments(
            pipeline,
            negative_prompt=spec.negative_prompt is not None,
            sized=spec.height is not None or spec.width is not None,
        )
        self.pipeline = pipeline
        self.spec = spec
        self.family: Family = family_of(pipeline)
        self.largest = spec.batch_size
        """Images drawn at once, at most; halved whenever memory runs out."""
        self._stop = stop
        self._arguments = inspect.signature(pipeline.__call__).parameters
        # Tokenizers and the output hooks of transformers are not made for two threads.
        self._encoding = threading.Lock()

    def another(self) -> "Painter":
        """One more painter with the same weights, for another thread.

        Where prompts are encoded within the call, text encoders would be shared by both threads,
        which they do not stand: then the whole pipeline is copied.
        """
        pipeline = second_pipeline(self.pipeline, share_weights=bool(self.family.embeddings))
        twin = Painter(pipeline, self.spec, self._stop)
        twin._encoding = self._encoding
        return twin

    def encode(self, prompts: Sequence[str]) -> dict[str, torch.Tensor]:
        """The embeddings of `prompts`, by the argument that takes them: tensors [P, …].

        Empty for a pipeline that takes text alone.
        """
        if not self.family.embeddings:
            return {}
        with self._encoding, torch.no_grad():
            parts = [
                self._encode(list(prompts[start : start + ENCODED_AT_ONCE]))
                for start in range(0, len(prompts), ENCODED_AT_ONCE)
            ]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def draw(self, items: Sequence[Item], embedded: dict[str, torch.Tensor]) -> list[Image.Image]:
        """The images of `items` in one call of the pipeline; `embedded` has a row for each."""
        prompts: dict[str, Any] = dict(embedded)
        if not prompts:
            prompts["prompt"] = [item.prompt for item in items]
        arguments = {
            "num_inference_steps": self.spec.steps,
            "guidance_scale": self._guidance(items),
            # On the CPU whatever draws, so that an accelerator starts from the same noise.
            "generator": [torch.Generator().manual_seed(item.seed) for item in items],
            "height": self.spec.height,
            "width": self.spec.width,
            **self._negative(len(items), embedded=bool(embedded)),
            **self._stopping(),
            **prompts,
        }
        given = {name: value for name, value in arguments.items() if name in self._arguments}
        images: list[Image.Image] = self.pipeline(**given).images
        return images

    def _encode(self, prompts: list[str]) -> dict[str, torch.Tensor]:
        encode = self.pipeline.encode_prompt
        arguments = {
            "prompt": prompts,
            "prompt_2": None,
            "prompt_3": None,
            "device": self.pipeline._execution_device,
            "num_images_per_prompt": 1,
            "do_classifier_free_guidance": True,
        }
        if self.spec.negative_prompt is not None:
            arguments["negative_prompt"] = [self.spec.negative_prompt] * len(prompts)
        taken = inspect.signature(encode).parameters
        returned = encode(**{name: arguments[name] for name in arguments if name in taken})
        return {
            name: tensor
            for name, tensor in zip(self.family.embeddings, returned, strict=True)
            if name is not None and tensor is not None
        }

    def _guidance(self, items: Sequence[Item]) -> float | GuidanceByImage:
        if self.family.guidance_by_image:
            return GuidanceByImage([item.guidance for item in items])
        return items[0].guidance

    def _negative(self, images: int, *, embedded: bool) -> dict[str, Any]:
        if embedded:
            # Some pipelines have another default, which clashes with embeddings.
            return {"negative_prompt": None}
        negative = self.spec.negative_prompt
        return {} if negative is None else {"negative_prompt": [negative] * images}

    def _stopping(self) -> dict[str, Any]:
        """Looks after each step whether to stop: a step is short, a batch may take minutes."""

        def after_step(*_: Any) -> dict[str, Any]:
            if self._stop.is_set():
                raise DrawingStoppedError
            return {}

        if "callback_on_step_end" in self._arguments:
            return {"callback_on_step_end": after_step}
        return {"callback": after_step, "callback_steps": 1}


def draw_shard(
    painter: Painter, items: Sequence[Item], heard: Heard = lambda _: None
) -> list[Sample]:
    """The images of `items`, in that order; `heard` is told after each batch.

    The same items give the same bytes on the same kind of hardware, whoever draws them and after
    whatever else, as long as memory suffices; a batch that memory is too small for is halved, and
    a batch of another size has other low bits. Raises StageError when one image does not fit, and
    ModelError when the pipeline refuses.
    """
    sheet = _prepare(painter, items)
    drawn: dict[int, Sample] = {}
    for batch in sheet.batches:
        drawn |= _draw_batch(painter, sheet, batch, heard)
    return [drawn[position] for position in range(len(items))]


def draw_together(
    painters: Sequence[Painter], items: Sequence[Item], compute_threads: int
) -> list[Sample]:
    """The same, with the batches drawn by several painters at a time, each in a thread."""
    sheet = _prepare(painters[0], items)
    free: queue.SimpleQueue[Painter] = queue.SimpleQueue()
    for painter in painters:
        free.put(painter)

    def draw(batch: Sequence[int]) -> dict[int, Sample]:
        painter = free.get()
        try:
            return _draw_batch(painter, sheet, batch)
        finally:
            free.put(painter)

    drawn: dict[int, Sample] = {}
    # OpenMP counts threads for each thread that calls it.
    with ThreadPoolExecutor(
        len(painters), THREAD_NAME, torch.set_num_threads, (compute_threads,)
    ) as threads:
        for part in threads.map(draw, sheet.batches):
            drawn |= part
    return [drawn[position] for position in range(len(items))]


@dataclass(frozen=True)
class _Sheet:
    """A shard, ready to be drawn batch by batch."""

    items: Sequence[Item]
    batches: Sequence[Sequence[int]]
    """Positions in `items` of those that are drawn together."""
    rows: Mapping[str, int]
    """Where a prompt's embeddings are in the tensors of `embedded`."""
    embedded: Mapping[str, torch.Tensor]


def _prepare(painter: Painter, items: Sequence[Item]) -> _Sheet:
    prompts = list(dict.fromkeys(item.prompt for item in items))
    size, one_guidance = painter.spec.batch_size, not painter.family.guidance_by_image
    return _Sheet(
        items,
        list(batches(items, size, one_guidance=one_guidance)),
        {prompt: index for index, prompt in enumerate(prompts)},
        painter.encode(prompts),
    )


def _draw_batch(
    painter: Painter, sheet: _Sheet, batch: Sequence[int], heard: Heard = lambda _: None
) -> dict[int, Sample]:
    drawn: dict[int, Sample] = {}
    start = 0
    while start < len(batch):
        piece = batch[start : start + painter.largest]
        chosen = [sheet.items[position] for position in piece]
        rows = torch.tensor([sheet.rows[item.prompt] for item in chosen])
        embedded = {
            name: tensor[rows].to(painter.pipeline.device)
            for name, tensor in sheet.embedded.items()
        }
        images = _fitting(painter, chosen, embedded)
        if images is None:
            continue
        drawn.update(
            (position, Sample(sheet.items[position], encode_png(image)))
            for position, image in zip(piece, images, strict=True)
        )
        start += len(piece)
        heard(len(piece))
    return drawn


def _fitting(
    painter: Painter, items: Sequence[Item], embedded: dict[str, torch.Tensor]
) -> list[Image.Image] | None:
    """The images, or None when they do not fit into memory, after which fewer are tried."""
    try:
        return painter.draw(items, embedded)
    except (RuntimeError, MemoryError, ValueError, TypeError) as error:
        if isinstance(error, torch.AcceleratorError) and not _is_out_of_memory(error):
            said = str(error).partition("\n")[0]
            raise BrokenDeviceError(f"spec.generation: the accelerator failed ({said})") from error
        if not _is_out_of_memory(error):
            reason = " ".join(str(error).split())[:300]
            raise ModelError(
                f"spec.generation: {type(painter.pipeline).__name__} cannot draw ({reason}); "
                "look at height, width, steps and precision"
            ) from error
        if len(items) == 1:
            raise StageError(
                "spec.generation: memory does not suffice for a single image; make height and "
                "width smaller, use Float16 on an accelerator, or a smaller generator"
            ) from error
    # Outside the handler: the traceback would keep the batch's tensors alive.
    painter.largest = len(items) // 2
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None


def _is_out_of_memory(error: Exception) -> bool:
    """Accelerators have a type for it; the CPU's allocator says it in words."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in words)
