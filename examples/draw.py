"""Draws the example catalog: a dozen products on studio backgrounds, in catalog/*.jpg.

python examples/draw.py            # all
python examples/draw.py mug sofa   # some
"""

from __future__ import annotations

import sys
from pathlib import Path

from drawing.carried import backpack, book, headphones, sneaker, watch
from drawing.home import bottle, chair, lamp, mug, planter, sofa, vase

CATALOG = Path(__file__).parent / "catalog"
PRODUCTS = {
    draw.__name__: draw
    for draw in (mug, chair, sneaker, lamp, backpack, watch, bottle, planter, sofa, headphones, vase, book)
}


def main(names: list[str]) -> None:
    """Draws the named products, or all."""
    if unknown := set(names) - set(PRODUCTS):
        sys.exit(f"no such product: {', '.join(sorted(unknown))}; there are {', '.join(PRODUCTS)}")
    CATALOG.mkdir(exist_ok=True)
    for name in names or PRODUCTS:
        PRODUCTS[name]().save(CATALOG / f"{name}.jpg")


if __name__ == "__main__":
    main(sys.argv[1:])
