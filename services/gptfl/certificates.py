"""Certificates of a federation, as bytes: who may sign, who is the aggregator, who is a client.

Where they are kept is for others to say: `gptfl pki` has a folder, the operator has Secrets.
"""

import hashlib
import ipaddress
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gptfl.errors import NetworkError

CLIENT_URI = "urn:gptfl:client:"
"""Before a client's name in its certificate; a certificate without one is known by its CN."""
AUTHORITY_DAYS, DAYS = 3650, 825

_CLOCK_SKEW = timedelta(hours=1)
_COMMON_NAME_CHARACTERS = 64


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, both PEM."""

    certificate: bytes
    key: bytes


def make_authority(name: str, *, days: int = AUTHORITY_DAYS) -> Pair:
    """An authority that signs for itself; whoever has its key can let anybody in."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(name)
    builder = _builder(subject, key, days).issuer_name(subject)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
    return _pair(builder.sign(key, hashes.SHA256()), key)


def sign_server(authority: Pair, hosts: Sequence[str], *, days: int = DAYS) -> Pair:
    """For the names and IP addresses that clients dial. Raises NetworkError without any."""
    if not hosts:
        raise NetworkError("a server's certificate needs the names or addresses that clients dial")
    names = x509.SubjectAlternativeName([_host(host) for host in hosts])
    return _sign(authority, hosts[0], names, purpose=ExtendedKeyUsageOID.SERVER_AUTH, days=days)


def sign_client(authority: Pair, name: str, *, days: int = DAYS) -> Pair:
    """For a client of that name."""
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(CLIENT_URI + name)])
    return _sign(authority, name, names, purpose=ExtendedKeyUsageOID.CLIENT_AUTH, days=days)


def make_token() -> tuple[str, str]:
    """A client's token, and the digest by which the aggregator knows it."""
    token = secrets.token_urlsafe(32)
    return token, hashlib.sha256(token.encode()).hexdigest()


def _sign(
    authority: Pair,
    common_name: str,
    names: x509.SubjectAlternativeName,
    *,
    purpose: x509.ObjectIdentifier,
    days: int,
) -> Pair:
    signer, signing_key = _signer(authority)
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(_name(common_name), key, days).issuer_name(signer.subject)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
    builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    builder = builder.add_extension(names, critical=False)
    return _pair(builder.sign(signing_key, hashes.SHA256()), key)


def _signer(authority: Pair) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    try:
        certificate = x509.load_pem_x509_certificate(authority.certificate)
        key = serialization.load_pem_private_key(authority.key, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise NetworkError(
            "the authority's certificate and key must be PEM, the key of an elliptic curve and "
            "without a password; sign with the tools of your authority otherwise"
        )
    return certificate, key


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


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    plain = serialization.NoEncryption()
    pkcs8 = serialization.PrivateFormat.PKCS8
    pem = serialization.Encoding.PEM
    return Pair(certificate.public_bytes(pem), key.private_bytes(pem, pkcs8, plain))
