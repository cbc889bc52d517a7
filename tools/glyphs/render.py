"""Draws the training images: one glyph, white on black, filling a 32 x 32 frame."""

from __future__ import annotations

import functools
import string
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage  # type: ignore[import-untyped]

from tools.glyphs import strokes
from tools.glyphs.fonts import Face

Pixels = NDArray[np.uint8]
Random = np.random.Generator

SIZE = 32
CANVAS = strokes.CANVAS
BODY = strokes.BODY
DIGIT_WIDTH = 27  # written digits are higher than wide: the outer columns stay dark
# Cubic interpolation of five knots over the canvas, as a matrix.
SMOOTH = np.stack(
    [ndimage.zoom(row, CANVAS / 5, order=3, grid_mode=True, mode="nearest") for row in np.eye(5)], 1
).astype(np.float32)


@dataclass(frozen=True)
class Glyph:
    """A drawn character and what is true of it: the words of its prompts come from here."""

    pixels: Pixels
    character: str
    style: str
    stroke: float  # width of its pen in pixels of the 32
    slant: float  # horizontal shift for one unit of height; positive leans right


@dataclass(frozen=True)
class Mix:
    """How often what is drawn."""

    digits: float = 0.62
    pen: float = 0.45  # of digits: drawn by strokes, not from a font
    printed: float = 0.22  # of glyphs from fonts
    cursive: float = 0.08


class Renderer:
    """Draws random glyphs from the fonts and the pen."""

    def __init__(self, faces: list[Face], mix: Mix) -> None:
        self.mix = mix
        self.packages: dict[str, dict[str, list[Face]]] = {}
        for face in faces:
            self.packages.setdefault(face.style, {}).setdefault(face.package, []).append(face)

    def __call__(self, random: Random) -> Glyph:
        if random.random() < self.mix.digits:
            return self.draw(str(random.integers(10)), random)
        return self.draw(str(random.choice(list(string.ascii_letters))), random)

    def draw(self, character: str, random: Random) -> Glyph:
        if character.isdigit() and random.random() < self.mix.pen:
            shape = strokes.draw(int(character), random)
            return _finish(_ink(shape), character, "handwritten", 0.0, random)
        style = str(
            random.choice(
                ["printed", "cursive", "handwritten"],
                p=[self.mix.printed, self.mix.cursive, 1 - self.mix.printed - self.mix.cursive],
            )
        )
        face = self._face(style, character, random)
        return _finish(_ink(outline(face, character)), character, style, lean(face), random)

    def _face(self, style: str, character: str, random: Random) -> Face:
        """Packages are equally likely however many weights each has."""
        while True:
            names = list(self.packages[style])
            faces = self.packages[style][names[random.integers(len(names))]]
            face = faces[random.integers(len(faces))]
            if face.has_small_letters or not character.islower():
                return face


def _ink(pixels: Pixels) -> NDArray[np.float32]:
    return pixels.astype(np.float32) / np.float32(255)


@functools.lru_cache(maxsize=40_000)
def outline(face: Face, character: str) -> Pixels:
    """The bare glyph in the middle of the canvas."""
    font = _font(face, 72)
    left, top, right, bottom = font.getbbox(character)
    image = Image.new("L", (int(right - left) + 8, int(bottom - top) + 8))
    ImageDraw.Draw(image).text((4 - left, 4 - top), character, font=font, fill=255)
    glyph = image.crop(image.getbbox())
    scale = min(BODY / glyph.height, (CANVAS - 8) / glyph.width)
    glyph = glyph.resize((max(1, round(glyph.width * scale)), max(1, round(glyph.height * scale))))
    canvas = Image.new("L", (CANVAS, CANVAS))
    canvas.paste(glyph, ((CANVAS - glyph.width) // 2, (CANVAS - glyph.height) // 2))
    return np.asarray(canvas)


@functools.lru_cache(maxsize=1024)
def _font(face: Face, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(face.path), size)


@functools.lru_cache(maxsize=1024)
def lean(face: Face) -> float:
    """How far the font's straight letters lean: the slope of the middle of I."""
    rows = outline(face, "I").astype(np.float64)
    y, x = np.mgrid[:CANVAS, :CANVAS]
    total = rows.sum()
    dx, dy = x - (x * rows).sum() / total, y - (y * rows).sum() / total
    return float(-(dx * dy * rows).sum() / (dy * dy * rows).sum())


def _finish(
    shape: NDArray[np.float32], character: str, style: str, lean: float, random: Random
) -> Glyph:
    """Bend, slant and thicken the shape as its style allows, then fit it to the frame."""
    by_hand = style != "printed"
    shear = (
        float(random.normal(0.05, 0.2))
        if by_hand
        else float(random.choice([0.0, 0.22], p=[0.75, 0.25]))
    )
    turn = float(random.normal(0, 0.09)) if by_hand else 0.0
    bent = _bend(shape, shear, turn, 1.7 if by_hand else 0.4, random)
    height = float(np.ptp(np.flatnonzero((bent > 0.5).any(axis=1)))) + 1
    frame = SIZE if random.random() < 0.6 else float(random.uniform(26, SIZE))
    scale = frame / height
    wanted = float(random.uniform(2.4, 7.6)) / scale
    solid, pen = _thicken(bent, wanted, 1.0 if by_hand else 0.35)
    pixels, zoom = _fit(solid, frame, DIGIT_WIDTH if character.isdigit() else SIZE, random)
    return Glyph(pixels, character, style, pen * zoom, lean + shear - turn)


def _bend(
    shape: NDArray[np.float32], shear: float, turn: float, strength: float, random: Random
) -> NDArray[np.float32]:
    middle = (CANVAS - 1) / 2
    cos, sin = np.cos(turn), np.sin(turn)
    matrix = np.array([[cos, -sin], [sin, cos]]) @ np.array([[1, 0], [shear, 1]])
    y, x = np.mgrid[:CANVAS, :CANVAS].astype(np.float32) - middle
    knots = random.normal(0, strength, (2, 5, 5)).astype(np.float32)
    wave = SMOOTH @ knots @ SMOOTH.T
    where = [
        matrix[0, 0] * y + matrix[0, 1] * x + wave[0] + middle,
        matrix[1, 0] * y + matrix[1, 1] * x + wave[1] + middle,
    ]
    bent = ndimage.map_coordinates(shape, where, order=1, mode="constant")
    return np.asarray(bent / bent.max(), dtype=np.float32)  # hairlines fade between pixels


def _thicken(
    shape: NDArray[np.float32], wanted: float, share: float
) -> tuple[NDArray[np.float32], float]:
    """Move the edge towards the wanted pen width, never so far that thin parts break."""
    inside = shape > 0.5
    depth = ndimage.distance_transform_edt(inside)
    pen = 4 * float(depth[inside].mean()) - 1  # a bar's mean depth is a quarter of its width
    change = max(share * (wanted - pen) / 2, -0.25 * pen)
    distance = depth - ndimage.distance_transform_edt(~inside)
    return np.clip(distance + change + 0.5, 0, 1).astype(np.float32), pen + 2 * change


def _fit(
    shape: NDArray[np.float32], frame: float, widest: int, random: Random
) -> tuple[Pixels, float]:
    """Cut to the ink, scale to the frame's height and put it near the middle."""
    rows, columns = np.flatnonzero(shape.max(1) > 0.3), np.flatnonzero(shape.max(0) > 0.3)
    ink = shape[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    aspect = float(np.exp(random.normal(0, 0.12)))
    if ink.shape[1] < 0.35 * ink.shape[0]:  # scanners stretch a narrow glyph: so a one is broad
        aspect *= float(random.uniform(0.9, 1.9))
    zoom = min(frame / ink.shape[0], SIZE / ink.shape[1])
    height = max(1, round(ink.shape[0] * zoom))
    width = min(widest, max(1, round(ink.shape[1] * zoom * aspect)))
    image = Image.fromarray((ink * 255).astype(np.uint8)).resize(
        (width, height), Image.Resampling.BOX
    )
    page = Image.new("L", (SIZE, SIZE))
    spare_x, spare_y = SIZE - width, SIZE - height
    left = round(spare_x / 2 + random.uniform(-1, 1) * min(spare_x / 2, 2))
    page.paste(image, (left, round(spare_y * random.uniform(0, 1))))
    return np.asarray(page), zoom * float(np.sqrt(width / (ink.shape[1] * zoom)))
