"""Fills templates with attributes and a label: the prompts that need no language model."""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from string import Formatter

from gptfl.errors import SpecError
from gptfl.seeds import derive_seed
from gptfl.spec.base import canonical_json, sha256
from gptfl.spec.prompts import PromptsSpec


def fill_templates(label: str, spec: PromptsSpec, seed: int) -> list[str]:
    """`spec.perLabel` prompts for `label`, drawn by `seed`.

    Templates take turns; each goes through the combinations of its attributes in a random order.
    No prompt comes twice before all of them have come once. The label is put in last and as it
    is, so whatever stands in it (braces, commas, blanks) stays. Raises SpecError for a template
    that names what is neither an attribute nor the label.
    """
    words = {
        attribute.name: tuple(dict.fromkeys(attribute.values)) for attribute in spec.attributes
    }
    turns = [
        _Template.parse(text, words, f"spec.prompts.templates[{index}]").sentences(
            derive_seed(seed, "template", index)
        )
        for index, text in enumerate(spec.templates)
    ]
    sentences: dict[str, None] = {}
    while turns and len(sentences) < spec.per_label:
        turns = [turn for turn in turns if _add_new(turn, sentences)]
    distinct = list(sentences)
    if not distinct:
        raise SpecError.of("spec.prompts.templates", "is empty; give one such as 'a {label}'")
    return [
        distinct[index % len(distinct)].replace(_LABEL, label) for index in range(spec.per_label)
    ]


def fill_instruction(instruction: str, label: str) -> str:
    """What a language model is told about `label`."""
    template = _Template.parse(instruction, {}, "spec.prompts.languageModel.instruction")
    return template.filled(0).replace(_LABEL, label)


_LABEL = "\0"
"""Stands for the label until a sentence is tidied, so that the label itself is left alone."""


def _add_new(turn: Iterator[str], sentences: dict[str, None]) -> bool:
    """Adds the template's next sentence that is not there yet; False when it has none left."""
    for sentence in turn:
        if sentence not in sentences:
            sentences[sentence] = None
            return True
    return False


@dataclass(frozen=True)
class _Template:
    """A template as literal text, each piece followed by the name in the brace behind it."""

    pieces: tuple[tuple[str, str | None], ...]
    words: Mapping[str, Sequence[str]]
    """What each name in it may be."""

    @classmethod
    def parse(cls, text: str, words: Mapping[str, Sequence[str]], field: str) -> "_Template":
        known = {**words, "label": (_LABEL,)}
        try:
            parsed = Formatter().parse(text.replace(_LABEL, " "))
            pieces = tuple((literal, name) for literal, name, _, _ in parsed)
            names = dict.fromkeys(name for _, name in pieces if name is not None)
            return cls(pieces, {name: known[name] for name in names})
        except ValueError as error:
            raise SpecError.of(
                field, f"{text!r} has a brace without its partner; write {{{{ for a brace itself"
            ) from error
        except KeyError as error:
            braces = " or ".join(f"{{{name}}}" for name in known)
            raise SpecError.of(
                field, f"{text!r} names {{{error.args[0]}}}; use {braces}"
            ) from error

    def sentences(self, seed: int) -> Iterator[str]:
        """Every combination once, in a random order."""
        for index in _shuffled(prod(map(len, self.words.values())), seed):
            yield _tidy(self.filled(index))

    def filled(self, index: int) -> str:
        """The combination of that number: its digits, one to a name, choose the words."""
        chosen: dict[str | None, str] = {None: ""}
        for name, values in self.words.items():
            index, digit = divmod(index, len(values))
            chosen[name] = values[digit]
        return "".join(literal + chosen[name] for literal, name in self.pieces)


def _tidy(sentence: str) -> str:
    """Takes away what a left-out word leaves behind: double blanks, a blank before a comma."""
    sentence = re.sub(r"\s+", " ", sentence)
    sentence = re.sub(r"\s+([,;:.!?])", r"\1", sentence)
    sentence = re.sub(r"([,;:])(?:\s*[,;:])+", r"\1", sentence)
    return sentence.strip(" ,;:")


def _shuffled(total: int, seed: int) -> Iterator[int]:
    """The numbers below `total` in a random order: Fisher-Yates on an array that stays virtual.

    A few attributes make more combinations than fit in memory, and few of them are wanted.
    """
    moved: dict[int, int] = {}
    for drawn in itertools.count():
        last = total - 1 - drawn
        if last < 0:
            return
        chosen = _draw(last + 1, seed, drawn)
        yield moved.get(chosen, chosen)
        tail = moved.pop(last, last)
        if chosen != last:
            moved[chosen] = tail


def _draw(below: int, *path: int) -> int:
    """An even draw from 0 to `below`, of as many bits as that takes and 256 or more to spare."""
    blocks = range(below.bit_length() // 256 + 2)
    return int("".join(sha256(canonical_json([*path, block])) for block in blocks), 16) % below
