"""A file is read as Kubernetes would read it, or refused in one line that names the line."""

from pathlib import Path

import pytest

from gptfl.errors import SpecError
from gptfl.spec.document import MAXIMUM_BYTES, parse_document, read_text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("rate: 1e-3", {"rate": 0.001}),
        ("rate: 2.5E+2", {"rate": 250.0}),
        ("rate: .5", {"rate": 0.5}),
        ("count: 1_000", {"count": 1000}),
        ("count: 0x10", {"count": 16}),
        ("day: 2026-11-24", {"day": "2026-11-24"}),
        ("time: 12:30", {"time": "12:30"}),
        ("version: 1.2.3", {"version": "1.2.3"}),
        ("yes: no", None),
        ("1: one", {"1": "one"}),
        ("a: &x [1]\nb: *x", {"a": [1], "b": [1]}),
        ("a: &b {x: 1, y: 2}\nc: {<<: *b, y: 3}", {"a": {"x": 1, "y": 2}, "c": {"x": 1, "y": 3}}),
        ("a: null\nb: ~\nc:", {"a": None, "b": None, "c": None}),
        ("\ufeffa: 1", {"a": 1}),
        ("", None),
    ],
)  # fmt: skip
def test_plain_values_are_those_of_kubernetes(text: str, value: object) -> None:
    if text == "yes: no":
        with pytest.raises(SpecError, match=r"^run.yaml:1: a field's name must be text"):
            parse_document(text, "run.yaml")
    else:
        assert parse_document(text, "run.yaml") == value


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\nb: 2\na: 3", "run.yaml:3: the field 'a' stands here a second time; drop one"),
        ("a: 1\n---\nb: 2", "run.yaml:2: a second document begins here; keep one run in a file"),
        ("a: 1\nb: c: d", "run.yaml:2: is not YAML: mapping values are not allowed"),
        ("a: [1, 2\n", "run.yaml:2: is not YAML: while parsing a flow sequence"),
        ("a:\n\t- b", "run.yaml:2: is not YAML: while scanning for the next token"),
        ("a: *x", "run.yaml:1: is not YAML: found undefined alias"),
        ("a: &x [*x]", "run.yaml:1: is too deep or too large"),
        ("? [a]\n: b", "run.yaml:1: a field's name must be text; put it in quotes"),
        ("a: !!python/name:os.system", "run.yaml:1: '' has no plain value"),
        ("a: !!binary aGk=", "run.yaml:1: only text, numbers, true and false have a place here"),
        ("a: !!int seven", "run.yaml:1: 'seven' has no plain value; put it in quotes"),
        ("a: \x07", "run.yaml: unacceptable character #x0007"),
    ],
)
def test_what_is_not_one_plain_document_is_refused(text: str, line: str) -> None:
    with pytest.raises(SpecError) as raised:
        parse_document(text, "run.yaml")

    assert str(raised.value).startswith(line)
    assert "\n" not in str(raised.value)


def test_aliases_cannot_blow_a_document_up() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]

    with pytest.raises(SpecError, match="is too deep or too large"):
        parse_document("\n".join(lines), "bomb.yaml")


def test_a_large_file_is_refused_before_it_is_read_as_yaml() -> None:
    with pytest.raises(SpecError, match=r"is larger than 1,000,000 bytes"):
        parse_document("#" * (MAXIMUM_BYTES + 1), "run.yaml")


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(SpecError, match="is too deep or too large"):
        parse_document("[" * 60 + "]" * 60, "run.yaml")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(SpecError) as raised:
            read_text(path)
        assert str(raised.value).startswith(f"{path}: ")


def test_a_file_in_another_encoding_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes("a: 1\nlabels: [café]".encode("latin-1"))

    with pytest.raises(SpecError, match=r"run.yaml:2: is not UTF-8 text; save it as UTF-8"):
        read_text(path)
