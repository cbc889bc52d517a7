"""From pydantic's JSON Schema to a *structural* one: the form that a Kubernetes API server takes.

An API server refuses references, `null` in `anyOf`, numeric `exclusiveMinimum`, `const`,
`prefixItems`, `discriminator` and `uniqueItems`; each is rewritten here, and what has no
structural form is an error of the types, not of their user.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel

from gptfl.spec.run import GPTFLRun

Schema = dict[str, Any]
"""A JSON Schema node: JSON by nature, so it stays what it is."""

LIST_TYPE = "x-kubernetes-list-type"
MAP_KEYS = "x-kubernetes-list-map-keys"
VALIDATIONS = "x-kubernetes-validations"
INT_OR_STRING = "x-kubernetes-int-or-string"
PRESERVED = "x-kubernetes-preserve-unknown-fields"

_KEPT = (
    "description",
    "type",
    "format",
    "enum",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "required",
    LIST_TYPE,
    MAP_KEYS,
    VALIDATIONS,
    INT_OR_STRING,
)
_UNKNOWN_TO_KUBERNETES = ("discriminator", "oneOf", "not", "if", "patternProperties")


class NotStructuralError(TypeError):
    """A type has no structural schema; the type has to change."""


def structural(model: type[BaseModel]) -> Schema:
    """The structural schema of a model: fields by their names in files, nothing by reference."""
    schema = model.model_json_schema(by_alias=True, mode="validation")
    return rewrite(schema, schema.get("$defs", {}))


@cache
def run_schema() -> Schema:
    """The schema of a whole GPTFLRun, without its status; not to be changed."""
    return structural(GPTFLRun)


def rewrite(node: Schema, definitions: Mapping[str, Schema], seen: tuple[str, ...] = ()) -> Schema:
    """One node and all below it in structural form. Raises NotStructuralError where none exists."""
    node, seen = _resolved(node, definitions, seen)
    for word in _UNKNOWN_TO_KUBERNETES:
        if word in node:
            raise NotStructuralError(f"{word!r} has no structural form in {node}")
    made: Schema = {word: node[word] for word in _KEPT if word in node}
    if "description" in made:
        made["description"] = " ".join(made["description"].split())
    if "const" in node:
        made |= {"enum": [node["const"]], "type": made.get("type", "string")}
    if node.get("nullable"):
        made["nullable"] = True
    _bounds(node, made)
    if made.get("type") == "array":
        _items(node, made, definitions, seen)
    if made.get("type") == "object":
        _members(node, made, definitions, seen)
    if "type" not in made and INT_OR_STRING not in made:
        raise NotStructuralError(f"no type in {node}")
    if "default" in node:
        made["default"] = _sparse(node["default"], made)
    return made


def _resolved(
    node: Schema, definitions: Mapping[str, Schema], seen: tuple[str, ...]
) -> tuple[Schema, tuple[str, ...]]:
    """The node with references, single `allOf` and `X or null` replaced by what they stand for."""
    while True:
        if "$ref" in node:
            name = node["$ref"].rsplit("/", 1)[-1]
            if name in seen:
                raise NotStructuralError(f"{name} contains itself")
            seen = (*seen, name)
            node = definitions[name] | {key: node[key] for key in node if key != "$ref"}
        elif len(node.get("allOf", ())) == 1:
            node = node["allOf"][0] | {key: node[key] for key in node if key != "allOf"}
        elif "anyOf" in node:
            node = _without_null(node)
        else:
            return node, seen


def _without_null(node: Schema) -> Schema:
    """Kubernetes drops a null before it fills in a default, so only a field whose default is not
    null has to be nullable: there null means off, and elsewhere it means unset."""
    branches = [branch for branch in node["anyOf"] if branch.get("type") != "null"]
    if len(branches) != 1 or len(branches) == len(node["anyOf"]):
        raise NotStructuralError(f"a choice of types has no structural form: {node}")
    rest = {key: node[key] for key in node if key != "anyOf"}
    if rest.get("default", ...) is None:
        del rest["default"]
    elif "default" in rest:
        rest["nullable"] = True
    only: Schema = branches[0]
    return only | rest


def _bounds(node: Schema, made: Schema) -> None:
    """Draft 4, which Kubernetes speaks, has `exclusiveMinimum: true` beside `minimum`."""
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if exclusive in node:
            made |= {bound: node[exclusive], exclusive: True}


def _items(
    node: Schema, made: Schema, definitions: Mapping[str, Schema], seen: tuple[str, ...]
) -> None:
    if "prefixItems" in node:
        first, *others = node["prefixItems"]
        if any(other != first for other in others):
            raise NotStructuralError(f"a tuple of unlike things has no structural form: {node}")
        node = node | {"items": first}
        made |= {"minItems": 1 + len(others), "maxItems": 1 + len(others)}
    if "items" not in node:
        raise NotStructuralError(f"a list must say of what: {node}")
    made["items"] = rewrite(node["items"], definitions, seen)
    if node.get("uniqueItems"):
        made[LIST_TYPE] = "set"
    elif LIST_TYPE not in made and "name" in made["items"].get("required", ()):
        made |= {LIST_TYPE: "map", MAP_KEYS: ["name"]}
    else:
        made.setdefault(LIST_TYPE, "atomic")


def _members(
    node: Schema, made: Schema, definitions: Mapping[str, Schema], seen: tuple[str, ...]
) -> None:
    """Fields, or for a mapping the type of its values; unknown fields are pruned by the server,
    except in what is passed on to Kubernetes as it stands."""
    if node.get("additionalProperties") not in (None, False) and "properties" in node:
        made[PRESERVED] = True
    if "properties" in node:
        made["properties"] = {
            name: rewrite(member, definitions, seen) for name, member in node["properties"].items()
        }
    elif isinstance(node.get("additionalProperties"), dict):
        made["additionalProperties"] = rewrite(node["additionalProperties"], definitions, seen)
    else:
        raise NotStructuralError(f"an object must say what it holds: {node}")


def _sparse(default: Any, made: Schema, *, whole: bool = False) -> Any:
    """The default without what the fields' own defaults say: the server fills those in itself. But
    it holds a default to the object's rules before it does so, and those want to read all fields.
    """
    if not isinstance(default, Mapping) or "properties" not in made:
        return default
    whole = whole or VALIDATIONS in made
    members = made["properties"]
    return {
        name: _sparse(value, members[name], whole=whole)
        for name, value in default.items()
        if value is not None and (whole or value != filled_default(members[name]))
    }


def filled_default(schema: Schema) -> Any:
    """The default with everything below it filled in; None when there is none."""
    default = schema.get("default")
    if not isinstance(default, Mapping) or "properties" not in schema:
        return default
    below = {name: filled_default(member) for name, member in schema["properties"].items()}
    return {name: value for name, value in (below | dict(default)).items() if value is not None}


def fields(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Every field with its path, depth first in the order of the types: `spec.task.labels`, and
    `spec.federation.clients[].name` for what a list holds."""
    for name, member in schema.get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        yield here, member
        yield from fields(member.get("items", member), f"{here}[]" if "items" in member else here)
