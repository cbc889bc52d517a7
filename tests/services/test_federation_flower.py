"""The same apps on a stock SuperLink with stock SuperNodes: the model of one process."""

import os
from pathlib import Path

import pytest
from federation_sites import CLIENTS, digests, document, sites
from servers import Process, free_port, listens, program

import gptfl

pytestmark = pytest.mark.slow

QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
}
NAMES = CLIENTS[:2]


def superlink(folder: Path, port: int) -> Process:
    """Flower's server, with an address for everything."""
    command = [program("flower-superlink"), "--insecure", "--host", "127.0.0.1"]
    return Process(
        [*command, "--port", str(port)],
        folder / "superlink.log",
        ready=lambda: listens(port),
        environment=QUIET | {"FLWR_HOME": str(folder / "flwr")},
        folder=folder,
    )


def supernode(folder: Path, port: int, number: int) -> Process:
    """Flower's client, whose place among the clients is in its configuration."""
    command = [program("flower-supernode"), "--insecure", "--superlink", f"127.0.0.1:{port}"]
    own = ["--port", str(free_port()), "--node-config", f"partition-id={number}"]
    return Process(
        [*command, *own],
        folder / f"supernode-{number}.log",
        environment=QUIET | {"FLWR_HOME": str(folder / "flwr")},
        folder=folder,
    )


def test_a_run_on_a_stock_superlink_ends_with_the_same_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulation = document()["spec"]["federation"]["simulation"] | {"clients": len(NAMES)}
    run = document(rounds=2, clientsPerRound=2, simulation=simulation, transport="Flower", local={})
    run["spec"]["evaluation"]["baselines"] = []
    laptop = tmp_path / "laptop"
    expected = digests(gptfl.run(gptfl.parse_run(run), store=str(laptop)).status)
    port = free_port()
    home = tmp_path / "flwr"
    home.mkdir()
    (home / "config.toml").write_text(
        f'[superlink]\ndefault = "here"\n[superlink.here]\naddress = "127.0.0.1:{port}"\n'
        "insecure = true\n"
    )
    monkeypatch.setenv("FLWR_HOME", str(home))
    monkeypatch.setenv("PATH", f"{Path(program('flwr')).parent}{os.pathsep}{os.environ['PATH']}")
    with (
        sites(tmp_path / "sites", laptop, run, names=NAMES) as world,
        superlink(tmp_path, port),
        supernode(tmp_path, port, 0),
        supernode(tmp_path, port, 1),
    ):
        command = [program("gptfl"), "aggregate", str(world.file), "--superlink", "here"]
        aggregator = Process([*command, "--store", str(world.store)], tmp_path / "aggregate.log")
        with aggregator:
            assert aggregator.wait(540) == 0, aggregator.output
        assert digests(world.status()) == expected
