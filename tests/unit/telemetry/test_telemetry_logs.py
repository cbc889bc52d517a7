"""What a process writes to standard error: lines for people, or one JSON object each."""

import json
import logging
import sys
import threading
import warnings
from collections.abc import Mapping
from contextvars import copy_context
from datetime import datetime
from typing import Any

import pytest
from story import ENDING, FAILURE, STORY, at

from gptfl.telemetry.context import about
from gptfl.telemetry.eventlog import EventLog
from gptfl.telemetry.events import StepProgress
from gptfl.telemetry.logs import LogFormat, are_json, logged

LOG = logging.getLogger("gptfl.somewhere")
Captured = pytest.CaptureFixture[str]


def records(capsys: Captured) -> list[Mapping[str, Any]]:
    """Every line is a record, or this fails."""
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_record_says_when_where_and_about_what(capsys: Captured) -> None:
    with (
        logged(LogFormat.JSON, "info"),
        about(run="pets", stage="federation", step="federation/from-scratch"),
        about(round=3),
    ):
        LOG.warning("the reply of node %d is refused", 2)

    (record,) = records(capsys)
    assert datetime.fromisoformat(record.pop("time")).utcoffset() is not None
    assert record == {
        "level": "warning",
        "logger": "gptfl.somewhere",
        "message": "the reply of node 2 is refused",
        "run": "pets",
        "stage": "federation",
        "step": "federation/from-scratch",
        "round": 3,
    }


def test_what_a_record_is_about_ends_with_its_block(capsys: Captured) -> None:
    with logged(LogFormat.JSON, "info"):
        with about(client="ward-3"):
            LOG.info("here")
        LOG.info("there")

    here, there = records(capsys)
    assert here["client"] == "ward-3"
    assert "client" not in there


def test_a_thread_is_about_the_same_in_a_copy_of_the_context(capsys: Captured) -> None:
    with logged(LogFormat.JSON, "info"), about(run="pets"):
        thread = threading.Thread(target=copy_context().run, args=(LOG.info, "drawn"))
        thread.start()
        thread.join()

    assert records(capsys)[0]["run"] == "pets"


def test_an_error_has_its_traceback_in_a_field_of_its_own(capsys: Captured) -> None:
    with logged(LogFormat.JSON, "info"):
        try:
            raise ValueError("no\nsuch thing")
        except ValueError:
            LOG.exception("it failed")

    (record,) = records(capsys)
    assert record["error"] == "ValueError: no\nsuch thing"
    assert record["traceback"].startswith("Traceback (most recent call last):")
    assert "test_telemetry_logs.py" in record["traceback"]


def test_whatever_is_written_to_standard_error_becomes_records(capsys: Captured) -> None:
    with logged(LogFormat.JSON, "info"):
        sys.stderr.write("a bar: 10%\ra bar: 20%\n")
        sys.stderr.write("begun, ")
        sys.stderr.write("and ended\n")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("old way", FutureWarning, stacklevel=1)

    *stray, warning = records(capsys)
    said = [(one["logger"], one["message"]) for one in stray]
    assert said == [
        ("stderr", "a bar: 10%"),
        ("stderr", "a bar: 20%"),
        ("stderr", "begun, and ended"),
    ]
    assert warning["logger"] == "py.warnings"
    assert "FutureWarning: old way" in warning["message"]


def test_the_end_of_a_thread_is_one_record(capsys: Captured) -> None:
    with logged(LogFormat.JSON, "info"):
        thread = threading.Thread(target=lambda: 1 // 0)
        thread.start()
        thread.join()

    (record,) = records(capsys)
    assert record["error"].startswith("ZeroDivisionError: ")
    assert "traceback" in record


@pytest.mark.parametrize("form", list(LogFormat))
def test_passwords_in_addresses_are_left_out(form: LogFormat, capsys: Captured) -> None:
    with logged(form, "info"):
        LOG.info("cannot reach %s", "redis://user:hunter2@broker:6379/0")
        LOG.info("nor %s", "redis://:hunter@2@other:6379/0")

    written = capsys.readouterr().err
    assert "hunter" not in written
    assert "2@" not in written
    assert "redis://…@broker:6379/0" in written
    assert "redis://…@other:6379/0" in written


@pytest.mark.parametrize("form", list(LogFormat))
def test_other_packages_are_heard_from_warnings_on(form: LogFormat, capsys: Captured) -> None:
    with logged(form, "debug"):
        LOG.debug("ours")
        logging.getLogger("urllib3").debug("GET /bucket?X-Amz-Signature=abc")
        logging.getLogger("urllib3").warning("theirs")

    written = capsys.readouterr().err
    assert "ours" in written
    assert "theirs" in written
    assert "Signature" not in written


def test_text_is_a_line_with_its_time_and_level(capsys: Captured) -> None:
    with logged(LogFormat.TEXT, "info"):
        LOG.info("ready")
        LOG.debug("details")

    date, _, rest = capsys.readouterr().err.partition(" ")
    assert datetime.fromisoformat(date)
    assert rest[9:] == "INFO ready\n"


def test_afterwards_everything_is_as_it_was(capsys: Captured) -> None:
    before = logging.getLogger().handlers[:], logging.getLogger().level, sys.stderr
    with logged(LogFormat.JSON, "debug"):
        assert are_json()
    assert not are_json()
    assert (logging.getLogger().handlers[:], logging.getLogger().level, sys.stderr) == before


def test_a_run_is_a_record_an_event(capsys: Captured) -> None:
    listen = EventLog()
    with logged(LogFormat.JSON, "info"):
        for event in (*STORY, *ENDING):
            listen(event)

    said = records(capsys)
    assert [one["message"] for one in said] == [
        "pets begins",
        "prompts: same spec and inputs as abababababab, made 2026-11-24 06:20",
        "generation: begins (generation.steps: 10 → 20)",
        "generation: done in 21.0 s",
        "federation: begins (not done before)",
        "federation: done in 7.0 s",
        "pets is done",
    ]
    assert said[3]["stage"] == "generation"
    assert said[3]["metrics"] == {"kept": 200.0}
    assert said[1]["cached"] is True


def test_progress_is_a_record_every_ten_seconds(capsys: Captured) -> None:
    listen = EventLog()
    with logged(LogFormat.JSON, "info"):
        for second in range(31):
            metrics = {"loss": float("inf")}
            listen(StepProgress("federation", second, 60, "rounds", at(second), metrics))

    said = records(capsys)
    assert [one["done"] for one in said] == [10, 20, 30]
    assert said[0]["metrics"] == {"loss": None}, "JSON has no infinity"


def test_a_failure_is_an_error_with_its_traceback(capsys: Captured) -> None:
    listen = EventLog()
    with logged(LogFormat.JSON, "info"):
        try:
            raise ValueError("diverged")
        except ValueError:
            listen(FAILURE)

    (record,) = records(capsys)
    assert (record["level"], record["step"]) == ("error", "federation")
    assert record["error"] == "ValueError: diverged"
