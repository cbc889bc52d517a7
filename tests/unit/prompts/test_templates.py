"""Templates become prompts: seeded, different as long as they can be, and tidy."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptfl.errors import SpecError
from gptfl.prompts.templates import fill_instruction, fill_templates
from gptfl.spec.prompts import Attribute, PromptsSpec

STYLE = Attribute(name="style", values=["", "thin", "bold"])
SIZE = Attribute(name="size", values=["small", "big"])


def spec(*templates: str, per_label: int = 6, attributes: list[Attribute] | None = None):
    given = [STYLE, SIZE] if attributes is None else attributes
    return PromptsSpec(per_label=per_label, templates=list(templates), attributes=given)


def test_every_combination_comes_once_before_any_comes_twice() -> None:
    prompts = fill_templates("cat", spec("a {style} {size} {label}", per_label=12), seed=1)
    combinations = {
        f"a {style}{size} cat" for style in ("", "thin ", "bold ") for size in SIZE.values
    }
    assert set(prompts[:6]) == combinations
    assert prompts[6:] == prompts[:6]


def test_templates_take_turns() -> None:
    prompts = fill_templates("cat", spec("{style} {label}", "two of {label}", "{size} {label}"), 3)
    assert [
        any(word in prompt for prompt in prompts[:3]) for word in ("two", "small", "big")
    ].count(True) == 2
    assert len(set(prompts)) == 6


def test_the_same_seed_gives_the_same_prompts_and_another_gives_another_order() -> None:
    one = spec("a {style} {size} {label}")
    assert fill_templates("cat", one, 1) == fill_templates("cat", one, 1)
    orders = {tuple(fill_templates("cat", one, seed)) for seed in range(8)}
    assert len(orders) > 1


def test_another_label_changes_the_label_alone_for_the_same_seed() -> None:
    cats = fill_templates("cat", spec("a {style} {label}"), 5)
    dogs = fill_templates("dog", spec("a {style} {label}"), 5)
    assert [prompt.replace("cat", "dog") for prompt in cats] == dogs


@pytest.mark.parametrize(
    ("template", "tidy"),
    [
        ("a {none} {label}", "a cat"),
        ("{none} {label}", "cat"),
        ("a {label}, {none}, on paper", "a cat, on paper"),
        ("a {label} {none}.", "a cat."),
        ("{none}, a {label}", "a cat"),
        ("a {label}, {none}", "a cat"),
    ],
)
def test_a_word_left_out_leaves_no_gap(template: str, tidy: str) -> None:
    none = Attribute(name="none", values=[""])
    assert fill_templates("cat", spec(template, per_label=1, attributes=[none]), 0) == [tidy]


@pytest.mark.parametrize("label", ["{style}", "}{", "a  b", "C#, C", "日本", "\\1", "x\0y"])
def test_whatever_stands_in_a_label_stays(label: str) -> None:
    prompts = fill_templates(label, spec("a {style} {label}"), 0)
    assert all(prompt.endswith(label) for prompt in prompts)


def test_braces_in_attributes_are_text_and_doubled_ones_are_braces() -> None:
    odd = Attribute(name="odd", values=["{label}"])
    prompts = fill_templates("cat", spec("{{{odd}}} {label}", per_label=1, attributes=[odd]), 0)
    assert prompts == ["{{label}} cat"]


def test_an_attribute_named_twice_has_one_value() -> None:
    prompts = fill_templates("cat", spec("{size} {label}, really {size}", per_label=2), 0)
    assert all(
        Counter(prompt.replace(",", "").split())[prompt.split()[0]] == 2 for prompt in prompts
    )


def test_more_combinations_than_memory_holds_are_no_problem() -> None:
    many = [Attribute(name=f"a{i}", values=[f"{i}x{j}" for j in range(200)]) for i in range(50)]
    template = " ".join(f"{{a{i}}}" for i in range(50)) + " {label}"
    prompts = fill_templates("cat", spec(template, per_label=300, attributes=many), 0)
    assert len(set(prompts)) == 300
    # Every attribute varies, the last ones like the first.
    for place in (0, 49):
        assert len({prompt.split()[place] for prompt in prompts}) > 100


@given(
    st.lists(st.text(max_size=8), min_size=1, max_size=5),
    st.integers(1, 40),
    st.integers(0, 2**63 - 1),
)
def test_there_are_always_as_many_as_asked_for(values: list[str], count: int, seed: int) -> None:
    any_ = Attribute(name="any", values=values)
    prompts = fill_templates(
        "cat", spec("a {any} {label}", per_label=count, attributes=[any_]), seed
    )
    assert len(prompts) == count
    assert all("cat" in prompt for prompt in prompts)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("a {styl} {label}", "names {styl}; use {style} or {size} or {label}"),
        ("a {label", "has a brace without its partner"),
        ("a }{label}", "has a brace without its partner"),
    ],
)
def test_a_wrong_brace_is_named_by_its_place(template: str, said: str) -> None:
    with pytest.raises(SpecError, match=r"^spec\.prompts\.templates\[1\]: ") as caught:
        fill_templates("cat", spec("{label}", template), 0)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_templates_are_told() -> None:
    with pytest.raises(SpecError, match=r"^spec\.prompts\.templates: is empty"):
        fill_templates("cat", spec(), 0)


def test_an_instruction_keeps_its_lines() -> None:
    assert fill_instruction("Write:\n\n  {label} ", "a {b}") == "Write:\n\n  a {b} "


def test_a_wrong_brace_in_an_instruction_is_named() -> None:
    with pytest.raises(SpecError, match=r"languageModel\.instruction: .*use \{label\}"):
        fill_instruction("a {style}", "cat")
