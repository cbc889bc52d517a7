"""The options by which a process is seen, and how it ends when somebody watches."""

import http.client
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import pytest

from gptfl.cli import app, main
from gptfl.cli.options import telemetry_options
from gptfl.errors import StageError
from gptfl.telemetry.metrics.worker import WorkerMetrics
from gptfl.telemetry.process import Telemetry

Captured = pytest.CaptureFixture[str]
LONG = "60"
TELEMETRY = ["metrics_port", "metrics_host", "metrics_linger", "log_format", "log_level"]


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found: int = probe.getsockname()[1]
        return found


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Telemetry], None]], None]:
    """Makes a command of the command line, `gptfl work`."""

    def make(work: Callable[[Telemetry], None]) -> None:
        @click.command("work")
        @telemetry_options()
        def made(*, telemetry: Telemetry) -> None:
            work(telemetry)

        monkeypatch.setitem(app.commands, "work", made)

    return make


def exit_code(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["work", *arguments])
    code = end.value.code
    assert isinstance(code, int)
    return code


def scraped(port: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", "/", headers={"X-Prometheus-Scrape-Timeout-Seconds": "5"})
    return connection.getresponse().read().decode()


class Scraper(threading.Thread):
    """Scrapes until the port closes, as Prometheus would."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.port, self.last, self.has_come = port, "", threading.Event()
        self._stop_it = threading.Event()

    def run(self) -> None:
        while not self._stop_it.is_set():
            with suppress(OSError):
                self.last = scraped(self.port)
                self.has_come.set()
            time.sleep(0.01)

    def stop(self) -> None:
        self._stop_it.set()
        self.join()


def records(capsys: Captured) -> list[Mapping[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def commands(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, one in group.commands.items():
        if isinstance(one, click.Group):
            yield from commands(one, f"{before}{name} ")
        else:
            yield f"{before}{name}", one


def test_every_command_that_works_for_a_while_can_be_seen_alike() -> None:
    seen = {
        name: [one.name for one in command.params if one.name in TELEMETRY]
        for name, command in commands(app)
        if any(one.name == "metrics_port" for one in command.params)
    }
    assert set(seen) == {
        "run",
        "worker",
        "aggregate",
        "client join",
        "client simulate",
        "serve",
    }
    assert all(options == TELEMETRY for options in seen.values())


def test_settings_come_from_options_or_the_environment(
    command: Any, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Telemetry] = []
    command(seen.append)
    monkeypatch.setenv("GPTFL_METRICS_PORT", str(port))
    monkeypatch.setenv("GPTFL_LOG_FORMAT", "json")
    monkeypatch.setenv("GPTFL_LOG_LEVEL", "error")
    monkeypatch.setenv("GPTFL_METRICS_LINGER", "0")

    assert exit_code("--log-level", "debug") == 0

    settings = seen[0].settings
    assert (settings.metrics_port, settings.metrics_host) == (port, "127.0.0.1")
    assert settings.metrics_linger == 0
    assert (settings.log_format, settings.log_level) == ("json", "debug")


def test_the_last_values_are_scraped_although_the_work_is_over(command: Any, port: int) -> None:
    scraper = Scraper(port)

    def work(telemetry: Telemetry) -> None:
        worker = WorkerMetrics(telemetry.registry, "pets")
        scraper.start()
        assert scraper.has_come.wait(60)
        worker.drawn(images=3, seconds=1)

    command(work)
    assert exit_code("--metrics-port", str(port)) == 0
    scraper.stop()
    assert 'gptfl_worker_images_total{queue="pets"} 3.0' in scraper.last


def test_a_failure_is_said_first_and_then_its_metrics_are_waited_for(
    command: Any, port: int, capsys: Captured
) -> None:
    scraper = Scraper(port)

    def work(telemetry: Telemetry) -> None:
        worker = WorkerMetrics(telemetry.registry, "pets")
        scraper.start()
        assert scraper.has_come.wait(60)
        worker.failed()
        raise StageError("the paint has run out; buy some")

    command(work)
    assert exit_code("--metrics-port", str(port)) == 1
    scraper.stop()
    assert 'gptfl_worker_shards_total{end="failed",queue="pets"} 1.0' in scraper.last
    said = capsys.readouterr().err
    assert said.index("the paint has run out") < said.index("waiting up to 75 s")


def test_at_a_laptop_where_nobody_scrapes_nothing_is_waited_for(
    command: Any, port: int, capsys: Captured
) -> None:
    command(lambda telemetry: None)
    assert exit_code("--metrics-port", str(port)) == 0
    assert "waiting" not in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_wait_and_the_exit_code_stays(
    command: Any, port: int, number: int, capsys: Captured
) -> None:
    def work(telemetry: Telemetry) -> None:
        threading.Thread(target=interrupt_the_wait, args=(number,), daemon=True).start()
        raise StageError("nothing works")

    # What a command has made of the signals does not matter any more.
    before = {one: signal.signal(one, signal.SIG_IGN) for one in (signal.SIGTERM, signal.SIGINT)}
    try:
        command(work)
        assert exit_code("--metrics-port", str(port), "--metrics-linger", LONG) == 1
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    assert "may not have been scraped" in capsys.readouterr().err


def interrupt_the_wait(number: int) -> None:
    while signal.getsignal(number) is signal.SIG_IGN:
        time.sleep(0.01)
    os.kill(os.getpid(), number)


def test_who_was_interrupted_waits_for_nobody(command: Any, port: int, capsys: Captured) -> None:
    def work(telemetry: Telemetry) -> None:
        raise KeyboardInterrupt

    command(work)
    assert exit_code("--metrics-port", str(port), "--metrics-linger", LONG) == 130
    assert "waiting" not in capsys.readouterr().err


def test_in_json_the_last_word_is_a_record_too(command: Any, capsys: Captured) -> None:
    def work(telemetry: Telemetry) -> None:
        raise StageError("the paint has run out; buy some")

    command(work)
    assert exit_code("--log-format", "json", "--debug") == 1

    (record,) = records(capsys)
    assert (record["level"], record["message"]) == ("error", "the paint has run out; buy some")
    assert record["error"].startswith("StageError: ")
    assert "traceback" in record


def test_a_port_in_use_is_a_wrong_use(command: Any, capsys: Captured) -> None:
    command(lambda telemetry: None)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert exit_code("--metrics-port", str(taken.getsockname()[1])) == 2
    assert capsys.readouterr().err.startswith("gptfl: --metrics-port: ")


def test_a_run_with_records_has_no_bars(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "run.yaml").write_text(
        """
apiVersion: gptfl.io/v1alpha1
kind: GPTFLRun
metadata: {name: pets}
spec:
  task: {labels: [cat, dog]}
  generation: {generator: {uri: ./nowhere}}
  federation: {simulation: {dataset: {uri: "sklearn://digits", split: "train[:80%]"}}}
  evaluation: {dataset: {uri: "sklearn://digits", split: "train[80%:]"}}
"""
    )
    file, store = str(tmp_path / "run.yaml"), str(tmp_path / "store")
    with pytest.raises(SystemExit):
        main(["run", file, "--store", store, "--log-format", "json"])
    last = records(capsys)[-1]
    assert last["level"] == "error"
    assert "spec.generation.generator" in last["message"]
