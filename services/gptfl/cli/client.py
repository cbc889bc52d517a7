"""`gptfl client`: parties of a federation over the network, one or several in this process."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import FrameType

import click

from gptfl.cli.quiet import quieten
from gptfl.data.check import check_dataset, data_of
from gptfl.errors import NetworkError, SpecError
from gptfl.federation.network import (
    ClientEvents,
    ClientIdentity,
    MakeApp,
    client_identity,
    serve_tasks,
)
from gptfl.federation.network.security import certificate_name
from gptfl.spec.data import DatasetSpec
from gptfl.spec.load import load_data, load_run
from gptfl.telemetry.context import about
from gptfl.telemetry.process import Telemetry

_LOG = logging.getLogger(__name__)
_PAUSE_SECONDS = 5.0
"""Between the end of one run and the wait for another."""


def client_files(
    *,
    identity: Path | None,
    name: str | None,
    ca: Path | None,
    cert: Path | None,
    key: Path | None,
    token: Path | None,
) -> ClientIdentity:
    """From the options to who this client is. Raises UsageError where they do not go together."""
    if identity is not None:
        if ca or cert or key or token:
            raise click.UsageError("--identity stands for --ca, --cert, --key and --token")
        return client_identity(identity, name or _name_in(identity / "client.crt"))
    if ca is None and cert is None and key is None:
        if name is None:
            raise click.UsageError("give --identity, or --name with --ca, --cert and --key")
        return ClientIdentity(name=name)
    if ca is None or cert is None or key is None:
        raise click.UsageError("--ca, --cert and --key stand together")
    return ClientIdentity(
        name=name or _name_in(cert),
        authority=ca,
        certificate=cert,
        key=key,
        token=_text(token).strip() if token else os.environ.get("GPTFL_TOKEN", ""),
    )


def join_run(
    server: str,
    identity: ClientIdentity,
    *,
    data: str,
    label_counts: bool,
    model: str | None,
    stay: bool,
    telemetry: Telemetry,
) -> None:
    """Serves one client until the run is over; what is wrong with its data shows before."""
    _begin()
    dataset, folder = own_data(data, identity.name)
    check_dataset(dataset, [*(dataset.label_map or {}).values()], folder, "--data")
    from gptfl.federation.member import Member
    from gptfl.telemetry.metrics.client import ClientMetrics

    member = Member(identity.name, dataset, folder, tells_labels=label_counts, model=model)
    events = ClientMetrics(telemetry.registry, identity.name)
    _serve(server, identity, member.make_app, stay=stay, events=events)


def simulate_clients(
    file: Path,
    server: str,
    pki: Path | None,
    *,
    names: Sequence[str],
    model: str | None,
    stay: bool,
    telemetry: Telemetry,
) -> None:
    """Serves several made-up clients, one training at a time."""
    _begin()
    federation = load_run(file).spec.federation
    if federation.simulation is None:
        raise SpecError.of(
            "spec.federation.simulation", "is not set; real clients use 'gptfl client join'"
        )
    from gptfl.federation.member import Simulated
    from gptfl.federation.remote import client_names

    every = client_names(federation)
    strangers = sorted(set(names) - set(every))
    if strangers:
        raise click.UsageError(f"{strangers[0]} is none of {every[0]} to {every[-1]}")
    shared = Simulated(federation.simulation, every, file.absolute().parent, model)
    from gptfl.telemetry.metrics.client import ClientMetrics

    metrics = ClientMetrics(telemetry.registry)
    identities = [_simulated_identity(pki, name) for name in names or every]
    _all_at_once(
        [
            partial(_serve, server, one, shared.make_app, stay=stay, events=metrics.another())
            for one in identities
        ]
    )


def own_data(data: str, name: str) -> tuple[DatasetSpec, Path]:
    """What `--data` names, and where relative paths in it start.

    A YAML file holds a data set, or is the run's, which knows the data of each client in it.
    """
    path = Path(data)
    if path.suffix not in (".yaml", ".yml"):
        return DatasetSpec(uri=data), Path.cwd()
    folder = path.absolute().parent
    found = load_data(path)
    if isinstance(found, DatasetSpec):
        return found, folder
    for index, client in enumerate(found.spec.federation.clients or ()):
        if client.name == name:
            return data_of(client, f"spec.federation.clients[{index}].data"), folder
    raise SpecError.of("spec.federation.clients", f"has no {name!r}; see --name")


def _serve(
    server: str,
    identity: ClientIdentity,
    make_app: MakeApp,
    *,
    stay: bool,
    events: ClientEvents,
) -> None:
    with about(client=identity.name):
        while True:
            serve_tasks(server, identity, make_app, events=events)
            events.disconnected("the run is over", _PAUSE_SECONDS)
            _LOG.info("client %s: the run is over", identity.name)
            if not stay:
                return
            time.sleep(_PAUSE_SECONDS)


def _all_at_once(works: Sequence[Callable[[], None]]) -> None:
    """Each in a thread; the first error ends them all."""
    errors: list[BaseException] = []
    failed = threading.Event()

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)
            failed.set()

    threads = [threading.Thread(target=guarded, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads) and not failed.wait(0.2):
        pass
    if errors:
        raise errors[0]


def _begin() -> None:
    quieten()
    signal.signal(signal.SIGTERM, _end)


def _end(number: int, frame: FrameType | None) -> None:
    """A polite end, as a pod gets it; the aggregator waits until the client is back."""
    raise KeyboardInterrupt


def _simulated_identity(pki: Path | None, name: str) -> ClientIdentity:
    if pki is None:
        return ClientIdentity(name=name)
    return client_identity(pki / "clients" / name, name)


def _name_in(certificate: Path) -> str:
    name = certificate_name(_text(certificate).encode())
    if name is None:
        raise NetworkError(f"{certificate} names no client; give --name")
    return name


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise NetworkError(f"{path} cannot be read: {error.strerror}") from None
