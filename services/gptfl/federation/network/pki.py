"""A small certificate authority for those who have none: certificates, keys and tokens as files.

ca.crt ca.key                  the authority; whoever has its key can let anybody in
server.crt server.key          the aggregator's
tokens.json                    SHA-256 of each client's token, by name
revoked                        names of clients that are no longer let in
clients/NAME/                  ca.crt, client.crt, client.key, token: all that a client needs
"""

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile

from pydantic import TypeAdapter, ValidationError

from gptfl import certificates
from gptfl.certificates import AUTHORITY_DAYS, DAYS, Pair
from gptfl.errors import NetworkError
from gptfl.federation.network.security import ClientIdentity, ServerSecurity
from gptfl.spec.federation import ClientName

_NAME = TypeAdapter(ClientName)


def make_authority(folder: Path, *, days: int = AUTHORITY_DAYS) -> None:
    """Writes `ca.crt` and `ca.key`. Raises NetworkError when there is an authority already."""
    if (folder / "ca.key").exists():
        raise NetworkError(f"{folder} holds an authority already; name another folder")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write_pair(folder / "ca", certificates.make_authority("gptfl federation", days=days))


def issue_server(folder: Path, hosts: Sequence[str], *, days: int = DAYS) -> ServerSecurity:
    """Writes `server.crt` and `server.key` for the names and IP addresses that clients dial."""
    pair = certificates.sign_server(_authority(folder), hosts, days=days)
    _write_pair(folder / "server", pair)
    if not (folder / "tokens.json").exists():
        _write(folder / "tokens.json", b"{}\n")
    return server_security(folder)


def issue_client(folder: Path, name: str, *, days: int = DAYS) -> ClientIdentity:
    """Writes a client's files to `clients/NAME`, and lets it in, with a new token.

    Raises NetworkError for what is no client's name, and for one that is revoked.
    """
    _check(name)
    if name in _revoked(folder):
        raise NetworkError(
            f"{name!r} is revoked; use another name, or take it out of {folder / 'revoked'}"
        )
    pair = certificates.sign_client(_authority(folder), name, days=days)
    out = folder / "clients" / name
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write_pair(out / "client", pair)
    token, digest = certificates.make_token()
    _write(out / "ca.crt", (folder / "ca.crt").read_bytes())
    _write(out / "token", f"{token}\n".encode())
    tokens = folder / "tokens.json"
    known = json.loads(tokens.read_text()) if tokens.exists() else {}
    known[name] = digest
    _write(tokens, (json.dumps(known, indent=1, sort_keys=True) + "\n").encode())
    return client_identity(out, name)


def revoke(folder: Path, name: str) -> None:
    """Adds a client to `revoked`; takes effect at its next message."""
    _check(name)
    names = _revoked(folder) | {name}
    _write(folder / "revoked", "".join(f"{known}\n" for known in sorted(names)).encode())


def server_security(folder: Path) -> ServerSecurity:
    """The aggregator's files in a folder of this layout."""
    return ServerSecurity(
        authority=folder / "ca.crt",
        certificate=folder / "server.crt",
        key=folder / "server.key",
        tokens=folder / "tokens.json",
        revoked=folder / "revoked",
    )


def client_identity(folder: Path, name: str) -> ClientIdentity:
    """A client's files in its own folder."""
    try:
        token = (folder / "token").read_text().strip()
    except OSError as error:
        raise NetworkError(f"{folder / 'token'} cannot be read: {error.strerror}") from None
    return ClientIdentity(
        name=name,
        authority=folder / "ca.crt",
        certificate=folder / "client.crt",
        key=folder / "client.key",
        token=token,
    )


def _check(name: str) -> None:
    try:
        _NAME.validate_python(name)
    except ValidationError:
        raise NetworkError(
            f"{name!r} is no client's name; use small letters, digits and hyphens, at most 40"
        ) from None


def _revoked(folder: Path) -> set[str]:
    path = folder / "revoked"
    return set(path.read_text().split()) if path.exists() else set()


def _authority(folder: Path) -> Pair:
    try:
        return Pair((folder / "ca.crt").read_bytes(), (folder / "ca.key").read_bytes())
    except OSError as error:
        raise NetworkError(f"{folder} holds no authority ({error.strerror}); make one") from None


def _write_pair(stem: Path, pair: Pair) -> None:
    _write(stem.with_suffix(".key"), pair.key)
    _write(stem.with_suffix(".crt"), pair.certificate)


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all, and for the owner's eyes only."""
    with NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(data)
    Path(file.name).replace(path)
