"""Who may not, or cannot, use a bucket is told in one line which setting is wrong."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from s3_buckets import BUCKET, new_place
from servers import Minio, S3Server, free_port

from gptfl.errors import StoreError
from gptfl.store import open_store
from gptfl.store.blobs import Blobs
from gptfl.store.s3 import S3Blobs, s3_settings

Set = Callable[..., None]


@pytest.fixture
def set_(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Set:
    """Sets variables of the environment, in which nothing else of AWS is."""
    for name in ("AWS_CA_BUNDLE", "SSL_CERT_FILE", "AWS_SESSION_TOKEN", "GPTFL_S3_SECRET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GPTFL_CACHE", str(tmp_path / "cache"))

    def set_all(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return set_all


@pytest.fixture
def place(s3_server: S3Server, set_: Set) -> str:
    set_(**s3_server.environment)
    return new_place(s3_server)


def refusal(act: Callable[[], object]) -> str:
    """The one line that a refused act gives."""
    with pytest.raises(StoreError) as raised:
        act()
    assert "\n" not in str(raised.value)
    return str(raised.value)


def impatient(uri: str) -> Blobs:
    return S3Blobs(replace(s3_settings(uri), first_patience_seconds=0.2))


def test_a_wrong_key(place: str, set_: Set) -> None:
    set_(AWS_ACCESS_KEY_ID="nobody")
    said = refusal(lambda: open_store(place).blobs.read("a"))

    assert "does not know the key in AWS_ACCESS_KEY_ID; set the right one" in said


def test_a_wrong_secret(place: str, set_: Set) -> None:
    set_(AWS_SECRET_ACCESS_KEY="wrong-wrong-wrong")
    for act in (
        lambda: open_store(place).blobs.read("a"),
        lambda: open_store(place).blobs.write("a", b"x"),
        lambda: list(open_store(place).blobs.names("a")),
        lambda: open_store(place).blobs.lock("a").__enter__(),
    ):
        assert "AWS_SECRET_ACCESS_KEY does not fit AWS_ACCESS_KEY_ID" in refusal(act)


def test_no_key(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")

    assert "AWS_ACCESS_KEY_ID is not set; set it, or GPTFL_S3_SECRET" in refusal(
        lambda: open_store(place).blobs.read("a")
    )


def test_a_bucket_that_is_not_there(place: str) -> None:
    said = refusal(lambda: open_store("s3://no-such-bucket/x").blobs.read("a"))

    assert "there is no bucket 'no-such-bucket' at http://" in said
    assert "spec.artifacts.uri or --store" in said


def test_a_server_that_is_not_there(set_: Set) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    set_(AWS_ENDPOINT_URL=endpoint, AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b")

    assert refusal(lambda: impatient("s3://bucket").read("a")) == (
        f"{endpoint}: cannot be reached; "
        "start it, or check AWS_ENDPOINT_URL or spec.artifacts.endpoint"
    )


def test_a_mounted_secret_is_read_anew_when_it_changes(
    place: str, s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    for name, value in s3_server.environment.items():
        (secret / name).write_text(f"{value}\n")
        monkeypatch.delenv(name)
    monkeypatch.setenv("GPTFL_S3_SECRET", str(secret))
    blobs = open_store(place).blobs
    blobs.write("a", b"x")
    right = (secret / "AWS_SECRET_ACCESS_KEY").read_text()
    (secret / "AWS_SECRET_ACCESS_KEY").write_text("old")

    assert "AWS_SECRET_ACCESS_KEY does not fit" in refusal(lambda: blobs.read("a"))
    (secret / "AWS_SECRET_ACCESS_KEY").write_text(right)
    assert blobs.read("a") == b"x"
    (secret / "AWS_ACCESS_KEY_ID").unlink()
    assert f"put a file of that name into {secret}" in refusal(lambda: blobs.read("a"))


def certificate(folder: Path) -> Path:
    """A CA that signs itself in `ca.pem`, and in `server` what MinIO wants of it for 127.0.0.1."""
    now, key = datetime.now(UTC), ec.generate_private_key(ec.SECP256R1())
    ca = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a private CA")])
    built = (
        x509.CertificateBuilder()
        .subject_name(ca)
        .issuer_name(ca)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    server = folder / "server"
    server.mkdir(parents=True)
    pem = built.public_bytes(serialization.Encoding.PEM)
    (folder / "ca.pem").write_bytes(pem)
    (server / "public.crt").write_bytes(pem)
    (server / "private.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return folder


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Minio, Path]]:
    """A server with a certificate of a private CA, and the CA's."""
    folder = certificate(tmp_path_factory.mktemp("tls"))
    with Minio(folder / "minio", certificates=folder / "server") as server:
        yield server, folder / "ca.pem"


def test_tls_with_a_private_ca(tls: tuple[Minio, Path], set_: Set, tmp_path: Path) -> None:
    server, ca = tls
    set_(**server.environment, AWS_CA_BUNDLE=str(ca))
    blobs = open_store(f"s3://{BUCKET}/tls").blobs
    assert f"there is no bucket '{BUCKET}'" in refusal(lambda: blobs.read("a"))
    blobs._client._minio.make_bucket(BUCKET)  # type: ignore[attr-defined]

    assert blobs.create("a", b"x") is True
    assert blobs.create("a", b"y") is False
    with blobs.lock("l"):
        assert blobs.read("a") == b"x"
    blobs.remove("a")
    assert list(blobs.names("a")) == []


def test_tls_with_another_ca(tls: tuple[Minio, Path], set_: Set, tmp_path: Path) -> None:
    server, _ = tls
    other = certificate(tmp_path / "other") / "ca.pem"
    for bundle in ({}, {"AWS_CA_BUNDLE": str(other)}):
        set_(**server.environment, **bundle)
        said = refusal(lambda: open_store("s3://bucket").blobs.read("a"))

        assert said.startswith(f"{server.endpoint}: its certificate is not to be trusted (")
        assert said.endswith("name the file of the CA that signed it in AWS_CA_BUNDLE")


def test_a_ca_of_a_mounted_secret(tls: tuple[Minio, Path], set_: Set, tmp_path: Path) -> None:
    server, ca = tls
    (tmp_path / "ca.crt").write_bytes(ca.read_bytes())
    set_(**server.environment, GPTFL_S3_SECRET=str(tmp_path))

    assert "there is no bucket" in refusal(lambda: open_store("s3://none-here").blobs.read("a"))


def test_tls_where_there_is_none_and_none_where_there_is(
    minio_server: Minio, tls: tuple[Minio, Path], set_: Set
) -> None:
    set_(**minio_server.environment)
    set_(AWS_ENDPOINT_URL=minio_server.endpoint.replace("http:", "https:"))
    assert "does not speak TLS; use http:// in AWS_ENDPOINT_URL" in refusal(
        lambda: impatient("s3://bucket").read("a")
    )
    set_(AWS_ENDPOINT_URL=tls[0].endpoint.replace("https:", "http:"))
    assert "is no S3 server (it answers 400); check AWS_ENDPOINT_URL" in refusal(
        lambda: impatient("s3://bucket").read("a")
    )


@pytest.mark.parametrize("text", [None, "no certificate"])
def test_a_ca_bundle_that_is_none(set_: Set, tmp_path: Path, text: str | None) -> None:
    if text:
        (tmp_path / "ca.pem").write_text(text)
    set_(AWS_ENDPOINT_URL="https://127.0.0.1:1", AWS_CA_BUNDLE=str(tmp_path / "ca.pem"))

    assert refusal(lambda: open_store("s3://bucket")).startswith("AWS_CA_BUNDLE: ")
