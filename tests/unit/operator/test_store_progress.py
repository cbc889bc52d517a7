"""What a run's processes wrote into its store is read, with its keys, and a dead store holds up
nobody."""

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_api import FakeApi

from gptfl.errors import StoreUnavailableError
from gptfl.spec.load import parse_run
from gptfl.spec.run import run_uid
from gptfl.store import RunStatus, Store, open_store
from gptfl_operator.progress import FRESH, KEYS_SECONDS, SILENCE, StoreProgress
from gptfl_operator.settings import OperatorSettings
from gptfl_operator.settings_file import load_settings

EXAMPLE = Path(__file__).parents[3] / "examples/digits.yaml"


class Stores:
    """Stands for the S3 servers: folders, or nobody."""

    def __init__(self, folder: Path) -> None:
        self.store = open_store(str(folder))
        self.opened: list[tuple[str, dict[str, str]]] = []
        self.is_away = False
        self.asked = 0

    def open(self, uri: str, variables: Mapping[str, str]) -> Store:
        self.opened.append((uri, dict(variables)))
        stores, blobs = self, self.store.blobs

        class Watched(Store):
            def run_folder(self, namespace: str, name: str, uid: str) -> Any:
                stores.asked += 1
                if stores.is_away:
                    raise StoreUnavailableError("s3://bucket: does not answer")
                return super().run_folder(namespace, name, uid)

        return Watched(blobs)


class Bench:
    def __init__(self, folder: Path) -> None:
        self.api, self.stores, self.seconds = FakeApi(), Stores(folder), 0.0
        self.settings = OperatorSettings(
            image="gptfl:1", store="s3://bucket/p", store_secret="keys"
        )
        self.progress = StoreProgress(
            self.api, self.settings, opened=self.stores.open, clock=lambda: self.seconds
        )
        self.give(AWS_ACCESS_KEY_ID="me", AWS_SECRET_ACCESS_KEY="hush")

    def give(self, **data: str) -> None:
        encoded = {name: base64.b64encode(value.encode()).decode() for name, value in data.items()}
        self.api.put("secrets", {"metadata": {"name": "keys", "namespace": "lab"}, "data": encoded})

    def write(self, run: dict[str, Any], message: str) -> None:
        uid = run_uid(parse_run(run))
        name = run["metadata"]["name"]
        status = RunStatus(
            namespace="lab", name=name, uid=uid, started=datetime.now(UTC), message=message
        )
        self.stores.store.run_folder("lab", name, uid).write_status(status)

    def message(self, run: dict[str, Any]) -> str | None:
        status, problem = self.progress(run)
        assert problem is None
        return status.message if status else None


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def a_run(name: str = "digits", **spec: Any) -> dict[str, Any]:
    given: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text())
    metadata = {"name": name, "namespace": "lab"}
    return {**given, "metadata": metadata, "spec": {**given["spec"], **spec}}


def test_what_is_written_is_read_and_nothing_is_nothing(bench: Bench) -> None:
    assert bench.message(a_run()) is None
    bench.seconds = FRESH
    bench.write(a_run(), "12 of 30 rounds")
    assert bench.message(a_run()) == "12 of 30 rounds"


def test_a_store_is_opened_once_for_all_runs_with_the_keys_of_its_secret(bench: Bench) -> None:
    for name in ("a", "b", "c"):
        bench.message(a_run(name))
    [(uri, variables)] = bench.stores.opened
    assert uri == "s3://bucket/p"
    assert variables == {"AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "hush"}


def test_a_run_that_is_looked_at_often_is_asked_about_now_and_then(bench: Bench) -> None:
    for _ in range(10):
        bench.message(a_run())
    assert bench.stores.asked == 1
    bench.seconds = FRESH
    bench.message(a_run())
    assert bench.stores.asked == 2


def test_keys_that_change_are_taken_up(bench: Bench) -> None:
    bench.message(a_run())
    bench.give(AWS_ACCESS_KEY_ID="me", AWS_SECRET_ACCESS_KEY="new")
    bench.seconds = KEYS_SECONDS
    bench.message(a_run())
    assert bench.stores.opened[-1][1]["AWS_SECRET_ACCESS_KEY"] == "new"


def test_an_authority_of_the_secret_is_trusted(bench: Bench) -> None:
    bench.give(**{"AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "x", "ca.crt": "-----"})
    bench.message(a_run())
    bundle = bench.stores.opened[0][1]["AWS_CA_BUNDLE"]
    assert Path(bundle).read_text() == "-----"


def test_a_store_that_is_away_is_said_and_left_alone_for_a_while(bench: Bench) -> None:
    bench.stores.is_away = True
    for name in ("a", "b", "c"):
        status, problem = bench.progress(a_run(name))
        assert (status, problem) == (None, "s3://bucket: does not answer")
    assert bench.stores.asked == 1, "the others did not have to wait for it"
    bench.stores.is_away = False
    bench.write(a_run("a"), "there again")
    bench.seconds = SILENCE
    assert bench.message(a_run("a")) == "there again"


def test_a_secret_that_is_missing_is_named(bench: Bench) -> None:
    bench.api.remove("secrets", "lab", "keys")
    _, problem = bench.progress(a_run())
    assert problem is not None
    assert "the Secret keys cannot be read" in problem


def test_a_store_of_the_runs_own_goes_before_the_operators(bench: Bench) -> None:
    bench.give(AWS_ACCESS_KEY_ID="own", AWS_SECRET_ACCESS_KEY="x")
    own = {"uri": "s3://own/q", "secretName": "keys", "endpoint": "https://s3.example"}
    bench.message(a_run(artifacts=own))
    [(uri, variables)] = bench.stores.opened
    assert uri == "s3://own/q"
    assert variables["AWS_ENDPOINT_URL"] == "https://s3.example"


@pytest.mark.parametrize("spec", [{"seed": "not a number"}, {"artifacts": {"uri": "/folder"}}])
def test_of_what_cannot_be_asked_nothing_is_asked(bench: Bench, spec: dict[str, Any]) -> None:
    assert bench.progress(a_run(**spec)) == (None, None)
    assert bench.stores.opened == []


def test_settings_are_read_as_the_chart_writes_them(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("image: gptfl:1\nstoreSecret: keys\naggregatorHosts: [a.example]\n")
    settings = load_settings(file)
    assert (settings.store_secret, settings.aggregator_hosts) == ("keys", ("a.example",))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("imag: x\n", "settings.yaml: imag: "),
        ("image: x\nuser: many\n", "settings.yaml: user: "),
        ("image: [\n", "--settings: "),
        ("- a\n", "settings.yaml: "),
    ],
)
def test_settings_that_cannot_be_are_named(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(text)
    with pytest.raises(Exception, match="settings") as caught:
        load_settings(file)
    assert said in str(caught.value)
    assert caught.typename == "SpecError"
