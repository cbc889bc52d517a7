"""`gptfl aggregate`: a run whose clients are in other processes."""

import logging
import time
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gptfl.cli.quiet import quieten
from gptfl.cli.run import run_file
from gptfl.federation.network import (
    ServerSecurity,
    StreamGrid,
    Turned,
    open_stream_grid,
    server_security,
)
from gptfl.spec.load import load_run
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
    listen: str,
    security: ServerSecurity | None,
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
    from gptfl.federation import stage
    from gptfl.federation.remote import RemoteClients, client_names
    from gptfl.federation.terms import Terms

    names = client_names(run.spec.federation)
    terms = Terms.of(run).to_bytes()
    with (
        open_stream_grid(listen, names, security, terms=terms) as grid,
        _shown(grid, len(names), run.metadata.name, telemetry, quiet=quiet),
    ):
        remote = RemoteClients(grid, names, lambda: grid.status().counters.late_replies)
        run_file(
            file,
            store=store,
            workers=None,
            only=only,
            broker=broker,
            quiet=quiet,
            as_json=as_json,
            telemetry=telemetry,
            functions={"federation": partial(stage.run, remote=remote)},
        )
        _see_off(grid, names)


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
