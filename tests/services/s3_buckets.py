"""A bucket on a test server, made with the plain client, and places of one's own in it."""

import itertools
from urllib.parse import urlsplit

from minio import Minio as Client
from minio.error import MinioException
from servers import ACCESS_KEY, SECRET_KEY, S3Server, wait_until
from urllib3.exceptions import HTTPError

BUCKET = "tests"
"""One for all: SeaweedFS lays out volumes for each."""

_numbers = itertools.count()


def client_of(server: S3Server) -> Client:
    """The plain client of a server without TLS."""
    return Client(
        urlsplit(server.endpoint).netloc,
        access_key=ACCESS_KEY,
        secret_key=SECRET_KEY,
        secure=False,
        region="us-east-1",
    )


def new_place(server: S3Server) -> str:
    """The URI of an empty place; waits for the server to be ready for it."""
    client = client_of(server)

    def is_there() -> bool:
        try:
            if not client.bucket_exists(BUCKET):
                client.make_bucket(BUCKET)
        except (MinioException, HTTPError):
            return False
        return True

    wait_until(is_there, "a bucket")
    return f"s3://{BUCKET}/some/place-{next(_numbers)}"
