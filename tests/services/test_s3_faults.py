"""A whole run on a store with which one call in ten goes wrong ends as it does on a folder."""

import logging
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from faulty_proxy import FAULTS, FaultyProxy
from s3_buckets import new_place
from servers import S3Server
from small import small_run

import gptfl
from gptfl.store import Store
from gptfl.store.s3 import S3Blobs, s3_settings


@pytest.fixture(scope="module")
def on_a_folder(tmp_path_factory: pytest.TempPathFactory) -> gptfl.Result:
    return gptfl.run(small_run(), store=str(tmp_path_factory.mktemp("folder") / "store"))


def digests(result: gptfl.Result) -> dict[str, str]:
    return {name: artifact.digest for name, artifact in result.outcome.artifacts.items()}


def test_a_run_through_faults_ends_with_the_same_digests(
    s3_server: S3Server,
    on_a_folder: gptfl.Result,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GPTFL_CACHE", str(tmp_path / "cache"))
    seed = int(os.environ.get("GPTFL_TEST_SEED", time.time_ns() % 10**9))
    logging.getLogger("gptfl.tests").warning("GPTFL_TEST_SEED=%d", seed)
    place = new_place(s3_server)
    with FaultyProxy(s3_server.port, percent=10, seed=seed) as proxy:
        # One of each kind for sure, the others by chance.
        proxy.next = list(FAULTS)
        settings = replace(s3_settings(place, endpoint=proxy.endpoint), stall_seconds=1.0)
        result = gptfl.run(small_run(), store=Store(S3Blobs(settings)))

    assert digests(result) == digests(on_a_folder)
    assert set(proxy.faults) == set(FAULTS)
    assert proxy.calls > 50
    again = gptfl.run(small_run(), store=Store(S3Blobs(s3_settings(place))))
    assert all(step.cached for step in again.status.steps)
    assert digests(again) == digests(result)
