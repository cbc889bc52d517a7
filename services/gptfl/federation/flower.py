"""Every touch of what Flower does not call public, so that a new release is met in one place."""

import logging
from enum import IntEnum

from flwr.app import Error, Message, RecordDict
from flwr.app.constants import DEFAULT_TTL
from flwr.app.metadata import Metadata
from flwr.common.constant import ErrorCode
from flwr.supercore.date import now
from flwr.supercore.logger import FLOWER_LOGGER, console_handler
from flwr.supercore.run import Run as FlowerRun
from flwr.supercore.task_identity import TaskIdentity

__all__ = [
    "FlowerRun",
    "NoReply",
    "become_server",
    "empty_run",
    "error_reply",
    "leave_log_to_logging",
    "no_reply",
    "number_message",
    "received_message",
]

RUN_ID = 1
SERVER_NODE = 0


class NoReply(IntEnum):
    """Codes of the error replies that a grid makes up for clients that have not replied."""

    DISCONNECTED = ErrorCode.NODE_UNAVAILABLE
    """It was not there when its time was up."""
    STRAGGLER = ErrorCode.REPLY_MESSAGE_UNAVAILABLE
    """It was there and still at work."""
    TOO_LARGE = 1001
    """It wanted to send more than it may."""
    MALFORMED = 1002
    """What it sent is no message."""


def become_server() -> None:
    """Lets this process create messages as the server, if it cannot yet.

    Since 1.38 a `Message` takes its run and sender from this global, and fails without it. Under
    `flwr run` Flower has set it.
    """
    if TaskIdentity._run_id is not None:
        return
    TaskIdentity.run_id = RUN_ID
    TaskIdentity.task_id = 0
    TaskIdentity.node_id = SERVER_NODE


def leave_log_to_logging() -> None:
    """Flower writes coloured lines to the terminal; its warnings are `logging`'s to handle."""
    FLOWER_LOGGER.removeHandler(console_handler)
    FLOWER_LOGGER.setLevel(logging.WARNING)


def empty_run() -> FlowerRun:
    """What Flower knows of a run that none of its own servers has started."""
    return FlowerRun.create_empty(RUN_ID)


def error_reply(reason: str, message: Message) -> Message:
    """The reply of a client whose app has raised."""
    return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason), reply_to=message)


def number_message(message: Message, number: str) -> None:
    """Gives a message the identifier that Flower's own transport would give it."""
    message.metadata.__dict__["_message_id"] = number


def no_reply(code: NoReply, reason: str, message: Message) -> Message:
    """What a grid yields in the place of a reply."""
    return Message(Error(code, reason), reply_to=message)


def received_message(
    content: RecordDict, number: str, node: int, message_type: str, group: str
) -> Message:
    """A message of the server's as a client has got it; replies to it carry `number`."""
    metadata = Metadata(
        run_id=RUN_ID,
        message_id=number,
        src_node_id=SERVER_NODE,
        dst_node_id=node,
        reply_to_message_id="",
        group_id=group,
        created_at=now().timestamp(),
        ttl=DEFAULT_TTL,
        message_type=message_type,
    )
    return Message(metadata=metadata, content=content)  # type: ignore[call-overload, no-any-return]
