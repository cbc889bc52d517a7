"""A store in which a run has been done, without doing one: the command line only reads it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gptfl.cli import main
from gptfl.spec.load import dump_run, parse_run
from gptfl.store import (
    Artifact,
    Phase,
    RunStatus,
    StepState,
    StepStatus,
    Store,
    Workspace,
    stage_key,
)

WHEN = datetime(2026, 11, 24, 6, 20, tzinfo=UTC)
RUN = """
apiVersion: gptfl.io/v1alpha1
kind: GPTFLRun
metadata: {name: pets}
spec:
  task: {labels: [cat, dog]}
  federation: {simulation: {dataset: {uri: "sklearn://digits", split: "train[:80%]"}}}
  evaluation: {dataset: {uri: "sklearn://digits", split: "train[80%:]"}}
"""
STEPS = (
    ("prompts", ()),
    ("generation", ("prompts",)),
    ("pretraining", ("generation",)),
    ("federation", ("pretraining",)),
    ("federation/from-scratch", ()),
    ("evaluation", ("pretraining", "federation", "federation/from-scratch")),
    ("serving", ("federation", "evaluation")),
)
METRICS = {"accuracy": 0.95, "accuracy/from-scratch": 0.41, "accuracy/synthetic-only": 0.97}


def put(store: Store, name: str, inputs: Mapping[str, Artifact]) -> Artifact:
    """An artifact of a step, with a file that says its name."""
    stage = name.partition("/")[0]
    digests = {one: artifact.digest for one, artifact in inputs.items()}
    key = stage_key(stage, 1, {"name": name}, digests, {})
    workspace = Workspace(store.blobs, stage, key, seed=0, folder=Path())
    workspace.write("content.txt", name.encode())
    return store.commit(
        workspace,
        stage=stage,
        version=1,
        key=key,
        section={"name": name},
        inputs=inputs,
        metrics={"accuracy": 0.9} if stage == "federation" else {},
        seconds=2.5,
        software={"gptfl": "0.1.0"},
        now=WHEN,
    )


def done_run(store: Store, *, name: str = "pets", phase: Phase = Phase.SUCCEEDED) -> RunStatus:
    """A run with an artifact for each step, and its folder."""
    made: dict[str, Artifact] = {}
    for step, inputs in STEPS:
        made[step] = put(store, step, {one: made[one] for one in inputs})
    steps = tuple(
        StepStatus(
            name=step,
            stage=step.partition("/")[0],
            state=StepState.DONE,
            key=artifact.key,
            digest=artifact.digest,
            cached=step == "prompts",
            reason="same spec and inputs as before" if step == "prompts" else "not done before",
            seconds=0.0 if step == "prompts" else 2.5,
            metrics=artifact.record.metrics,
        )
        for step, artifact in made.items()
    )
    folder = store.run_folder("default", name, "0123456789ab")
    folder.write_spec(dump_run(parse_run(RUN.replace("pets", name))))
    report = folder.write_report("<html></html>")
    status = RunStatus(
        namespace="default",
        name=name,
        uid="0123456789ab",
        phase=phase,
        started=WHEN,
        finished=None if phase is Phase.RUNNING else WHEN.replace(minute=21),
        steps=steps,
        metrics=METRICS,
        report=str(report),
        model=made["serving"].uri,
        model_digest=made["serving"].digest,
    )
    folder.write_status(status)
    return status


class Said:
    """What a command wrote, and its exit code."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


class Gptfl:
    """Runs a command in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Said:
        with pytest.raises(SystemExit) as raised:
            main(arguments)
        said = self._capsys.readouterr()
        code = raised.value.code
        assert isinstance(code, int)
        return Said(code, said.out, said.err)
