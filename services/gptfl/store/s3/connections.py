"""Connections on which a stall is what times out, in both directions, and not a large body."""

import socket
import ssl
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from gptfl.errors import StoreError
from gptfl.store.s3.settings import S3Settings

_SLICE = 1 << 18
"""Bytes that have to leave within the time of a stall."""


def open_connections(settings: S3Settings) -> urllib3.PoolManager:
    """A pool that makes each request once: whether to make it again is decided above."""
    pool = urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=settings.connect_seconds, read=settings.stall_seconds),
        maxsize=16,
        retries=False,
        ssl_context=_trust(settings) if settings.endpoint.scheme == "https" else None,
    )
    stall = {"stall_seconds": settings.stall_seconds}
    plain = type("SteadyConnection", (_Steady, HTTPConnection), stall)
    secure = type("SteadySecureConnection", (_Steady, HTTPSConnection), stall)
    pool.pool_classes_by_scheme = {
        "http": type("SteadyPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
        "https": type("SteadySecurePool", (HTTPSConnectionPool,), {"ConnectionCls": secure}),
    }
    return pool


def _trust(settings: S3Settings) -> ssl.SSLContext:
    bundle = settings.ca_bundle
    try:
        return ssl.create_default_context(cafile=bundle)
    except (ssl.SSLError, OSError) as error:
        raise StoreError(
            f"AWS_CA_BUNDLE: {bundle} holds no certificates; name a file in PEM format"
        ) from error


class _Steady(HTTPConnection):
    """Sends in slices: a socket's time limit holds for one call, however much it has to send."""

    stall_seconds: float

    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        # urllib3 would send the first request under the time limit of connecting.
        sock.settimeout(self.stall_seconds)
        return sock

    def send(self, data: Any) -> None:
        if not isinstance(data, bytes) or len(data) <= _SLICE:
            super().send(data)
            return
        view = memoryview(data)
        for start in range(0, len(data), _SLICE):
            super().send(view[start : start + _SLICE])
