"""The values that reading a manifest gives: entries, and the problems found on the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from restyle.errors import ManifestError, Problem

#: Bad lines after which reading ends: it is not the file that was meant, and they take memory.
MOST_PROBLEMS = 100_000
#: How many of too many are told.
_SHOWN = 10


@dataclass(frozen=True)
class Entry:
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


#: Where a row stands: the file as messages call it, and the line.
Stand = tuple[str, int]


class Row(NamedTuple):
    """A row as it stands in the file, sorted into what restyle knows and what it only keeps."""

    source: str
    line: int
    given: dict[str, Any]
    """Filled cells of reserved columns and parameters, by their own names."""
    meta: dict[str, str]


class Problems:
    """Everything that is wrong with what was read, gathered so that it can be told at once."""

    def __init__(self) -> None:
        self._found: list[Problem] = []
        self._sorted = True
        self.warnings: list[str] = []
        self.told = 0
        """How many were told, repeated ones too."""

    def add(self, source: str, line: int, column: str, reason: str) -> None:
        """Notes a problem; line 0 and an empty column are for those that have none.

        Raises:
            ManifestError: there are too many.
        """
        problem = Problem(source, line, column, reason)
        self.told += 1
        if problem in self._found[-8:]:
            return  # variants of one entry often share it
        if len(self._found) >= MOST_PROBLEMS:
            reason = f"has more than {MOST_PROBLEMS:,} bad lines, and is read no further: is it the right file?"
            raise ManifestError([Problem(source, 0, "", reason), *self.found[:_SHOWN]])
        self._found.append(problem)
        self._sorted = False

    def warn(self, text: str) -> None:
        """Notes, once, what is worth a look and stops nothing."""
        if text not in self.warnings:
            self.warnings.append(text)

    @property
    def found(self) -> list[Problem]:
        """The problems by file, line and column."""
        if not self._sorted:
            self._found.sort()
            self._sorted = True
        return self._found

    def __len__(self) -> int:
        return len(self._found)

    def __bool__(self) -> bool:
        return bool(self._found)
