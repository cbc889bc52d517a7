"""Real servers for tests: started on ports of their own, killed and restarted on purpose, ended."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

SECONDS_TO_START = 60


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def program(name: str) -> str:
    """The path of a server's program; without it a test skips on a laptop and fails in CI."""
    places = (
        Path(sys.executable).parent,
        Path(os.environ.get("GPTFL_SERVICES_BIN", Path.home() / ".cache/gptfl/services")),
    )
    found = next((str(place / name) for place in places if (place / name).is_file()), None)
    found = found or shutil.which(name)
    if found is not None:
        return found
    missing = f"{name} is not installed: run tools/services/install"
    if os.environ.get("GPTFL_REQUIRE_SERVICES") == "1":
        pytest.fail(missing)
    pytest.skip(missing)


def listens(port: int) -> bool:
    """Whether somebody accepts connections on the port."""
    with socket.socket() as sock:
        sock.settimeout(1)
        return sock.connect_ex(("127.0.0.1", port)) == 0


def says_yes(url: str) -> bool:
    """Whether a server answers with success."""
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return bool(answer.status == HTTPStatus.OK)
    except OSError:
        return False


def wait_until(holds: Callable[[], object], what: str, seconds: float = SECONDS_TO_START) -> None:
    """Returns as soon as `holds` is true; fails when it never is."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail(f"{what} did not happen within {seconds:g} s")
        time.sleep(0.05)


class Process:
    """A process in a group of its own, whose output goes to a file; ended with the `with` block."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        *,
        ready: Callable[[], bool] = lambda: True,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        seconds: float = SECONDS_TO_START,
    ) -> None:
        """`ready` says whether the process does what it was started for, within `seconds`."""
        self.command, self.log = list(command), log
        self._ready, self._folder, self._seconds = ready, folder, seconds
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> Self:
        """Starts it, again if need be, and waits until it is ready."""
        assert not self.is_alive, "it is running already"
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self.command,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=self._environment,
                cwd=self._folder,
                start_new_session=True,
            )
        try:
            self._wait_until_ready()
        except BaseException:
            # No `with` block has begun that would end it, or what it has started.
            self.kill()
            raise
        return self

    def _wait_until_ready(self) -> None:
        wait_until(
            lambda: self._ready() or not self.is_alive,
            f"the start of {self.command[0]}",
            seconds=self._seconds,
        )
        if not self.is_alive and not self._ready():
            pytest.fail(f"{self.command} ended at once:\n{self.output[-3000:]}")

    @property
    def pid(self) -> int:
        assert self._process is not None, "it was never started"
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def output(self) -> str:
        """All that it has printed, in every life."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def wait(self, seconds: float = SECONDS_TO_START) -> int:
        """The exit code, when it ends by itself."""
        assert self._process is not None
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            pytest.fail(f"{self.command} has not ended:\n{self.output[-3000:]}")

    def signal(self, number: int) -> None:
        """A signal to the process itself."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL to the process and what it has started."""
        if self._process is not None:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:
                return
            self._process.wait()

    def stop(self, seconds: float = 10) -> None:
        """SIGTERM, and SIGKILL for who does not hear it; nothing that it has started is left."""
        if self._process is None:
            return
        if self.is_alive:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
        self.kill()


class Redis(Process):
    """A Redis server; `keeps` says whether its data outlive it."""

    def __init__(self, folder: Path, *, keeps: bool = True, port: int | None = None) -> None:
        self.port = port or free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(
            [
                program("redis-server"),
                *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder)),
                *("--save", "", "--appendonly", "yes" if keeps else "no"),
                *("--appendfsync", "always"),
            ],
            folder / "redis.log",
            ready=lambda: listens(self.port),
        )


ACCESS_KEY, SECRET_KEY = "gptfl-test", "gptfl-test-secret"


class S3Server(Process):
    """An S3 server with one user."""

    kind: str
    port: int
    endpoint: str

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs to reach it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": "us-east-1",
        }


class Minio(S3Server):
    """MinIO; with `certificates` (a folder with public.crt and private.key) it speaks TLS."""

    kind = "minio"

    def __init__(self, folder: Path, *, certificates: Path | None = None) -> None:
        self.port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        self.endpoint = f"http{'s' if certificates else ''}://127.0.0.1:{self.port}"
        super().__init__(
            [
                program("minio"),
                *("server", "--quiet", "--address", f"127.0.0.1:{self.port}"),
                *("--certs-dir", str(certificates or folder / "no-certificates")),
                str(folder / "data"),
            ],
            folder / "minio.log",
            ready=lambda: listens(self.port),
            environment={
                "MINIO_ROOT_USER": ACCESS_KEY,
                "MINIO_ROOT_PASSWORD": SECRET_KEY,
                "MINIO_BROWSER": "off",
                "MINIO_UPDATE": "off",
                "HOME": str(folder),
            },
        )


class SeaweedFS(S3Server):
    """SeaweedFS with its S3 gateway."""

    kind = "seaweedfs"

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        master, volume, filer = free_port(), free_port(), free_port()
        identities = folder / "s3.json"
        user = {
            "name": "test",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        identities.write_text(json.dumps({"identities": [user]}))
        super().__init__(
            [
                program("weed"),
                *("-v=0", "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
                *("-s3", f"-s3.port={self.port}", f"-s3.config={identities}", "-filer"),
                *(f"-master.port={master}", f"-master.port.grpc={free_port()}"),
                *(f"-volume.port={volume}", f"-volume.port.grpc={free_port()}"),
                *(f"-filer.port={filer}", f"-filer.port.grpc={free_port()}"),
                *(f"-s3.port.grpc={free_port()}", "-master.volumeSizeLimitMB=64"),
                # Their fixed ports would be those of every SeaweedFS on the machine.
                *("-s3.port.iceberg=0", "-s3.port.lance=0"),
                *("-volume.max=100", "-master.telemetry=false"),
            ],
            folder / "seaweedfs.log",
            ready=lambda: listens(self.port),
            folder=folder,
        )


class Prometheus(Process):
    """A Prometheus that scrapes `targets` (host:port by job)."""

    def __init__(self, folder: Path, targets: Mapping[str, str], *, every: str = "500ms") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        jobs = [
            {"job_name": job, "static_configs": [{"targets": [target]}]}
            for job, target in targets.items()
        ]
        settings = {"scrape_interval": every, "scrape_timeout": every}
        # Every JSON text is YAML.
        (folder / "prometheus.yml").write_text(
            json.dumps({"global": settings, "scrape_configs": jobs})
        )
        super().__init__(
            [
                program("prometheus"),
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
            ],
            folder / "prometheus.log",
            ready=lambda: says_yes(f"{self.url}/-/ready"),
        )


def gptfl_command(*arguments: str) -> list[str]:
    """The command line of this environment's gptfl."""
    return [str(Path(sys.executable).parent / "gptfl"), *arguments]
