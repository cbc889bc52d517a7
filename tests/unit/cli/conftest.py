"""A store in a folder of its own, and the command line in this process."""

from pathlib import Path

import pytest
from cli_world import Gptfl

from gptfl.store import Store, open_store


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty store where commands look for it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GPTFL_STORE", ".gptfl")
    return open_store(None)


@pytest.fixture
def gptfl(capsys: pytest.CaptureFixture[str]) -> Gptfl:
    """`gptfl("status", "pets")` runs that command."""
    return Gptfl(capsys)
