"""Serves a process's metrics to Prometheus, and at the end waits until it has the last values.

A scrape comes every so many seconds; a process that ends between two takes with it all that has
happened since the last one, such as its failure.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from prometheus_client import CollectorRegistry, make_wsgi_app, start_http_server

from gptfl.errors import SpecError

SCRAPE_HEADER = "HTTP_X_PROMETHEUS_SCRAPE_TIMEOUT_SECONDS"
"""What Prometheus sends along, and what scrapes as it does; neither a browser nor curl does."""
PATIENCE = 75.0
"""Seconds to wait for a scraper that has come before: Prometheus's own interval is a minute."""

Environ = dict[str, Any]
WsgiApp = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


@contextmanager
def exposed(registry: CollectorRegistry, port: int, host: str) -> "Iterator[Exposition]":
    """The metrics of a registry at `http://HOST:PORT/metrics` while the block lasts.

    Raises SpecError when the port cannot be had.
    """
    try:
        server, thread = start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        raise SpecError.of(
            "--metrics-port", f"{port} of {host} cannot be used ({error.strerror}); choose another"
        ) from error
    exposition = Exposition()
    server.set_app(exposition.counted(make_wsgi_app(registry)))
    try:
        yield exposition
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Exposition:
    """Who has scraped, by address, and who of them has the values of the end."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._known: set[str] = set()
        self._served: set[str] = set()
        self._is_final = False

    def counted(self, app: WsgiApp) -> WsgiApp:
        """The app, with its scrapes noted as they come and when they have been sent."""

        def serve(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
            if SCRAPE_HEADER not in environ:
                return app(environ, start_response)
            scraper = environ["REMOTE_ADDR"]
            # What is collected before the end may lack the last change.
            is_final = self._has_come(scraper)
            answer = app(environ, start_response)
            return _WhenSent(answer, lambda: self._was_served(scraper)) if is_final else answer

        return serve

    def patience(self, seconds: float | None) -> float:
        """How long to wait at the end: what was asked for, or else long enough for who comes."""
        if seconds is not None:
            return seconds
        with self._changed:
            return PATIENCE if self._known else 0.0

    def await_scrapes(self, seconds: float) -> bool:
        """Waits until each scraper, and at least one, has the values of now; False if they never
        came."""
        with self._changed:
            self._is_final = True
            return self._changed.wait_for(
                lambda: bool(self._served) and self._known <= self._served, timeout=seconds
            )

    def _has_come(self, scraper: str) -> bool:
        """Notes who it is; whether what it gets are the last values."""
        with self._changed:
            self._known.add(scraper)
            return self._is_final

    def _was_served(self, scraper: str) -> None:
        with self._changed:
            self._served.add(scraper)
            self._changed.notify_all()


class _WhenSent(list[bytes]):
    """An answer that says so when its last byte is out; a list, so the server knows its length."""

    def __init__(self, answer: Iterable[bytes], sent: Callable[[], None]) -> None:
        super().__init__(answer)
        self._sent = sent

    def __iter__(self) -> Iterator[bytes]:
        yield from super().__iter__()
        self._sent()
