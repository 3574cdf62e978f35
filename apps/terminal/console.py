"""Output of commands: data on stdout, messages and progress on stderr; colour and movement only on a terminal."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping

from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment

from restyle.errors import ConfigurationError
from restyle.problems import UNPRINTABLE, escaped

#: Columns of a pipe or file, unless COLUMNS is set: wide enough that nothing is cut off.
_PIPE = 160

# Some runners of jobs set 0, at which nothing would be printed, and no error either.
if not os.environ.get("COLUMNS", "1").strip("0 "):
    del os.environ["COLUMNS"]


class Screen(Console):
    """A terminal that obeys nobody's words but ours: what comes from files, servers and Redis is shown escaped."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The pieces that are written; those that are no commands of rich's own have nothing to obey in them."""
        for piece in super().render(renderable, options):
            is_plain = piece.control or piece.text.isprintable()
            yield piece if is_plain else piece._replace(text="\n".join(map(escaped, piece.text.split("\n"))))


out = Screen(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else _PIPE)
talk = Screen(stderr=True, highlight=False, soft_wrap=True)
#: For messages that `--quiet` does not silence.
_alarm = Screen(stderr=True, highlight=False, soft_wrap=True)
#: Colours of messages about errors, or for a person to act on.
_GRAVE = ("yellow", "red")


class Volume:
    """How much a command prints."""

    is_verbose = False


def hush() -> None:
    """From here on only errors, and what needs a person, are printed."""
    talk.quiet = True


def speak_up() -> None:
    """From here on more is printed."""
    Volume.is_verbose = True


def say(text: str, style: str = "") -> None:
    """Prints a message; the text is taken literally."""
    is_grave = any(colour in style for colour in _GRAVE)
    (_alarm if talk.quiet and is_grave else talk).print(escape(text), style=style)


def fail(text: str) -> None:
    """Prints an error."""
    (_alarm if talk.quiet else talk).print(f"[bold red]restyle:[/] {escape(text)}")


def can_ask() -> bool:
    """Whether a person can be asked."""
    return sys.stdin.isatty() and talk.is_terminal


def confirm(question: str, *, what: str, otherwise: str = "") -> None:
    """Asks a person once, by yes or no.

    Args:
        question: what is asked.
        what: what has not happened where the answer is no, such as "spent".
        otherwise: what to do where nobody can be asked; empty where somebody can.

    Raises:
        ConfigurationError: nobody can be asked, or the answer is no.
    """
    import typer  # few commands ask

    if otherwise and not can_ask():
        raise ConfigurationError(otherwise)
    if not typer.confirm(question, err=True):
        raise ConfigurationError(f"stopped before anything was {what}")


def print_json(value: Mapping[str, object]) -> None:
    """Prints one object on one line of stdout."""
    text = json.dumps(value, ensure_ascii=False)
    sys.stdout.write(UNPRINTABLE.sub(lambda match: f"\\u{ord(match.group()):04x}", text) + "\n")
    sys.stdout.flush()


def credits_text(credits: float, price: float) -> str:
    """Credits with their worth in dollars."""
    return f"{amount(credits)} credits (${amount(credits * price)})"


def amount(value: float) -> str:
    """Credits or dollars to the cent; zero has no sign."""
    return f"{round(value, 2) + 0.0:,.2f}"


def counted(number: int, what: str) -> str:
    """A number of things, whose plural ends in s."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def span_text(seconds: float) -> str:
    """A length of time in seconds, minutes or hours, whichever suits."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
