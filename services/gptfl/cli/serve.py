"""`gptfl serve`: a model behind an address."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gptfl.cli.quiet import quieten
from gptfl.cli.runs import find_run
from gptfl.errors import StoreError
from gptfl.spec.load import parse_run
from gptfl.store import Artifact, RunFolder, RunStatus, Store, open_store
from gptfl.store.watch import StoreWatch

if TYPE_CHECKING:
    from gptfl.telemetry.process import Telemetry

DEFAULT_NAME = "model"
"""What KServe calls a model without a name."""
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")


@dataclass(frozen=True)
class Endpoint:
    """Where a model answers, and how much of it at once."""

    host: str
    port: int
    grpc_port: int | None
    threads: int
    batch: int
    drain: float


def serve_model(
    run: str | None,
    *,
    model: str | None,
    name: str | None,
    store_uri: str | None,
    endpoint: Endpoint,
    telemetry: "Telemetry",
) -> None:
    """Answers until it is stopped; every file of the model is checked first."""
    if (run is None) == (model is None):
        raise click.UsageError("name a run, or a model's folder with --model")
    if name is not None and not _NAME.fullmatch(name):
        raise click.UsageError(
            f"--name: {name!r} is no part of a URL; use letters, digits, '-', '_' and '.'"
        )
    quieten()
    from gptfl.telemetry.metrics.store import StoreMetrics

    # Always, and not by `telemetry.watch`: a server has a port where anyone may ask.
    watch = StoreMetrics(telemetry.registry)
    folder, own_name = (
        _model_of_run(run, store_uri, watch)
        if run
        else (_model_at(model or "", watch), DEFAULT_NAME)
    )
    from gptfl.serving.predictor import Limits
    from gptfl.serving.server import serve

    serve(
        folder,
        name=name or own_name,
        port=endpoint.port,
        host=endpoint.host,
        grpc_port=endpoint.grpc_port,
        threads=endpoint.threads,
        drain=endpoint.drain,
        limits=Limits(batch=endpoint.batch),
        registry=telemetry.registry,
    )


def _model_at(uri: str, watch: StoreWatch) -> Path:
    from gptfl.serving.source import model_folder

    return model_folder(uri, watch)


def _model_of_run(name: str, store_uri: str | None, watch: StoreWatch) -> tuple[Path, str]:
    """The folder of a run's model and what it is called."""
    store = open_store(store_uri, must_exist=True)
    store.blobs.watch(watch)
    folder, status = find_run(store, name)
    return exported_model(store, status).folder(), served_name(folder)


def exported_model(store: Store, status: RunStatus) -> Artifact:
    """The artifact of the run's `serving` step. Raises StoreError when it is not there."""
    artifact = store.artifact_of(status.step("serving"))
    if artifact is None:
        raise StoreError(
            f"run {status.name!r} has no model yet ({status.phase.value}); finish it with gptfl run"
        )
    return artifact


def served_name(folder: RunFolder) -> str:
    """What the model is called in URLs: as the spec says, or like the run."""
    spec = folder.read_spec()
    name = parse_run(spec).spec.serving.name if spec else None
    return name or folder.name
