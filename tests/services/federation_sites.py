"""A run whose clients are processes of their own, on one machine: aggregator and sites.

They are forks of the test's process, which has imported everything; see `drawing_crew.Fork`.
"""

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from drawing_crew import Fork
from network_lab import make_pki
from servers import free_port, wait_until
from small import NAMES

import gptfl
from gptfl.federation.results import FederationHistory
from gptfl.federation.stage import run as federate
from gptfl.spec.run import GPTFLRun
from gptfl.store import RunStatus, open_store

assert federate  # imported here once, and so in no fork

CLIENTS = ("client-0", "client-1", "client-2", "client-3")
AFTER_PRETRAINING = ("federation", "evaluation", "serving")


def document(**federation: Any) -> dict[str, Any]:
    """A run of seconds: four clients, six rounds of half a second, a control."""
    return {
        "apiVersion": "gptfl.io/v1alpha1",
        "kind": "GPTFLRun",
        "metadata": {"name": "sites"},
        "spec": {
            "seed": 5,
            "task": {"labels": NAMES, "image": {"channels": 1, "height": 8, "width": 8}},
            "prompts": {"perLabel": 1, "templates": ["a handwritten digit {label}"]},
            "generation": {"samplesPerLabel": 2, "steps": 2, "batchSize": 10, "shardSize": 10},
            "pretraining": {"epochs": 2, "batchSize": 10},
            "federation": {
                "rounds": 6,
                "clientsPerRound": 3,
                "strategy": {"name": "FedAdam"},
                "local": {"epochs": 8},
                "simulation": {
                    "dataset": {"uri": "sklearn://digits", "split": "train[:300]"},
                    "clients": len(CLIENTS),
                    "partitioner": {"kind": "Dirichlet", "alpha": 0.5},
                },
                **federation,
            },
            "evaluation": {
                "dataset": {"uri": "sklearn://digits", "split": "train[1500:]"},
                "baselines": ["FromScratch", "SyntheticOnly"],
            },
        },
    }


def digests(status: RunStatus) -> dict[str, str]:
    """What every step has left."""
    return {step.name: step.digest for step in status.steps}


class Sites:
    """One run, its store and everybody who takes part."""

    def __init__(self, folder: Path, run: dict[str, Any], names: Sequence[str] = CLIENTS) -> None:
        self.folder, self.names = folder, names
        self.store = folder / "store"
        self.file = folder / "sites.yaml"
        self.file.write_text(yaml.safe_dump(run))
        self.pki = make_pki(folder / "pki", names)
        self.address = f"127.0.0.1:{free_port()}"
        self._processes: list[Fork] = []

    @property
    def run(self) -> GPTFLRun:
        return gptfl.load_run(self.file)

    def aggregate(self, *options: str) -> Fork:
        """`gptfl aggregate`, with mutual TLS."""
        return self._fork(
            "aggregator",
            *("aggregate", str(self.file), "--store", str(self.store), "--listen", self.address),
            *("--pki", str(self.pki), "--quiet", "--log-level", "info", *options),
        )

    def simulate(self, *names: str) -> Fork:
        """`gptfl client simulate`; all clients without names."""
        chosen = [word for name in names for word in ("--client", name)]
        return self._fork(
            f"simulated-{'-'.join(names) or 'all'}",
            *("client", "simulate", str(self.file), "--server", self.address),
            *("--pki", str(self.pki), *chosen),
        )

    def join(self, name: str, data: str | Path, *options: str) -> Fork:
        """`gptfl client join`."""
        return self._fork(
            name,
            *("client", "join", "--server", self.address, "--data", str(data)),
            *("--identity", str(self.pki / "clients" / name), *options),
        )

    def status(self) -> RunStatus:
        """As the store has it."""
        status = open_store(str(self.store)).run_folders(name="sites")[0].read_status()
        assert status is not None
        return status

    def history(self, step: str = "federation") -> FederationHistory:
        """What a federation has left."""
        artifact = open_store(str(self.store)).artifact_of(self.status().step(step))
        assert artifact is not None
        return artifact.read_model("history.json", FederationHistory)

    def end(self) -> None:
        for process in self._processes:
            process.kill()

    def _fork(self, name: str, *arguments: str) -> Fork:
        process = Fork(arguments, self.folder / f"{name}.log", lambda: None)
        self._processes.append(process)
        return process


@contextmanager
def sites(folder: Path, like: Path | None, run: dict[str, Any], **options: Any) -> Iterator[Sites]:
    """Sites whose store has what stands before the federation in the store `like`."""
    folder.mkdir(exist_ok=True)
    made = Sites(folder, run, **options)
    if like is not None:
        skipped = shutil.ignore_patterns(*AFTER_PRETRAINING, "runs")
        shutil.copytree(like, made.store, ignore=skipped)
    try:
        yield made
    finally:
        made.end()


def rounds_in(output: str) -> list[int]:
    """The rounds that a client's log says it has trained in."""
    return [int(number) for number in re.findall(r"round (\d+): trained", output)]


def trains(process: Fork, number: int) -> None:
    """Waits until a client has trained in that round or a later one."""
    wait_until(
        lambda: max(rounds_in(process.output), default=0) >= number or not process.is_alive,
        f"round {number}",
    )
