"""The artifact store in a bucket of an S3 server."""

from gptfl.store.s3.blobs import S3Blobs
from gptfl.store.s3.settings import S3Settings, s3_settings

__all__ = ["S3Blobs", "S3Settings", "s3_settings"]
