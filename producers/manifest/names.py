"""The names below a folder or prefix: whether one exists, and else which is probably meant. Used by place.py."""

from __future__ import annotations

import os
import posixpath
import sqlite3
import unicodedata
from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import islice
from pathlib import Path
from urllib.parse import unquote

from restyle.runtime.scratch import scratch
from restyle.s3.store import Store

#: Most names that are listed.
_MOST = 1_000_000
_SUGGESTED = 20


class Names:
    """Names, listed at the first lookup; memory does not grow with them."""

    def __init__(self, listed: Callable[[], Iterator[str]]) -> None:
        """`listed` streams them, relative to the folder or prefix."""
        self._listed = listed

    def has(self, name: str) -> bool:
        """Whether there is such a name."""
        return self._table.execute("SELECT 1 FROM names WHERE name = ?", (name,)).fetchone() is not None

    @property
    def is_whole(self) -> bool:
        """Whether all names are known; False where there are too many."""
        count: int = self._table.execute("SELECT count(*) FROM names").fetchone()[0]
        return count < _MOST

    def meant(self, name: str) -> str:
        """A hint at the name that is probably meant by one that does not exist; empty where none is like it."""
        rows = self._table.execute("SELECT name FROM names WHERE folded = ? LIMIT ?", (_folded(name), _SUGGESTED))
        others = sorted((other for (other,) in rows), key=lambda other: _difference(name, other))
        if not others:
            return ""
        _, difference = _difference(name, others[0])
        return f"did you mean {others[0]}? {difference}".rstrip()

    @cached_property
    def _table(self) -> sqlite3.Connection:
        table = scratch(self)
        table.execute("CREATE TABLE names (name TEXT PRIMARY KEY, folded TEXT) WITHOUT ROWID")
        rows = ((name, _folded(name)) for name in islice(self._listed(), _MOST))
        table.executemany("INSERT OR IGNORE INTO names VALUES (?, ?)", rows)
        table.execute("CREATE INDEX folded ON names (folded)")
        return table


def names_in_folder(folder: str) -> Names:
    """The files below a folder."""

    def listed() -> Iterator[str]:
        for place, folders, files in os.walk(folder):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for file in files:
                name = Path(place, file).relative_to(folder).as_posix()
                yield name.encode(errors="replace").decode()

    return Names(listed)


def names_in_prefix(prefix: str, store: Store) -> Names:
    """The objects below a prefix, which ends in a slash."""
    return Names(lambda: (listed.uri[len(prefix) :] for listed in store.list(prefix)))


def _folded(name: str) -> str:
    """The form in which similar names are equal: the last part, without case and suffix."""
    stem = posixpath.splitext(_plain(name).rpartition("/")[2])[0]
    return stem.strip().casefold()


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", unquote(name.encode(errors="replace").decode())).replace("\\", "/")


def _difference(name: str, other: str) -> tuple[int, str]:
    """How different two names are (0: least), and a note on the difference where it is hard to see."""
    one, two = posixpath.normpath(_plain(name)), _plain(other)
    if one == two:
        if "\\" in name:
            return 0, "(with / between folders)"
        return 0, "(as it is, not percent-encoded)" if "%" in name else "(the same letters in another Unicode form)"
    if one.casefold() == two.casefold():
        return 1, "(letter case differs)"
    if posixpath.splitext(one)[0] == posixpath.splitext(two)[0]:
        return 2, "(its suffix differs)"
    same_name = one.rpartition("/")[2] == two.rpartition("/")[2]
    return (3, "(in another folder)") if same_name else (4, "")
