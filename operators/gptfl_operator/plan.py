"""The stages of a run as the operator does them: one after the other, each known by a digest.

The digest of a stage covers its own section of the spec and those of all that it is made from. So
it is known before anything has been made, and changes exactly when the stage has to be looked at
again; what has been made before is then found in the store within seconds.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any

from gptfl.spec.base import canonical_json, sha256
from gptfl.spec.load import parse_run
from gptfl.spec.run import GPTFLRun, run_uid
from gptfl.spec.status import ConditionType
from gptfl.stages import Step, plan
from gptfl_operator.names import digest8

CONDITIONS = {
    "generation": ConditionType.GENERATED,
    "pretraining": ConditionType.PRETRAINED,
    "federation": ConditionType.FEDERATED,
    "evaluation": ConditionType.EVALUATED,
}
"""The condition that says a stage is done. Prompts are for `Generated`, the export for `Published`,
each as a part of it."""


@dataclass(frozen=True)
class Stage:
    """One of the six; the controls that federate belong to the federation."""

    name: str
    steps: tuple[str, ...]
    """The names of its steps in the run's status."""
    digest: str


@dataclass(frozen=True)
class Understood:
    """A run's file, read."""

    run: GPTFLRun
    uid: str
    """Names the run's folder in the store."""
    stages: tuple[Stage, ...]


def understand(file: Mapping[str, Any]) -> Understood:
    """A run from its fields. Raises SpecError with a line for each problem."""
    metadata = {name: file["metadata"].get(name) for name in ("name", "namespace")}
    given = {name: file[name] for name in ("apiVersion", "kind", "spec") if name in file}
    named = {name: value for name, value in metadata.items() if value is not None}
    return _understood(json.dumps(given | {"metadata": named}, sort_keys=True))


@lru_cache(maxsize=2048)
def _understood(text: str) -> Understood:
    """Each of a thousand runs is visited many times and read once."""
    run = parse_run(json.loads(text))
    return Understood(run, run_uid(run), stages(run))


def stages(run: GPTFLRun) -> tuple[Stage, ...]:
    """The stages in the order in which they are done."""
    made: dict[str, str] = {}
    found = []
    for name, group in groupby(plan(run), key=lambda step: step.stage):
        steps = list(group)
        digest = digest8(run.metadata.name, [_content(step, made) for step in steps])
        found.append(Stage(name, tuple(step.name for step in steps), digest))
        made |= dict.fromkeys((step.name for step in steps), digest)
    return tuple(found)


def _content(step: Step, made: dict[str, str]) -> list[object]:
    inputs = [made[name] for name in step.inputs]
    return [step.name, step.version, sha256(canonical_json(step.section)), inputs]
