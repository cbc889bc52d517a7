"""The reference page of the resource, derived from the types: a table for each section."""

from collections.abc import Iterator

from gptfl.spec.explain import default_words, is_branch
from gptfl.spec.schema import Schema, run_schema, structural
from gptfl.spec.status import Status
from gptfl.spec.words import expected

INTRODUCTION = """\
# The GPTFLRun resource

<!-- Derived from services/gptfl/spec by `make generate`; change the types, not this. -->

Every field of a run, in the order of the file. `gptfl explain FIELD` shows the same on the
terminal, and `gptfl validate FILE` says in one line for each field what is wrong with it.

```yaml
apiVersion: gptfl.io/v1alpha1
kind: GPTFLRun
metadata:
  name: digits
spec: …
```
"""

Written = list[tuple[Schema, str]]
"""The fields that have a table, and in which section: the same ones get a link to it."""


def reference_page() -> str:
    """`docs/reference/run.md`."""
    run = run_schema()["properties"]
    written: Written = []
    spec = [
        *_section("metadata", run["metadata"], written),
        *_section("spec", run["spec"], written),
    ]
    status = ["## Status on a cluster", "", *_table(structural(Status), "status")]
    return "\n".join([INTRODUCTION, *spec, *status, ""])


def _section(path: str, schema: Schema, written: Written) -> Iterator[str]:
    """A heading, what the section is for, a table of its fields, and the sections below it."""
    holder = schema.get("items", schema)
    yield f"## {path}"
    yield ""
    yield schema.get("description", "")
    yield ""
    earlier = next((at for fields, at in written if fields == holder["properties"]), None)
    if earlier is not None:
        yield from (f"The fields are those of [{earlier}](#{_anchor(earlier)}).", "")
        return
    written.append((holder["properties"], path))
    yield from _table(holder, path)
    for name, member in holder["properties"].items():
        if is_branch(member):
            yield from _section(
                f"{path}.{name}{'[]' if 'items' in member else ''}", member, written
            )


def _table(holder: Schema, path: str) -> Iterator[str]:
    yield "| field | may be | default | meaning |"
    yield "| --- | --- | --- | --- |"
    required = holder.get("required", ())
    for name, member in holder["properties"].items():
        yield f"| {' | '.join(_row(path, name, member, is_required=name in required))} |"
    yield ""


def _row(path: str, name: str, member: Schema, *, is_required: bool) -> tuple[str, ...]:
    default = default_words(member)
    if is_branch(member):
        kind = "a list" if "items" in member else "a section"
        below = f"{path}.{name}{'[]' if 'items' in member else ''}"
        link = f"[{kind}](#{_anchor(below)})" if not path.startswith("status") else kind
        cell = "off" if not is_required and "default" not in member else ""
        words, shown = link, cell
    else:
        words, shown = expected(member), f"`{default}`" if default else ""
    if member.get("nullable"):
        words += ", or null: off"
    if is_required:
        shown = "**required**"
    return f"`{name}`", _cell(words), _cell(shown), _cell(member.get("description", ""))


def _anchor(heading: str) -> str:
    """As GitHub makes it: small letters, no punctuation."""
    return "".join(letter for letter in heading.lower() if letter.isalnum() or letter in "-_ ")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
