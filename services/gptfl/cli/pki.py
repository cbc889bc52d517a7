"""`gptfl pki`: who may take part in a federation over the network."""

from collections.abc import Sequence
from pathlib import Path

from gptfl.cli.output import local, say
from gptfl.errors import NetworkError
from gptfl.federation.network.pki import issue_client, issue_server, make_authority
from gptfl.federation.network.pki import revoke as revoke_client


def make(folder: Path, hosts: Sequence[str]) -> None:
    """A new authority and the aggregator's certificate."""
    make_authority(folder)
    issue_server(folder, hosts)
    where = local(str(folder))
    say(f"{where}: keep ca.key to yourself; the aggregator is started with --pki {where}")


def issue(folder: Path, name: str) -> None:
    """A client's files."""
    issue_client(folder, name)
    where = local(str(folder / "clients" / name))
    say(f"{where}: give it to {name}, which joins with --identity {where}")


def revoke(folder: Path, name: str) -> None:
    """Takes effect at the client's next message."""
    if not (folder / "clients" / name).is_dir():
        raise NetworkError(f"{folder} has issued nothing to {name!r}")
    revoke_client(folder, name)
    say(f"{name} is no longer let in; 'gptfl pki issue' with another name makes a new identity")
