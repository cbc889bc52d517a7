"""Says what is wrong with a field: what it is, what it may be, and what to do, in one line."""

import difflib
import json
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gptfl.errors import Problem
from gptfl.spec.pods import QUANTITY
from gptfl.spec.schema import INT_OR_STRING, Schema, fields, run_schema

LONGEST_VALUE = 60

_NAME = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"
PATTERN_WORDS = {
    _NAME: "lower-case letters, digits and '-', with a letter or digit at both ends",
    r"^[\w.]+:\w+$": "module:function",
    r"^https?://[^/?#]+/?$": "an address such as https://HOST:PORT",
    r"^[A-Za-z0-9_-]{1,64}$": "a region such as us-east-1",
    r"^[a-z][a-zA-Z0-9]*$": "letters and digits, the first a lower-case letter",
    QUANTITY: "a quantity such as 500m, 4Gi or 1",
    r"^/": "a path that begins with /",
    r"^[A-Za-z_][A-Za-z0-9_]*$": "letters, digits and '_', the first no digit",
    r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$": "lower-case letters, digits, '-' and '.', with a letter "
    "or digit at both ends",
}
EXAMPLES = {
    "metadata": "metadata: {name: digits}",
    "metadata.name": "name: digits",
    "spec": "spec: {task: …, federation: …, evaluation: …}",
    "spec.task": "task: {labels: [cat, dog]}",
    "spec.task.labels": "labels: [cat, dog]",
    "spec.federation": "federation: {simulation: {dataset: {uri: sklearn://digits}}}",
    "spec.evaluation": "evaluation: {dataset: {uri: sklearn://digits, split: 'train[80%:]'}}",
    "uri": "uri: sklearn://digits, hf://OWNER/NAME or a path",
    "dataset": "dataset: {uri: sklearn://digits}",
    "data": "data: {uri: data/north}",
    "name": "name: north",
    "values": "values: [thin, bold]",
    "source": "source: hf://OWNER/NAME",
    "mountPath": "mountPath: /weights",
}
"""What to write for a required field: by its whole path, or else by its name."""

_KINDS = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "a yes or no",
    "array": "a list",
    "object": "a section",
}


def problems_of(error: ValidationError) -> list[Problem]:
    """One problem for each fault that pydantic found in a GPTFLRun, in the order of the file."""
    return [_problem(detail) for detail in error.errors(include_url=False)]


def path_of(location: Sequence[str | int]) -> str:
    """The path as it would be written for people: ``spec.task.labels[3]``."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path


def nearest(wrong: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant, whatever its case; None when nothing is near."""
    by_lower = {name.lower().replace("_", ""): name for name in known}
    found = difflib.get_close_matches(wrong.lower().replace("_", ""), by_lower, n=1, cutoff=0.7)
    return by_lower[found[0]] if found else None


def expected(schema: Schema) -> str:
    """What a field may be, in words: ``a whole number from 1 to 1000``."""
    if "enum" in schema or schema.get("type") == "boolean":
        return _one_of(schema.get("enum", ("true", "false")))
    if INT_OR_STRING in schema or schema["type"] == "string":
        return _text(schema)
    kind: str = _KINDS[schema["type"]]
    if schema["type"] in ("integer", "number"):
        return f"{kind}{_range(schema)}"
    if schema["type"] == "array":
        least, most = schema.get("minItems", 0), schema.get("maxItems")
        number = "" if most is None else f" of {least} to {most}" if least else f" of up to {most}"
        return f"{kind}{number} entries, each {expected(schema['items'])}"
    if "properties" in schema:
        return f"{kind} with the fields {', '.join(schema['properties'])}"
    return f"{kind} of names, each with {expected(schema['additionalProperties'])}"


def shown(value: Any) -> str:
    """A value on one line, cut where it is long."""
    if isinstance(value, str):
        text = repr(value)
    else:
        text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"


def _problem(detail: ErrorDetails) -> Problem:
    location = detail["loc"]
    path = path_of(location)
    kind, value = detail["type"], detail["input"]
    if kind == "missing":
        return Problem(path, f"is missing; {_example(path, location)}")
    if kind == "extra_forbidden":
        return Problem(path, _unknown_field(location))
    schema = schema_at(location)
    if value is None:
        needed = location[-1] in schema_at(location[:-1]).get("required", ())
        remedy = "" if needed or isinstance(location[-1], int) else ", or leave it out"
        return Problem(path, f"is empty; write {expected(schema)}{remedy}")
    if "enum" in schema:
        return Problem(path, f"{shown(value)} is not known; {_choose(value, schema['enum'])}")
    return Problem(path, f"{shown(value)} {_fault(kind, value)}; use {expected(schema)}")


def schema_at(location: Sequence[str | int]) -> Schema:
    """The schema of the field at a location within a GPTFLRun."""
    schema = run_schema()
    for part in location:
        if isinstance(part, int):
            schema = schema["items"]
        elif "properties" in schema:
            schema = schema["properties"][part]
        else:
            schema = schema["additionalProperties"]
    return schema


def _example(path: str, location: Sequence[str | int]) -> str:
    example = EXAMPLES.get(path) or EXAMPLES.get(str(location[-1]))
    return f"write {example}" if example else f"write {expected(schema_at(location))}"


def _unknown_field(location: Sequence[str | int]) -> str:
    """Near names first, then the same name at another place, then all names."""
    wrong, known = str(location[-1]), list(schema_at(location[:-1]).get("properties", {}))
    near = nearest(wrong, known)
    if near is not None:
        return f"is not a field; did you mean {near}?"
    elsewhere = [path for path, _ in fields(run_schema()) if path.rsplit(".", 1)[-1] == wrong]
    if elsewhere:
        return f"is not a field here; it belongs to {' or '.join(elsewhere[:3])}"
    here = path_of(location[:-1]) or "a GPTFLRun"
    return f"is not a field; {here} has {', '.join(known)}"


def _choose(value: Any, known: Sequence[str]) -> str:
    near = nearest(value, known) if isinstance(value, str) else None
    return f"use {_one_of(known)}" + (f"; did you mean {near}?" if near else "")


_FAULTS = {
    "finite_number": "is not finite",
    "string_too_short": "is too short",
    "string_too_long": "is too long",
    "string_pattern_mismatch": "has the wrong form",
    "greater_than": "is out of range",
    "greater_than_equal": "is out of range",
    "less_than": "is out of range",
    "less_than_equal": "is out of range",
    "quantity": "is no quantity",
}
_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}


def _fault(kind: str, value: Any) -> str:
    """What is the matter with a value of which pydantic says `kind`."""
    if kind in _FAULTS:
        return _FAULTS[kind]
    if kind in ("too_short", "too_long"):
        return "has 1 entry" if len(value) == 1 else f"has {len(value)} entries"
    if kind == "string_type" and isinstance(value, (int, float)):
        return "is not a text (put it in quotes if it is meant)"
    return f"is {_KINDS[_TYPES.get(type(value), 'object')]}"


def _one_of(values: Sequence[str]) -> str:
    *others, last = map(str, values)
    return f"{', '.join(others)} or {last}" if others else last


def _range(schema: Schema) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if least is None or most is None:
        return ""
    lower = f"above {least:g}" if above else f"from {least}"
    upper = f"below {most}" if below else f"up to {most}" if above else f"to {most}"
    return f" {lower} {'and ' if above or below else ''}{upper}"


def _text(schema: Schema) -> str:
    least, most = schema.get("minLength", 0), schema.get("maxLength")
    pattern = schema.get("pattern")
    length = f"at most {most} characters" if most else "text"
    if pattern is not None:
        words = PATTERN_WORDS.get(pattern, f"text that matches {pattern}")
        return f"{words}{f', {length}' if most else ''}"
    if most:
        return f"a text of {least} to {most} characters" if least else f"a text of {length}"
    return "a text that is not empty" if least else "a text"
