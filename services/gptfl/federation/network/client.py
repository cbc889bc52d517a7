"""What a client does all day: takes a task off its stream, has its app do it, hands it in."""

import logging
from collections.abc import Callable

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp

from gptfl.errors import NetworkError
from gptfl.federation.flower import RUN_ID, error_reply, leave_log_to_logging, received_message
from gptfl.federation.network.channels import check_address, is_loopback
from gptfl.federation.network.codec import Packed, pack
from gptfl.federation.network.event_loop import LoopThread
from gptfl.federation.network.security import ClientIdentity
from gptfl.federation.network.stream import ClientEvents, ClientStream, Work

_LOG = logging.getLogger(__name__)

MakeApp = Callable[[bytes, int], ClientApp]
"""Makes the app for the server's terms and this client's node id."""


def serve_tasks(
    server: str,
    identity: ClientIdentity,
    make_app: MakeApp,
    *,
    events: ClientEvents | None = None,
    longest_wait: float = 5.0,
) -> None:
    """Does the tasks of `server` ("host:port") until it says that there are no more.

    The app runs in the calling thread (so Ctrl-C ends a training at once), the stream in another.
    Reconnects for ever, after `longest_wait` seconds at most. `make_app` is called for the first
    task, and again when the terms change. What an app raises becomes an error reply; what
    `make_app` raises ends it. Raises NetworkError for an address that is none, and
    when a file of `identity` cannot be used.
    """
    leave_log_to_logging()
    check_address(server)
    credentials = identity.credentials()
    if credentials is None and not is_loopback(server):
        raise NetworkError(
            f"{server} is not this machine, so the connection needs a certificate, key and token"
        )
    stream = ClientStream(server, identity, credentials, events, longest_wait)
    loop = LoopThread("gptfl-stream")
    try:
        running = loop.start(stream.run())
        app: ClientApp | None = None
        made_for: tuple[bytes, int] | None = None
        while (work := loop.call(stream.next_work())) is not None:
            if app is None or made_for != (work.terms, work.node):
                made_for = work.terms, work.node
                app = make_app(*made_for)
            loop.tell(stream.made, work.task.id, _answer(app, work))
        running.result()
    finally:
        loop.close()


def _answer(app: ClientApp, work: Work) -> Packed:
    task = work.task
    message = received_message(
        task.content, task.id, work.node, task.about["type"], task.about["group"]
    )
    reply = _call(app, message, work.node)
    return pack(reply.error if reply.has_error() else reply.content, {})


def _call(app: ClientApp, message: Message, node: int) -> Message:
    try:
        return app(message, Context(RUN_ID, node, {}, RecordDict(), {}))
    except Exception as error:
        _LOG.warning("the app has raised %s", type(error).__name__, exc_info=True)
        return error_reply(f"{type(error).__name__}: {error}", message)
