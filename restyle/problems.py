"""What is wrong with a manifest or a variants file, and somebody else's words as parts of messages."""

from __future__ import annotations

import re
from dataclasses import dataclass

#: What a terminal may obey, or shows in another order than it stands.
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str, most: int) -> str:
    """Somebody else's words as part of a message: of bounded length, and nothing that a terminal obeys."""
    return escaped(text if len(text) <= most else f"{text[: most - 3]}...")


def escaped(text: str) -> str:
    """A text with what a terminal may obey as it is written in Python."""
    return UNPRINTABLE.sub(lambda match: ascii(match.group())[1:-1], text)


@dataclass(frozen=True, order=True)
class Problem:
    """One thing wrong with a manifest or variants file: where, and why."""

    source: str
    line: int
    column: str
    reason: str

    def __str__(self) -> str:
        source, reason = printable(self.source, 300), printable(self.reason, 600)
        where = f"{source}:{self.line}" if self.line else source
        return f"{where}: {printable(self.column, 100)}: {reason}" if self.column else f"{where}: {reason}"
