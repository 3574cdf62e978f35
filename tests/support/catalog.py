"""Small catalogs for tests: pictures of their own colours, and manifests that name them."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

#: Two looks; the prompts differ by entry, so that the sandbox can be told what to answer to which job.
VARIANTS: list[dict[str, Any]] = [
    {"name": "oak", "prompt": "photo of {id} on an oak table"},
    {"name": "sea", "prompt": "photo of {id} by the sea", "strength": 0.5},
]


def picture(name: str, side: int = 96) -> bytes:
    """A JPEG that no other name has."""
    red, green, blue = hashlib.sha256(name.encode()).digest()[:3]
    image = Image.new("RGB", (side, side), (red, green, blue))
    drawing = ImageDraw.Draw(image)
    drawing.ellipse((20, 10, side - 30, side - 20), fill=(blue, red, green))
    # Black on white, so that whatever the sandbox makes of it is not taken for a flat picture.
    drawing.rectangle((0, side - 16, side, side), fill="white")
    drawing.rectangle((0, side - 16, side // 2, side), fill="black")
    out = BytesIO()
    image.save(out, "JPEG", quality=90)
    return out.getvalue()


def write_pictures(folder: Path, names: Iterable[str]) -> None:
    """Pictures as files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / f"{name}.jpg").write_bytes(picture(name))


def write_catalog(folder: Path, count: int) -> list[str]:
    """`manifest.csv` with this many entries, their pictures, and `variants.json`; answers with the ids."""
    ids = [f"item-{number:03d}" for number in range(count)]
    write_pictures(folder / "images", ids)
    write_rows(folder / "manifest.csv", ({"id": name, "image": f"images/{name}.jpg"} for name in ids))
    write_variants(folder)
    return ids


def write_rows(path: Path, rows: Iterable[Mapping[str, str]]) -> None:
    """A CSV manifest."""
    rows = list(rows)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_variants(folder: Path, variants: object = VARIANTS) -> Path:
    """A variants file."""
    path = folder / "variants.json"
    path.write_text(json.dumps(variants), encoding="utf-8")
    return path
