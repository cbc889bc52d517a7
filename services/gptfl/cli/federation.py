"""The commands of a federation over the network and their options; what they do is imported when
they are called."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gptfl.cli.options import (
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

_FILE = click.Path(path_type=Path, dir_okay=False)
_FOLDER = click.Path(path_type=Path, file_okay=False)
_SERVER = click.option("--server", required=True, metavar="HOST:PORT", help="The aggregator.")
_MODEL = click.option(
    "--model",
    metavar="MODULE:FUNCTION",
    help="A model of your own that a run may use here; no other code is run.",
)
_STAY = click.option(
    "--stay", is_flag=True, help="When the run is over, wait for another one at that address."
)


@click.command()
@file_argument
@click.option(
    "--listen",
    metavar="HOST:PORT",
    envvar="GPTFL_LISTEN",
    help="Where clients connect; port 0 for any.",
)
@click.option(
    "--superlink",
    metavar="NAME",
    help="With transport: Flower, the SuperLink in Flower's own configuration.",
)
@click.option("--pki", type=_FOLDER, metavar="DIR", help="A folder that gptfl pki has made.")
@click.option("--cert", type=_FILE, help="The aggregator's certificate (PEM).")
@click.option("--key", type=_FILE, help="Its key.")
@click.option("--ca", type=_FILE, help="The authority of the clients' certificates.")
@click.option("--tokens", type=_FILE, help="SHA-256 of each client's token by name (JSON).")
@click.option("--revoked", type=_FILE, help="Names of clients that are no longer let in.")
@click.option("--insecure", is_flag=True, help="Believe anybody; on this machine only.")
@only_option
@store_option
@broker_option(help="As for gptfl run; else $GPTFL_BROKER.")
@quiet_option
@json_option
@telemetry_options(text_level="warning")
def aggregate(
    *,
    file: Path,
    listen: str | None,
    superlink: str | None,
    pki: Path | None,
    cert: Path | None,
    key: Path | None,
    ca: Path | None,
    tokens: Path | None,
    revoked: Path | None,
    insecure: bool,
    only: str | None,
    store: str | None,
    broker: str | None,
    quiet: bool,
    as_json: bool,
    telemetry: "Telemetry",
) -> None:
    """Do a run as gptfl run does, with clients that join over the network."""
    from gptfl.cli.aggregate import aggregate_file, server_files

    files = {"pki": pki, "cert": cert, "key": key, "ca": ca, "tokens": tokens, "revoked": revoked}
    security = None if superlink else server_files(**files, insecure=insecure)
    aggregate_file(
        file,
        listen=listen,
        security=security,
        superlink=superlink,
        only=only,
        store=store,
        broker=broker,
        quiet=quiet,
        as_json=as_json,
        telemetry=telemetry,
    )


@click.group()
def client() -> None:
    """Take part in a federation over the network, with data that stay here."""


@client.command()
@_SERVER
@click.option(
    "--data",
    required=True,
    metavar="PATH|URI|FILE.yaml",
    help="A folder or file, sklearn:// or hf://, a data set described in YAML, or the run's file.",
)
@click.option("--identity", type=_FOLDER, metavar="DIR", help="What gptfl pki issue has made.")
@click.option("--name", metavar="NAME", help="The client's; else the one in its certificate.")
@click.option("--ca", type=_FILE, help="The authority of the aggregator's certificate (PEM).")
@click.option("--cert", type=_FILE, help="The client's certificate.")
@click.option("--key", type=_FILE, help="Its key.")
@click.option("--token", type=_FILE, metavar="FILE", help="The token; else $GPTFL_TOKEN.")
@click.option("--label-counts", is_flag=True, help="Tell how many samples each label has.")
@_MODEL
@_STAY
@telemetry_options()
def join(
    *,
    server: str,
    data: str,
    identity: Path | None,
    name: str | None,
    ca: Path | None,
    cert: Path | None,
    key: Path | None,
    token: Path | None,
    label_counts: bool,
    model: str | None,
    stay: bool,
    telemetry: "Telemetry",
) -> None:
    """Train on your own data for as long as the run lasts; reconnects for ever."""
    from gptfl.cli.client import client_files, join_run

    join_run(
        server,
        client_files(identity=identity, name=name, ca=ca, cert=cert, key=key, token=token),
        data=data,
        label_counts=label_counts,
        model=model,
        stay=stay,
        telemetry=telemetry,
    )


@client.command()
@file_argument
@_SERVER
@click.option(
    "--pki", type=_FOLDER, metavar="DIR", help="A folder in which gptfl pki has issued them all."
)
@click.option(
    "--client",
    "names",
    multiple=True,
    metavar="NAME",
    help="One of the simulation's clients; again for more, all without it.",
)
@_MODEL
@_STAY
@telemetry_options()
def simulate(
    *,
    file: Path,
    server: str,
    pki: Path | None,
    names: tuple[str, ...],
    model: str | None,
    stay: bool,
    telemetry: "Telemetry",
) -> None:
    """Be the made-up clients of a run's simulation, in one process."""
    from gptfl.cli.client import simulate_clients

    simulate_clients(file, server, pki, names=names, model=model, stay=stay, telemetry=telemetry)


@click.group()
def pki() -> None:
    """Make certificates and tokens for a federation over the network."""


_DIR = click.argument("folder", type=_FOLDER, metavar="DIR")


@pki.command()
@_DIR
@click.option(
    "--server-name",
    "hosts",
    multiple=True,
    required=True,
    metavar="HOST",
    help="What clients dial: a name or an IP address; again for more.",
)
def init(folder: Path, hosts: tuple[str, ...]) -> None:
    """Make an authority, and the aggregator's certificate."""
    from gptfl.cli.pki import make

    make(folder, hosts)


@pki.command()
@_DIR
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def issue(folder: Path, names: tuple[str, ...]) -> None:
    """Make certificate, key and token of each client, and let it in."""
    from gptfl.cli.pki import issue as issue_to

    for name in names:
        issue_to(folder, name)


@pki.command()
@_DIR
@click.argument("name")
def revoke(folder: Path, name: str) -> None:
    """Let a client in no longer, from its next message on."""
    from gptfl.cli.pki import revoke as revoke_one

    revoke_one(folder, name)
