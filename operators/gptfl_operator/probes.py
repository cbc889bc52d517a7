"""Answers the kubelet: whether the process should be restarted, and whether it is of use."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from gptfl.errors import SpecError

Check = Callable[[], str | None]
"""None when all is well, else what is not."""


@contextmanager
def probed(port: int, host: str, checks: dict[str, Check]) -> Iterator[int]:
    """Answers `GET /NAME` with 200, or 503 and what is wrong, while the block lasts.

    Gives the port, which is chosen when it is 0. Raises SpecError when it cannot be had.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            check = checks.get(self.path.strip("/"))
            wrong = check() if check else f"there is {', '.join(f'/{name}' for name in checks)}"
            self.send_response(404 if check is None else 503 if wrong else 200)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.end_headers()
            self.wfile.write(f"{wrong or 'ok'}\n".encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nothing: they come every few seconds."""

    try:
        server = ThreadingHTTPServer((host, port), Handler)
    except OSError as error:
        raise SpecError.of(
            "--probe-port", f"{port} of {host} cannot be used ({error.strerror}); choose another"
        ) from error
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="probes", daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
