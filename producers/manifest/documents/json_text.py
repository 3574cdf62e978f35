"""JSON read value by value out of a text of any length, so that memory does not grow. Read by document.py."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NoReturn, TextIO

from producers.manifest.source import MAX_LINE, wrong

_CHUNK = 1 << 16
_DIGITS = 1000
_DEEPEST = 200
_SPACE = re.compile(r"[ \t\r\n]*")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise ValueError(f"has {name[:100]!r} twice")
            seen.add(name)
    return found


def _whole(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise ValueError(f"has a number of more than {_DIGITS:,} digits")
    return int(digits)


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"has {text}, which is no JSON number")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_int=_whole, parse_constant=_no_number)


def decode(name: str, line: int, text: str) -> Any:
    """One JSON value that is the whole text.

    Raises:
        ManifestError: it is none.
    """
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise wrong(name, f"is no JSON: {error.msg} (column {error.colno})", line + error.lineno - 1) from None
    except (ValueError, RecursionError) as error:
        raise wrong(name, _told(error), line) from None


def decode_first(name: str, line: int, text: str) -> Any:
    """The JSON value that a line is; None where it goes on in the next one.

    Raises:
        ManifestError: neither.
    """
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        if error.pos >= len(text):
            return None
    except (ValueError, RecursionError):
        pass
    return decode(name, line, text)


def _told(error: Exception) -> str:
    return "is nested too deeply" if isinstance(error, RecursionError) else str(error)


class JsonText:
    """A cursor over a JSON text."""

    def __init__(self, name: str, text: TextIO) -> None:
        """Starts before the first character; `name` is what messages call the file."""
        self._name = name
        self._text = text
        self._buffer, self._at, self._ended = "", 0, False
        self.line = 1

    def peek(self) -> str:
        """The next character that is no space; empty at the end."""
        while True:
            self._move(_SPACE.match(self._buffer, self._at).end())  # type: ignore[union-attr] # matches nothing too
            if self._at < len(self._buffer):
                return self._buffer[self._at]
            if self._ended:
                return ""
            self._fill()

    def take(self, wanted: str) -> str:
        """Goes past one of these characters, and answers which.

        Raises:
            ManifestError: another one stands there.
        """
        found = self.peek()
        if not found or found not in wanted:
            expected = " or ".join(wanted)
            shown = repr(found) if found else "the end of the file"
            raise wrong(self._name, f"is no JSON: expected {expected}, found {shown}", self.line)
        self._at += 1
        return found

    def value(self) -> Any:
        """The next value, whole.

        Raises:
            ManifestError: there is none, or it is too long.
        """
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._buffer, self._at)
            except json.JSONDecodeError as error:
                if self._ended or len(self._buffer) - self._at > MAX_LINE:
                    line = self.line + self._buffer.count("\n", self._at, error.pos)
                    raise wrong(self._name, f"is no JSON: {error.msg}", line) from None
            except (ValueError, RecursionError) as error:
                raise wrong(self._name, _told(error), self.line) from None
            else:
                # A number near the end of the buffer may go on, also where its dot or exponent is cut off (`1e-`, `5`).
                if end + 2 < len(self._buffer) or self._ended:
                    self._move(end)
                    return value
            self._fill()

    def elements(self) -> Iterator[tuple[int, Any]]:
        """The values of the array that begins here, each with its line."""
        self.take("[")
        more = self.peek() != "]" or not self.take("]")
        while more:
            self.peek()
            line = self.line
            yield line, self.value()
            more = self.take(",]") == ","

    def positions(self) -> Iterator[int]:
        """The places of the array that begins here; whoever reads them takes each one's value before the next."""
        self.take("[")
        more, number = self.peek() != "]" or not self.take("]"), 0
        while more:
            self.peek()
            yield number
            number += 1
            more = self.take(",]") == ","

    def skip(self, depth: int = 0) -> None:
        """Goes past the next value, however long it is.

        Raises:
            ManifestError: it is no JSON, or nested too deeply.
        """
        start = self.peek()
        if start not in {"[", "{"}:
            self.value()
            return
        with suppress(ValueError, RecursionError):  # it goes on behind the buffer, or is told as it is gone through
            self._move(_DECODER.raw_decode(self._buffer, self._at)[1])
            return
        if depth > _DEEPEST:
            raise wrong(self._name, "is nested too deeply", self.line)
        for _ in self.positions() if start == "[" else self.members():
            self.skip(depth + 1)

    def members(self) -> Iterator[str]:
        """The keys of the object that begins here; whoever reads them takes each one's value before the next."""
        self.take("{")
        more = self.peek() != "}" or not self.take("}")
        while more:
            key = self.value()
            if not isinstance(key, str):
                raise wrong(self._name, f"is no JSON: {key!r} is no key", self.line)
            self.take(":")
            yield key
            more = self.take(",}") == ","

    def end(self) -> None:
        """Makes sure that nothing follows.

        Raises:
            ManifestError: something does.
        """
        if found := self.peek():
            raise wrong(self._name, f"is no JSON: {found!r} after its end", self.line)

    def _move(self, to: int) -> None:
        self.line += self._buffer.count("\n", self._at, to)
        self._at = to

    def _fill(self) -> None:
        # Doubling with the value's length keeps the work on a long one linear.
        more = self._text.read(max(_CHUNK, len(self._buffer) - self._at))
        self._ended = not more
        self._buffer, self._at = self._buffer[self._at :] + more, 0
