"""Reads JSON value by value from a text of any length, so that memory does not grow. Used by document.py."""

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
    members = dict(pairs)
    if len(members) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise ValueError(f"has {name[:100]!r} twice")
            seen.add(name)
    return members


def _whole(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise ValueError(f"has a number of more than {_DIGITS:,} digits")
    return int(digits)


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"has {text}, which is no JSON number")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_int=_whole, parse_constant=_no_number)


def decode(name: str, line: int, text: str) -> Any:
    """The JSON value of a whole text.

    Raises:
        ManifestError: it is no JSON.
    """
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise wrong(name, f"is no JSON: {error.msg} (column {error.colno})", line + error.lineno - 1) from None
    except (ValueError, RecursionError) as error:
        raise wrong(name, _reason(error), line) from None


def decode_first(name: str, line: int, text: str) -> Any:
    """The JSON value of a line; None where the value goes on in the next line.

    Raises:
        ManifestError: it is neither.
    """
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        if error.pos >= len(text):
            return None
    except (ValueError, RecursionError):
        pass
    return decode(name, line, text)


def _reason(error: Exception) -> str:
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

    def take(self, allowed: str) -> str:
        """Goes past the next character, which must be one of `allowed`, and returns it.

        Raises:
            ManifestError: it is another one.
        """
        character = self.peek()
        if not character or character not in allowed:
            expected = " or ".join(allowed)
            shown = repr(character) if character else "the end of the file"
            raise wrong(self._name, f"is no JSON: expected {expected}, found {shown}", self.line)
        self._at += 1
        return character

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
                raise wrong(self._name, _reason(error), self.line) from None
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
        """The positions of the array that begins here; the caller reads each one's value before the next."""
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
        with suppress(
            ValueError, RecursionError
        ):  # it does not end within the buffer, or is wrong, which is raised below
            self._move(_DECODER.raw_decode(self._buffer, self._at)[1])
            return
        if depth > _DEEPEST:
            raise wrong(self._name, "is nested too deeply", self.line)
        for _ in self.positions() if start == "[" else self.members():
            self.skip(depth + 1)

    def members(self) -> Iterator[str]:
        """The keys of the object that begins here; the caller reads each one's value before the next."""
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
        """Checks that nothing follows.

        Raises:
            ManifestError: something does.
        """
        if character := self.peek():
            raise wrong(self._name, f"is no JSON: {character!r} after its end", self.line)

    def _move(self, to: int) -> None:
        self.line += self._buffer.count("\n", self._at, to)
        self._at = to

    def _fill(self) -> None:
        # Doubling with the value's length keeps the work on a long one linear.
        more = self._text.read(max(_CHUNK, len(self._buffer) - self._at))
        self._ended = not more
        self._buffer, self._at = self._buffer[self._at :] + more, 0
