"""`gptfl aggregate`: a run whose clients are in other processes."""

import logging
import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gptfl.cli.options import STAGES
from gptfl.cli.quiet import quieten
from gptfl.cli.run import run_file
from gptfl.errors import StageError
from gptfl.federation.network import (
    ServerSecurity,
    StreamGrid,
    Turned,
    open_stream_grid,
    server_security,
)
from gptfl.federation.remote import RemoteClients, client_names
from gptfl.federation.terms import Terms
from gptfl.spec.federation import Transport
from gptfl.spec.load import load_run
from gptfl.spec.run import GPTFLRun
from gptfl.store import Artifact, Workspace
from gptfl.telemetry.process import Telemetry

if TYPE_CHECKING:
    from gptfl.telemetry.metrics.aggregator import AggregatorMetrics

_LOG = logging.getLogger(__name__)
_FAREWELL_SECONDS = 15.0
"""For a client that is away when the run ends: as long as one waits between two attempts, and as
a process takes to start."""


def server_files(
    *,
    pki: Path | None,
    cert: Path | None,
    key: Path | None,
    ca: Path | None,
    tokens: Path | None,
    revoked: Path | None,
    insecure: bool,
) -> ServerSecurity | None:
    """From the options to files. Raises UsageError where they do not go together."""
    single = {"--cert": cert, "--key": key, "--ca": ca, "--tokens": tokens}
    given = [name for name, path in single.items() if path is not None]
    if sum((pki is not None, bool(given), insecure)) != 1:
        raise click.UsageError("give --pki, or --cert, --key, --ca and --tokens, or --insecure")
    if revoked is not None and not given:
        raise click.UsageError("--revoked stands beside --tokens; --pki has a list of its own")
    if insecure:
        return None
    if pki is not None:
        return server_security(pki)
    if cert is None or key is None or ca is None or tokens is None:
        missing = [name for name in single if name not in given]
        raise click.UsageError(f"{' and '.join(missing)} must stand beside {given[0]}")
    return ServerSecurity(authority=ca, certificate=cert, key=key, tokens=tokens, revoked=revoked)


def aggregate_file(
    file: Path,
    *,
    listen: str | None,
    security: ServerSecurity | None,
    superlink: str | None,
    only: str | None,
    store: str | None,
    broker: str | None,
    quiet: bool,
    as_json: bool,
    telemetry: Telemetry,
) -> None:
    """Does the run; at its end the clients are told that it is over."""
    quieten()
    run = load_run(file)
    do = partial(
        run_file,
        file,
        store=store,
        workers=None,
        only=only,
        broker=broker,
        quiet=quiet,
        as_json=as_json,
        telemetry=telemetry,
    )
    if only not in (None, "federation"):
        do()  # without clients, who would take its end for that of the run
        return
    if run.spec.federation.transport is Transport.FLOWER:
        if superlink is None:
            raise click.UsageError("the run has transport: Flower; give --superlink")
        _by_superlink(run, superlink, file.absolute().parent, store, only)
        do(functions={"federation": _not_left})
        return
    if listen is None or superlink is not None:
        raise click.UsageError("give --listen; --superlink is for transport: Flower")
    with open_stream_grid(
        listen, client_names(run.spec.federation), security, terms=Terms.of(run).to_bytes()
    ) as grid:
        _by_streams(run, grid, do, telemetry, quiet=quiet)


def _by_streams(
    run: GPTFLRun,
    grid: StreamGrid,
    do: Callable[..., None],
    telemetry: Telemetry,
    *,
    quiet: bool,
) -> None:
    from gptfl.federation import stage

    names = client_names(run.spec.federation)
    remote = RemoteClients(grid, names, lambda: grid.status().counters.late_replies)
    with _shown(grid, len(names), run.metadata.name, telemetry, quiet=quiet):
        do(functions={"federation": partial(stage.run, remote=remote)})
        _see_off(grid, names)


def _by_superlink(
    run: GPTFLRun, superlink: str, folder: Path, store: str | None, only: str | None
) -> None:
    """What stands before the federation is done here, and the federation by Flower's processes."""
    from gptfl import api
    from gptfl.flowerapp import submit

    opened = api.store_of(run, store, folder)
    for before in STAGES[: STAGES.index("federation")] if only is None else ():
        api.run_stage(run, before, store=opened, folder=folder)
    submit(run, superlink, folder=folder, store=opened.uri)


def _not_left(
    section: object, inputs: Mapping[str, Artifact], workspace: Workspace
) -> dict[str, float]:
    """Stands for a federation that Flower should have done."""
    raise StageError("Flower has left no federation in the store; what it says stands above")


def _shown(
    grid: StreamGrid, clients: int, run: str, telemetry: Telemetry, *, quiet: bool
) -> "AggregatorMetrics":
    """Says where it listens; what the streams carry is to be seen while they are open, and their
    last numbers afterwards."""
    from gptfl.telemetry.metrics.aggregator import AggregatorMetrics

    said = f"listening on {grid.address} for {clients} clients"
    if quiet or telemetry.logs_json:
        _LOG.info("%s", said)
    else:
        click.echo(said, err=True)
    reasons = tuple(reason.value for reason in Turned)
    return AggregatorMetrics(telemetry.registry, run, grid.status, reasons)


def _see_off(grid: StreamGrid, names: Collection[str]) -> None:
    """Tells the clients that the run is over; those that are away get a moment to come back."""
    status = grid.status()
    there, before = set(status.connected), status.counters.connections
    grid.dismiss()
    until = time.monotonic() + _FAREWELL_SECONDS
    while away := set(names) - there:
        now = grid.status().counters.connections
        there |= {name for name in away if now[name] > before[name]}
        if time.monotonic() > until:
            break
        time.sleep(0.1)
    grid.dismiss()  # waits until those who have come back have heard it
