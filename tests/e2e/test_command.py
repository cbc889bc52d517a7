"""The small cousin of the demo as people run it: typed, interrupted, gone on with, looked at."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from small import small_document

GPTFL = Path(sys.executable).with_name("gptfl")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("typed")
    (folder / "small.yaml").write_text(yaml.safe_dump(small_document()))
    return folder


def start(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    environment = {name: value for name, value in os.environ.items() if name != "GPTFL_STORE"}
    return subprocess.Popen(
        [GPTFL, *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def typed(folder: Path, *arguments: str) -> tuple[int, str, str]:
    with start(folder, *arguments) as process:
        out, err = process.communicate()
        return process.returncode, out, err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130)])
def test_a_run_that_is_stopped_says_so_and_keeps_what_it_has(
    folder: Path, number: signal.Signals, code: int
) -> None:
    with start(folder, "run", "small.yaml") as process:
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        begun = next(line for line in lines if ": begins" in line and "prompts" not in line)
        process.send_signal(number)
        rest = list(lines)
        process.wait()

    assert begun.startswith("generation: begins")
    assert process.returncode == code
    assert rest[-1] == "gptfl: interrupted; run the same command to go on\n"
    assert "Traceback" not in "".join(rest)
    _, out, _ = typed(folder, "status", "small", "--json")
    status = json.loads(out)
    assert status["phase"] == "Interrupted"
    assert [step["state"] for step in status["steps"]][:2] == ["Done", "Pending"]


def test_the_next_run_goes_on_and_the_one_after_has_nothing_to_do(folder: Path) -> None:
    code, out, err = typed(folder, "run", "small.yaml")

    assert (code, err.splitlines()[1].split(":")[0]) == (0, "prompts")
    assert "prompts: cached" in err
    assert "serve it gptfl serve small" in out
    code, out, err = typed(folder, "run", "small.yaml", "--json")
    assert code == 0
    assert all(step["cached"] for step in json.loads(out)["steps"])
    assert Path(json.loads(out)["report"]).is_file()


def test_what_it_left_can_be_looked_at(folder: Path) -> None:
    assert "Succeeded" in typed(folder, "status")[1]
    assert typed(folder, "artifacts", "verify")[1].endswith(" whole, 0 damaged\n")
    assert typed(folder, "artifacts", "prune", "--unreachable")[1].startswith("0 artifacts")
    assert (folder / typed(folder, "report", "small")[1].strip()).is_file()
