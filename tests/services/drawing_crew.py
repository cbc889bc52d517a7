"""A run whose images are drawn over a queue: its coordinator and its workers as processes.

They are forks of the test's own process, which has imported everything: real processes that can be
killed, without seconds of imports each. What a test wants to go wrong in one of them is given as
`first`, which is called in the fork before the command.
"""

import logging
import multiprocessing
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from servers import wait_until

import gptfl
from gptfl.cli import main
from gptfl.store import Artifact, open_store

LABELS = ["zero", "one", "two", "three"]
SHARD = 5
SHARDS = 8
IMAGES = SHARD * SHARDS


def document(**generation: Any) -> dict[str, Any]:
    """Eight shards of five images."""
    return {
        "apiVersion": "gptfl.io/v1alpha1",
        "kind": "GPTFLRun",
        "metadata": {"name": "crew"},
        "spec": {
            "seed": 7,
            "task": {"labels": LABELS, "image": {"channels": 1, "height": 8, "width": 8}},
            "prompts": {"perLabel": 2, "templates": ["a handwritten digit {label}"]},
            "generation": {
                "samplesPerLabel": IMAGES // len(LABELS),
                "steps": 4,
                "batchSize": 3,
                "shardSize": SHARD,
                "filters": {"blank": None, "duplicates": None},
                **generation,
            },
            "federation": {
                "simulation": {
                    "dataset": {"uri": "sklearn://digits", "split": "train[:10%]"},
                    "clients": 2,
                    "partitioner": {"kind": "Iid"},
                },
                "clientsPerRound": 2,
            },
            "evaluation": {"dataset": {"uri": "sklearn://digits", "split": "train[90%:]"}},
        },
    }


class Fork:
    """A gptfl command in a fork of this process, whose output goes to a file."""

    def __init__(self, arguments: Sequence[str], log: Path, first: Callable[[], object]) -> None:
        self._log = log
        context = multiprocessing.get_context("fork")
        self._process = context.Process(target=_command, args=(arguments, log, first))
        self._process.start()

    @property
    def output(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    @property
    def is_alive(self) -> bool:
        return self._process.is_alive()

    def wait(self, seconds: float = 120) -> int:
        """The exit code, when it ends by itself."""
        self._process.join(seconds)
        if self._process.exitcode is None:
            pytest.fail(f"it has not ended:\n{self.output[-3000:]}")
        return self._process.exitcode

    def signal(self, number: int) -> None:
        if self._process.pid is not None and self.is_alive:
            os.kill(self._process.pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self._process.join()

    def says(self, pattern: str, seconds: float = 120) -> None:
        """Waits until its output has this."""
        wait_until(lambda: re.search(pattern, self.output) or not self.is_alive, pattern, seconds)
        assert re.search(pattern, self.output), self.output[-3000:]

    def drawn(self) -> list[str]:
        """The shards that this worker has drawn."""
        return re.findall(r"INFO (raw-\S+): \d+ images in", self.output)


def _command(arguments: Sequence[str], log: Path, first: Callable[[], object]) -> None:
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # The test's own are errors, and in a capture of pytest's.
    warnings.resetwarnings()
    logging.getLogger().handlers.clear()
    first()
    main(arguments)


class Crew:
    """One run, its store and its broker."""

    def __init__(
        self, folder: Path, broker: str, *, store: str | None = None, **generation: Any
    ) -> None:
        """The store is a folder below `folder` unless another is given."""
        self.folder, self.broker = folder, broker
        self.store = folder / "store"
        self.uri = store or str(self.store)
        self.file = folder / "crew.yaml"
        self.file.write_text(yaml.safe_dump(document(**generation)))
        self.run = gptfl.load_run(self.file)
        self._forks: list[Fork] = []
        gptfl.run_stage(self.run, "prompts", store=self.uri, folder=folder)

    def coordinator(self, *options: str, first: Callable[[], object] = lambda: None) -> Fork:
        """`gptfl run --only generation`."""
        arguments = ["run", str(self.file), "--only", "generation", *self._where(), *options]
        return self._fork("coordinator", arguments, first)

    def worker(self, *options: str, first: Callable[[], object] = lambda: None) -> Fork:
        """`gptfl worker`."""
        given = ("--concurrency", "1", *options)
        return self._fork("worker", ["worker", str(self.file), *self._where(), *given], first)

    def _where(self) -> list[str]:
        return ["--store", self.uri, "--broker", self.broker]

    def _fork(self, kind: str, arguments: Sequence[str], first: Callable[[], object]) -> Fork:
        log = self.folder / f"{kind}-{len(self._forks)}.log"
        self._forks.append(Fork(arguments, log, first))
        return self._forks[-1]

    def artifact(self) -> Artifact:
        """What the coordinator has committed."""
        store = open_store(self.uri)
        found = [one for one in store.artifacts() if one.stage == "generation"]
        assert len(found) == 1
        return found[0]

    def shards(self) -> dict[str, int]:
        """The shards that are in the store, and when they came."""
        paths = self.store.glob("artifacts/generation/*/partial/raw-*.parquet")
        return {path.name: path.stat().st_mtime_ns for path in paths}

    def drew(self) -> list[str]:
        """The shards that any worker has drawn, each as often as it was drawn."""
        return [shard for fork in self._forks for shard in fork.drawn()]

    def end(self) -> None:
        """Nothing of it is left running."""
        for fork in self._forks:
            fork.kill()


def undisturbed(folder: Path, **generation: Any) -> Artifact:
    """The same run in one process with threads."""
    folder.mkdir(parents=True)
    run = gptfl.parse_run(document(**generation))
    store = open_store(str(folder / "store"))
    for stage in ("prompts", "generation"):
        gptfl.run_stage(run, stage, store=store, folder=folder)
    return next(one for one in store.artifacts() if one.stage == "generation")
