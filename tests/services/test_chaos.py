"""Everything that can die does, again and again: the model is that of a run that nobody disturbed.

One run with each of its parts in processes of its own: store, broker, workers, aggregator with the
stages between, clients. Whatever was killed is started again, as Kubernetes would.
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from drawing_crew import Fork
from s3_buckets import new_place
from servers import Minio, Process, Redis, free_port
from small import small_document

import gptfl
from gptfl.cli import main
from gptfl.store import open_store

KILLS = 50
CLIENTS = ("client-0", "client-1", "client-2", "client-3")


def document() -> dict[str, Any]:
    """The small example, long enough to be killed fifty times."""
    return small_document(
        generation={"samplesPerLabel": 24, "steps": 4},
        pretraining={"epochs": 20},
        federation={
            "rounds": 40,
            "clientsPerRound": 3,
            "local": {"epochs": 2},
            "simulation": {
                "dataset": {"uri": "sklearn://digits", "split": "train[:60%]"},
                "clients": len(CLIENTS),
                "partitioner": {"kind": "Dirichlet", "alpha": 0.3},
            },
        },
        evaluation={"baselines": ["FromScratch", "SyntheticOnly"]},
    )


@dataclass
class Part:
    """One process of the run, and how to start it again."""

    name: str
    start: Callable[[], Fork | Process]
    running: Fork | Process
    is_done: bool = False

    @property
    def kind(self) -> str:
        """Its name without the number."""
        return self.name.partition("-")[0]


@dataclass
class Cast:
    """Everybody who takes part."""

    parts: list[Part] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)

    def add(self, name: str, start: Callable[[], Fork | Process]) -> Part:
        part = Part(name, start, start())
        self.parts.append(part)
        return part

    def kill_one(self, chance: random.Random) -> None:
        """SIGKILL to one process: kinds have the same chance, however many processes they have."""
        alive = [part for part in self.parts if part.running.is_alive]
        if not alive:
            return
        kind = chance.choice(sorted({part.kind for part in alive}))
        part = chance.choice([part for part in alive if part.kind == kind])
        part.running.kill()
        self.kills[kind] += 1

    def bring_back(self) -> None:
        """Starts again what is dead, unless it has ended well."""
        for part in self.parts:
            if part.running.is_alive or part.is_done:
                continue
            if isinstance(part.running, Process):
                part.running.start()
            elif part.running.wait() == 0:
                part.is_done = True
            else:
                part.running = part.start()

    def end(self) -> None:
        for part in self.parts:
            part.running.kill()


@pytest.fixture
def cast() -> Iterator[Cast]:
    one = Cast()
    yield one
    one.end()


def fork(name: str, log: Path, *arguments: str) -> tuple[str, Callable[[], Fork]]:
    """A command as a part; all its lives write to one log."""
    return name, lambda: Fork(arguments, log / f"{name}.log", lambda: None)


def test_fifty_kills_in_one_run_and_the_same_model(
    tmp_path: Path, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "chaos.yaml"
    file.write_text(yaml.safe_dump(document()))
    undisturbed = gptfl.run(gptfl.load_run(file), store=str(tmp_path / "laptop"), folder=tmp_path)
    store, broker = Minio(tmp_path / "minio"), Redis(tmp_path / "redis")
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GPTFL_BROKER", broker.url)
    monkeypatch.setenv("GPTFL_CACHE", str(tmp_path / "copies"))
    pki, address = str(tmp_path / "pki"), f"127.0.0.1:{free_port()}"
    made_up(pki)
    cast.add("store", store.start)
    place = new_place(store)
    monkeypatch.setenv("GPTFL_STORE", place)
    cast.add("broker", broker.start)
    for number in range(2):
        cast.add(*fork(f"worker-{number}", tmp_path, "worker", str(file), "--concurrency", "1"))
    for number, pair in enumerate((CLIENTS[:2], CLIENTS[2:])):
        chosen = [word for name in pair for word in ("--client", name)]
        command = ["client", "simulate", str(file), "--server", address, "--pki", pki, *chosen]
        cast.add(*fork(f"client-{number}", tmp_path, *command))
    run = cast.add(
        *fork("aggregator", tmp_path, "aggregate", str(file), "--listen", address, "--pki", pki)
    )

    chance = random.Random(time.time_ns())
    while not run.is_done:
        if cast.kills.total() < KILLS:
            cast.kill_one(chance)
        time.sleep(chance.uniform(0.1, 1.5))
        cast.bring_back()

    assert cast.kills.total() == KILLS, f"it was over after {cast.kills}"
    cast.bring_back()
    made = open_store(place).run_folders(name="small")[0].read_status()
    assert made is not None
    assert {step.name: step.digest for step in made.steps} == {
        step.name: step.digest for step in undisturbed.status.steps
    }


def made_up(pki: str) -> None:
    """An authority, and a certificate and a token for each client."""
    commands = [["pki", "init", pki, "--server-name", "127.0.0.1"]]
    commands += [["pki", "issue", pki, name] for name in CLIENTS]
    for command in commands:
        with pytest.raises(SystemExit) as ended:
            main(command)
        assert ended.value.code == 0
