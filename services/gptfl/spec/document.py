"""Reads the one YAML document of a file as Kubernetes would, and says in which line it is wrong."""

import re
from pathlib import Path
from typing import Any

import yaml

from gptfl.errors import SpecError

MAXIMUM_BYTES = 1_000_000
"""Kubernetes keeps a resource of about this size at most."""
MAXIMUM_NODES = 200_000
"""Values in a document, each alias counted as what it stands for."""
MAXIMUM_DEPTH = 40

Json = dict[str, Any] | list[Any] | str | int | float | bool | None

_TAG = "tag:yaml.org,2002:"


class _Loader(yaml.CSafeLoader):
    """Plain scalars as in Kubernetes: `1e-3` is a number, times and dates are text."""


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag not in (f"{_TAG}float", f"{_TAG}int", f"{_TAG}timestamp")
    ]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    f"{_TAG}int",
    re.compile(r"^[-+]?(0b[01_]+|0[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)$"),
    list("-+0123456789"),
)
_Loader.add_implicit_resolver(
    f"{_TAG}float",
    re.compile(
        r"^([-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)([eE][-+]?[0-9]+)?"
        r"|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$"
    ),
    list("-+0123456789."),
)


def read_text(path: Path) -> str:
    """The text of a file; raises SpecError with one line when it cannot be read."""
    try:
        data = path.read_bytes()
    except OSError as error:
        hint = "give the path of a GPTFLRun file, such as examples/digits.yaml"
        raise SpecError.of(str(path), f"{error.strerror or error}; {hint}") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise SpecError.of(f"{path}:{line}", "is not UTF-8 text; save it as UTF-8") from error


def parse_document(text: str, name: str) -> Json:
    """The JSON value of the one document in `text`; `name` stands before the line in an error.

    Raises SpecError for wrong YAML, several documents, a field twice, or a document beyond the
    bounds of this module.
    """
    if len(text.encode()) > MAXIMUM_BYTES:
        raise SpecError.of(name, f"is larger than {MAXIMUM_BYTES:,} bytes; a run must be smaller")
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        return _Builder(loader, name).build(node, 0) if node is not None else None
    except yaml.MarkedYAMLError as error:
        raise SpecError.of(_place(name, error), _syntax(error)) from error
    except yaml.YAMLError as error:
        raise SpecError.of(
            name, f"{' '.join(str(error).split())}; save it as plain text"
        ) from error
    finally:
        loader.dispose()


def _place(name: str, error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return f"{name}:{mark.line + 1}" if mark is not None else name


def _syntax(error: yaml.MarkedYAMLError) -> str:
    if error.context == "expected a single document in the stream":
        return "a second document begins here; keep one run in a file"
    said = ", ".join(part for part in (error.context, error.problem) if part)
    return f"is not YAML: {said}; check indentation, colons and quotes here and in the line above"


class _Builder:
    """Turns YAML nodes into JSON values, within bounds that aliases cannot get around."""

    def __init__(self, loader: _Loader, name: str) -> None:
        self._loader = loader
        self._name = name
        self._nodes = 0

    def build(self, node: yaml.Node, depth: int) -> Json:
        self._nodes += 1
        if self._nodes > MAXIMUM_NODES or depth > MAXIMUM_DEPTH:
            raise self._wrong(node, "is too deep or too large; write it without nested aliases")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, depth + 1) for item in node.value]
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, Json]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = self._key(key_node)
            if key in seen:
                raise self._wrong(
                    key_node, f"the field {key!r} stands here a second time; drop one"
                )
            seen.add(key)
        self._loader.flatten_mapping(node)
        return {self._key(key): self.build(value, depth + 1) for key, value in node.value}

    def _key(self, node: yaml.Node) -> str:
        """A field's name; a whole number is taken as text, as Kubernetes does."""
        value = self._scalar(node) if isinstance(node, yaml.ScalarNode) else node
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise self._wrong(node, "a field's name must be text; put it in quotes")
        return str(value)

    def _scalar(self, node: yaml.Node) -> Json:
        if node.tag == f"{_TAG}merge":
            return "<<"
        try:
            value = self._loader.construct_object(node)
        except (ValueError, yaml.YAMLError) as error:
            raise self._wrong(
                node, f"{node.value!r} has no plain value; put it in quotes"
            ) from error
        if value is None or isinstance(value, (str, int, float, bool)):
            return value
        raise self._wrong(node, "only text, numbers, true and false have a place here; use quotes")

    def _wrong(self, node: yaml.Node, message: str) -> SpecError:
        return SpecError.of(f"{self._name}:{node.start_mark.line + 1}", message)
