"""A run's queue in Redis: how Celery is set up for it, and what the coordinator does with it."""

import json
import logging
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

import celery
import kombu
from kombu.exceptions import KombuError

from gptfl.errors import SpecError
from gptfl.generation.queue.messages import ShardTask

TASK = "gptfl.draw"
"""The name of the Celery task that draws a shard."""
VISIBILITY_SECONDS = 3600
"""After which Redis hands out a task again that was not acknowledged.

Nobody waits for it: the coordinator sees at once that a shard is in nobody's hands. And a shard
that takes longer is not drawn twice: the second worker finds it held and leaves it alone."""
SCHEMES = ("redis", "rediss")
_SECONDS_TO_CONNECT = 5
_SECONDS_TO_ANSWER = 30

_LOG = logging.getLogger(__name__)
Answer = TypeVar("Answer")


class BrokerAwayError(Exception):
    """The broker does not answer now; it may do so later."""


def check_address(broker: str) -> None:
    """Raises SpecError for an address that cannot be one."""
    if urlsplit(broker).scheme not in SCHEMES:
        raise SpecError.of("--broker", f"{broker!r} is no Redis; use redis://HOST:PORT/0")


def celery_app(
    broker: str, queue: str, *, visibility_seconds: float = VISIBILITY_SECONDS
) -> celery.Celery:
    """Celery for one queue: late acknowledgement, one task at a time, no results, JSON alone."""
    app = celery.Celery("gptfl", broker=broker, set_as_current=False)
    app.conf.update(
        task_queues=[kombu.Queue(queue, routing_key=queue)],
        task_default_queue=queue,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        worker_prefetch_multiplier=1,
        worker_enable_prefetch_count_reduction=False,
        worker_enable_remote_control=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_use_ssl=_ssl_options(broker),
        broker_transport_options={
            "visibility_timeout": visibility_seconds,
            # Runs that share a Redis do not hand out each other's tasks.
            "unacked_key": f"{queue}.unacked",
            "unacked_index_key": f"{queue}.unacked-index",
            "unacked_mutex_key": f"{queue}.unacked-mutex",
            "socket_connect_timeout": _SECONDS_TO_CONNECT,
            "socket_timeout": _SECONDS_TO_ANSWER,
            "socket_keepalive": True,
        },
    )
    return app


def _ssl_options(broker: str) -> dict[str, Any] | None:
    """Certificates and names are checked unless the address says otherwise: by itself kombu would
    check neither."""
    address = urlsplit(broker)
    if address.scheme != "rediss":
        return None
    given = {name: value for name, value in parse_qsl(address.query) if name.startswith("ssl_")}
    return {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True} | given


class Broker:
    """The queue as its coordinator sees it. Each method raises BrokerAwayError when the broker does
    not answer, and connects anew when it is called again."""

    def __init__(self, url: str, queue: str) -> None:
        self.queue = queue
        self._app = celery_app(url, queue)
        self._connection: kombu.Connection | None = None
        self.address = self._app.connection_for_write().as_uri()
        """Without the password."""

    def size(self) -> int:
        """Tasks that wait for a worker."""
        return int(self._ask(lambda redis: redis.llen(self.queue)))

    def waiting(self) -> set[str]:
        """The ids of the tasks that wait for a worker."""
        return set(_ids(self._ask(lambda redis: redis.lrange(self.queue, 0, -1))))

    def put(self, task: ShardTask, id_: str) -> None:
        """Adds a task at the end."""
        with self._connected() as connection:
            self._app.send_task(
                TASK,
                args=[task.model_dump(mode="json", by_alias=True)],
                task_id=id_,
                queue=self.queue,
                connection=connection,
                retry=False,
            )

    def clear(self) -> None:
        """Removes the queue and everything about it."""
        unacked = (f"{self.queue}.unacked{end}" for end in ("", "-index", "-mutex"))
        # kombu's own note of the queue; messages find it by its name.
        binding = f"_kombu.binding.{self.queue}"
        self._ask(lambda redis: redis.delete(self.queue, *unacked, binding))

    def _ask(self, question: Callable[[Any], Answer]) -> Answer:
        with self._connected() as connection:
            return question(connection.default_channel.client)

    @contextmanager
    def _connected(self) -> Iterator[kombu.Connection]:
        connection = self._connection or self._app.connection_for_write()
        try:
            if self._connection is None:
                connection.connect()
                self._connection = connection
            yield connection
        except (
            KombuError,
            *connection.connection_errors,
            *connection.channel_errors,
        ) as error:
            self._connection = None
            connection.collect(socket_timeout=1)
            raise BrokerAwayError(" ".join(str(error).split()) or type(error).__name__) from error


def _ids(messages: list[bytes]) -> Iterator[str]:
    """What is no message of ours has no id that matters."""
    for message in messages:
        try:
            yield str(json.loads(message)["headers"]["id"])
        except (ValueError, TypeError, KeyError):
            continue
