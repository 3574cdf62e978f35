"""The values that reading a manifest gives: entries, and the problems found on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from restyle.errors import ManifestError
from restyle.problems import Problem

#: Bad lines after which reading ends: it is not the file that was meant, and they take memory.
MOST_PROBLEMS = 100_000
#: How many of too many are reported.
_SHOWN = 10
#: How many of a kind are named where some are left out, and how many kinds are distinguished.
_NAMED, _KINDS = 3, 30
#: How many lines of doubtful cells are named.
_DOUBTED = 5
_NOTHING: Mapping[str, str] = MappingProxyType({})


class Entry(NamedTuple):
    """One image of a manifest, with what its row says of it."""

    source: str
    """The file as the reader knows it; with `line` it says where the entry stands."""
    line: int
    """As an editor counts; 0 in a listing."""
    id: str
    image: str
    """An s3:// URI, or the absolute path of a local file."""
    variant: str
    """Empty is every variant."""
    params: dict[str, object]
    """Filled cells only, by the API's names and of their types; ranges are checked where variants are known."""
    output: str
    """As the row says it; empty is where the workspace puts it."""
    mark: str
    """Empty or `redo`."""
    meta: dict[str, str]
    """All other filled cells."""
    etag: str
    """Where a listing tells it."""
    not_text: Mapping[str, str] = _NOTHING
    """Metadata that no prompt may take, with the reason."""


#: Where a row stands: the file as messages call it, and the line.
Stand = tuple[str, int]


class Row(NamedTuple):
    """A row as it stands in the file, sorted into what restyle knows and what it only keeps."""

    source: str
    line: int
    given: dict[str, Any]
    """Filled cells of reserved columns and parameters, by their own names."""
    meta: dict[str, str]
    not_text: Mapping[str, str] = _NOTHING
    """Metadata that no prompt may take, with the reason."""
    number: int = 0
    """Which of a product's pictures it is, where there may be several: its id ends in it."""
    further: tuple[str, ...] = ()
    """Pictures of the product beside its image, where the form has a place of their own for them."""


@dataclass
class LeftOut:
    """What a manifest has and no entry is made of, of one kind."""

    count: int = 0
    first: list[str] = field(default_factory=list)
    """The names of the first few."""


@dataclass
class _Doubt:
    """Cells of one kind that are probably not what somebody means."""

    count: int = 0
    last: int = -1
    first: list[int] = field(default_factory=list)

    def sentence(self, what: str) -> str:
        lines = ", ".join(map(str, self.first)) + (", …" if self.count > len(self.first) else "")
        cells = "1 cell" if self.count == 1 else f"{self.count:,} cells"
        return what.replace("{cells}", cells).replace("{lines}", f"line{'s' * (self.count > 1)} {lines}")


class Problems:
    """Everything that is wrong with what was read, gathered so that it can be shown at once."""

    def __init__(self) -> None:
        self._problems: list[Problem] = []
        self._sorted = True
        self._warnings: list[str] = []
        self._doubts: dict[str, _Doubt] = {}
        self.left_out: dict[str, LeftOut] = {}
        """By kind, a noun with `{s}` where its plural has an s."""
        self.counts: dict[str, int] = {}
        """What was read, by noun: rows, products, pictures."""
        self.reported = 0
        """How many were reported, repeated ones too."""

    def add(self, source: str, line: int, column: str, reason: str) -> None:
        """Notes a problem; line 0 and an empty column are for those that have none.

        Raises:
            ManifestError: there are too many.
        """
        problem = Problem(source, line, column, reason)
        self.reported += 1
        if problem in self._problems[-8:]:
            return  # variants of one entry often share it
        if len(self._problems) >= MOST_PROBLEMS:
            reason = f"has more than {MOST_PROBLEMS:,} bad lines, and is read no further: is it the right file?"
            raise ManifestError([Problem(source, 0, "", reason), *self.listed[:_SHOWN]])
        self._problems.append(problem)
        self._sorted = False

    def warn(self, text: str) -> None:
        """Notes, once, what is worth a look and stops nothing."""
        if text not in self._warnings:
            self._warnings.append(text)

    def doubt(self, what: str, line: int) -> None:
        """Notes a cell that is probably not what somebody means; those of one kind become one warning with lines.

        Args:
            what: a sentence about `{cells}` and `{lines}`.
            line: where it stands.
        """
        doubt = self._doubts.setdefault(what, _Doubt())
        if doubt.last != line or not line:  # variants of one entry share it
            doubt.count, doubt.last = doubt.count + 1, line
            doubt.first += [line] if len(doubt.first) < _DOUBTED else []

    @property
    def warnings(self) -> list[str]:
        """What is worth a look and stops nothing."""
        return [*self._warnings, *(doubt.sentence(what) for what, doubt in self._doubts.items())]

    def leave_out(self, kind: str, name: str) -> None:
        """Counts what is passed over, and names the first few."""
        if kind not in self.left_out and len(self.left_out) >= _KINDS:
            kind = "other file{s}"
        left_out = self.left_out.setdefault(kind, LeftOut())
        left_out.count += 1
        if len(left_out.first) < _NAMED:
            left_out.first.append(name)

    def count(self, noun: str, more: int = 1) -> None:
        """Counts what was read."""
        self.counts[noun] = self.counts.get(noun, 0) + more

    @property
    def listed(self) -> list[Problem]:
        """The problems by file, line and column."""
        if not self._sorted:
            self._problems.sort()
            self._sorted = True
        return self._problems

    def __len__(self) -> int:
        return len(self._problems)

    def __bool__(self) -> bool:
        return bool(self._problems)
