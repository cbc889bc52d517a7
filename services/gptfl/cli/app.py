"""The commands and their options; what a command does is imported when it is called."""

from pathlib import Path
from typing import Annotated

import typer
import typer.core

# Plain help costs a third of the start-up time of rich help, and typer escapes plain help for rich.
typer.core.HAS_RICH = False

app = typer.Typer(
    name="gptfl",
    help="Federated learning that starts from synthetic data: one file, from label names to a "
    "model that answers.",
    epilog="Errors are one line; --debug, anywhere, adds the traceback.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
artifacts = typer.Typer(help="Look into the store: what was made, and from what.")
app.add_typer(artifacts, name="artifacts", no_args_is_help=True, rich_help_panel=None)

File = Annotated[Path, typer.Argument(metavar="FILE", help="A GPTFLRun in YAML.")]
Run = Annotated[str, typer.Argument(metavar="RUN", help="The run's name, or NAMESPACE/NAME.")]
Key = Annotated[str, typer.Argument(metavar="KEY", help="The first characters of a key.")]
StoreUri = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="URI",
        help="The artifact store; else $GPTFL_STORE, or .gptfl in this folder.",
    ),
]


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"gptfl {version('gptfl')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="The version.")
    ] = False,
) -> None:
    return None


@app.command()
def run(
    file: File,
    *,
    store: StoreUri = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Shards drawn at the same time; the result is the same."),
    ] = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, metavar="PORT", help="Serve Prometheus metrics meanwhile."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    json: Annotated[bool, typer.Option("--json", help="The result as JSON.")] = False,
) -> None:
    """Do all of a run that is not done yet."""
    from gptfl.cli.run import run_file

    run_file(
        file, store=store, workers=workers, metrics_port=metrics_port, quiet=quiet, as_json=json
    )


@app.command()
def validate(file: File) -> None:
    """Check a run's file and that what it names is there."""
    from gptfl.cli.run import validate_file

    validate_file(file)


@app.command()
def status(
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="A run's name; all runs without one.")
    ] = None,
    store: StoreUri = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Show how far runs are, or one run step by step."""
    from gptfl.cli.status import show_run, show_runs

    show_run(run, store, as_json=json) if run else show_runs(store, as_json=json)


@app.command()
def report(
    run: Run,
    store: StoreUri = None,
    open_: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Print where the report of a run is."""
    from gptfl.cli.report import show_report

    show_report(run, store, open_it=open_)


@app.command()
def serve(
    run: Run,
    store: StoreUri = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port.")] = 8080,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
) -> None:
    """Answer requests with a run's model (KServe v1 and v2)."""
    from gptfl.cli.serve import serve_run

    serve_run(run, store, port=port, host=host)


@app.command()
def explain(
    field: Annotated[
        str, typer.Argument(metavar="[FIELD]", help="Such as spec.federation.strategy.")
    ] = "",
) -> None:
    """Explain a field of a GPTFLRun, as kubectl explain does."""
    from gptfl.spec.explain import explain as explained

    typer.echo(explained(field))


@app.command()
def crd() -> None:
    """Print the CustomResourceDefinition of GPTFLRun."""
    from gptfl.spec.crd import crd_yaml

    typer.echo(crd_yaml(), nl=False)


@artifacts.command("list")
def list_artifacts(store: StoreUri = None) -> None:
    """List all artifacts."""
    from gptfl.cli.artifacts import list_all

    list_all(store)


@artifacts.command()
def show(key: Key, store: StoreUri = None) -> None:
    """Show an artifact's files, inputs, cost and numbers."""
    from gptfl.cli.artifacts import show_one

    show_one(key, store)


@artifacts.command()
def lineage(key: Key, store: StoreUri = None) -> None:
    """Show what an artifact was made from."""
    from gptfl.cli.artifacts import show_lineage

    show_lineage(key, store)


@artifacts.command()
def verify(
    key: Annotated[
        str | None, typer.Argument(metavar="[KEY]", help="An artifact; all without one.")
    ] = None,
    store: StoreUri = None,
) -> None:
    """Check every file against its digest."""
    from gptfl.cli.artifacts import verify as verify_artifacts

    verify_artifacts(key, store)


@artifacts.command()
def remove(key: Key, store: StoreUri = None) -> None:
    """Remove an artifact; it is made again when needed."""
    from gptfl.cli.artifacts import remove_one

    remove_one(key, store)


@artifacts.command()
def prune(
    store: StoreUri = None,
    older_than: Annotated[
        str | None, typer.Option(metavar="AGE", help="Only what is older: 30d, 12h, 90m.")
    ] = None,
    unreachable: Annotated[
        bool, typer.Option("--unreachable", help="Only what no run in the store uses.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go, and keep it.")
    ] = False,
) -> None:
    """Remove artifacts by age, reachability, or both."""
    from gptfl.cli.artifacts import prune as prune_artifacts

    prune_artifacts(store, older_than=older_than, unreachable=unreachable, dry_run=dry_run)
