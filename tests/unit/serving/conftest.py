"""One model and one server for all tests of serving: starting one takes seconds."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from served_model import Served, served, write_model


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def server(model_folder: Path) -> Iterator[Served]:
    with served(model_folder) as server:
        yield server


@pytest.fixture(scope="session")
def client(server: Served) -> httpx.Client:
    return server.client
