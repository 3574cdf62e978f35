"""Pictures in the terminal: as they are where it can show them, else in half blocks; nothing where nobody looks."""

from __future__ import annotations

import base64
import io
import re

import pytest
from PIL import Image
from rich.console import Console

from apps.cli.results import pictures
from tests.support.pictures import corners, encode

PLAIN = {"TERM": "xterm-256color"}


def shown(env: dict[str, str], *, terminal: bool = True, colours: str = "truecolor") -> str:
    """What two pictures write to a console."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, color_system=colours if terminal else None, width=80)  # type: ignore[arg-type] # rich's own words
    drawn = pictures.draw([encode(corners(64, 64)), encode(corners(32, 32))], console, columns=20, env=env)
    assert drawn == bool(file.getvalue())
    return file.getvalue()


def test_half_blocks() -> None:
    """Before and after side by side: red and green above, blue and yellow below, twice."""
    lines = shown(PLAIN).rstrip("\n").split("\n")
    assert len(lines) == 4  # 72 x 32 pixels in 20 letters of two pixels each
    assert all(line.count("▀") == 20 for line in lines)
    colours = [tuple(map(int, found)) for found in re.findall(r"38;2;(\d+);(\d+);(\d+)", lines[0])]
    assert colours[0][0] > 200 > colours[0][1]
    assert any(green > 130 > red for red, green, _ in colours)


@pytest.mark.parametrize("env", [{"TERM": "xterm-kitty"}, {"TERM_PROGRAM": "ghostty"}], ids=["kitty", "ghostty"])
def test_kitty(env: dict[str, str]) -> None:
    """Kitty's protocol gets the whole picture as PNG in chunks that it takes."""
    chunks = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b", shown(env))
    assert chunks[0][0].startswith("a=T,f=100,c=20")
    assert [control[-1] for control, _ in chunks] == ["1"] * (len(chunks) - 1) + ["0"]
    assert all(len(data) <= 4096 for _, data in chunks)
    assert Image.open(io.BytesIO(base64.b64decode("".join(data for _, data in chunks)))).size == (72, 32)


def test_iterm() -> None:
    """iTerm2 gets the picture in one piece, as wide as it may be."""
    found = re.search(
        r"\x1b]1337;File=inline=1;width=20;preserveAspectRatio=1:([^\a]+)\a", shown({"TERM_PROGRAM": "iTerm.app"})
    )
    assert found is not None
    assert Image.open(io.BytesIO(base64.b64decode(found.group(1)))).size == (72, 32)


def test_within_tmux() -> None:
    """Within tmux, which passes no pictures on, there are half blocks."""
    assert "▀" in shown({"TERM": "tmux-256color", "TERM_PROGRAM": "ghostty"})


def test_no_terminal() -> None:
    """A file, a pipe or a terminal without colours gets nothing."""
    assert shown(PLAIN, terminal=False) == ""
    assert shown(PLAIN, colours="standard") == ""
