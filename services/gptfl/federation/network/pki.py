"""A small certificate authority for those who have none: certificates, keys and tokens as files.

ca.crt ca.key                  the authority; whoever has its key can let anybody in
server.crt server.key          the aggregator's
tokens.json                    SHA-256 of each client's token, by name
revoked                        names of clients that are no longer let in
clients/NAME/                  ca.crt, client.crt, client.key, token: all that a client needs
"""

import hashlib
import ipaddress
import json
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import NamedTemporaryFile

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gptfl.errors import NetworkError
from gptfl.federation.network.security import CLIENT_URI, ClientIdentity, ServerSecurity

_CLOCK_SKEW = timedelta(hours=1)
_COMMON_NAME_CHARACTERS = 64


def make_authority(folder: Path, *, days: int = 3650) -> None:
    """Writes `ca.crt` and `ca.key`. Raises NetworkError when there is an authority already."""
    if (folder / "ca.key").exists():
        raise NetworkError(f"{folder} holds an authority already; name another folder")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("gptfl federation")
    builder = _builder(name, key, days).issuer_name(name)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
    _write_pair(folder / "ca", builder.sign(key, hashes.SHA256()), key)


def issue_server(folder: Path, hosts: Sequence[str], *, days: int = 825) -> ServerSecurity:
    """Writes `server.crt` and `server.key` for the names and IP addresses that clients dial."""
    if not hosts:
        raise NetworkError("a server's certificate needs the names or addresses that clients dial")
    names = x509.SubjectAlternativeName([_host(host) for host in hosts])
    _issue(
        folder,
        folder / "server",
        hosts[0],
        names,
        purpose=ExtendedKeyUsageOID.SERVER_AUTH,
        days=days,
    )
    if not (folder / "tokens.json").exists():
        _write(folder / "tokens.json", b"{}\n")
    return server_security(folder)


def issue_client(folder: Path, name: str, *, days: int = 825) -> ClientIdentity:
    """Writes a client's files to `clients/NAME`, and lets it in, with a new token."""
    out = folder / "clients" / name
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(CLIENT_URI + name)])
    _issue(folder, out / "client", name, names, purpose=ExtendedKeyUsageOID.CLIENT_AUTH, days=days)
    token = secrets.token_urlsafe(32)
    _write(out / "ca.crt", (folder / "ca.crt").read_bytes())
    _write(out / "token", f"{token}\n".encode())
    tokens = folder / "tokens.json"
    known = json.loads(tokens.read_text()) if tokens.exists() else {}
    known[name] = hashlib.sha256(token.encode()).hexdigest()
    _write(tokens, (json.dumps(known, indent=1, sort_keys=True) + "\n").encode())
    return client_identity(out, name)


def revoke(folder: Path, name: str) -> None:
    """Adds a client to `revoked`; takes effect at its next message."""
    path = folder / "revoked"
    names = set(path.read_text().split()) if path.exists() else set()
    _write(path, "".join(f"{known}\n" for known in sorted(names | {name})).encode())


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


def _issue(
    folder: Path,
    stem: Path,
    common_name: str,
    names: x509.SubjectAlternativeName,
    *,
    purpose: x509.ObjectIdentifier,
    days: int,
) -> None:
    try:
        authority = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
        authority_key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    except OSError as error:
        raise NetworkError(f"{folder} holds no authority ({error.strerror}); make one") from None
    assert isinstance(authority_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(_name(common_name), key, days).issuer_name(authority.subject)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
    builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    builder = builder.add_extension(names, critical=False)
    _write_pair(stem, builder.sign(authority_key, hashes.SHA256()), key)


def _builder(
    subject: x509.Name, key: ec.EllipticCurvePrivateKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + timedelta(days=days))
    )


def _name(common_name: str) -> x509.Name:
    cut = common_name[:_COMMON_NAME_CHARACTERS]
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cut)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _write_pair(stem: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    plain = serialization.NoEncryption()
    pkcs8 = serialization.PrivateFormat.PKCS8
    pem = serialization.Encoding.PEM
    _write(stem.with_suffix(".key"), key.private_bytes(pem, pkcs8, plain))
    _write(stem.with_suffix(".crt"), certificate.public_bytes(pem))


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all, and for the owner's eyes only."""
    with NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(data)
    Path(file.name).replace(path)
