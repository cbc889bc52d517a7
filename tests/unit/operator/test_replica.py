"""A replica as a whole, with real threads: it starts, has its turn, loses it, and ends."""

import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_api import FakeApi, run_object
from prometheus_client import CollectorRegistry
from toy_brain import TOY

from gptfl_operator import cli
from gptfl_operator.api import ApiError
from gptfl_operator.controller import Brain
from gptfl_operator.model import Desired, Object, Observed
from gptfl_operator.operator import Operator, OperatorOptions
from gptfl_operator.probes import probed


class Replica:
    """An operator in a thread of its own; `hear` lets its watches end, as they do now and then."""

    def __init__(self, api: FakeApi, name: str = "a", brain: Brain = TOY) -> None:
        self.api, self.registry = api, CollectorRegistry()
        self.operator = Operator(api, brain, OperatorOptions(name, workers=2), self.registry)
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.operator.run, args=(self.stop,))

    def value(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"gptfl_operator_{name}", labels) or 0.0

    def end(self) -> None:
        self.stop.set()
        self.thread.join(timeout=20)
        assert not self.thread.is_alive()


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    # The fake's watches end at once, and are not to be asked for all the time.
    monkeypatch.setattr("gptfl_operator.lease.PAUSE", 0.02)
    monkeypatch.setattr("gptfl_operator.controller.PAUSE", 0.01)
    made = FakeApi()
    gate = threading.Lock()
    request, stream = made.request, made.stream
    monkeypatch.setattr(made, "request", lambda *a, **k: _locked(gate, request, *a, **k))
    monkeypatch.setattr(made, "stream", lambda *a: iter(_locked(gate, lambda: list(stream(*a)))))
    return made


def _locked(gate: threading.Lock, call: Callable[..., object], *a: object, **k: object) -> object:
    with gate:
        return call(*a, **k)


@pytest.fixture
def start(api: FakeApi) -> Iterator[Callable[..., Replica]]:
    started: list[Replica] = []

    def begin(name: str = "a", brain: Brain = TOY) -> Replica:
        replica = Replica(api, name, brain)
        replica.thread.start()
        started.append(replica)
        return replica

    yield begin
    for replica in started:
        replica.stop.set()
        replica.thread.join(timeout=20)


def until(holds: Callable[[], object]) -> None:
    waited = threading.Event()
    for _ in range(1000):
        if holds():
            return
        waited.wait(0.02)
    pytest.fail("it never came to be")


def test_it_works_and_hands_over(api: FakeApi, start: Callable[..., Replica]) -> None:
    api.put("gptflruns", run_object())
    first = start("a")
    until(lambda: api.of("jobs"))
    until(lambda: first.value("runs", phase="Running") == 1)
    assert (first.value("leading"), first.value("synced")) == (1, 1)
    first.end()
    [lease] = api.of("leases")
    assert lease["spec"]["holderIdentity"] == ""
    second = start("b")
    until(lambda: second.value("leading") == 1)


def test_one_that_waits_its_turn_is_ready_and_writes_nothing(
    api: FakeApi, start: Callable[..., Replica]
) -> None:
    start("a")
    until(lambda: api.of("leases"))
    second = start("b")
    until(lambda: second.operator.why_unready() is None)
    api.put("gptflruns", run_object())
    until(lambda: api.of("jobs"))
    assert second.value("leading") == 0
    until(lambda: second.value("queue_depth") == 1)


def test_one_that_loses_its_lease_waits_its_turn_and_goes_on(
    api: FakeApi, start: Callable[..., Replica]
) -> None:
    replica = start("a")
    until(lambda: replica.value("leading") == 1)
    [lease] = api.of("leases")
    taken = {**lease["spec"], "holderIdentity": "b", "leaseDurationSeconds": 1}
    api.put("leases", {**lease, "metadata": dict(lease["metadata"]), "spec": taken})
    until(lambda: replica.value("leading") == 0)
    api.put("gptflruns", run_object())
    until(lambda: api.of("jobs"))
    assert replica.value("leading") == 1


def test_it_says_what_is_missing_before_it_is_of_use(
    api: FakeApi, start: Callable[..., Replica]
) -> None:
    api.refuse = lambda method, path: (
        ApiError(403, "Forbidden", "no") if path.endswith("/pods") else None
    )
    replica = start()
    until(lambda: replica.value("leading") == 1)
    assert replica.operator.why_unready() is not None
    assert replica.operator.why_unhealthy() is None
    api.put("gptflruns", run_object())
    api.refuse = lambda method, path: None
    until(lambda: replica.operator.why_unready() is None)
    until(lambda: api.of("jobs"))


def test_one_whose_worker_hangs_asks_for_a_restart(
    api: FakeApi, start: Callable[..., Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()

    def hang(run: Object, observed: Observed, now: object) -> Desired:
        go_on.wait(20)
        return Desired()

    monkeypatch.setattr("gptfl_operator.operator.STUCK_SECONDS", 0.05)
    api.put("gptflruns", run_object())
    replica = start(brain=Brain(decide=hang))
    until(replica.operator.why_unhealthy)
    go_on.set()
    until(lambda: replica.operator.why_unhealthy() is None)


def test_probes_answer_in_words() -> None:
    wrong: list[str] = []
    checks = {"healthz": lambda: None, "readyz": lambda: wrong[0] if wrong else None}

    def ask(path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=5) as answer:
                return answer.status, answer.read().decode().strip()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode().strip()

    with probed(0, "127.0.0.1", checks) as port:
        assert ask("healthz") == (200, "ok")
        assert ask("readyz") == (200, "ok")
        wrong.append("not yet")
        assert ask("readyz") == (503, "not yet")
        assert ask("elsewhere")[0] == 404


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "gptfl-operator: Missing option '--settings'; see --help"),
        (("--settings", "/nowhere"), "'/nowhere' does not exist; see --help"),
    ],
)
def test_a_wrong_command_line_is_one_line(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(lambda api, settings: TOY, arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_no_api_server_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "empty"
    empty.write_text("")
    arguments = ("--settings", str(empty), "--kubeconfig", str(empty))
    with pytest.raises(SystemExit) as ended:
        cli.main(lambda api, settings: TOY, arguments)
    assert ended.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("gptfl-operator: --kubeconfig: ")
