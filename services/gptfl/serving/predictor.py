"""The model behind KServe's protocols: a request's inputs in, a label and probabilities out."""

import asyncio
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from kserve import InferInput, InferOutput, InferRequest, InferResponse, Model
from kserve.errors import InvalidInput

from gptfl.models.folder import Classifier, load_classifier
from gptfl.serving.answers import chosen_outputs
from gptfl.serving.batching import Batcher, BatchWatch, Probabilities
from gptfl.serving.images import ImageDecoder
from gptfl.serving.requests import BusyError, Decoder, RequestError, SlowRequestError, Tensor

QUICK_BATCH_SECONDS = 0.05
"""A model that sees a full batch, one after the other, in no more runs on the event loop: handing a
pass to a thread and back costs as much as a small model does, and probes can wait so long."""

LABEL, PROBABILITIES = "label", "probabilities"


@dataclass(frozen=True)
class Limits:
    """How much is done at once."""

    batch: int = 32
    """Rows of different requests in one pass; 1 answers each request by itself, which gives it the
    same bits whatever else is asked."""
    requests: int = 256
    """Requests that are decoded, wait or are in a pass; the next one is told to come again."""


class Predictor(Model):  # type: ignore[misc]  # kserve has no types
    """One model folder under one name."""

    def __init__(self, name: str, folder: Path, watch: BatchWatch, limits: Limits) -> None:
        super().__init__(name)
        self._folder = folder
        self._watch = watch
        self._limits = limits
        self._in_work = 0
        self._decoding = ThreadPoolExecutor(max_workers=1, thread_name_prefix="decode")
        self._labels: Sequence[str] = ()
        self._decoder: Decoder | None = None
        self._batcher: Batcher | None = None

    def load(self) -> bool:
        """Loads the model and runs it; it is ready after that. Raises GPTFLError."""
        classifier = load_classifier(self._folder)
        shape = classifier.config.image
        blank = torch.zeros(1, shape.channels, shape.height, shape.width, dtype=torch.uint8)
        self._labels = classifier.config.labels
        self._decoder = ImageDecoder(shape)
        self._batcher = self._warm_batcher(classifier, blank)
        self.ready = True
        return True

    def _warm_batcher(self, classifier: Classifier, blank: torch.Tensor) -> Batcher:
        seconds = min(_seconds(classifier.predict, blank) for _ in range(5))
        executor = None
        if seconds * self._limits.batch > QUICK_BATCH_SECONDS:
            executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="predict")
            # Once more where it will run: torch keeps its pools and caches a thread.
            executor.submit(classifier.predict, blank).result()
        return Batcher(
            classifier.predict, self._watch, most_rows=self._limits.batch, executor=executor
        )

    async def predict(
        self,
        payload: Any,
        headers: Mapping[str, str] | None = None,
        response_headers: Mapping[str, str] | None = None,
    ) -> InferResponse | dict[str, Any]:
        """Answers a v1 body or a v2 request. Raises InvalidInput for one that is wrong and
        BusyError when there are too many."""
        answer = self._answer_v2 if isinstance(payload, InferRequest) else self._answer_v1
        with self._admitted():
            try:
                return await answer(payload)
            except RequestError as error:
                raise InvalidInput(str(error)) from error

    async def explain(self, payload: Any, headers: Mapping[str, str] | None = None) -> NoReturn:
        """There is nothing here that explains; becomes status 501."""
        raise NotImplementedError(f"{self.name}: cannot explain; use :predict")

    def get_input_types(self) -> list[dict[str, Any]]:
        """The tensors of which a v2 request has one."""
        assert self._decoder is not None, "the server asks a loaded model only"
        return self._decoder.inputs()

    def get_output_types(self) -> list[dict[str, Any]]:
        """The tensors of a v2 answer."""
        return [
            {"name": LABEL, "datatype": "BYTES", "shape": [-1]},
            {"name": PROBABILITIES, "datatype": "FP32", "shape": [-1, len(self._labels)]},
        ]

    @contextmanager
    def _admitted(self) -> Iterator[None]:
        """Counts a request as long as it is here."""
        if self._in_work >= self._limits.requests:
            raise BusyError(f"{self._in_work} requests are in work; ask again in a second")
        self._in_work += 1
        try:
            yield
        finally:
            self._in_work -= 1

    async def _answer_v1(self, body: Any) -> dict[str, Any]:
        assert self._decoder is not None
        probabilities = await self._predicted(self._decoder.instances, body)
        labels = self._labels
        return {
            "predictions": [
                {"label": label, "probabilities": dict(zip(labels, row, strict=True))}
                for label, row in zip(
                    self._winners(probabilities), probabilities.tolist(), strict=True
                )
            ]
        }

    async def _answer_v2(self, request: InferRequest) -> InferResponse:
        assert self._decoder is not None
        names = chosen_outputs(request, (LABEL, PROBABILITIES))
        tensors = [_tensor(tensor) for tensor in request.inputs]
        probabilities = await self._predicted(self._decoder.tensors, tensors)
        winners = np.array(self._winners(probabilities), dtype=np.object_)
        outputs = {
            LABEL: InferOutput(LABEL, list(winners.shape), "BYTES", winners),
            PROBABILITIES: InferOutput(
                PROBABILITIES, list(probabilities.shape), "FP32", probabilities
            ),
        }
        return InferResponse(
            # The protocol's answer has an id, whether or not the request had one.
            response_id=request.id or str(uuid.uuid4()),
            model_name=self.name,
            infer_outputs=[outputs[name] for name in names],
            use_binary_outputs=request.use_binary_outputs,
            requested_outputs=request.request_outputs,
        )

    async def _predicted(self, decode: Callable[..., torch.Tensor], request: Any) -> Probabilities:
        assert self._batcher is not None
        try:
            rows = decode(request, quick=True)
        except SlowRequestError:
            loop = asyncio.get_running_loop()
            rows = await loop.run_in_executor(self._decoding, decode, request)
        return await self._batcher.predict(rows)

    def _winners(self, probabilities: Probabilities) -> list[str]:
        return [self._labels[index] for index in probabilities.argmax(axis=1)]


def _seconds(predict: Callable[[torch.Tensor], Probabilities], rows: torch.Tensor) -> float:
    # Of the processor: others on the machine must not decide where the model runs.
    began = time.thread_time()
    predict(rows)
    return time.thread_time() - began


def _tensor(tensor: InferInput) -> Tensor:
    raw = tensor._raw_data  # KServe has no other name for the bytes of a binary tensor.
    return Tensor(tensor.name, tensor.datatype, tensor.shape, tensor.data if raw is None else raw)
