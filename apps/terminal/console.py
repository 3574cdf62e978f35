"""Where words go: data on stdout, talk and progress on stderr; colour and movement only on a terminal."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping

from rich.console import Console
from rich.markup import escape

#: Columns of a pipe or file, where no COLUMNS says otherwise: nothing there is cut off for want of room.
_PIPE = 160

out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else _PIPE)
talk = Console(stderr=True, highlight=False, soft_wrap=True)
#: What is said under `--quiet` all the same.
_alarm = Console(stderr=True, highlight=False, soft_wrap=True)
#: Colours of what went wrong, or needs a person.
_GRAVE = ("yellow", "red")


class Volume:
    """How much a command says."""

    is_verbose = False


def hush() -> None:
    """From here on only what went wrong, or needs a person, is said."""
    talk.quiet = True


def speak_up() -> None:
    """From here on more is said."""
    Volume.is_verbose = True


def say(text: str, style: str = "") -> None:
    """A line of talk; the text is taken literally."""
    is_grave = any(colour in style for colour in _GRAVE)
    (_alarm if talk.quiet and is_grave else talk).print(escape(text), style=style)


def fail(text: str) -> None:
    """What went wrong, for the reader."""
    (_alarm if talk.quiet else talk).print(f"[bold red]restyle:[/] {escape(text)}")


def print_json(value: Mapping[str, object]) -> None:
    """One object on one line of stdout."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def credits_text(credits: float, price: float) -> str:
    """Credits with their worth in dollars."""
    return f"{amount(credits)} credits (${amount(credits * price)})"


def amount(value: float) -> str:
    """Credits or dollars to the cent; what rounds to nothing has no sign."""
    return f"{round(value, 2) + 0.0:,.2f}"


def counted(number: int, what: str) -> str:
    """So many of something, whose plural ends in s."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def span_text(seconds: float) -> str:
    """A length of time as people say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
