"""What a round costs beyond its training: in one process, over streams with mTLS, on stock Flower.

    python benchmarks/federation_network.py                 in process and streams
    python benchmarks/federation_network.py --flower 2      and two rounds of Flower, a minute each

All three do the same run, in which a client makes a few steps on a small model; clients of the
streams share processes, those of Flower have a SuperNode each. Reads the seconds from each run's
record, where every round is timed from its selection to its judgement.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from shutil import copytree
from typing import Any

import yaml

import gptfl
from gptfl.federation import stage
from gptfl.federation.network import (
    issue_client,
    issue_server,
    make_authority,
    open_stream_grid,
    server_security,
)
from gptfl.federation.remote import RemoteClients, client_names
from gptfl.federation.terms import Terms
from gptfl.flowerapp import submit
from gptfl.store import RunStatus, open_store

BIN = Path(sys.executable).parent
LABELS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
}
FLOWER_PORT = 19_093


def document(clients: int, rounds: int) -> dict[str, Any]:
    """Every client takes part in each round and makes five steps."""
    digits = {"uri": "sklearn://digits"}
    return {
        "apiVersion": "gptfl.io/v1alpha1",
        "kind": "GPTFLRun",
        "metadata": {"name": "network"},
        "spec": {
            "task": {"labels": LABELS, "image": {"channels": 1, "height": 16, "width": 16}},
            "prompts": {"perLabel": 1},
            "generation": {"samplesPerLabel": 2, "steps": 2},
            "pretraining": {"epochs": 1},
            "federation": {
                "rounds": rounds,
                "local": {"maximumSteps": 5},
                "simulation": {"dataset": digits | {"split": "train[:1000]"}, "clients": clients},
            },
            "evaluation": {"dataset": digits | {"split": "train[1700:]"}, "baselines": []},
        },
    }


def prepared(folder: Path, clients: int, rounds: int) -> Path:
    """A run's file, and a store with what stands before the federation."""
    folder.mkdir()
    file = folder / "run.yaml"
    file.write_text(yaml.safe_dump(document(clients, rounds)))
    for name in ("prompts", "generation", "pretraining"):
        gptfl.run_stage(gptfl.load_run(file), name, store=str(folder / "store"), folder=folder)
    return file


def again(file: Path, name: str) -> str:
    """A store of its own for one way to federate."""
    store = file.parent / name
    copytree(file.parent / "store", store)
    return str(store)


def seconds_a_round(status: RunStatus) -> float:
    """As the record of the federation has it."""
    step = status.step("federation")
    assert step is not None
    return step.metrics["seconds_per_round"]


def in_process(file: Path) -> float:
    """As `gptfl run` does it."""
    run = gptfl.load_run(file)
    status = gptfl.run_stage(run, "federation", store=again(file, "here"), folder=file.parent)
    return seconds_a_round(status)


def over_streams(file: Path, processes: int) -> float:
    """As `gptfl aggregate` does it, with mutual TLS and tokens."""
    run = gptfl.load_run(file)
    names, pki = client_names(run.spec.federation), file.parent / "pki"
    make_authority(pki)
    issue_server(pki, ["127.0.0.1"])
    for name in names:
        issue_client(pki, name)
    terms = Terms.of(run).to_bytes()
    with (
        open_stream_grid("127.0.0.1:0", names, server_security(pki), terms=terms) as grid,
        ExitStack() as ends,
    ):
        for number in range(processes):
            own = [word for name in names[number::processes] for word in ("--client", name)]
            command = [str(BIN / "gptfl"), "client", "simulate", str(file), "--pki", str(pki)]
            ends.enter_context(process([*command, "--server", grid.address, *own]))
        remote = RemoteClients(grid, names)
        status = gptfl.run_stage(
            run,
            "federation",
            store=again(file, "streams"),
            folder=file.parent,
            functions={"federation": partial(stage.run, remote=remote)},
        )
        grid.dismiss()
    return seconds_a_round(status)


def on_flower(file: Path, clients: int) -> float:
    """On a stock SuperLink, a stock SuperNode for each client."""
    home = file.parent / "flwr"
    home.mkdir()
    address = f"127.0.0.1:{FLOWER_PORT}"
    (home / "config.toml").write_text(
        f'[superlink]\ndefault = "here"\n[superlink.here]\naddress = "{address}"\ninsecure = true\n'
    )
    os.environ.update(QUIET | {"FLWR_HOME": str(home)})
    run, store = gptfl.load_run(file), open_store(again(file, "flower"))
    with ExitStack() as ends:
        link = [str(BIN / "flower-superlink"), "--insecure", "--host", "127.0.0.1"]
        ends.enter_context(process([*link, "--port", str(FLOWER_PORT)]))
        time.sleep(5)
        for number in range(clients):
            node = [str(BIN / "flower-supernode"), "--insecure", "--superlink", address]
            own = ["--port", str(FLOWER_PORT + 1 + number), "--node-config"]
            ends.enter_context(process([*node, *own, f"partition-id={number}"]))
        submit(run, "here", folder=file.parent, store=store.uri)
    status = store.run_folders(name="network")[0].read_status()
    assert status is not None
    return seconds_a_round(status)


@contextmanager
def process(command: Sequence[str]) -> Iterator[None]:
    """A process while the block lasts; its words go nowhere."""
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=quiet) as running:
        try:
            yield
        finally:
            running.terminate()
            running.wait()


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--processes", type=int, default=2, help="of the streams' clients")
    parser.add_argument("--flower", type=int, default=0, metavar="ROUNDS", help="0: without")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        file = prepared(Path(scratch) / "ours", options.clients, options.rounds)
        here = in_process(file)
        found = {"in process": here, "streams, mTLS": over_streams(file, options.processes)}
        if options.flower:
            few = prepared(Path(scratch) / "flower", options.clients, options.flower)
            found["stock Flower"] = on_flower(few, options.clients)
    print(f"{options.clients} clients, all in each round, {options.rounds} rounds")
    print(f"{'':16}{'s a round':>12}{'beyond in process':>20}")
    for name, seconds in found.items():
        print(f"{name:16}{seconds:12.3f}{seconds - here:20.3f}")


if __name__ == "__main__":
    main()
