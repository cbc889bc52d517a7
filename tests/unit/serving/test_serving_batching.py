"""Requests that wait together share a pass; none waits for company, and none spoils another."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from served_model import digit

from gptfl.models.folder import load_classifier
from gptfl.serving.batching import Batcher, Probabilities


class Watch:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.left_over: list[int] = []

    def waiting(self, requests: int) -> None:
        self.left_over.append(requests)

    def passed(self, rows: int, seconds: float) -> None:
        self.rows.append(rows)


class Gate:
    """A model that answers with its input, when it is let."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go = threading.Event()
        self.seen: list[list[float]] = []

    def __call__(self, rows: torch.Tensor) -> Probabilities:
        self.begun.set()
        self.go.wait()
        self.seen.append(rows[:, 0].tolist())
        if -1 in rows:
            raise ValueError("this row breaks the model")
        return np.asarray(rows.numpy(), dtype=np.float32)


def rows(*values: float) -> torch.Tensor:
    return torch.tensor(values)[:, None]


async def asked_while_busy(
    gate: Gate, *requests: torch.Tensor, most_rows: int = 4, cancel: int | None = None
) -> tuple[list[object], Watch]:
    """The answers to one request that makes the model busy and to those that come meanwhile."""
    watch = Watch()
    with ThreadPoolExecutor(1) as thread:
        batcher = Batcher(gate, watch, most_rows=most_rows, executor=thread)
        first = asyncio.create_task(batcher.predict(rows(0)))
        await asyncio.to_thread(gate.begun.wait)
        others = [asyncio.create_task(batcher.predict(request)) for request in requests]
        await asyncio.sleep(0)
        if cancel is not None:
            others[cancel].cancel()
            await asyncio.sleep(0)
        gate.go.set()
        answers = await asyncio.gather(first, *others, return_exceptions=True)
    return [a.ravel().tolist() if isinstance(a, np.ndarray) else a for a in answers], watch


def test_who_comes_while_the_model_is_busy_shares_the_next_pass() -> None:
    gate = Gate()
    answers, watch = asyncio.run(asked_while_busy(gate, rows(1), rows(2, 3), rows(4)))
    assert answers == [[0], [1], [2, 3], [4]]
    assert gate.seen == [[0], [1, 2, 3, 4]]
    assert watch.rows == [1, 4]


def test_a_pass_has_no_more_than_fits_and_the_order_is_kept() -> None:
    gate = Gate()
    answers, watch = asyncio.run(asked_while_busy(gate, *(rows(n) for n in range(1, 7))))
    assert answers == [[n] for n in range(7)]
    assert gate.seen == [[0], [1, 2, 3, 4], [5, 6]]
    assert watch.left_over == [0, 2, 0]


def test_a_small_request_does_not_overtake_a_large_one() -> None:
    gate = Gate()
    answers, _ = asyncio.run(asked_while_busy(gate, rows(1, 2), rows(3, 4, 5), rows(6)))
    assert answers == [[0], [1, 2], [3, 4, 5], [6]]
    assert gate.seen == [[0], [1, 2], [3, 4, 5, 6]]


def test_a_request_larger_than_a_batch_has_a_pass_of_its_own() -> None:
    gate = Gate()
    answers, _ = asyncio.run(asked_while_busy(gate, rows(1), rows(*range(2, 10)), rows(10)))
    assert answers == [[0], [1], [2, 3, 4, 5, 6, 7, 8, 9], [10]]
    assert gate.seen == [[0], [1], [2, 3, 4, 5, 6, 7, 8, 9], [10]]


def test_with_batches_of_one_each_request_is_by_itself() -> None:
    gate = Gate()
    asyncio.run(asked_while_busy(gate, rows(1), rows(2), most_rows=1))
    assert gate.seen == [[0], [1], [2]]


def test_a_request_that_breaks_the_model_spoils_no_other_in_its_pass() -> None:
    answers, _ = asyncio.run(asked_while_busy(Gate(), rows(1), rows(-1), rows(2)))
    assert (answers[0], answers[1], answers[3]) == ([0], [1], [2])
    assert isinstance(answers[2], ValueError)


def test_requests_that_cannot_be_put_together_are_answered_one_by_one() -> None:
    wide = torch.tensor([[2.0, 2.0]])
    answers, _ = asyncio.run(asked_while_busy(Gate(), rows(1), wide, rows(3)))
    assert answers == [[0], [1], [2, 2], [3]]


def test_nothing_is_computed_for_a_client_that_has_gone() -> None:
    gate = Gate()
    answers, _ = asyncio.run(asked_while_busy(gate, rows(1), rows(2), rows(3), cancel=1))
    assert isinstance(answers[2], asyncio.CancelledError)
    assert (answers[1], answers[3]) == ([1], [3])
    assert gate.seen == [[0], [1, 3]]


@pytest.mark.parametrize("in_thread", [True, False])
def test_an_idle_model_begins_at_once_and_requests_of_one_moment_share_a_pass(
    *, in_thread: bool
) -> None:
    gate, watch = Gate(), Watch()
    gate.go.set()

    async def ask() -> list[Probabilities]:
        executor = ThreadPoolExecutor(1) if in_thread else None
        batcher = Batcher(gate, watch, most_rows=4, executor=executor)
        alone = await batcher.predict(rows(9))
        together = await asyncio.gather(*(batcher.predict(rows(n)) for n in range(3)))
        return [alone, *together]

    assert [a.ravel().tolist() for a in asyncio.run(ask())] == [[9], [0], [1], [2]]
    assert gate.seen == [[9], [0, 1, 2]]


def test_in_a_batch_a_real_model_says_the_same_to_within_rounding(model_folder: Path) -> None:
    classifier = load_classifier(model_folder)
    images = torch.from_numpy(np.stack([digit(index) for index in range(16)]))[:, None]
    alone = np.concatenate([classifier.predict(images[n : n + 1]) for n in range(16)])

    async def ask() -> list[Probabilities]:
        batcher = Batcher(classifier.predict, Watch(), most_rows=16, executor=None)
        return await asyncio.gather(*(batcher.predict(images[n : n + 1]) for n in range(16)))

    together = np.concatenate(asyncio.run(ask()))
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-7)
    assert (together.argmax(1) == alone.argmax(1)).all()
