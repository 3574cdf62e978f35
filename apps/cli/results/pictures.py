"""A picture in the terminal: as it is where the terminal can show it, else in half blocks of its colours."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Mapping
from io import BytesIO

from PIL import Image
from rich.console import Console
from rich.style import Style
from rich.text import Text

#: Bytes of base64 in one command of Kitty's.
_CHUNK = 4096
_GAP = 8


def draw(pictures: list[bytes], console: Console, *, columns: int = 64, env: Mapping[str, str] = os.environ) -> bool:
    """Shows pictures side by side; answers whether this console could.

    Args:
        pictures: JPEGs or PNGs of about the same size.
        console: where to; nothing is shown where it is no terminal with colours.
        columns: the width in letters.
        env: what the terminal says of itself.
    """
    if not pictures or not console.is_terminal or console.color_system not in {"256", "truecolor"}:
        return False
    columns = min(columns, console.width - 1)
    image = beside(pictures)
    if code := graphics(image, columns, env):
        console.file.write(code + "\n")
    else:
        console.print(half_blocks(image, columns))
    return True


def beside(pictures: list[bytes]) -> Image.Image:
    """The pictures in one, at the height of the smallest."""
    images = [Image.open(BytesIO(data)).convert("RGB") for data in pictures]
    height = min(image.height for image in images)
    scaled = [image.resize((max(1, image.width * height // image.height), height)) for image in images]
    whole = Image.new("RGB", (sum(image.width for image in scaled) + _GAP * (len(scaled) - 1), height))
    place = 0
    for image in scaled:
        whole.paste(image, (place, 0))
        place += image.width + _GAP
    return whole


def graphics(image: Image.Image, columns: int, env: Mapping[str, str]) -> str:
    """The command that shows a picture in Kitty, Ghostty, WezTerm and iTerm2; empty for another terminal."""
    program = env.get("TERM_PROGRAM", "").lower()
    if "tmux" in env.get("TERM", "") or "screen" in env.get("TERM", ""):
        return ""  # they pass none of these on
    file = BytesIO()
    image.save(file, "PNG")
    data = base64.b64encode(file.getvalue()).decode()
    if "kitty" in env.get("TERM", "") or program == "ghostty":
        return "".join(_kitty(data, columns))
    if program in {"iterm.app", "wezterm"}:
        return f"\x1b]1337;File=inline=1;width={columns};preserveAspectRatio=1:{data}\a"
    return ""


def _kitty(data: str, columns: int) -> Iterator[str]:
    """Kitty's graphics protocol: a PNG, shown at once, in chunks of which all but the last say that more come."""
    for start in range(0, len(data), _CHUNK):
        more = int(start + _CHUNK < len(data))
        control = f"a=T,f=100,c={columns},q=2,m={more}" if start == 0 else f"m={more}"
        yield f"\x1b_G{control};{data[start : start + _CHUNK]}\x1b\\"


def half_blocks(image: Image.Image, columns: int) -> Text:
    """The picture in letters: each shows two pixels, one above the other."""
    rows = max(1, round(image.height * columns / image.width / 2))
    pixels = image.resize((columns, rows * 2), Image.Resampling.LANCZOS).load()
    assert pixels is not None
    text = Text(no_wrap=True)
    for row in range(rows):
        text.append("\n" * bool(row))
        for column in range(columns):
            text.append("▀", Style(color=_hex(pixels[column, 2 * row]), bgcolor=_hex(pixels[column, 2 * row + 1])))
    return text


def _hex(pixel: object) -> str:
    assert isinstance(pixel, tuple)
    return "#{:02x}{:02x}{:02x}".format(*pixel)
