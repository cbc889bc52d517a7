"""Puts requests that wait at the same time into one pass of the model.

Nobody waits for company: an idle model begins at once, and whoever comes while it is busy shares
the next pass. Requests are taken in the order in which they came.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

Probabilities = npt.NDArray[np.float32]


class BatchWatch(Protocol):
    """Told what is waiting and what was done."""

    def waiting(self, requests: int) -> None:
        """So many requests wait for a pass."""

    def passed(self, rows: int, seconds: float) -> None:
        """A pass of the model has answered so many rows."""


@dataclass(eq=False)
class _Waiting:
    """The rows of one request, and where their answer goes."""

    rows: torch.Tensor
    count: int
    answer: asyncio.Future[Probabilities]


class Batcher:
    """The model, for many at once. Belongs to one event loop."""

    def __init__(
        self,
        predict: Callable[[torch.Tensor], Probabilities],
        watch: BatchWatch,
        *,
        most_rows: int,
        executor: Executor | None,
    ) -> None:
        """A pass has at most so many rows, or one request; it runs on the executor, or else on
        the event loop itself."""
        self._predict = predict
        self._watch = watch
        self._most_rows = most_rows
        self._executor = executor
        self._waiting: deque[_Waiting] = deque()
        self._work: asyncio.Task[None] | None = None

    async def predict(self, rows: torch.Tensor) -> Probabilities:
        """What the model says of each row. Raises what the model raises."""
        loop = asyncio.get_running_loop()
        one = _Waiting(rows, rows.shape[0], loop.create_future())
        self._waiting.append(one)
        if self._work is None:
            self._work = loop.create_task(self._work_off())
        return await one.answer

    async def _work_off(self) -> None:
        try:
            while self._waiting:
                # Requests that came together are heard one after the other: let each get here.
                await asyncio.sleep(0)
                batch = self._take()
                self._watch.waiting(len(self._waiting))
                if batch:
                    await self._answer(batch)
        finally:
            self._work = None

    def _take(self) -> list[_Waiting]:
        """Those who have waited longest, as many as fit; without those whose client has gone."""
        batch: list[_Waiting] = []
        room = self._most_rows
        while self._waiting and (not batch or self._waiting[0].count <= room):
            one = self._waiting.popleft()
            if not one.answer.done():
                batch.append(one)
                room -= one.count
        return batch

    async def _answer(self, batch: Sequence[_Waiting]) -> None:
        try:
            rows = batch[0].rows if len(batch) == 1 else torch.cat([one.rows for one in batch])
            probabilities = await self._pass(rows)
        except Exception as error:
            if len(batch) > 1:
                # One of them is to blame, and only that one gets to hear of it.
                for one in batch:
                    await self._answer([one])
            elif not batch[0].answer.done():
                batch[0].answer.set_exception(error)
            return
        start = 0
        for one in batch:
            end = start + one.count
            if not one.answer.done():
                one.answer.set_result(probabilities[start:end])
            start = end

    async def _pass(self, rows: torch.Tensor) -> Probabilities:
        began = time.perf_counter()
        if self._executor is None:
            probabilities = self._predict(rows)
        else:
            loop = asyncio.get_running_loop()
            probabilities = await loop.run_in_executor(self._executor, self._predict, rows)
        self._watch.passed(rows.shape[0], time.perf_counter() - began)
        return probabilities
