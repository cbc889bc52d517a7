"""The demo as the README has it: the file, the curl lines and the notebook work as they stand."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
GPTFL = Path(sys.executable).with_name("gptfl")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store after `gptfl run examples/digits.yaml`."""
    store = tmp_path_factory.mktemp("demo") / "store"
    command = [GPTFL, "run", "examples/digits.yaml", "--store", store, "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    status = json.loads(done.stdout)
    assert status["phase"] == "Succeeded"
    assert status["metrics"].keys() >= {"accuracy", "accuracy/from-scratch", "accuracy/centralised"}
    assert Path(status["report"]).stat().st_size > 50_000
    return store


@pytest.fixture(scope="module")
def server(demo: Path) -> Iterator[int]:
    """The port of `gptfl serve digits`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [GPTFL, "serve", "digits", "--store", demo, "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until_ready(port, process)
        yield port
    finally:
        process.terminate()
        assert process.wait(timeout=60) == 0


def wait_until_ready(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/models/digits/ready"):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"the server is not ready; exit code {process.poll()}")


def test_the_readmes_curl_lines_are_answered(server: int, tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text()
    block = next(b for b in re.findall(r"```bash\n(.*?)```", readme, re.DOTALL) if "curl" in b)
    environment = os.environ | {
        "GPTFL_PORT": str(server),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    asked = ["bash", "-euo", "pipefail", "-c", block]
    answer = subprocess.run(
        asked, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    prediction = json.loads(answer.stdout)["predictions"][0]
    assert prediction["label"] == max(prediction["probabilities"].items(), key=lambda p: p[1])[0]
    assert sum(prediction["probabilities"].values()) == pytest.approx(1, abs=1e-4)


def test_the_notebook_runs_to_its_end(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("tour.ipynb", "digits.yaml"):
        shutil.copy(ROOT / "examples" / name, tmp_path)
    monkeypatch.setenv("GPTFL_STORE", str(demo))
    notebook = nbformat.read(tmp_path / "tour.ipynb", as_version=4)  # type: ignore[no-untyped-call]
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [o for cell in notebook.cells if cell.cell_type == "code" for o in cell.outputs]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 4


def test_ones_own_data_model_and_strategy(tmp_path: Path) -> None:
    folder = shutil.copytree(ROOT / "examples" / "own", tmp_path / "own")
    subprocess.run([sys.executable, folder / "make_data.py"], check=True)
    command = [GPTFL, "run", folder / "clinics.yaml", "--store", tmp_path / "store", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["metrics"]["accuracy"] > 0.2
