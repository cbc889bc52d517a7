"""The small cousin of the demo, and ways to run it in processes that can be killed."""

import logging
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from small import small_run

import gptfl


@pytest.fixture(scope="session", autouse=True)
def _as_at_a_terminal() -> None:
    """Ctrl-C reaches a command also when a script started the tests in the background.

    Shells start such jobs with SIGINT ignored, and whatever they start would inherit that.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> gptfl.Result:
    """The small cousin, run once without any trouble."""
    return gptfl.run(small_run(), store=str(tmp_path_factory.mktemp("undisturbed") / "store"))


def _child(work: Callable[[], object], log: Path) -> None:
    """What a forked process does: the work, with everything it prints in a file."""
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    work()


def run_and_kill(work: Callable[[], object], after: float, log: Path) -> bool:
    """Does `work` in a process of its own that is SIGKILLed after so many seconds.

    The process is a fork of this one, which has imported everything, so that kills fall into the
    run and not into imports. Returns whether it was done before.
    """
    process = multiprocessing.get_context("fork").Process(target=_child, args=(work, log))
    process.start()
    process.join(after)
    done = process.exitcode is not None
    if not done:
        process.kill()
        process.join()
    elif process.exitcode != 0:
        raise AssertionError(f"a run failed by itself:\n{log.read_text()[-4000:]}")
    return done


def seconds_of(work: Callable[[], object], log: Path) -> float:
    """How long `work` takes in a forked process."""
    began = time.monotonic()
    assert run_and_kill(work, 600, log)
    return time.monotonic() - began


def random_source() -> random.Random:
    """Other moments in each session; a failing test shows the seed, to have them again."""
    seed = int(os.environ.get("GPTFL_TEST_SEED", time.time_ns() % 10**9))
    logging.getLogger("gptfl.tests").warning("GPTFL_TEST_SEED=%d", seed)
    return random.Random(seed)
