"""The model behind KServe's protocols: a request's images in, a label and probabilities out."""

import asyncio
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import torch
from kserve import InferInput, InferOutput, InferRequest, InferResponse, Model
from kserve.errors import InvalidInput

from gptfl.models.folder import Classifier, load_classifier
from gptfl.serving.requests import (
    ENCODED_INPUT,
    PIXELS_INPUT,
    RequestError,
    Tensor,
    images_of_instances,
    images_of_tensors,
)

Probabilities = npt.NDArray[np.float32]


class Predictor(Model):  # type: ignore[misc]  # kserve has no types
    """One model folder under one name.

    Decoding and arithmetic run on one thread of their own, so that probes and metrics are answered
    while a model thinks, and requests are taken in the order in which they came.
    """

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(name)
        self._folder = folder
        self._classifier: Classifier | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="predict")

    def load(self) -> bool:
        """Loads the model and runs it once; it is ready after that. Raises GPTFLError."""
        classifier = load_classifier(self._folder)
        shape = classifier.config.image
        blank = torch.zeros(1, shape.channels, shape.height, shape.width, dtype=torch.uint8)
        # On the thread that will predict: torch keeps its pools and caches a thread.
        self._thread.submit(classifier.predict, blank).result()
        self._classifier = classifier
        self.ready = True
        return True

    async def predict(
        self,
        payload: Any,
        headers: Mapping[str, str] | None = None,
        response_headers: Mapping[str, str] | None = None,
    ) -> InferResponse | dict[str, Any]:
        """Answers a v1 body or a v2 request. Raises InvalidInput, which becomes status 400."""
        answer = self._answer_v2 if isinstance(payload, InferRequest) else self._answer_v1
        return await self._on_thread(answer, payload)

    async def explain(self, payload: Any, headers: Mapping[str, str] | None = None) -> NoReturn:
        """There is nothing here that explains; becomes status 501."""
        raise NotImplementedError(f"{self.name}: cannot explain; use :predict")

    def get_input_types(self) -> list[dict[str, Any]]:
        """The tensors of which a v2 request has one."""
        shape = self._loaded.config.image
        return [
            {"name": ENCODED_INPUT, "datatype": "BYTES", "shape": [-1]},
            {
                "name": PIXELS_INPUT,
                "datatype": "UINT8",
                "shape": [-1, shape.height, shape.width, shape.channels],
            },
        ]

    def get_output_types(self) -> list[dict[str, Any]]:
        """The tensors of a v2 answer."""
        classes = len(self._loaded.config.labels)
        return [
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, classes]},
        ]

    @property
    def _loaded(self) -> Classifier:
        assert self._classifier is not None, "the server asks a loaded model only"
        return self._classifier

    async def _on_thread(self, answer: Callable[[Any], Any], payload: Any) -> Any:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, answer, payload)
        except RequestError as error:
            raise InvalidInput(str(error)) from error

    def _answer_v1(self, body: Any) -> dict[str, Any]:
        classifier = self._loaded
        images = images_of_instances(body, classifier.config.image)
        labels = classifier.config.labels
        probabilities = classifier.predict(images)
        return {
            "predictions": [
                {"label": label, "probabilities": dict(zip(labels, row, strict=True))}
                for label, row in zip(
                    _winners(labels, probabilities), probabilities.tolist(), strict=True
                )
            ]
        }

    def _answer_v2(self, request: InferRequest) -> InferResponse:
        classifier = self._loaded
        images = images_of_tensors(
            [_tensor(tensor) for tensor in request.inputs], classifier.config.image
        )
        probabilities = classifier.predict(images)
        winners = _winners(classifier.config.labels, probabilities)
        label = InferOutput(name="label", shape=[len(winners)], datatype="BYTES")
        label.data = np.array(winners, dtype=np.object_)
        scores = InferOutput(name="probabilities", shape=list(probabilities.shape), datatype="FP32")
        scores.data = probabilities
        return InferResponse(
            # The protocol's answer has an id, whether or not the request had one.
            response_id=request.id or str(uuid.uuid4()),
            model_name=self.name,
            infer_outputs=[label, scores],
            use_binary_outputs=request.use_binary_outputs,
            requested_outputs=request.request_outputs,
        )


def _tensor(tensor: InferInput) -> Tensor:
    raw = tensor._raw_data  # KServe has no other name for the bytes of a binary tensor.
    return Tensor(tensor.name, tensor.datatype, tensor.shape, tensor.data if raw is None else raw)


def _winners(labels: Sequence[str], probabilities: Probabilities) -> list[str]:
    return [labels[index] for index in probabilities.argmax(axis=1)]
