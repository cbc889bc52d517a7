"""Explains a field to a person, as `kubectl explain` does."""

import json
import textwrap
from collections.abc import Iterator

from gptfl.errors import SpecError
from gptfl.spec.schema import Schema, fields, filled_default, run_schema
from gptfl.spec.words import expected, nearest

WIDTH = 88


def explain(path: str) -> str:
    """What a field means, may be and is by default, and the fields below it.

    `path` is as in an error line; `spec.` may be left out, and so may the index of a list.
    Raises SpecError with the nearest name for a field that is not there.
    """
    found, schema = find_field(path)
    return "\n".join([*_itself(found, schema), *_below(schema)])


def find_field(path: str) -> tuple[str, Schema]:
    """The full path and the schema of a field; the whole run for an empty path."""
    if not path:
        return "GPTFLRun", run_schema()
    plain = "".join(part.partition("]")[2] if "]" in part else part for part in path.split("["))
    known = {name.replace("[]", ""): (name, schema) for name, schema in fields(run_schema())}
    for candidate in (plain, f"spec.{plain}"):
        if candidate in known:
            return known[candidate]
    last = plain.rsplit(".", 1)[-1].lower()
    meant = [name for name in known if name.rsplit(".", 1)[-1].lower() == last][:3]
    if not meant:
        near = nearest(plain, known) or nearest(f"spec.{plain}", known)
        meant = [near] if near else []
    hint = f"did you mean {' or '.join(meant)}?" if meant else "try spec"
    raise SpecError.of(path, f"is not a field of a GPTFLRun; {hint}")


def default_words(schema: Schema) -> str:
    """The default in one line of YAML; empty when there is none."""
    default = filled_default(schema)
    if default is None:
        return ""
    if isinstance(default, str):
        return default
    return json.dumps(default, ensure_ascii=False) if default != {} else ""


def is_branch(schema: Schema) -> bool:
    """Whether there are fields below, so that the fields say more than their parent's default."""
    return "properties" in schema or "properties" in schema.get("items", {})


def _itself(path: str, schema: Schema) -> Iterator[str]:
    yield path
    if not is_branch(schema):
        yield f"  is        {expected(schema)}"
        yield f"  default   {default_words(schema) or 'none'}"
    elif schema.get("nullable"):
        yield "  may be null, which switches it off"
    yield ""
    yield textwrap.fill(
        schema.get("description", ""), WIDTH, initial_indent="  ", subsequent_indent="  "
    )


def _below(schema: Schema) -> Iterator[str]:
    """The fields of a section, or of what a list holds."""
    holder = schema.get("items", schema)
    members = holder.get("properties", {})
    if not members:
        return
    yield ""
    yield "  each entry has" if "items" in schema else "  fields"
    width = max(map(len, members))
    for name, member in members.items():
        need = " (required)" if name in holder.get("required", ()) else ""
        first = member.get("description", "").split(". ")[0].rstrip(".")
        text = f"    {name:<{width}}  {first}{need}"
        yield textwrap.fill(text, WIDTH, subsequent_indent=" " * (width + 6))
