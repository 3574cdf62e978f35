"""The quality gates: what tells that an answer of the API is paid for and yet no picture that anybody wants.

Pure, and cheap: a picture is judged by its size and at a glance (restyle/images/glance.py). A picture that fails is
kept, below `suspect/`, and its job has succeeded; nothing is called again for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from PIL import Image, ImageChops

from restyle.images import Picture, Prepared
from restyle.images.glance import SIDE
from restyle.outputs import Gates

#: Each reason in the words for a person.
WORDS = {
    "black": "all black",
    "flat": "one flat colour",
    "same": "the same as its input",
    "aspect": "of another shape than its input",
    "small": "smaller than what was sent",
}
#: Pixels by which a side may be rounded: models make pictures of whole blocks.
_GRAIN = 64
#: How much more a single part may differ than the whole before a picture is no longer the same.
_LOCAL = 12


def reasons(prepared: Prepared, pictures: Sequence[Picture], gates: Gates | None) -> tuple[str, ...]:
    """Why the pictures of one answer look wrong: words of `WORDS`, each once; empty where all of them are fine."""
    if gates is None:
        return ()
    found = {reason for picture in pictures for reason in _of(prepared, picture, gates)}
    return tuple(reason for reason in WORDS if reason in found)


def told(suspect: Sequence[str]) -> str:
    """The reasons as a sentence; empty where there are none."""
    return f"looks wrong: {', '.join(WORDS.get(reason, reason) for reason in suspect)}" if suspect else ""


def _of(prepared: Prepared, picture: Picture, gates: Gates) -> set[str]:
    found = _by_size(prepared, picture, gates)
    if not prepared.glance or not picture.glance:
        return found
    before, after = _image(prepared.glance), _image(picture.glance)
    if _range(before) < gates.flat:
        return found  # of a plain input, a swatch of cloth say, a plain output tells nothing
    if max(high for _, high in _extrema(after)) <= gates.black:
        found.add("black")
    elif _range(after) < gates.flat:
        found.add("flat")
    elif _is_same(before, after, gates.same):
        found.add("same")
    return found


def _is_same(before: Image.Image, after: Image.Image, limit: float) -> bool:
    """Whether the pictures hardly differ as a whole, and no part of them differs much, as another label would."""
    difference = ImageChops.difference(before, after)
    levels = difference.tobytes()
    return sum(levels) / len(levels) < limit and max(high for _, high in _extrema(difference)) < _LOCAL * limit


def _by_size(prepared: Prepared, picture: Picture, gates: Gates) -> set[str]:
    found = set()
    due = picture.height * prepared.width / prepared.height
    off = max(due / picture.width, picture.width / due) - 1
    if gates.aspect and off > gates.aspect and abs(picture.width - due) >= _GRAIN:
        found.add("aspect")
    if max(picture.width, picture.height) < gates.small * max(prepared.width, prepared.height):
        found.add("small")
    return found


def _image(glance: bytes) -> Image.Image:
    return Image.frombytes("RGB", (SIDE, SIDE), glance)


def _range(image: Image.Image) -> int:
    """Levels between the darkest and the brightest part, in the colour where they are most."""
    return max(high - low for low, high in _extrema(image))


def _extrema(image: Image.Image) -> list[tuple[int, int]]:
    """The lowest and the highest level of each colour."""
    return cast("list[tuple[int, int]]", image.getextrema())
