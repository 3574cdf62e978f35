"""A picture reduced to 32 x 32 parts, by which the gates recognise black, flat and unchanged ones at little cost."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import cast

from PIL import Image, ImageChops

#: Parts a side.
SIDE = 32
#: A picture with this many pixels a part or more is reduced by a whole factor first, which takes a tenth of the time.
_THIN = 4


@dataclass(frozen=True)
class Glance:
    """The mean colours of the topmost rows of 32 x 32 parts."""

    parts: Image.Image
    """RGB, a pixel a part, 32 wide."""

    @property
    def rows(self) -> int:
        """Rows that are known."""
        return self.parts.height

    @property
    def is_whole(self) -> bool:
        """Whether all rows are known."""
        return self.rows == SIDE

    @property
    def brightest(self) -> int:
        """The highest level of any part, in any colour."""
        return max(high for _, high in self._extrema)

    @property
    def range(self) -> int:
        """Levels between the darkest and the brightest part, in the colour where they differ most."""
        return max(high - low for low, high in self._extrema)

    def difference(self, other: Glance) -> Glance:
        """The difference of the rows that both have."""
        box = (0, 0, SIDE, min(self.rows, other.rows))
        return Glance(ImageChops.difference(self.parts.crop(box), other.parts.crop(box)))

    @functools.cached_property
    def _extrema(self) -> list[tuple[int, int]]:
        """The lowest and the highest level of each colour."""
        return cast("list[tuple[int, int]]", self.parts.getextrema())


def glance(image: Image.Image, *, is_part: bool = False) -> Glance:
    """The glance of a loaded picture, at any scale; with `is_part`, of the rows above those that are still black."""
    seen = image.getbbox() if is_part else None
    read = seen[3] if seen else 0
    factor = (max(1, image.width // (SIDE * _THIN)), max(1, image.height // (SIDE * _THIN)))
    if factor != (1, 1) and image.mode in {"RGB", "L", "CMYK"}:
        image, read = image.reduce(factor), read // factor[1]
    rows = read * SIDE // image.height if is_part else SIDE
    if image.mode != "RGB":
        image = image.convert("RGB")
    box = (0, 0, image.width, rows * image.height / SIDE)
    return Glance(image.resize((SIDE, rows), Image.Resampling.BOX, box) if rows else image.crop((0, 0, SIDE, 0)))
