"""Whatever a file says, it loads or gives lines with paths; what loads survives a dump, and an API
server would take it."""

import json
from typing import Any

import jsonschema
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from gptfl.errors import SpecError
from gptfl.spec.base import canonical_json
from gptfl.spec.crd import crd
from gptfl.spec.document import parse_document
from gptfl.spec.load import dump_run, parse_run
from gptfl.spec.schema import Schema, run_schema

JUNK = some.one_of(
    some.none(), some.booleans(), some.integers(-5, 10**20), some.floats(), some.text(max_size=5),
    some.lists(some.integers(), max_size=2), some.dictionaries(some.text(max_size=3), some.none()),
)  # fmt: skip
TEXTS = {
    "uri": some.sampled_from(["sklearn://digits", "hf://a/b", "data/x"]),
    "source": some.sampled_from(["hf://a/b", "models/x"]),
    "templates": some.just("a {label}"),
    "instruction": some.just("Draw {label}."),
    "function": some.just("mine:best"),
    "mountPath": some.just("/weights"),
}
FEW: dict[str, list[Any]] = {
    "boolean": [False, True],
    "quantity": [0, 3, "500m", "4Gi", "1.5"],
}
NAMES = some.from_regex(r"[a-z]([a-z0-9]{0,5}[a-z0-9])?", fullmatch=True)
WORDS = some.text("abcdefghij {}äß'\":#\n", min_size=1, max_size=8).filter(str.strip)


def values(schema: Schema, name: str = "") -> some.SearchStrategy[Any]:
    """Values that the schema of a field allows."""
    kind = schema.get("type", "quantity")
    if "enum" in schema or kind in FEW:
        return some.sampled_from(schema.get("enum") or FEW[kind])
    if kind in ("integer", "number"):
        return numbers(schema)
    if kind == "string":
        return TEXTS.get(name, NAMES if "pattern" in schema else WORDS)
    if kind == "array":
        least = schema.get("minItems", 0)
        return some.lists(values(schema["items"], name), min_size=least, max_size=least + 2)
    if "properties" in schema:
        return sections(schema)
    return some.dictionaries(WORDS, values(schema["additionalProperties"]), max_size=2)


def numbers(schema: Schema) -> some.SearchStrategy[Any]:
    least, most = schema["minimum"], schema["maximum"]
    if schema["type"] == "integer":
        return some.integers(least, min(most, least + 20))
    return some.floats(least, most).filter(lambda number: least < number < most)


def sections(schema: Schema) -> some.SearchStrategy[dict[str, Any]]:
    members = {name: values(member, name) for name, member in schema["properties"].items()}
    needed = set(schema.get("required", ())) | {"apiVersion", "kind"} & set(members)
    return some.fixed_dictionaries(
        {name: value for name, value in members.items() if name in needed},
        optional={name: value for name, value in members.items() if name not in needed},
    )


RUNS = sections(run_schema())


def mend(run: dict[str, Any]) -> dict[str, Any]:
    """Takes out the contradictions that random fields nearly always have."""
    spec = run["spec"]
    spec["task"]["labels"] = [f"{label} {i}" for i, label in enumerate(spec["task"]["labels"])]
    spec["task"].pop("image", None)
    for path in (
        "pretraining.model", "pretraining.precision", "generation.guidance", "generation.generator",
        "generation.filters", "federation.strategy", "federation.clientsPerRound",
        "federation.minimumReplies", "federation.clients", "prompts.attributes",
    ):  # fmt: skip
        section, name = path.split(".")
        spec.get(section, {}).pop(name, None)
    spec.get("prompts", {}).update(templates=["a {label}"])
    spec["federation"]["simulation"] = {"dataset": {"uri": "sklearn://digits", "split": "mine"}}
    spec["evaluation"].pop("baselines", None)
    spec.pop("artifacts", None)
    for section in spec.values():
        for name in ("template", "workerTemplate", "clientTemplate", "predictorTemplate"):
            template = section.get(name, {}) if isinstance(section, dict) else {}
            for field in ("volumes", "volumeMounts"):
                template.pop(field, None)
    return run


settings.register_profile(
    "spec", max_examples=40, deadline=None, suppress_health_check=list(HealthCheck)
)
SETTINGS = settings.get_profile("spec")


@SETTINGS
@given(RUNS.map(mend))
def test_what_is_right_loads_and_survives_a_dump(run: dict[str, Any]) -> None:
    loaded = parse_run(run)
    again = parse_run(dump_run(loaded))

    assert again == loaded
    assert canonical_json(again) == canonical_json(loaded)
    frozen = parse_document(dump_run(loaded), "frozen")
    assert frozen == json.loads(json.dumps(frozen))
    SERVER.validate(frozen)


@SETTINGS
@given(RUNS)
def test_any_fields_load_or_are_named(run: dict[str, Any]) -> None:
    loads_or_names(run)


@SETTINGS
@given(RUNS, some.data())
def test_junk_anywhere_is_named(run: dict[str, Any], data: some.DataObject) -> None:
    place: Any = run
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(some.sampled_from(keys))
        below = place[key]
        if not isinstance(below, (dict, list)) or not below or data.draw(some.booleans()):
            break
        place = below
    place[key] = data.draw(JUNK)
    loads_or_names(run)


@SETTINGS
@given(some.text(max_size=60))
def test_any_text_is_refused_in_words(text: str) -> None:
    loads_or_names(text)


def loads_or_names(source: Any) -> None:
    try:
        parse_run(source)
    except SpecError as error:
        problems = error.problems
    else:
        return
    assert problems
    for problem in problems:
        assert problem.path
        assert "\n" not in problem.message
        assert ";" in problem.message or "," in problem.message


def _nullable(node: Any) -> Any:
    """Draft 4 has no `nullable`, which is OpenAPI's."""
    if isinstance(node, list):
        return [_nullable(item) for item in node]
    if not isinstance(node, dict):
        return node
    made = {key: _nullable(value) for key, value in node.items()}
    if made.pop("nullable", False) is True:
        made["type"] = [made["type"], "null"]
    return made


SERVER = jsonschema.Draft4Validator(
    _nullable(crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
)
