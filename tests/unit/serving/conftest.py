"""One model and one server for all tests of serving: starting one takes seconds."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from served_model import served, write_model


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def client(model_folder: Path) -> Iterator[httpx.Client]:
    with served(model_folder) as (_, client):
        yield client
