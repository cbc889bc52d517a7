"""What a server or a connection says, as one line that names the setting and the way out.

Whether to ask again is in the type: StoreUnavailableError says that it may help.
"""

import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from xml.etree.ElementTree import ParseError

from minio.deleteobjects import DeleteError
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError
from urllib3.exceptions import HTTPError, NameResolutionError, NewConnectionError, SSLError

from gptfl.errors import StoreError, StoreUnavailableError
from gptfl.store.s3.settings import S3Settings

_PASSING = {
    "BadDigest",
    "ConditionalRequestConflict",
    "ExpiredToken",  # a Secret is renewed from outside
    "IncompleteBody",
    "InternalError",
    "OperationAborted",
    "RequestTimeout",
    "ServiceUnavailable",
    "SlowDown",
    "SlowDownRead",
    "SlowDownWrite",
    "ThrottlingException",
    "XAmzContentSHA256Mismatch",
}
"""Codes after which the same request may do."""

_WAYS_OUT = {
    "NoSuchBucket": "there is no bucket {bucket!r} at {server}; "
    "make it, or name another one in spec.artifacts.uri or --store",
    "InvalidAccessKeyId": "{server} does not know the key in AWS_ACCESS_KEY_ID; set the right one",
    "SignatureDoesNotMatch": "AWS_SECRET_ACCESS_KEY does not fit AWS_ACCESS_KEY_ID; "
    "set the two that belong together",
    "InvalidToken": "AWS_SESSION_TOKEN is not valid at {server}; set the one of this key, or none",
    "AccessDenied": "the key in AWS_ACCESS_KEY_ID may not {method} here; "
    "give it the right to list, read, write and delete, or use another key",
    "AllAccessDisabled": "{server} refuses all access to the bucket; ask who runs it",
    "AuthorizationHeaderMalformed": "the bucket is not in region {region!r}; "
    "set AWS_REGION or spec.artifacts.region",
    "PermanentRedirect": "the bucket is not in region {region!r}; "
    "set AWS_REGION or spec.artifacts.region",
    "RequestTimeTooSkewed": "{server} has another time than this machine; set this machine's clock",
    "NotImplemented": "{server} cannot do what the store needs ({message}); use another S3 server",
}
"""By code, what to do about it."""


class ForgottenUploadError(StoreError):
    """The server knows nothing of a multipart upload: it was joined, aborted or swept."""


@contextmanager
def as_store_error(settings: S3Settings, method: str) -> Iterator[None]:
    """Turns what minio and urllib3 raise into errors of the family."""
    try:
        yield
    except S3Error as error:
        raise _of_code(error, settings, method) from error
    except (HTTPError, MinioException, ParseError, OSError) as error:
        raise _of_connection(error, settings) from error


def undeleted(settings: S3Settings, faults: Sequence[DeleteError]) -> StoreError:
    """Of what a server says of single objects when it is asked to delete many."""
    refused = [fault for fault in faults if fault.code not in _PASSING]
    if not refused:
        code = str(faults[0].code)
        server = settings.endpoint.geturl()
        return StoreUnavailableError(f"{server}: cannot delete now ({code})", reason=code)
    first = refused[0]
    return StoreError(
        f"{settings.uri}: {len(refused)} objects cannot be deleted, such as "
        f"{first.name} ({first.code}); give the key in AWS_ACCESS_KEY_ID that right"
    )


def _of_code(error: S3Error, settings: S3Settings, method: str) -> StoreError:
    code = error.code or "unknown"
    server = settings.endpoint.geturl()
    if code == "NoSuchUpload":
        return ForgottenUploadError(f"{settings.uri}: {server} knows nothing of the upload")
    if code in _PASSING or error.response.status >= 500 or error.response.status == 429:
        return StoreUnavailableError(f"{server}: cannot do this now ({code})", reason=code)
    way_out = _WAYS_OUT.get(code, "{server} refuses it: {code} ({message})")
    said = way_out.format(
        bucket=settings.bucket,
        code=code,
        message=error.message or "no reason given",
        method={"GET": "read", "HEAD": "read", "DELETE": "delete"}.get(method, "write"),
        region=settings.region,
        server=server,
    )
    return StoreError(f"{settings.uri}: {said}")


def _of_connection(error: Exception, settings: S3Settings) -> StoreError:
    server = settings.endpoint.geturl()
    where = "AWS_ENDPOINT_URL or spec.artifacts.endpoint"
    if isinstance(error, SSLError):
        cause = error.args[0] if error.args else None
        if isinstance(cause, ssl.SSLCertVerificationError):
            return StoreError(
                f"{server}: its certificate is not to be trusted ({cause.verify_message}); "
                "name the file of the CA that signed it in AWS_CA_BUNDLE"
            )
        if isinstance(cause, ssl.SSLError) and cause.reason in (
            "WRONG_VERSION_NUMBER",
            "RECORD_LAYER_FAILURE",
        ):
            return StoreError(f"{server}: does not speak TLS; use http:// in {where}")
    if isinstance(error, InvalidResponseError | ServerError):
        status = error._code if isinstance(error, InvalidResponseError) else error.status_code
        if status < 500 and status != 429:
            return StoreError(f"{server}: is no S3 server (it answers {status}); check {where}")
        return StoreUnavailableError(f"{server}: cannot do this now ({status})", reason="status")
    if isinstance(error, NameResolutionError | NewConnectionError):
        return StoreUnavailableError(
            f"{server}: cannot be reached; start it, or check {where}", reason="connect"
        )
    return StoreUnavailableError(
        f"{server}: does not answer as it should ({type(error).__name__}); "
        f"see whether it is well, or check {where}",
        reason="connection",
    )
