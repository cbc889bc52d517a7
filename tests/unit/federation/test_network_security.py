"""Who is let in: name, token and certificate must agree, and a revocation counts at once."""

import dataclasses
import hashlib
import json
import shutil
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID
from flwr.clientapp import ClientApp

from gptfl.errors import NetworkError
from gptfl.federation.network import (
    ClientIdentity,
    ServerSecurity,
    client_identity,
    issue_client,
    issue_server,
    make_authority,
    open_stream_grid,
    revoke,
    serve_tasks,
    server_security,
)
from gptfl.federation.network.channels import check_address, is_loopback
from gptfl.federation.network.security import Gate, certificate_name


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("pki")
    make_authority(made)
    issue_server(made, ["localhost", "127.0.0.1"])
    for name in ("a", "b"):
        issue_client(made, name)
    return made


def certificate(identity: ClientIdentity) -> bytes:
    assert identity.certificate is not None
    return identity.certificate.read_bytes()


def identities(folder: Path) -> tuple[ClientIdentity, ClientIdentity]:
    return client_identity(folder / "clients" / "a", "a"), client_identity(
        folder / "clients" / "b", "b"
    )


def test_a_client_is_let_in_as_itself(folder: Path) -> None:
    a, _ = identities(folder)
    assert Gate(["a", "b"], server_security(folder)).admits("a", a.token, certificate(a))


def test_name_token_and_certificate_must_agree(folder: Path) -> None:
    a, b = identities(folder)
    gate = Gate(["a", "b"], server_security(folder))
    assert not gate.admits("b", a.token, certificate(a))
    assert not gate.admits("a", b.token, certificate(a))
    assert not gate.admits("a", a.token, certificate(b))
    assert not gate.admits("a", "", certificate(a))
    assert not gate.admits("a", a.token, None)
    assert not gate.admits("a", a.token, b"no certificate")
    assert not gate.admits("a", "\ud800", certificate(a))


def test_a_stranger_with_the_authoritys_blessing_is_no_client_of_this_run(folder: Path) -> None:
    a, _ = identities(folder)
    assert not Gate(["b"], server_security(folder)).admits("a", a.token, certificate(a))


def test_revocation_counts_from_the_next_look(folder: Path, tmp_path: Path) -> None:
    security = dataclasses.replace(server_security(folder), revoked=tmp_path / "revoked")
    gate = Gate(["a", "b"], security)
    assert not gate.revoked("a")
    revoke(tmp_path, "a")
    assert gate.revoked("a")
    assert not gate.revoked("b")
    revoke(tmp_path, "b")
    assert gate.revoked("a")
    assert gate.revoked("b")


def test_who_is_revoked_is_issued_nothing_that_would_not_let_it_in(
    folder: Path, tmp_path: Path
) -> None:
    made = tmp_path / "pki"
    shutil.copytree(folder, made)
    revoke(made, "a")
    before = (made / "tokens.json").read_bytes()
    with pytest.raises(NetworkError, match=r"'a' is revoked.*take it out of .*revoked"):
        issue_client(made, "a")
    assert (made / "tokens.json").read_bytes() == before


@pytest.mark.parametrize("name", ["../b", "/b", "", ".", "a b", "A", "a\n"])
def test_a_name_is_no_path(folder: Path, name: str) -> None:
    with pytest.raises(NetworkError, match="no client's name"):
        issue_client(folder, name)
    with pytest.raises(NetworkError, match="no client's name"):
        revoke(folder, name)


def test_an_authority_of_another_kind_is_named(tmp_path: Path) -> None:
    make_authority(tmp_path)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    (tmp_path / "ca.key").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    with pytest.raises(NetworkError, match="elliptic curve"):
        issue_client(tmp_path, "a")
    (tmp_path / "ca.key").write_text("not PEM")
    with pytest.raises(NetworkError, match="elliptic curve"):
        issue_client(tmp_path, "a")


def test_a_new_token_counts_from_the_next_look(folder: Path, tmp_path: Path) -> None:
    a, _ = identities(folder)
    tokens = tmp_path / "tokens.json"
    tokens.write_text(json.dumps({"a": hashlib.sha256(b"other").hexdigest()}))
    gate = Gate(["a"], dataclasses.replace(server_security(folder), tokens=tokens))
    assert gate.admits("a", "other", certificate(a))
    tokens.write_text(json.dumps({"a": hashlib.sha256(a.token.encode()).hexdigest()}) + " ")
    assert not gate.admits("a", "other", certificate(a))
    assert gate.admits("a", a.token, certificate(a))


def test_a_file_that_was_spoilt_changes_nothing(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    a, _ = identities(folder)
    tokens = tmp_path / "tokens.json"
    tokens.write_text((folder / "tokens.json").read_text())
    gate = Gate(["a"], dataclasses.replace(server_security(folder), tokens=tokens))
    tokens.write_text("{")
    assert gate.admits("a", a.token, certificate(a))
    assert "what it said before holds" in caplog.text


def test_a_revocation_holds_while_its_file_cannot_be_looked_at(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    revoke(tmp_path, "a")
    security = dataclasses.replace(server_security(folder), revoked=tmp_path / "revoked")
    gate = Gate(["a"], security)
    assert gate.revoked("a")
    (tmp_path / "revoked").unlink()
    (tmp_path / "revoked").symlink_to(tmp_path / "revoked")
    assert gate.revoked("a")
    assert "what it said before holds" in caplog.text
    with pytest.raises(NetworkError, match="revoked cannot be read"):
        Gate(["a"], security)


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1}', '{"a": "the token itself"}'])
def test_an_aggregator_does_not_start_with_tokens_that_it_cannot_read(
    folder: Path, tmp_path: Path, text: str
) -> None:
    tokens = tmp_path / "tokens.json"
    tokens.write_text(text)
    with pytest.raises(NetworkError, match=r"tokens\.json"):
        Gate(["a"], dataclasses.replace(server_security(folder), tokens=tokens))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"certificate": "bad.pem"}, "bad.pem is no certificate"),
        ({"authority": "bad.pem"}, "bad.pem is no certificate"),
        ({"key": "bad.pem"}, "bad.pem is no private key"),
        ({"key": "ca.key"}, "ca.key is not the key of"),
        ({"key": "nowhere"}, "nowhere cannot be read"),
        ({"certificate": "old.crt", "key": "old.key"}, r"old\.crt was valid until 20\d\d-"),
    ],
)
def test_files_that_no_connection_can_be_made_with_are_named(
    folder: Path, tmp_path: Path, change: dict[str, str], message: str
) -> None:
    made = tmp_path / "pki"
    shutil.copytree(folder, made)
    (made / "bad.pem").write_text("not PEM")
    issue_server(made, ["localhost"], days=0)
    for kind in ("key", "crt"):
        (made / f"server.{kind}").replace(made / f"old.{kind}")
    issue_server(made, ["localhost"])
    a = client_identity(made / "clients" / "a", "a")
    changed = {name: made / file for name, file in change.items()}
    with pytest.raises(NetworkError, match=message):
        dataclasses.replace(server_security(made), **changed).credentials()
    with pytest.raises(NetworkError, match=message):
        dataclasses.replace(a, **changed).credentials()


def test_the_tokens_file_holds_no_token(folder: Path) -> None:
    a, _ = identities(folder)
    text = (folder / "tokens.json").read_text()
    assert a.token not in text
    assert hashlib.sha256(a.token.encode()).hexdigest() in text


def test_only_the_owner_may_read_what_is_written(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) == 13
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_a_token_is_not_shown_by_accident(folder: Path) -> None:
    a, _ = identities(folder)
    assert a.token not in repr(a)


def test_a_certificate_names_one_client(folder: Path) -> None:
    a, _ = identities(folder)
    assert certificate_name(certificate(a)) == "a"
    security: ServerSecurity = server_security(folder)
    parsed = x509.load_pem_x509_certificate(security.certificate.read_bytes())
    usage = parsed.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert ExtendedKeyUsageOID.CLIENT_AUTH not in usage


def test_an_authority_is_never_replaced(folder: Path) -> None:
    with pytest.raises(NetworkError, match="already"):
        make_authority(folder)


def test_nothing_is_issued_without_an_authority(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match="no authority"):
        issue_server(tmp_path, ["localhost"])


@pytest.mark.parametrize("address", ["127.0.0.1:1", "localhost:1", "[::1]:1", "127.8.8.8:1"])
def test_these_addresses_are_loopback(address: str) -> None:
    assert is_loopback(address)


@pytest.mark.parametrize("address", ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "example.org:1", ":1"])
def test_these_addresses_need_protection(address: str) -> None:
    assert not is_loopback(address)


@pytest.mark.parametrize("address", ["a.example:9092", "[::1]:0", "0.0.0.0:65535"])
def test_these_are_addresses(address: str) -> None:
    check_address(address)


@pytest.mark.parametrize(
    "address",
    ["", "a.example", "127.0.0.1", "9092", ":9092", "a:http", "::1", "::1:9092", "a:65536"],
)
def test_an_address_without_host_or_port_is_refused(address: str) -> None:
    with pytest.raises(NetworkError, match="give HOST:PORT"):
        check_address(address)
    with pytest.raises(NetworkError, match="give HOST:PORT"):
        serve_tasks(address, ClientIdentity("a"), lambda terms, node: ClientApp())
    with (
        pytest.raises(NetworkError, match="give HOST:PORT"),
        open_stream_grid(address, ["a"], None),
    ):
        pass
