"""The examples of docs/serving.md work as they stand; only the port is another."""

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from served_model import LABELS

DOCS = Path(__file__).parents[3] / "docs" / "serving.md"
BLOCKS = re.findall(r"^```(bash|python)\n(.*?)^```$", DOCS.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def outputs(client: httpx.Client, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What the examples print, in order, in one folder, one after the other."""
    folder = tmp_path_factory.mktemp("docs")
    environment = os.environ | {
        "GPTFL_PORT": str(client.base_url.port),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    printed = []
    for language, code in BLOCKS:
        shell = ["bash", "-euo", "pipefail", "-c"] if language == "bash" else ["python", "-c"]
        done = subprocess.run(
            [*shell, code], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
        printed.append(done.stdout)
    return printed


def test_there_are_examples_for_both_protocols_the_probes_and_python() -> None:
    assert [language for language, _ in BLOCKS] == ["bash", "bash", "bash", "python", "bash"]


def test_each_example_gives_what_it_promises(outputs: list[str]) -> None:
    image, v1, v2, python, probes = outputs
    assert image == ""
    assert '{"predictions":[{"label":"' in v1
    assert '"outputs":[{"name":"label","shape":[1],"datatype":"BYTES","data":["' in v2
    assert python.strip()[2:-2] in LABELS
    assert '{"name":"digits","ready":true}' in probes
    assert 'request_predict_seconds_count{model_name="digits"}' in probes
