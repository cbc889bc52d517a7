"""pydantic's JSON Schema becomes a structural one; what has no such form is refused."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
from pydantic import ConfigDict, Field

from gptfl.spec.base import SpecModel
from gptfl.spec.crd import crd
from gptfl.spec.schema import (
    NotStructuralError,
    fields,
    filled_default,
    rewrite,
    run_schema,
    structural,
)


class Inner(SpecModel):
    """A part."""

    size: Annotated[int, Field(gt=0, lt=9)] = 3
    """How big."""


class Sized(SpecModel):
    """A named part."""

    name: str
    size: int = 1


class Colour(StrEnum):
    """Of the light."""

    RED = "Red"
    BLUE = "Blue"


class Ruled(SpecModel):
    """A part with a rule."""

    model_config = ConfigDict(
        json_schema_extra={"x-kubernetes-validations": [{"rule": "self.size > self.inner.size"}]}
    )
    size: int = 4
    inner: Inner = Inner()
    unset: Inner | None = None


class Outer(SpecModel):
    """A whole
    on two lines."""

    kind: Literal["Outer"] = "Outer"
    colour: Colour = Colour.RED
    """Which."""
    plain: Inner = Inner()
    """A part."""
    other: Inner = Inner(size=5)
    """Another part."""
    unset: Inner | None = None
    switched: Inner | None = Inner()
    ruled: Ruled = Ruled()
    parts: list[Sized] = Field(default=[])
    pair: tuple[float, float] = (0.0, 1.0)
    unique: Annotated[set[str], Field(max_length=3, default=set())]
    names: dict[str, int] | None = None


SIZE = {
    "description": "How big.",
    "type": "integer",
    "minimum": 0,
    "exclusiveMinimum": True,
    "maximum": 9,
    "exclusiveMaximum": True,
    "default": 3,
}


def member(name: str) -> dict[str, Any]:
    found: dict[str, Any] = structural(Outer)["properties"][name]
    return found


def test_references_are_put_in_place_with_the_fields_own_words() -> None:
    assert member("plain") == {
        "description": "A part.",
        "type": "object",
        "properties": {"size": SIZE},
        "default": {},
    }
    assert member("colour") == {
        "description": "Which.",
        "type": "string",
        "enum": ["Red", "Blue"],
        "default": "Red",
    }


def test_a_default_says_only_what_the_parts_own_defaults_do_not() -> None:
    assert member("other")["default"] == {"size": 5}
    assert filled_default(member("other")) == {"size": 5}
    assert filled_default(member("plain")) == {"size": 3}


def test_a_default_that_a_rule_reads_says_all() -> None:
    # The API server holds the default to the rule before it fills in the fields.
    assert member("ruled")["default"] == {"size": 4, "inner": {"size": 3}}


def test_null_is_unset_or_off() -> None:
    assert "nullable" not in member("unset")
    assert "default" not in member("unset")
    assert member("switched")["nullable"] is True
    assert member("switched")["default"] == {}


def test_lists_say_how_they_merge() -> None:
    assert member("parts")["x-kubernetes-list-type"] == "map"
    assert member("parts")["x-kubernetes-list-map-keys"] == ["name"]
    assert member("unique")["x-kubernetes-list-type"] == "set"
    assert "uniqueItems" not in member("unique")
    assert member("pair")["x-kubernetes-list-type"] == "atomic"


def test_tuples_constants_and_mappings() -> None:
    assert (member("pair")["minItems"], member("pair")["maxItems"]) == (2, 2)
    assert member("pair")["items"] == {"type": "number"}
    assert member("kind") == {"type": "string", "enum": ["Outer"], "default": "Outer"}
    assert member("names") == {"type": "object", "additionalProperties": {"type": "integer"}}


def test_descriptions_are_one_line() -> None:
    assert structural(Outer)["description"] == "A whole on two lines."


@pytest.mark.parametrize(
    "node",
    [
        {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        {"oneOf": [{"type": "string"}]},
        {"type": "object", "properties": {}, "discriminator": {"propertyName": "kind"}},
        {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}]},
        {"type": "array"},
        {"type": "object"},
        {"description": "anything"},
        {"$ref": "#/$defs/Loop"},
    ],
)
def test_what_no_server_takes_is_an_error_of_the_types(node: dict[str, Any]) -> None:
    loop = {"type": "object", "properties": {"again": {"$ref": "#/$defs/Loop"}}}

    with pytest.raises(NotStructuralError):
        rewrite(node, {"Loop": loop})


ALLOWED = {
    "additionalProperties", "default", "description", "enum", "exclusiveMaximum",
    "exclusiveMinimum", "format", "items", "maxItems", "maxLength", "maxProperties", "maximum",
    "minItems", "minLength", "minProperties", "minimum", "nullable", "pattern", "properties",
    "required", "type", "x-kubernetes-list-map-keys", "x-kubernetes-list-type",
    "x-kubernetes-validations", "x-kubernetes-int-or-string",
    "x-kubernetes-preserve-unknown-fields",
}  # fmt: skip
"""Of the words that an API server knows, those that we use."""


def nodes(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, node
    for name, below in node.get("properties", {}).items():
        yield from nodes(below, f"{path}.{name}")
    for word in ("items", "additionalProperties"):
        if word in node:
            yield from nodes(node[word], f"{path}[]")


def root() -> dict[str, Any]:
    found: dict[str, Any] = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


ALL = list(nodes(root()))


@pytest.mark.parametrize(("path", "node"), ALL, ids=[path for path, _ in ALL])
def test_every_node_of_the_crd_is_structural(path: str, node: dict[str, Any]) -> None:
    assert set(node) <= ALLOWED
    if "x-kubernetes-int-or-string" in node:
        assert "type" not in node
        return
    assert node["type"] in ("object", "array", "string", "number", "integer", "boolean")
    assert isinstance(node.get("exclusiveMinimum", True), bool)
    assert isinstance(node.get("exclusiveMaximum", True), bool)
    assert not ("properties" in node and "additionalProperties" in node)
    assert set(node.get("required", ())) <= set(node.get("properties", {}))
    if "default" in node:
        assert node["default"] is not None
    if node.get("x-kubernetes-list-type") == "map":
        keys = node["x-kubernetes-list-map-keys"]
        assert all(key in node["items"]["required"] for key in keys)
    if node.get("x-kubernetes-list-type") == "set":
        assert node["items"]["type"] in ("string", "integer", "number")


def test_of_the_metadata_only_the_name_is_bounded() -> None:
    assert set(root()["properties"]["metadata"]["properties"]) == {"name"}


def test_cel_costs_are_bounded_by_list_and_text_lengths() -> None:
    """An API server refuses a rule whose worst case is too dear; unbounded lists are that."""
    for path, node in ALL:
        for rule in node.get("x-kubernetes-validations", ()):
            if ".all(" in rule["rule"] or ".exists(" in rule["rule"]:
                lists = [below for _, below in nodes(node) if below.get("type") == "array"]
                assert all("maxItems" in below for below in lists), path


def test_every_field_has_words() -> None:
    silent = [path for path, node in fields(run_schema()) if not node.get("description")]

    assert silent == []
