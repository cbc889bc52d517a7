"""Every touch of what Flower does not call public, so that a new release is met in one place."""

import logging

from flwr.app import Error, Message
from flwr.common.constant import ErrorCode
from flwr.supercore.logger import FLOWER_LOGGER, console_handler
from flwr.supercore.run import Run as FlowerRun
from flwr.supercore.task_identity import TaskIdentity

__all__ = [
    "FlowerRun",
    "become_server",
    "empty_run",
    "error_reply",
    "leave_log_to_logging",
    "number_message",
]

RUN_ID = 1
SERVER_NODE = 0


def become_server() -> None:
    """Lets this process create messages as the server.

    Since 1.38 a `Message` takes its run and sender from this global, and fails without it.
    """
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
