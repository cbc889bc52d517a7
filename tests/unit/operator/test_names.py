"""Names are legal whatever the run is called, and differ where objects do."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as some

from gptfl_operator.names import digest8, object_name

NAME = some.from_regex(r"[a-z0-9]([a-z0-9-]{0,50}[a-z0-9])?", fullmatch=True)
LEGAL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


@given(NAME, some.from_regex(r"client-[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", fullmatch=True))
def test_a_name_is_a_dns_label_of_63_characters(run: str, part: str) -> None:
    name = object_name(run, part, digest8(run, part))

    assert len(name) <= 63
    assert LEGAL.fullmatch(name)
    assert name.endswith(digest8(run, part))


@pytest.mark.parametrize(
    ("run", "part", "digest", "name"),
    [
        ("digits", "prompts", "0badc0de", "digits-prompts-0badc0de"),
        ("digits", "aggregator", "", "digits-aggregator"),
        ("a" * 52, "pretraining", "0badc0de", "a" * 42 + "-pretraining-0badc0de"),
        ("a" * 52, "aggregator", "", "a" * 52 + "-aggregator"),
    ],
)
def test_short_names_say_what_they_are(run: str, part: str, digest: str, name: str) -> None:
    assert object_name(run, part, digest) == name
