"""The words for a glyph: a prompt of the training says only what is true of its image."""

from __future__ import annotations

import numpy as np

from tools.glyphs.render import Glyph

Random = np.random.Generator

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
WEIGHTS = {
    "thin": ("thin", "thin", "fine", "light"),
    "medium": ("medium", "medium", "regular", "normal"),
    "bold": ("bold", "bold", "thick", "heavy"),
}
SLANTS = {
    "upright": ("upright", "upright", "straight", "vertical"),
    "slanted": ("slanted", "slanted", "italic", "right-leaning"),
    "left-leaning": ("left-leaning", "left-leaning", "backslanted"),
}
STYLES = {
    "handwritten": ("handwritten", "handwritten", "hand-written", "hand-drawn"),
    "cursive": ("cursive", "cursive", "script"),
    "printed": ("printed", "printed", "typed", "typeset"),
}
TAILS = {
    "handwritten": ("written by hand", "in handwriting", "in a handwritten style"),
    "cursive": ("in cursive", "in a cursive style"),
    "printed": ("in print", "in a printed style", "in a book font"),
    "thin": ("with a thin pen", "in thin strokes"),
    "medium": ("with a medium pen", "in medium strokes"),
    "bold": ("with a thick pen", "in bold strokes", "with a marker"),
}
FRAMES = (
    "a photo of", "a picture of", "an image of", "a drawing of", "a scan of", "a photograph of",
    "an illustration of", "a black and white image of", "a grayscale image of", "a sketch of",
    "a close-up of", "a clear image of",
)  # fmt: skip
# Words that say nothing about the shape: the pipeline learns to pass over them.
FILLERS = (
    "neat", "messy", "clean", "simple", "centered", "scanned", "sharp", "single", "high quality",
    "white", "black", "realistic", "beautiful", "clear", "natural", "casual", "quick", "careful",
    "rounded", "paper", "pen", "pencil", "style", "someone's", "child's", "the", "of", "in",
    "with", "and", "on", "shape", "symbol", "writing", "example", "sample", "class", "label",
    "by",
)  # fmt: skip
ENDINGS = (
    "white on black", "on a black background", "on black", "on a plain background", "centered",
    "in white ink", "high contrast", "on paper", "in a dataset", "isolated", "28x28",
    "low resolution",
)  # fmt: skip


def weight(glyph: Glyph) -> str:
    """By the width of the pen in the finished image."""
    return "thin" if glyph.stroke < 3.4 else "medium" if glyph.stroke < 5.2 else "bold"


def slant(glyph: Glyph) -> str:
    """By the lean of the font and what was added to it."""
    return "slanted" if glyph.slant > 0.16 else "left-leaning" if glyph.slant < -0.13 else "upright"


def prompt(glyph: Glyph, random: Random) -> str:
    """One of the many ways to ask for this glyph."""
    noun = _noun(glyph.character, random)
    if random.random() < 0.12:
        return noun
    before, after = _attributes(glyph, random)
    if random.random() < 0.12:
        before.insert(int(random.integers(len(before) + 1)), _pick(FILLERS, random))
    words = " ".join([*before, noun])
    if random.random() < 0.25:
        article = _pick(("the", "the", "a", ""), random)
        words = f"{_pick(FRAMES, random)} {article} {words}"
    elif random.random() < 0.7:
        words = f"{_pick(('a', 'a', 'a', 'the', 'one'), random)} {words}"
    words = " ".join([words, *after])
    if random.random() < 0.12:
        words += f"{_pick((',', ''), random)} {_pick(ENDINGS, random)}"
    return " ".join(words.split()) + ("." if random.random() < 0.04 else "")


def _noun(character: str, random: Random) -> str:
    if character.isdigit():
        name = DIGITS[int(character)] if random.random() < 0.6 else character
        kind = _pick(
            ("digit", "digit", "digit", "number", "number", "numeral", "figure", ""), random
        )
        return f"{kind} {name}".strip()
    case = _pick(
        ("capital", "uppercase") if character.isupper() else ("small", "lowercase"), random
    )
    kind = _pick(("letter", "letter", "letter", "character", ""), random)
    order = random.random()
    if order < 0.1:
        return f"letter {character.lower()}"  # either case
    return (
        " ".join((f"{kind} {case}" if order < 0.65 else f"{case} {kind}").split())
        + f" {character.lower()}"
    )


def _attributes(glyph: Glyph, random: Random) -> tuple[list[str], list[str]]:
    """Words before the noun in the usual or a mixed order, and at most one phrase after it."""
    chosen: list[tuple[str, str]] = []
    if random.random() < 0.5:
        chosen.append((weight(glyph), _pick(WEIGHTS[weight(glyph)], random)))
    if random.random() < 0.45:
        chosen.append((slant(glyph), _pick(SLANTS[slant(glyph)], random)))
    if random.random() < 0.65:
        chosen.append((glyph.style, _pick(STYLES[glyph.style], random)))
    if random.random() < 0.25:
        random.shuffle(chosen)
    for number, (value, _) in enumerate(chosen):
        if value in TAILS and random.random() < 0.12:
            del chosen[number]
            return [word for _, word in chosen], [_pick(TAILS[value], random)]
    return [word for _, word in chosen], []


def _pick(choices: tuple[str, ...], random: Random) -> str:
    return choices[int(random.integers(len(choices)))]
