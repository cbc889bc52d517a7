"""The queue holds a run once, gives it to one worker, and knows when to come back to it."""

import threading

from gptfl_operator.queue import FIRST_RETRY, LAST_RETRY, WorkQueue

A, B, C = ("lab", "a"), ("lab", "b"), ("lab", "c")


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def make_queue(jitter: float = 0.0) -> tuple[WorkQueue, Clock]:
    clock = Clock()
    return WorkQueue(clock=clock, jitter=lambda: jitter), clock


def test_a_run_that_is_added_often_is_given_once() -> None:
    queue, _ = make_queue()
    for _ in range(3):
        queue.add(A)
    assert queue.take() == A
    assert queue.take() is None


def test_a_run_in_work_is_given_to_nobody_else_and_comes_again_after() -> None:
    queue, _ = make_queue()
    queue.add(A)
    assert queue.take() == A
    queue.add(A)
    queue.add(A)
    assert queue.take() is None
    queue.done(A)
    assert queue.take() == A
    queue.done(A)
    assert queue.take() is None


def test_runs_come_in_the_order_in_which_they_were_added() -> None:
    queue, _ = make_queue()
    for key in (A, B, C):
        queue.add(key)
    queue.add(A)
    assert [queue.take() for _ in range(3)] == [A, B, C]


def test_runs_that_have_nothing_yet_go_first() -> None:
    queue, _ = make_queue()
    queue.add(A)
    queue.add(B)
    queue.add(C, fresh=True)
    queue.add(B, fresh=True)
    assert [queue.take() for _ in range(3)] == [C, B, A]


def test_freshness_is_remembered_while_the_run_is_in_work() -> None:
    queue, _ = make_queue()
    queue.add(A)
    assert queue.take() == A
    queue.add(A, fresh=True)
    queue.add(A)
    queue.add(B)
    queue.done(A)
    assert queue.take() == A


def test_a_timer_is_due_when_its_time_has_come() -> None:
    queue, clock = make_queue()
    queue.add_after(A, 10)
    assert queue.take() is None
    clock.seconds = 9.9
    assert queue.take() is None
    clock.seconds = 10
    assert queue.take() == A


def test_the_earliest_of_several_timers_counts_and_the_others_are_dropped() -> None:
    queue, clock = make_queue()
    for seconds in (20, 5, 10):
        queue.add_after(A, seconds)
    clock.seconds = 5
    assert queue.take() == A
    queue.done(A)
    clock.seconds = 100
    assert queue.take() is None


def test_a_timer_may_be_set_anew_while_the_run_is_in_work() -> None:
    queue, clock = make_queue()
    queue.add(A)
    assert queue.take() == A
    queue.add_after(A, 1)
    clock.seconds = 2
    assert queue.take() is None
    queue.done(A)
    assert queue.take() == A


def test_pauses_double_up_to_the_longest_and_begin_anew_when_forgiven() -> None:
    queue, _ = make_queue()
    pauses = [queue.retry(A) for _ in range(20)]
    assert pauses[:3] == [FIRST_RETRY, 2 * FIRST_RETRY, 4 * FIRST_RETRY]
    assert pauses[-1] == LAST_RETRY
    queue.forgive(A)
    assert queue.retry(A) == FIRST_RETRY


def test_pauses_differ_so_that_all_that_failed_together_do_not_come_back_together() -> None:
    queue, _ = make_queue(jitter=1.0)
    assert queue.retry(A) == FIRST_RETRY / 2


def test_one_failure_does_not_slow_another_run() -> None:
    queue, _ = make_queue()
    for _ in range(5):
        queue.retry(A)
    assert queue.retry(B) == FIRST_RETRY


def test_nothing_is_kept_of_a_run_that_is_gone() -> None:
    queue, clock = make_queue()
    queue.retry(A)
    queue.add_after(A, 5)
    queue.forget(A)
    clock.seconds = 100
    assert queue.take() is None
    assert queue.retry(A) == FIRST_RETRY


def test_depth_counts_what_is_due() -> None:
    queue, clock = make_queue()
    queue.add(A)
    queue.add(B, fresh=True)
    queue.add_after(C, 5)
    assert queue.depth == 2
    clock.seconds = 5
    assert queue.depth == 3
    assert queue.take() == B
    assert queue.depth == 2


def test_closing_sends_home_those_who_wait() -> None:
    queue = WorkQueue()
    got: list[object] = []
    waiting = [threading.Thread(target=lambda: got.append(queue.get())) for _ in range(3)]
    for thread in waiting:
        thread.start()
    queue.close()
    for thread in waiting:
        thread.join(timeout=10)
    assert got == [None, None, None]


def test_no_key_is_with_two_workers_however_many_there_are() -> None:
    queue = WorkQueue()
    lock, in_work, seen, clashes = threading.Lock(), set[object](), list[object](), list[object]()

    def work() -> None:
        while (key := queue.get()) is not None:
            with lock:
                clashes.extend([key] if key in in_work else [])
                in_work.add(key)
                seen.append(key)
            queue.add(("lab", "again")) if key == A else None
            with lock:
                in_work.discard(key)
            queue.done(key)

    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for _ in range(200):
        for key in (A, B, C):
            queue.add(key)
    while queue.depth or in_work:
        pass
    queue.close()
    for worker in workers:
        worker.join(timeout=10)
    assert not clashes
    assert {A, B, C, ("lab", "again")} <= set(seen)
