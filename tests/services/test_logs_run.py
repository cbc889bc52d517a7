"""With --log-format json, a run writes nothing to standard error but records."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from servers import gptfl_command
from watched_run import ROUNDS, write_run


def records_of(
    file: Path, *options: str, code: int = 0, **changes: Mapping[str, Any]
) -> list[Mapping[str, Any]]:
    run = subprocess.run(
        gptfl_command("run", str(file), "--store", str(file.parent / "store"), *options),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert run.returncode == code, run.stderr
    return [json.loads(line) for line in run.stderr.splitlines()]


def test_a_run_tells_its_steps_in_records_about_them(tmp_path: Path) -> None:
    records = records_of(write_run(tmp_path), "--log-format", "json")

    told = [record for record in records if record["logger"] == "gptfl.run"]
    done = [record["step"] for record in told if "digest" in record]
    assert done == [
        "prompts",
        "generation",
        "pretraining",
        "federation",
        "federation/from-scratch",
        "evaluation",
        "serving",
    ]
    assert {record["run"] for record in told} == {"watched"}
    control = next(one for one in told if one.get("step") == "federation/from-scratch")
    assert control["stage"] == "federation"
    assert told[-1]["metrics"]["accuracy"] >= 0


def test_a_refused_reply_says_of_which_round_it_is(tmp_path: Path) -> None:
    diverging = {
        "local": {"optimizer": {"learningRate": 10, "weightDecay": 10}, "epochs": 30},
        "rounds": ROUNDS,
    }
    records = records_of(write_run(tmp_path, federation=diverging), "--log-format", "json", code=1)

    refused = [record for record in records if record["logger"] == "gptfl.federation.intake"]
    assert refused[0]["level"] == "warning"
    assert refused[0]["round"] == 1
    assert (refused[0]["run"], refused[0]["step"]) == ("watched", "federation")
    failed = next(record for record in records if "traceback" in record)
    assert failed["level"] == "error"
    assert failed["error"].startswith("StageError: ")
