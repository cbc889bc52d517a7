"""Certificates and keys for gRPC, looked at first: of bad ones it says only that it has failed."""

from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gptfl.errors import NetworkError


def read_pair(key: Path, certificate: Path) -> tuple[bytes, bytes]:
    """A key and its certificate, PEM. Raises NetworkError when they cannot be used together."""
    held, certified = read_file(key), read_file(certificate)
    try:
        own = load_pem_private_key(held, None).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise NetworkError(f"{key} is no private key; it must be PEM, without a password") from None
    first = _certificates(certificate, certified)[0]
    if first.public_key() != own:
        raise NetworkError(f"{key} is not the key of {certificate}; give those that go together")
    if first.not_valid_after_utc < datetime.now(UTC):
        until = first.not_valid_after_utc.date()
        raise NetworkError(f"{certificate} was valid until {until}; have another one issued")
    return held, certified


def read_authority(path: Path) -> bytes:
    """The certificates of an authority, PEM. Raises NetworkError when there are none."""
    data = read_file(path)
    _certificates(path, data)
    return data


def read_file(path: Path) -> bytes:
    """All of a small file. Raises NetworkError when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise NetworkError(f"{path} cannot be read: {error.strerror}") from None


def _certificates(path: Path, data: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError:
        raise NetworkError(f"{path} is no certificate; it must be PEM") from None
