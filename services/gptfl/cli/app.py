"""The commands and their options; what a command does is imported when it is called.

click alone: typer and rich help would double the time until `gptfl --help` answers.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gptfl.cli.federation import aggregate, client, pki
from gptfl.cli.options import (
    PORT,
    broker_option,
    file_argument,
    json_option,
    only_option,
    quiet_option,
    store_option,
    telemetry_options,
)

if TYPE_CHECKING:
    from gptfl.telemetry.process import Telemetry

HELP = ["-h", "--help"]

run_argument = click.argument("run", help="The run's name, or NAMESPACE/NAME.")
key_argument = click.argument("key", help="The first characters of a key.")


@click.group(
    context_settings={"help_option_names": HELP, "max_content_width": 100},
    epilog="Errors are one line; --debug, anywhere, adds the traceback.",
)
@click.version_option(package_name="gptfl", message="%(prog)s %(version)s")
def app() -> None:
    """Federated learning that starts from synthetic data: one file, from label names to a model
    that answers."""


@app.command()
@file_argument
@store_option
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Shards drawn at the same time; the result is the same.",
)
@only_option
@broker_option(
    help="Workers draw the images, over this Redis (redis://, rediss://); else $GPTFL_BROKER."
)
@quiet_option
@json_option
@telemetry_options(text_level="warning")
def run(
    *,
    file: Path,
    store: str | None,
    workers: int | None,
    only: str | None,
    broker: str | None,
    quiet: bool,
    as_json: bool,
    telemetry: "Telemetry",
) -> None:
    """Do all of a run that is not done yet."""
    from gptfl.cli.run import run_file

    run_file(
        file,
        store=store,
        workers=workers,
        only=only,
        broker=broker,
        quiet=quiet,
        as_json=as_json,
        telemetry=telemetry,
    )


@app.command()
@click.argument(
    "file", type=click.Path(path_type=Path), required=False, help="The run's file, as for run."
)
@click.option("--queue", metavar="NAME", help="The queue, for who has not the file.")
@broker_option(required=True, help="The run's Redis; else $GPTFL_BROKER.")
@store_option
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    metavar="N",
    help="Batches of a shard drawn at the same time; else one for each accelerator or core.",
)
@click.option(
    "--leave-after",
    type=click.FloatRange(min=0),
    default=300,
    show_default=True,
    metavar="SECONDS",
    help="End when no task has come for so long.",
)
@click.option(
    "--grace",
    type=click.FloatRange(min=0),
    default=25,
    show_default=True,
    metavar="SECONDS",
    help="On SIGTERM, go on with a shard for at most so long, then give it back.",
)
@telemetry_options()
def worker(
    *,
    file: Path | None,
    queue: str | None,
    broker: str,
    store: str | None,
    concurrency: int | None,
    leave_after: float,
    grace: float,
    telemetry: "Telemetry",
) -> None:
    """Draw images for a run whose generation is coordinated by gptfl run --broker."""
    from gptfl.cli.worker import work

    work(
        file,
        queue=queue,
        broker=broker,
        store=store,
        concurrency=concurrency or 0,
        leave_after=leave_after,
        grace=grace,
        telemetry=telemetry,
    )


@app.command()
@file_argument
def validate(file: Path) -> None:
    """Check a run's file and that what it names is there."""
    from gptfl.cli.run import validate_file

    validate_file(file)


@app.command()
@click.argument("run", required=False, help="A run's name; all runs without one.")
@store_option
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def status(run: str | None, store: str | None, *, as_json: bool) -> None:
    """Show how far runs are, or one run step by step."""
    from gptfl.cli.status import show_run, show_runs

    if run:
        show_run(run, store, as_json=as_json)
    else:
        show_runs(store, as_json=as_json)


@app.command()
@run_argument
@store_option
@click.option("--open", "open_it", is_flag=True, help="Open it in the browser.")
def report(run: str, store: str | None, *, open_it: bool) -> None:
    """Print where the report of a run is."""
    from gptfl.cli.report import show_report

    show_report(run, store, open_it=open_it)


@app.command()
@click.argument("run", required=False, help="The run's name, or NAMESPACE/NAME.")
@store_option
@click.option(
    "--model",
    metavar="URI",
    help="Instead of a run's: the model in this folder, file:// or s3://.",
)
@click.option("--name", help="What it is called in URLs; else as the run says, or 'model'.")
@click.option("--port", type=PORT, default=8080, show_default=True, help="The port for HTTP.")
@click.option("--grpc-port", type=PORT, metavar="PORT", help="Also the v2 protocol over gRPC.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--max-batch",
    type=click.IntRange(1, 256),
    metavar="N",
    default=32,
    show_default=True,
    help="Images of different requests in one pass.",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    metavar="N",
    default=1,
    show_default=True,
    help="Threads that compute.",
)
@click.option(
    "--drain",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    default=0,
    show_default=True,
    help="After SIGTERM: not ready, and answering for so long; a pod sets 5 to 10.",
)
@telemetry_options()
def serve(
    *,
    run: str | None,
    store: str | None,
    model: str | None,
    name: str | None,
    port: int,
    grpc_port: int | None,
    host: str,
    max_batch: int,
    threads: int,
    drain: float,
    telemetry: "Telemetry",
) -> None:
    """Answer requests with a model (KServe v1 and v2)."""
    from gptfl.cli.serve import Endpoint, serve_model

    endpoint = Endpoint(host, port, grpc_port, threads, max_batch, drain)
    serve_model(
        run, model=model, name=name, store_uri=store, endpoint=endpoint, telemetry=telemetry
    )


@app.command()
@click.argument("field", default="", help="Such as spec.federation.strategy.")
def explain(field: str) -> None:
    """Explain a field of a GPTFLRun, as kubectl explain does."""
    from gptfl.spec.explain import explain as explained

    click.echo(explained(field))


@app.command()
def crd() -> None:
    """Print the CustomResourceDefinition of GPTFLRun."""
    from gptfl.spec.crd import crd_yaml

    click.echo(crd_yaml(), nl=False)


@app.group()
def artifacts() -> None:
    """Look into the store: what was made, and from what."""


@artifacts.command("list")
@store_option
def list_artifacts(store: str | None) -> None:
    """List all artifacts."""
    from gptfl.cli.artifacts import list_all

    list_all(store)


@artifacts.command()
@key_argument
@store_option
def show(key: str, store: str | None) -> None:
    """Show an artifact's files, inputs, cost and numbers."""
    from gptfl.cli.artifacts import show_one

    show_one(key, store)


@artifacts.command()
@key_argument
@store_option
def lineage(key: str, store: str | None) -> None:
    """Show what an artifact was made from."""
    from gptfl.cli.artifacts import show_lineage

    show_lineage(key, store)


@artifacts.command()
@click.argument("key", required=False, help="The first characters of a key; all without one.")
@store_option
def verify(key: str | None, store: str | None) -> None:
    """Check every file against its digest."""
    from gptfl.cli.artifacts import verify as verify_artifacts

    verify_artifacts(key, store)


@artifacts.command()
@key_argument
@store_option
def remove(key: str, store: str | None) -> None:
    """Remove an artifact; it is made again when needed."""
    from gptfl.cli.artifacts import remove_one

    remove_one(key, store)


@artifacts.command()
@store_option
@click.option("--older-than", metavar="AGE", help="Only what is older: 30d, 12h, 90m.")
@click.option("--unreachable", is_flag=True, help="Only what no run in the store uses.")
@click.option("--dry-run", is_flag=True, help="Say what would go, and keep it.")
def prune(*, store: str | None, older_than: str | None, unreachable: bool, dry_run: bool) -> None:
    """Remove artifacts by age, reachability, or both."""
    from gptfl.cli.artifacts import prune as prune_artifacts

    prune_artifacts(store, older_than=older_than, unreachable=unreachable, dry_run=dry_run)


for command in (aggregate, client, pki):
    app.add_command(command)
