"""How gRPC is set up for streams, on both sides, and what addresses there are."""

import ipaddress

from gptfl.errors import NetworkError
from gptfl.federation.network.frames import CONTROL_BYTES, LARGEST_FRAME
from gptfl.federation.network.settings import StreamSettings

Options = list[tuple[str, int]]

_HEAD = CONTROL_BYTES
_WINDOW = 8 << 20
"""Bytes on their way that need not be acknowledged; a link of 1 Gbit/s and 60 ms is kept busy."""
_COMMON: Options = [
    ("grpc.max_send_message_length", -1),
    ("grpc.http2.lookahead_bytes", _WINDOW),
    ("grpc.http2.max_frame_size", 1 << 20),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.enable_http_proxy", 0),
]


def server_options(settings: StreamSettings) -> Options:
    """For a server that meets strangers: short patience until somebody has a stream."""
    milliseconds = int(settings.hello_seconds * 1000)
    return [
        *_COMMON,
        ("grpc.so_reuseport", 0),
        # Each connection keeps a read buffer of this size ready, whether anything comes or not.
        ("grpc.experimental.tcp_max_read_chunk_size", 64 << 10),
        ("grpc.max_receive_message_length", settings.frame_bytes + _HEAD),
        ("grpc.max_metadata_size", 8192),
        ("grpc.max_concurrent_streams", 2),
        ("grpc.server_handshake_timeout_ms", milliseconds),
        ("grpc.max_connection_idle_ms", milliseconds),
        ("grpc.max_allowed_incoming_connections", settings.connections),
        *_keepalive(settings.keepalive_seconds),
        ("grpc.http2.min_ping_interval_without_data_ms", 1000),
    ]


def client_options(keepalive_seconds: float) -> Options:
    """For a client; its connections are its own, so each attempt starts anew."""
    return [
        *_COMMON,
        ("grpc.max_receive_message_length", 2 * LARGEST_FRAME),
        ("grpc.use_local_subchannel_pool", 1),
        *_keepalive(keepalive_seconds),
    ]


def check_address(address: str) -> None:
    """Raises NetworkError for what is not "host:port"; gRPC would take a port that nobody named."""
    host, _, port = address.rpartition(":")
    bare = ":" in host and not (host.startswith("[") and host.endswith("]"))
    if not host or bare or not port.isdecimal() or int(port) > 65535:
        raise NetworkError(
            f"{address!r} is no address; give HOST:PORT, as in example.org:9092 or [::1]:9092"
        )


def is_loopback(address: str) -> bool:
    """Whether "host:port" can be reached from this machine only."""
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _keepalive(seconds: float) -> Options:
    milliseconds = int(seconds * 1000)
    return [
        ("grpc.keepalive_time_ms", milliseconds),
        ("grpc.keepalive_timeout_ms", milliseconds),
    ]
