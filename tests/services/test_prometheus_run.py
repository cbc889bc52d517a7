"""A real Prometheus sees a run to its end, although it comes less often than the run lasts."""

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import Process, Prometheus, free_port, gptfl_command, program, wait_until
from watched_run import CLIENTS, ROUNDS, ask, last, write_run

EVERY = "12s"
"""Between two scrapes: several steps of the run, and its end, lie between them."""
NO_BLANKS = {"filters": {"blank": {"minimumContrast": 1.0}, "maximumDraws": 1.0}}
"""Nothing that is drawn is good enough, so the stage fails."""


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def prometheus(tmp_path: Path, port: int) -> Iterator[Prometheus]:
    folder = tmp_path / "prometheus"
    with Prometheus(folder, {"run": f"127.0.0.1:{port}"}, every=EVERY) as server:
        yield server


def gptfl_run(tmp_path: Path, file: Path, port: int, *options: str) -> Process:
    return Process(
        gptfl_command(
            *("run", str(file), "--store", str(tmp_path / "store"), "--json", "--quiet"),
            *("--metrics-port", str(port), *options),
        ),
        tmp_path / "run.log",
    )


def test_the_end_of_a_run_is_there_although_it_lies_between_two_scrapes(
    tmp_path: Path, port: int, prometheus: Prometheus
) -> None:
    with gptfl_run(tmp_path, write_run(tmp_path), port, "--metrics-linger", "120") as run:
        assert run.wait(180) == 0
    status = json.loads(run.output[run.output.index("{") : run.output.rindex("}") + 1])

    assert last(prometheus, 'gptfl_run_accuracy{model="gpt-fl"}') == status["metrics"]["accuracy"]
    assert last(prometheus, 'gptfl_step_state{step="serving",state="done"}') == 1
    assert last(prometheus, 'gptfl_step_items{step="federation"}') == ROUNDS
    selected = 'gptfl_federation_clients_selected_total{step="federation"}'
    assert last(prometheus, selected) == ROUNDS * CLIENTS
    assert last(prometheus, 'gptfl_federation_round_seconds_count{step="federation"}') == ROUNDS
    assert last(prometheus, 'gptfl_federation_sent_bytes_total{step="federation"}') > 0
    refused = ask(prometheus, "last_over_time(gptfl_federation_clients_refused_total[15m])")
    assert {value for _, value in refused} == {0}
    assert {labels["reason"] for labels, _ in refused} >= {"NotFinite", "NoReply"}
    assert last(prometheus, "gptfl_build_info") == 1
    assert last(prometheus, "process_cpu_seconds_total") > 0


def test_a_failure_is_there_too(tmp_path: Path, port: int, prometheus: Prometheus) -> None:
    file = write_run(tmp_path, generation=NO_BLANKS)
    with gptfl_run(tmp_path, file, port, "--metrics-linger", "120") as run:
        assert run.wait(180) == 1
    assert "maximumDraws" in run.output

    assert last(prometheus, 'gptfl_steps_failed_total{step="generation"}') == 1
    assert last(prometheus, 'gptfl_steps_failed_total{step="prompts"}') == 0
    assert last(prometheus, 'gptfl_step_state{step="generation",state="failed"}') == 1


def test_who_has_scraped_once_is_waited_for_without_being_told(tmp_path: Path, port: int) -> None:
    folder = tmp_path / "prometheus"
    targets = {"run": f"127.0.0.1:{port}"}
    with (
        Prometheus(folder, targets, every="200ms") as prometheus,
        gptfl_run(tmp_path, write_run(tmp_path), port) as run,
    ):
        assert run.wait(180) == 0
        assert last(prometheus, 'gptfl_step_state{step="serving",state="done"}') == 1
    assert "waiting up to 75 s until the last metrics are scraped" in run.output


def test_promtool_has_nothing_to_say_against_the_metrics(tmp_path: Path, port: int) -> None:
    file = write_run(tmp_path)
    with gptfl_run(tmp_path, file, port, "--metrics-linger", "600") as run:
        wait_until(lambda: "waiting up to" in run.output, "the end of the run", 180)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            exposed = answer.read()
    found = subprocess.run(
        [program("promtool"), "check", "metrics"], input=exposed, capture_output=True, check=False
    )

    assert b"gptfl_run_accuracy" in exposed
    assert (found.returncode, found.stderr.decode()) == (0, "")
