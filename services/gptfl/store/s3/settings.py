"""How an S3 store is reached: its URI, and beside it the environment or the folder of a Secret."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

import certifi

from gptfl.errors import SpecError, StoreError
from gptfl.store.names import check_name

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_URI, _ENDPOINT = "spec.artifacts.uri", "AWS_ENDPOINT_URL or spec.artifacts.endpoint"


class Variables:
    """The settings of AWS's own tools: files of those names in a Secret's folder, or variables.

    They are read anew whenever they are asked for, because a Secret changes under a running pod.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._environment = environment

    @property
    def secret(self) -> Path | None:
        """The folder that `$GPTFL_S3_SECRET` names."""
        folder = self._environment.get("GPTFL_S3_SECRET")
        return Path(folder) if folder else None

    def get(self, name: str) -> str | None:
        """Its value, of the Secret first; None when unset or empty."""
        return self._of_secret(name) or self._environment.get(name) or None

    def _of_secret(self, name: str) -> str | None:
        if self.secret is None:
            return None
        try:
            return (self.secret / name).read_text().strip()
        except FileNotFoundError as error:
            if not self.secret.is_dir():
                raise StoreError(
                    f"GPTFL_S3_SECRET: there is no folder {self.secret}; mount the Secret there"
                ) from error
            return None
        except OSError as error:
            raise StoreError(
                f"GPTFL_S3_SECRET: {self.secret / name} cannot be read ({error.strerror}); "
                "make it readable for this user"
            ) from error


@dataclass(frozen=True)
class S3Settings:
    """All that a client has to know."""

    bucket: str
    prefix: str
    """Before every key; empty, or ends with a slash."""
    endpoint: SplitResult
    """Scheme and host of the server."""
    region: str
    variables: Variables
    """Where the credentials are, and what signs the server's certificate."""
    cache: Path
    """Local copies, scratch files."""
    part_bytes: int = 16 << 20
    """Of a part of a large file, and of the largest that goes in one request; at least 5 MiB."""
    connect_seconds: float = 5.0
    """For a connection to stand."""
    stall_seconds: float = 30.0
    """Without a byte in either direction; longer than a server needs to join a large file."""
    first_patience_seconds: float = 10.0
    """For which a server that has never answered is asked again: it may be the wrong address."""
    patience_seconds: float = 120.0
    """For which one that has answered before is asked again: it may be restarting."""
    lease_seconds: float = 12.0
    """For which a lock outlives a holder that was killed on another machine."""

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    @property
    def ca_bundle(self) -> str:
        """The file with the certificates that may sign the server's.

        `ca.crt` of the Secret, `$AWS_CA_BUNDLE`, `$SSL_CERT_FILE`, or those that everybody trusts.
        """
        secret = self.variables.secret
        if secret is not None and (secret / "ca.crt").is_file():
            return str(secret / "ca.crt")
        for name in ("AWS_CA_BUNDLE", "SSL_CERT_FILE"):
            value = self.variables.get(name)
            if value and not Path(value).is_file():
                raise StoreError(f"{name}: there is no file {value}; name the CA's certificate")
            if value:
                return value
        return certifi.where()


def s3_settings(
    uri: str,
    *,
    endpoint: str | None = None,
    region: str | None = None,
    environment: Mapping[str, str] = os.environ,
) -> S3Settings:
    """Of `s3://BUCKET/PREFIX`; what is not given is taken from Secret and environment.

    Raises SpecError for a URI, endpoint or region that cannot be.
    """
    variables = Variables(environment)
    bucket, prefix = _split(uri)
    region = region or variables.get("AWS_REGION") or variables.get("AWS_DEFAULT_REGION")
    region = region or "us-east-1"
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", region):
        raise SpecError.of(
            "AWS_REGION or spec.artifacts.region",
            f"{region!r} is no region; write one like us-east-1",
        )
    endpoint = endpoint or variables.get("AWS_ENDPOINT_URL_S3") or variables.get("AWS_ENDPOINT_URL")
    return S3Settings(
        bucket,
        prefix,
        _endpoint(endpoint or f"https://s3.{region}.amazonaws.com"),
        region,
        variables,
        cache_folder(environment),
    )


def cache_folder(environment: Mapping[str, str]) -> Path:
    """`$GPTFL_CACHE`, or `gptfl/artifacts` in the user's cache."""
    if folder := environment.get("GPTFL_CACHE"):
        return Path(folder).expanduser().absolute()
    home = environment.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        return Path(home).expanduser() / "gptfl" / "artifacts"
    except RuntimeError as error:
        raise StoreError(
            "GPTFL_CACHE: is not set, and this user has no home folder; set it to a folder for "
            "copies of the store's files"
        ) from error


def _split(uri: str) -> tuple[str, str]:
    parts = urlsplit(uri)
    if not _BUCKET.fullmatch(parts.netloc) or ".." in parts.netloc:
        raise SpecError.of(
            _URI,
            f"{uri!r} has no bucket, or one that cannot be; write s3://BUCKET/PREFIX, the bucket "
            "in 3 to 63 lower-case letters, digits, dots and dashes",
        )
    if parts.query or parts.fragment:
        raise SpecError.of(_URI, f"{uri!r} has a '?' or '#'; write s3://BUCKET/PREFIX")
    prefix = unquote(parts.path).strip("/")
    try:
        return parts.netloc, f"{check_name(prefix)}/" if prefix else ""
    except StoreError as error:
        raise SpecError.of(_URI, f"{uri!r}: the prefix {error}") from error


def _endpoint(url: str) -> SplitResult:
    parts = urlsplit(url)
    try:
        valid = parts.scheme in ("http", "https") and parts.hostname and (parts.port or True)
    except ValueError:
        valid = False
    if not valid or parts.path.strip("/") or parts.query or parts.username:
        raise SpecError.of(_ENDPOINT, f"{url!r} is no address; write https://HOST:PORT")
    return parts
