"""From a file to a GPTFLRun that makes sense, or to one clear line for each thing that is wrong."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from gptfl.errors import Problem, SpecError
from gptfl.spec.base import NOT_IN_KEY, canonical
from gptfl.spec.checks import check
from gptfl.spec.data import DatasetSpec
from gptfl.spec.document import parse_document, read_text
from gptfl.spec.run import GROUP, KIND, VERSION, GPTFLRun
from gptfl.spec.words import problems_of

API_VERSION = f"{GROUP}/{VERSION}"


def load_run(path: Path | str) -> GPTFLRun:
    """The run that a YAML file describes. Raises SpecError that names every problem."""
    return parse_run(read_text(Path(path)), name=str(path))


def parse_run(source: str | Mapping[str, Any], *, name: str = "run") -> GPTFLRun:
    """The run that YAML text or plain values describe; `name` is what errors call the text.

    Types are taken strictly, as a Kubernetes API server does: "3" is not a number.
    Raises SpecError that names every problem.
    """
    value = parse_document(source, name) if isinstance(source, str) else source
    if not isinstance(value, Mapping):
        raise SpecError.of(name, f"is no {KIND}; begin with apiVersion, kind, metadata and spec")
    problems = list(_header_problems(value))
    if problems:
        raise SpecError(problems)
    # As on a cluster, where the status of a file is not taken from the file.
    asked = {field: part for field, part in value.items() if field != "status"}
    try:
        run = GPTFLRun.model_validate_json(_as_json(asked), strict=True, by_name=False)
    except ValidationError as error:
        raise SpecError(problems_of(error)) from error
    check(run)
    return run


def load_data(path: Path) -> DatasetSpec | GPTFLRun:
    """What a YAML file says of a party's data: a data set, or a run that names each party's.

    Raises SpecError that names every problem.
    """
    text = read_text(path)
    value = parse_document(text, str(path))
    if isinstance(value, Mapping) and value.get("kind") == KIND:
        return parse_run(text, name=str(path))
    if not isinstance(value, Mapping):
        raise SpecError.of(str(path), "is no data set; begin with uri: or give a run's file")
    try:
        return DatasetSpec.model_validate_json(_as_json(value), strict=True, by_name=False)
    except ValidationError as error:
        raise SpecError(problems_of(error)) from error


def dump_run(run: GPTFLRun) -> str:
    """The run as YAML with every default filled in; loads to an equal run."""
    return _yaml(_filled(run))


def frozen_run(run: GPTFLRun) -> str:
    """The run as YAML with every default filled in, and without what says only how and where it
    is computed: the same for every run with the same results."""
    return _yaml(_filled(run, keyed_only=True))


def _header_problems(value: Mapping[str, Any]) -> list[Problem]:
    """Kubernetes wants both header fields in each file; a wrong kind makes the rest meaningless."""
    wanted = {"apiVersion": API_VERSION, "kind": KIND}
    return [
        Problem(field, f"{value[field]!r} is not known; write {field}: {right}")
        if field in value
        else Problem(field, f"is missing; write {field}: {right}")
        for field, right in wanted.items()
        if value.get(field) != right
    ]


def _as_json(value: Mapping[str, Any]) -> str:
    try:
        return json.dumps(value)
    except (TypeError, ValueError) as error:
        raise SpecError.of("", f"the run holds something that YAML cannot: {error}") from error


def _yaml(value: Any) -> str:
    """Written by libyaml, ten times as fast as in Python."""
    written: str = yaml.dump(
        value, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True, width=100
    )
    return written


def _filled(value: Any, *, keyed_only: bool = False) -> Any:
    """All fields by their names in files; null only where it switches something off."""
    if isinstance(value, BaseModel):
        return {
            info.alias or name: _filled(getattr(value, name), keyed_only=keyed_only)
            for name, info in type(value).model_fields.items()
            if (getattr(value, name) is not None or info.default is not None)
            and not (keyed_only and NOT_IN_KEY in info.metadata)
        } | (value.model_extra or {})
    if isinstance(value, (list, tuple)):
        return [_filled(item, keyed_only=keyed_only) for item in value]
    return canonical(value)
