"""Who may speak to an aggregator: certificates, tokens and the list of those who no longer may."""

import hashlib
import hmac
import json
import logging
import os
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import grpc
from cryptography import x509
from cryptography.x509.oid import NameOID

from gptfl.certificates import CLIENT_URI
from gptfl.errors import NetworkError
from gptfl.federation.network.credentials import read_authority, read_file, read_pair

_LOG = logging.getLogger(__name__)
_NOBODY = hashlib.sha256(os.urandom(32)).hexdigest()

T = TypeVar("T")


@dataclass(frozen=True)
class ServerSecurity:
    """Files of an aggregator; tokens and revocations are read again when they change."""

    authority: Path
    """PEM: the certificate authority of the clients."""
    certificate: Path
    """PEM: the server's own."""
    key: Path
    tokens: Path
    """JSON: the SHA-256 of each client's token, in hex, by name."""
    revoked: Path | None = None
    """Names of clients that are no longer let in, one a line; need not exist."""

    def credentials(self) -> grpc.ServerCredentials:
        """For gRPC: nobody without a certificate of the authority gets as far as a stream."""
        pair = read_pair(self.key, self.certificate)
        authority = read_authority(self.authority)
        return grpc.ssl_server_credentials([pair], authority, require_client_auth=True)


@dataclass(frozen=True)
class ClientIdentity:
    """Who a client is. Without `authority` it speaks plainly, and to this machine only."""

    name: str
    authority: Path | None = None
    """PEM: the certificate authority of the server."""
    certificate: Path | None = None
    key: Path | None = None
    token: str = field(default="", repr=False)

    def credentials(self) -> grpc.ChannelCredentials | None:
        """For gRPC. Raises NetworkError when a file is missing or cannot be used."""
        if self.authority is None:
            return None
        if self.certificate is None or self.key is None:
            raise NetworkError("a client needs its certificate and key beside the authority's")
        key, certificate = read_pair(self.key, self.certificate)
        return grpc.ssl_channel_credentials(read_authority(self.authority), key, certificate)


class Gate:
    """Lets the clients of one federation in, each as itself."""

    def __init__(self, names: Collection[str], security: ServerSecurity | None) -> None:
        """Raises NetworkError when the tokens cannot be read."""
        self._names = frozenset(names)
        self._tokens: _Watched[dict[str, str]] | None = None
        self._revoked: _Watched[frozenset[str]] | None = None
        if security is not None:
            self._tokens = _Watched(security.tokens, _tokens, {})
            self._tokens.read()
            if security.revoked is not None:
                self._revoked = _Watched(security.revoked, _lines, frozenset(), optional=True)
                self._revoked.read()

    def admits(self, name: str, token: str, certificate: bytes | None) -> bool:
        """Whether name, token and certificate (PEM) belong together and to this federation."""
        if self._tokens is None:
            return name in self._names
        known = self._tokens.value().get(name, _NOBODY)
        given = hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()
        agrees = hmac.compare_digest(known, given)
        return agrees and certificate_name(certificate) == name and name in self._names

    def revoked(self, name: str) -> bool:
        return self._revoked is not None and name in self._revoked.value()


def certificate_name(certificate: bytes | None) -> str | None:
    """The client that a certificate (PEM) was made for."""
    if certificate is None:
        return None
    try:
        parsed = x509.load_pem_x509_certificate(certificate)
        names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    except x509.ExtensionNotFound:
        uris = []
    except ValueError:
        return None
    clients = [uri.removeprefix(CLIENT_URI) for uri in uris if uri.startswith(CLIENT_URI)]
    if clients:
        return clients[0] if len(clients) == 1 else None
    common = parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(common[0].value) if len(common) == 1 else None


class _Watched(Generic[T]):
    """What a small file says now. A change that cannot be read leaves things as they were."""

    def __init__(
        self, path: Path, parse: Callable[[str], T], empty: T, *, optional: bool = False
    ) -> None:
        self._path, self._parse, self._empty, self._optional = path, parse, empty, optional
        self._seen: tuple[int, ...] | None = None
        self._value = empty

    def read(self) -> None:
        """Raises NetworkError when the file is missing or wrong."""
        self._seen = self._stamp()
        if self._seen is None and self._optional:
            self._value = self._empty
            return
        try:
            self._value = self._parse(read_file(self._path).decode())
        except ValueError as error:
            raise NetworkError(f"{self._path} cannot be understood: {error}") from None

    def value(self) -> T:
        if self._stamp() != self._seen:
            try:
                self.read()
            except NetworkError as error:
                _LOG.error("%s; what it said before holds", error)
        return self._value

    def _stamp(self) -> tuple[int, ...] | None:
        """None where there is no file, which is not the same as one that cannot be looked at."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        except OSError:
            return ()
        return found.st_mtime_ns, found.st_size, found.st_ino


def _tokens(text: str) -> dict[str, str]:
    tokens = json.loads(text)
    if not isinstance(tokens, dict) or not all(map(_is_digest, tokens.values())):
        raise ValueError("it must hold the SHA-256 of a token, in hex, for each name")
    return {name: digest.lower() for name, digest in tokens.items()}


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-fA-F]{64}", value) is not None


def _lines(text: str) -> frozenset[str]:
    return frozenset(line.strip() for line in text.splitlines() if line.strip())
