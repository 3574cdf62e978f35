"""The names below a folder or prefix: whether one is there, and which is meant where it is not. Read by place.py."""

from __future__ import annotations

import os
import posixpath
import sqlite3
import unicodedata
from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import islice
from pathlib import Path

from restyle.s3.store import Store

#: Names that are looked at for what is meant.
_MOST = 1_000_000
_SUGGESTED = 20


class Names:
    """Names, listed when the first is looked for; memory does not grow with them."""

    def __init__(self, listed: Callable[[], Iterator[str]]) -> None:
        """Keeps how to list them, each relative to where they lie."""
        self._listed = listed

    def has(self, name: str) -> bool:
        """Whether there is such a name."""
        return self._table.execute("SELECT 1 FROM names WHERE name = ?", (name,)).fetchone() is not None

    @property
    def is_whole(self) -> bool:
        """Whether all names are known; of too many, some are."""
        count: int = self._table.execute("SELECT count(*) FROM names").fetchone()[0]
        return count < _MOST

    def meant(self, name: str) -> str:
        """What to say of a name that is not there: which one is probably meant; empty where none is."""
        found = self._table.execute("SELECT name FROM names WHERE folded = ? LIMIT ?", (_folded(name), _SUGGESTED))
        others = sorted((other for (other,) in found), key=lambda other: _difference(name, other))
        if not others:
            return ""
        _, difference = _difference(name, others[0])
        return f"did you mean {others[0]}? {difference}".rstrip()

    @cached_property
    def _table(self) -> sqlite3.Connection:
        table = sqlite3.connect("")  # a file of its own, which SQLite removes
        table.execute("PRAGMA synchronous = OFF")
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
    """What names that are easily taken for one another have in common: the last part, without case and suffix."""
    stem = posixpath.splitext(_plain(name).rpartition("/")[2])[0]
    return stem.strip().casefold()


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name.encode(errors="replace").decode()).replace("\\", "/")


def _difference(name: str, other: str) -> tuple[int, str]:
    """How much lies between two names, and what to say of it where it cannot be seen."""
    one, two = posixpath.normpath(_plain(name)), _plain(other)
    if one == two:
        is_form = "\\" not in name
        return 0, "(the same letters in another Unicode form)" if is_form else "(with / between folders)"
    if one.casefold() == two.casefold():
        return 1, "(letter case differs)"
    if posixpath.splitext(one)[0] == posixpath.splitext(two)[0]:
        return 2, "(its suffix differs)"
    same_name = one.rpartition("/")[2] == two.rpartition("/")[2]
    return (3, "(in another folder)") if same_name else (4, "")
