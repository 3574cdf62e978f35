"""A small studio for drawing products: shapes, paints and light, supersampled. The products use it.

Everything is given in the picture's own pixels (768 x 768, y downwards); the light comes from the upper left.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image, ImageChops, ImageColor, ImageDraw, ImageFilter

SIDE = 768
SCALE = 3
FULL = SIDE * SCALE

Point = tuple[float, float]
Colour = tuple[int, int, int]
Mask = Image.Image
#: A flat colour, or a paint made for the box of the mask that it fills.
Fill = str | Colour | Callable[[tuple[int, int, int, int]], Image.Image]


def rgb(colour: str | Colour) -> Colour:
    """A colour in numbers."""
    if isinstance(colour, str):
        red, green, blue, *_ = ImageColor.getrgb(colour)
        return red, green, blue
    return colour


def mix(first: str | Colour, second: str | Colour, part: float) -> Colour:
    """The first colour with this part of the second."""
    red, green, blue = (round(a + (b - a) * part) for a, b in zip(rgb(first), rgb(second), strict=True))
    return red, green, blue


def dark(colour: str | Colour, part: float = 0.3) -> Colour:
    """The colour in shade: a warm dark, never plain black."""
    return mix(colour, "#241a1c", part)


def light(colour: str | Colour, part: float = 0.3) -> Colour:
    """The colour in light."""
    return mix(colour, "#fffaf0", part)


# Shapes: masks of the whole canvas.


def trace(outline: str) -> list[Point]:
    """The points along an outline in the language of SVG paths: M, L, C and Q with absolute coordinates."""
    points: list[Point] = []
    for command, rest in re.findall(r"([MLCQ])([^MLCQ]*)", outline):
        numbers = [float(number) for number in re.findall(r"-?\d+\.?\d*", rest)]
        stops = list(zip(numbers[::2], numbers[1::2], strict=True))
        step = {"M": 1, "L": 1, "Q": 2, "C": 3}[command]
        for place in range(0, len(stops), step):
            points += _bend([points[-1], *stops[place : place + step]]) if step > 1 else [stops[place]]
    return points


def _bend(controls: Sequence[Point], steps: int = 24) -> list[Point]:
    """A Bezier curve without its first point."""
    degree = len(controls) - 1
    weights = [
        [math.comb(degree, k) * (i / steps) ** k * (1 - i / steps) ** (degree - k) for k in range(degree + 1)]
        for i in range(1, steps + 1)
    ]
    return [
        (
            sum(w * x for w, (x, _) in zip(row, controls, strict=True)),
            sum(w * y for w, (_, y) in zip(row, controls, strict=True)),
        )
        for row in weights
    ]


def _blank() -> tuple[Mask, ImageDraw.ImageDraw]:
    mask = Image.new("L", (FULL, FULL))
    return mask, ImageDraw.Draw(mask)


def _scaled(points: Sequence[Point]) -> list[Point]:
    return [(x * SCALE, y * SCALE) for x, y in points]


def shape(*outlines: str) -> Mask:
    """The area inside closed outlines."""
    mask, draw = _blank()
    for outline in outlines:
        draw.polygon(_scaled(trace(outline)), fill=255)
    return mask


def turned(outline: str, axis: float = SIDE / 2) -> Mask:
    """The area between a left-hand outline, from top to bottom, and its mirror image, as a potter would turn it."""
    mask, draw = _blank()
    left = trace(outline)
    draw.polygon(_scaled(left + [(2 * axis - x, y) for x, y in reversed(left)]), fill=255)
    return mask


def line(outline: str, width: float) -> Mask:
    """A stroke with round ends along an open outline."""
    mask, draw = _blank()
    points, radius = _scaled(trace(outline)), width * SCALE / 2
    draw.line(points, fill=255, width=round(2 * radius), joint="curve")
    for x, y in (points[0], points[-1]):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    return mask


def oval(x: float, y: float, rx: float, ry: float | None = None) -> Mask:
    """An ellipse around a middle point; a circle without the second radius."""
    mask, draw = _blank()
    ry = rx if ry is None else ry
    draw.ellipse(tuple(SCALE * value for value in (x - rx, y - ry, x + rx, y + ry)), fill=255)
    return mask


def block(left: float, top: float, right: float, bottom: float, radius: float = 0) -> Mask:
    """A rectangle with rounded corners."""
    mask, draw = _blank()
    draw.rounded_rectangle(tuple(SCALE * value for value in (left, top, right, bottom)), radius * SCALE, fill=255)
    return mask


def spun(mask: Mask, degrees: float, x: float, y: float) -> Mask:
    """The mask turned clockwise around a point."""
    return mask.rotate(-degrees, Image.Resampling.BICUBIC, center=(x * SCALE, y * SCALE))


def moved(mask: Mask, x: float, y: float) -> Mask:
    """The mask somewhere else."""
    dx, dy = round(x * SCALE), round(y * SCALE)
    return mask.crop((-dx, -dy, FULL - dx, FULL - dy))


def mirrored(mask: Mask) -> Mask:
    """The mask seen in a mirror in the middle of the picture."""
    return mask.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def pair(mask: Mask) -> Mask:
    """The mask and its mirror image."""
    return union(mask, mirrored(mask))


def union(*masks: Mask) -> Mask:
    """What any of the masks covers."""
    whole = masks[0]
    for mask in masks[1:]:
        whole = ImageChops.lighter(whole, mask)
    return whole


def inside(mask: Mask, other: Mask) -> Mask:
    """What both masks cover."""
    return ImageChops.multiply(mask, other)


def without(mask: Mask, other: Mask) -> Mask:
    """The mask less another."""
    return ImageChops.multiply(mask, ImageChops.invert(other))


def soft(mask: Mask, blur: float) -> Mask:
    """The mask with a soft edge; large blurs are made at reduced scale, where nobody can tell."""
    if blur <= 0:
        return mask
    factor = 6 if blur > 5 else 1
    small = mask.reduce(factor).filter(ImageFilter.GaussianBlur(blur * SCALE / factor))
    return small.resize((FULL, FULL), Image.Resampling.BICUBIC) if factor > 1 else small


# Paints.


def _ramp(colours: Sequence[str | Colour]) -> Image.Image:
    """256 pixels from the first colour to the last, in even steps."""
    row = Image.new("RGB", (len(colours), 1))
    row.putdata([rgb(colour) for colour in colours])
    # Bicubic: straight steps between colours would show as stripes where they meet.
    return row.resize((256, 1), Image.Resampling.BICUBIC, box=(0.5, 0, len(colours) - 0.5, 1))


def across(*colours: str | Colour) -> Fill:
    """A paint that goes through the colours from left to right."""
    return lambda box: _ramp(colours).resize((box[2] - box[0], box[3] - box[1]), Image.Resampling.BILINEAR)


def down(*colours: str | Colour) -> Fill:
    """A paint that goes through the colours from top to bottom."""
    turn = Image.Transpose.ROTATE_270
    return lambda box: _ramp(colours).transpose(turn).resize((box[2] - box[0], box[3] - box[1]))


def round_(colour: str | Colour, gloss: float = 0.35) -> Fill:
    """A paint for what is round like a tube: lit on the left, in shade on the right, with a little light behind."""
    return across(
        dark(colour, 0.22), light(colour, gloss * 0.5), light(colour, gloss), colour, dark(colour, 0.16),
        dark(colour, 0.38), dark(colour, 0.28),
    )  # fmt: skip


class Scene:
    """A picture in the making."""

    def __init__(self, wall: str, floor: str, horizon: float = 560) -> None:
        """A studio with a seamless backdrop that goes from wall to floor around the horizon."""
        self.image = Image.new("RGB", (FULL, FULL), rgb(wall))
        #: The part of the scene that the picture shows.
        self.frame: tuple[float, float, float, float] = (0, 0, SIDE, SIDE)
        self.paint(block(0, 0, SIDE, max(horizon, 1)), down(dark(wall, 0.06), wall, light(wall, 0.12)))
        ground = soft(block(-90, horizon, SIDE + 90, SIDE + 200), 16)
        self.paint(ground, floor)
        self.glow(oval(250, 260, 330, 300), light(wall, 0.8), 90, 0.5)
        self.glow(block(0, 690, SIDE, SIDE), dark(floor, 0.5), 60, 0.14)

    def paint(self, mask: Mask, fill: Fill, opacity: float = 1.0) -> None:
        """Lays a paint on the mask."""
        if not (box := mask.getbbox()):
            return
        part = mask.crop(box)
        if opacity < 1:
            part = part.point(lambda value: round(value * opacity))
        if callable(fill):
            self.image.paste(fill(box), box, part)
        else:
            self.image.paste(rgb(fill), box, part)

    def glow(self, mask: Mask, colour: str | Colour, blur: float, opacity: float, within: Mask | None = None) -> None:
        """Lays a soft spot of light, or of shade, on the picture or on a part of it."""
        spot = soft(mask, blur)
        self.paint(spot if within is None else inside(spot, within), colour, opacity)

    def solid(self, mask: Mask, fill: Fill, depth: float = 10, strength: float = 1.0, shade: str = "#2a1a20") -> None:
        """Paints a body: its edges away from the light fall into shade, those towards it catch some."""
        self.paint(mask, fill)
        away = ImageChops.invert(soft(moved(mask, -depth, -depth), depth))
        towards = ImageChops.invert(soft(moved(mask, depth * 0.5, depth * 0.6), depth * 0.55))
        self.paint(inside(away, mask), shade, min(1.0, 0.5 * strength))
        self.paint(inside(towards, mask), "#fffaf0", min(1.0, 0.42 * strength))

    def cast(self, mask: Mask, onto: Mask | None = None, shift: Point = (8, 10), blur: float = 10) -> None:
        """The shadow that a part casts on what is behind it; to be called before the part is painted."""
        self.glow(moved(mask, *shift), "#2a1a20", blur, 0.38, onto)

    def stand(self, x: float, y: float, width: float, height: float = 16, strength: float = 1.0) -> None:
        """The shadow on the floor below something that stands there."""
        self.glow(oval(x + width * 0.22, y + 5, width * 1.18, height * 1.9), "#2b1d22", 26, 0.34 * strength)
        self.glow(oval(x + width * 0.06, y + 1, width * 1.0, height * 0.9), "#21151a", 8, 0.5 * strength)
        self.glow(oval(x, y, width * 0.94, height * 0.42), "#160d10", 3, 0.5 * strength)

    def speckle(self, mask: Mask, colour: str, count: int, seed: int) -> None:
        """Small dots of glaze, always in the same places."""
        dice, (left, top, right, bottom) = random.Random(seed), (value / 3 for value in mask.getbbox() or (0, 0, 0, 0))
        dots = [
            oval(dice.uniform(left, right), dice.uniform(top, bottom), dice.uniform(0.6, 1.9)) for _ in range(count)
        ]
        self.paint(inside(union(*dots), mask), colour, 0.5)

    def save(self, file: Path) -> None:
        """Writes the picture as JPEG, with a breath of grain that keeps soft gradients from banding."""
        left, top, right, bottom = (value * SCALE for value in self.frame)
        box = (left, top, right, bottom)
        picture = self.image.resize((SIDE, SIDE), Image.Resampling.LANCZOS, box)
        grain = Image.frombytes("L", (SIDE, SIDE), random.Random(7).randbytes(SIDE * SIDE))
        grain = grain.filter(ImageFilter.GaussianBlur(0.6)).point(lambda value: round(128 + (value - 128) * 0.04))
        picture = ImageChops.overlay(picture, Image.merge("RGB", (grain, grain, grain)))
        picture.save(file, "JPEG", quality=88, optimize=True, progressive=True)
