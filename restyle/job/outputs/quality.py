"""The quality gates: what tells that an answer of the API is paid for and yet no picture that anybody wants.

Pure, and cheap: a picture is judged by its size and at a glance (restyle/images/glance.py). One that fails is kept,
below `suspect/`, and its job has succeeded; nothing is called again for it.
"""

from __future__ import annotations

from collections.abc import Sequence

from restyle.images import Glance, Picture, Prepared
from restyle.images.glance import SIDE
from restyle.outputs import REJECTED, Gates

#: Each reason in the words for a person.
WORDS = {
    "black": "all black",
    "flat": "one flat colour",
    "same": "the same as its input",
    "aspect": "of another shape than its input",
    "small": "smaller than what was sent",
    REJECTED: "rejected by a person",
}
#: Pixels by which a side may be rounded: models make pictures of whole blocks.
_GRAIN = 64
#: Levels by which a plain input must have been brighter than a black answer, for that to be wrong.
_DARKER = 16
#: How much more a single part may differ than the whole before a picture is no longer the same.
_LOCAL = 12


def reasons(prepared: Prepared, pictures: Sequence[Picture], gates: Gates | None) -> tuple[str, ...]:
    """Why the pictures of one answer look wrong: words of `WORDS`, each once; empty where all of them are fine."""
    if gates is None:
        return ()
    failed: set[str] = set()
    for picture in pictures:
        failed |= _by_looks(prepared.glance, picture.glance, gates) | _by_size(prepared, picture, gates)
    return tuple(reason for reason in WORDS if reason in failed)


def in_words(suspect: Sequence[str]) -> str:
    """The reasons as a sentence; empty where there are none."""
    return f"looks wrong: {', '.join(WORDS.get(reason, reason) for reason in suspect)}" if suspect else ""


def _by_looks(before: Glance | None, after: Glance | None, gates: Gates) -> set[str]:
    if before is None or after is None:
        return set()
    # Of a plain input, a swatch of cloth say, a plain output tells nothing; a black one does, unless it was as dark.
    if after.brightest <= gates.black and before.brightest > gates.black + _DARKER:
        return {"black"}
    if before.range < gates.flat:
        return set()
    if after.brightest <= gates.black:
        return {"black"}
    if after.range < gates.flat:
        return {"flat"}
    return _by_change(before.difference(after), gates.same)


def _by_change(difference: Glance, limit: float) -> set[str]:
    """Whether pictures hardly differ as a whole, and no part of them differs much, as another label would."""
    levels = difference.parts.tobytes()
    if sum(levels) >= limit * 3 * SIDE * SIDE or difference.brightest >= _LOCAL * limit:
        return set()
    return {"same"}


def _by_size(prepared: Prepared, picture: Picture, gates: Gates) -> set[str]:
    failed = set()
    due = picture.height * prepared.width / prepared.height
    off = max(due / picture.width, picture.width / due) - 1
    if gates.aspect and off > gates.aspect and abs(picture.width - due) >= _GRAIN:
        failed.add("aspect")
    if max(picture.width, picture.height) < gates.small * max(prepared.width, prepared.height):
        failed.add("small")
    return failed
