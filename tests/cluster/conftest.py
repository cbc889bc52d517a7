"""An API server that all tests share, and one of a test's own for those that break it."""

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_lab import Cluster, start


@pytest.fixture(scope="session", autouse=True)
def _as_at_a_terminal() -> None:
    """Ctrl-C arrives although shells start background jobs with it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One for all tests that leave it as it was, each in a namespace of its own."""
    yield from start(tmp_path_factory.mktemp("cluster"))


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[Cluster]:
    """One that a test may stop and start."""
    yield from start(tmp_path)


@pytest.fixture
def lab(shared_cluster: Cluster, request: pytest.FixtureRequest) -> str:
    """A namespace of the test's own."""
    words = re.sub("[^a-z0-9]+", "-", request.node.name.lower())
    return shared_cluster.namespace(words[-60:].strip("-"))
