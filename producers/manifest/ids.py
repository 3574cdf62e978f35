"""Ids of entries whose rows give none. Used by rows.py and listing.py."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property

from producers.manifest.entry import Entry, Problems
from restyle.keys import normalise_id
from restyle.runtime.spilled import SpilledHashes

#: Digits from which on a number is probably a code, not a count.
_CODE = 5
_NAMED = 5
_NAMES = re.compile(r"\{([^{}]+)\}")


class DefaultIds:
    """Keys without their suffix; with it where two images would have one id (`shoe.jpg`, `shoe.png`).

    Which keys share a stem is only known once all have been read, so the first id costs a pass over them.
    """

    def __init__(self, keys: Callable[[], Iterator[str]]) -> None:
        """`keys` streams the keys of all entries without an id."""
        self._keys = keys

    def of(self, key: str) -> str:
        """The id of a key, not checked or normalised yet."""
        stem, suffix = posixpath.splitext(key)
        return key if suffix and self._shared and _hash(stem) in self._shared else stem

    @cached_property
    def _shared(self) -> frozenset[int]:
        return shared_stems(self._keys)


class Namespace:
    """`--namespace`: what all ids of a manifest begin with, so that another manifest's may be the same otherwise."""

    def __init__(self, name: str) -> None:
        """Takes the name.

        Raises:
            ValueError: it can be no part of an id; the message is the reason.
        """
        self._prefix = normalise_id(name.strip().strip("/")) + "/"

    def of(self, entry_id: str) -> str:
        """An id in it; one that is in it already, as in a report, stays.

        Raises:
            ValueError: it grows too long; the message is the reason.
        """
        return entry_id if entry_id.startswith(self._prefix) else normalise_id(self._prefix + entry_id)

    def whole(self, entry_id: str) -> str:
        """The same of an id that somebody typed; one that can be none stays, and is in no manifest."""
        try:
            return self.of(entry_id)
        except ValueError:
            return entry_id

    def entries(self, read: Iterator[Entry], problems: Problems) -> Iterator[Entry]:
        """Entries with their ids in it."""
        for entry in read:
            try:
                yield entry._replace(id=self.of(entry.id))
            except ValueError as reason:
                problems.add(entry.source, entry.line, "id", f"{reason}, with --namespace before it")


class LostZeros:
    """Finds ids whose leading zeros a spreadsheet has probably removed: numbers that are shorter than the others."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._first: dict[int, list[int]] = {}
        self._padded: set[int] = set()
        self._is_sequence = False

    def add(self, entry_id: str, line: int) -> None:
        """Counts an id."""
        if not (entry_id.isascii() and entry_id.isdigit()):
            return
        length = len(entry_id)
        self._counts[length] = self._counts.get(length, 0) + 1
        self._is_sequence = self._is_sequence or entry_id == "1"
        if entry_id[0] == "0":
            self._padded.add(length)
        elif len(lines := self._first.setdefault(length, [])) < _NAMED:
            lines.append(line)

    def add_all(self, ids: Sequence[str], lines: Sequence[int]) -> None:
        """Counts ids, each with its line."""
        if any(map(str.isdigit, ids)):
            for entry_id, line in zip(ids, lines, strict=True):
                self.add(entry_id, line)

    def warn(self, problems: Problems) -> None:
        """Warns of them, where there are any."""
        if warning := self._warning():
            problems.warn(warning)

    def _warning(self) -> str:
        """A warning about them; empty where there are none."""
        if not self._counts:
            return ""
        usual = max(self._counts, key=lambda length: (length in self._padded, self._counts[length]))
        shorter = {length: count for length, count in self._counts.items() if length < usual}
        count = sum(shorter.values())
        is_code = usual >= _CODE and self._counts[usual] > count and not self._is_sequence
        if not count or not (usual in self._padded or is_code):
            return ""
        lines = sorted(line for length in shorter for line in self._first.get(length, []))[:_NAMED]
        named = ", ".join(map(str, lines))
        named += ", …" if count > len(lines) else ""
        subject = "1 id is a number" if count == 1 else f"{count:,} ids are numbers"
        return (
            f"{subject} with fewer digits than the others, which have {usual} (line{'s' * (count > 1)} {named}):"
            " has a spreadsheet taken zeros off? Format the column as text"
        )


class IdTemplate:
    """`--id`: ids made of columns, `{Handle}-{Image Position}`."""

    def __init__(self, text: str) -> None:
        """Reads the template.

        Raises:
            ValueError: it is none; the message is the reason.
        """
        self._parts = _NAMES.split(text)
        if len(self._parts) == 1 or "{" in "".join(self._parts[::2]) or "}" in "".join(self._parts[::2]):
            raise ValueError("write it of columns in braces, like {Handle}-{Image Position}")
        self.is_numbered = "n" in self._parts[1::2]

    def of(self, given: Mapping[str, object], meta: Mapping[str, str], number: int) -> str:
        """The id of a row, not checked or normalised yet.

        Raises:
            ValueError: a column is not there or empty; the message is the reason.
        """
        values = {name.lower(): str(value).strip() for name, value in (*meta.items(), *given.items())}
        values.setdefault("n", str(number or 1))
        names = self._parts[1::2]
        if missing := [name for name in names if not values.get(name.strip().lower())]:
            raise ValueError(
                f"--id uses {{{missing[0]}}}, which this row has not; it has {', '.join(sorted(values)[:20])}"
            )
        made = [part if place % 2 == 0 else values[part.strip().lower()] for place, part in enumerate(self._parts)]
        return "".join(made) + (f"-{number}" if number and not self.is_numbered else "")


def shared_stems(keys: Callable[[], Iterable[str]]) -> frozenset[int]:
    """The hashes of those stems that keys with different suffixes share; memory does not grow with the keys.

    Args:
        keys: streams them, a second time where a stem is there twice.
    """
    stems = SpilledHashes()
    for stem, _ in _pairs(keys()):
        stems.add(stem)
    if not (twice := stems.repeated()):
        return twice
    first: dict[int, int] = {}
    pairs = (pair for pair in _pairs(keys()) if pair[0] in twice)
    return frozenset(stem for stem, suffix in pairs if first.setdefault(stem, suffix) != suffix)


def _pairs(keys: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Each key's stem and suffix; and its whole name, which is a stem too (`shoe.jpg` of `shoe.jpg.png`)."""
    bare = _hash("")
    for key in keys:
        stem, suffix = posixpath.splitext(key)
        yield _hash(stem), _hash(suffix)
        if suffix:
            yield _hash(key), bare


def _hash(text: str) -> int:
    """A 64-bit hash of a text, the same for as long as this process lives."""
    return hash(unicodedata.normalize("NFC", text))
