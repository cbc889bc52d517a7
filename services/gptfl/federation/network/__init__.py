"""Flower's `Grid` over a network: one gRPC stream a client, mutual TLS and a token.

It knows Flower's `Message` and `RecordDict`, and nothing of rounds or data sets; of the spec, what
a client may be called. What goes over the wire, and why it looks as it does, is in
`docs/decisions/0005-a-stream-a-client.md`.

The aggregator's side::

    with open_stream_grid("0.0.0.0:9092", names, security, terms=b"...") as grid:
        number_message(message, "what-names-this-task-for-ever")     # gptfl.federation.flower
        for reply in grid.send_and_receive(messages, timeout=600):
            ...                        # in the order of `messages`; an error where none came
        grid.dismiss()                 # the run is over: clients leave their serve_tasks

A client's side::

    serve_tasks("aggregator.example:9092", identity, make_app)       # returns when dismissed
"""

from gptfl.federation.network.client import MakeApp, serve_tasks
from gptfl.federation.network.counters import Counters, StreamStatus, Turned
from gptfl.federation.network.grid import StreamGrid, open_stream_grid
from gptfl.federation.network.pki import (
    client_identity,
    issue_client,
    issue_server,
    make_authority,
    revoke,
    server_security,
)
from gptfl.federation.network.security import ClientIdentity, ServerSecurity
from gptfl.federation.network.settings import StreamSettings
from gptfl.federation.network.stream import ClientEvents

__all__ = [
    "ClientEvents",
    "ClientIdentity",
    "Counters",
    "MakeApp",
    "ServerSecurity",
    "StreamGrid",
    "StreamSettings",
    "StreamStatus",
    "Turned",
    "client_identity",
    "issue_client",
    "issue_server",
    "make_authority",
    "open_stream_grid",
    "revoke",
    "serve_tasks",
    "server_security",
]
