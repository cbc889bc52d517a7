"""What `gptfl aggregate` refuses, and how it takes leave of its clients."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from cli_world import RUN

from gptfl.cli import aggregate
from gptfl.telemetry.process import Telemetry, TelemetrySettings

NOTHING: dict[str, Any] = dict.fromkeys(("pki", "cert", "key", "ca", "tokens", "revoked"))
SINGLE = {name: Path(name) for name in ("cert", "key", "ca", "tokens")}


def test_a_list_of_the_revoked_goes_with_files_of_ones_own() -> None:
    security = aggregate.server_files(
        **{**NOTHING, **SINGLE, "revoked": Path("list")}, insecure=False
    )
    assert security is not None
    assert security.revoked == Path("list")


@pytest.mark.parametrize("other", [{"pki": Path("pki")}, {"insecure": True}])
def test_a_list_of_the_revoked_is_never_passed_over(other: dict[str, Any]) -> None:
    given = {**NOTHING, "insecure": False, "revoked": Path("list"), **other}
    with pytest.raises(click.UsageError, match="--revoked"):
        aggregate.server_files(**given)


class Doubles:
    """Stands for the run and the streams, and writes down what was done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
        self.done: list[str] = []
        self._file = file
        file.write_text(RUN)
        monkeypatch.setattr(aggregate, "run_file", lambda *_, **options: self.done.append("run"))
        monkeypatch.setattr(aggregate, "open_stream_grid", self._listen)

    def _listen(self, *_: object, **options: object) -> Any:
        self.done.append("listen")
        raise NotImplementedError

    def aggregate(self, **options: Any) -> None:
        given = {"listen": None, "superlink": None, "only": None, **options}
        telemetry = Telemetry(TelemetrySettings(), "gptfl aggregate")
        aggregate.aggregate_file(
            self._file,
            security=None,
            store=None,
            broker=None,
            quiet=True,
            as_json=False,
            telemetry=telemetry,
            **given,
        )


@pytest.fixture
def doubles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Doubles:
    return Doubles(monkeypatch, tmp_path / "run.yaml")


@pytest.mark.parametrize("only", ["generation", "evaluation"])
def test_clients_are_not_sent_home_by_a_stage_in_which_they_have_no_part(
    doubles: Doubles, only: str
) -> None:
    doubles.aggregate(listen="127.0.0.1:0", only=only)
    assert doubles.done == ["run"]


def test_a_superlink_is_not_passed_over(doubles: Doubles) -> None:
    with pytest.raises(click.UsageError, match="transport: Flower"):
        doubles.aggregate(listen="127.0.0.1:0", superlink="here")
    assert doubles.done == []


class Streams:
    """A grid to which the second client comes back a moment after the end."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def status(self) -> Any:
        self.said.append("status")
        back = self.said.count("status") > 2
        connections = {"a": 1, "b": 2 if back else 1}
        return SimpleNamespace(connected=("a",), counters=SimpleNamespace(connections=connections))

    def dismiss(self) -> None:
        self.said.append("dismiss")


def test_who_comes_back_last_is_told_before_the_streams_end() -> None:
    """To be connected is not yet to have heard; `dismiss` waits until all who are there have."""
    streams = Streams()
    aggregate._see_off(streams, ("a", "b"))  # type: ignore[arg-type]
    assert streams.said == ["status", "dismiss", "status", "status", "dismiss"]
