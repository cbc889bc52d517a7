"""Killing a run at any moment loses nothing: resumed, it ends with the same model, to the bit."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import yaml
from small import small_document, small_run

import gptfl
from conftest import random_source, run_and_kill, seconds_of

KILLS = 30
RUNS = 5


def test_thirty_kills_at_random_moments_and_the_same_model(
    tmp_path: Path, undisturbed: gptfl.Result
) -> None:
    chance, log = random_source(), tmp_path / "log"

    def work(store: Path) -> gptfl.Result:
        return gptfl.run(small_run(), store=str(store))

    whole = seconds_of(lambda: work(tmp_path / "timing"), log)
    kills = 0
    for number in range(RUNS):
        store = tmp_path / f"store-{number}"
        while kills < KILLS * (number + 1) // RUNS:
            if run_and_kill(lambda: work(store), chance.uniform(0, whole / 3), log):  # noqa: B023
                break
            kills += 1
        result = work(store)
        assert result.outcome.model.digest == undisturbed.outcome.model.digest
        assert digests(result) == digests(undisturbed)
    assert kills >= KILLS * 2 // 3, "runs ended before they could be killed"


def test_a_killed_command_goes_on_and_redraws_no_finished_shard(tmp_path: Path) -> None:
    store, command = prepared(tmp_path)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    shards = wait_for_checkpoints(store, "generation", process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = {path: path.stat().st_mtime_ns for path in shards if path.exists()}
    assert kept

    again = subprocess.run([*command, "--json"], check=True, capture_output=True, text=True)
    assert again.returncode == 0
    assert all(not path.exists() for path in kept), "checkpoints are removed on commit"


def digests(result: gptfl.Result) -> dict[str, str]:
    return {name: artifact.digest for name, artifact in result.outcome.artifacts.items()}


def prepared(tmp_path: Path) -> tuple[Path, list[str]]:
    """A store and the command that runs a somewhat larger cousin in it."""
    file = tmp_path / "small.yaml"
    file.write_text(yaml.safe_dump(small_document(generation={"samplesPerLabel": 40, "steps": 8})))
    store = tmp_path / "store"
    gptfl_command = str(Path(sys.executable).with_name("gptfl"))
    return store, [gptfl_command, "run", str(file), "--store", str(store)]


def wait_for_checkpoints(store: Path, stage: str, process: subprocess.Popen[str]) -> list[Path]:
    """The checkpoints of a stage, as soon as there are two."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        found = list(store.glob(f"artifacts/{stage}/*/partial/*"))
        if len(found) >= 2:
            return found
        time.sleep(0.02)
    raise AssertionError(f"no checkpoints of {stage}; exit code {process.returncode}")
