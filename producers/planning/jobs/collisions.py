"""Which jobs of a plan would write to the same place. Memory does not grow with the plan: hashes go to a file."""

from __future__ import annotations

import posixpath
import sqlite3
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from restyle.keys import Workspace

_RECORD, _OUTPUT, _FOLDER, _INPUT = 0, 1, 2, 3
#: What keys of ours end in: only a folder so named can be a key as well.
_SUFFIXES = (".json", ".jpg", ".jpeg", ".png", ".webp")
_BATCH = 20_000


@dataclass(frozen=True)
class Collision:
    """A job that cannot be planned because of an earlier one."""

    ordinal: int
    """Place of its entry."""
    first: int
    """Place of the entry that it collides with."""
    kind: str
    """One of those below."""


#: What collides, that which says most first: an entry whose id is there twice shares its output, too.
_RANKS = ("duplicate", "case", "output", "output case", "folder", "input")


class Collisions:
    """All keys of a plan, as hashes."""

    def __init__(self, workspace: Workspace) -> None:
        """Starts without any."""
        self._workspace = workspace
        self._rows: list[tuple[int, int, int, int]] = []
        self._file = sqlite3.connect("")  # a file of its own, which SQLite removes
        self._file.execute("PRAGMA synchronous = OFF")
        self._file.execute("PRAGMA journal_mode = OFF")
        self._file.execute("PRAGMA cache_size = -16384")
        self._file.execute("CREATE TABLE keys (folded INTEGER, exact INTEGER, kind INTEGER, ordinal INTEGER)")

    def add(self, ordinal: int, entry_id: str, variant: str, outputs: Sequence[str]) -> None:
        """Notes where a job of the entry at this place writes."""
        record = self._workspace.record(entry_id, variant)
        self._note(record, _RECORD, ordinal)
        for output in outputs:
            self._note(output, _OUTPUT, ordinal)
        for key in (record, *outputs):
            self._note_folders(key, ordinal)

    def add_input(self, ordinal: int, uri: str) -> None:
        """Notes an input in S3, which no output may replace."""
        self._note(uri, _INPUT, ordinal)

    def each(self) -> Iterable[Collision]:
        """Every collision, once an entry."""
        self._flush()
        shared = self._file.execute(
            "SELECT folded FROM keys GROUP BY folded HAVING COUNT(*) > 1 AND MIN(kind) <= 1"
        ).fetchall()
        if not shared:
            return
        self._file.execute("CREATE INDEX by_folded ON keys (folded)")
        collisions: dict[int, Collision] = {}
        for (folded,) in shared:
            keys = self._file.execute(
                "SELECT exact, kind, ordinal FROM keys WHERE folded = ? ORDER BY rowid", (folded,)
            ).fetchall()
            for collision in _among(keys):
                known = collisions.get(collision.ordinal)
                if known is None or _RANKS.index(collision.kind) < _RANKS.index(known.kind):
                    collisions[collision.ordinal] = collision
        yield from collisions.values()

    def close(self) -> None:
        """Lets go of the file."""
        self._file.close()

    def _note_folders(self, key: str, ordinal: int) -> None:
        folder = key.rpartition("/")[0]
        if "." not in folder:
            return
        while folder.count("/") > 2:
            if folder.lower().endswith(_SUFFIXES):
                self._note(folder, _FOLDER, ordinal)
            folder = posixpath.dirname(folder)

    def _note(self, key: str, kind: int, ordinal: int) -> None:
        # The interpreter's own hash: 64 bits with a secret of this process, which the file does not outlive.
        self._rows.append((hash(key.casefold()), hash(key), kind, ordinal))
        if len(self._rows) >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        self._file.executemany("INSERT INTO keys VALUES (?, ?, ?, ?)", self._rows)
        self._rows.clear()


def _among(keys: list[tuple[int, int, int]]) -> Iterable[Collision]:
    """The collisions among the keys of one hash: what, which kind, of which entry."""
    written = [(exact, ordinal) for exact, what, ordinal in keys if what in {_RECORD, _OUTPUT}]
    first_exact, first = written[0]
    is_record = any(what == _RECORD for _, what, _ in keys)
    same, folded = ("duplicate", "case") if is_record else ("output", "output case")
    for exact, ordinal in written[1:]:
        yield Collision(ordinal, first, same if exact == first_exact else folded)
    for exact, what, ordinal in keys:
        if what == _FOLDER:
            yield Collision(ordinal, first, "folder")
        elif what == _INPUT and exact == first_exact:
            yield Collision(first, ordinal, "input")


class Seen:
    """Tells the first time of each thing; memory does not grow with their number."""

    def __init__(self) -> None:
        """Starts without any."""
        self._file = sqlite3.connect("")
        self._file.execute("PRAGMA synchronous = OFF")
        self._file.execute("PRAGMA journal_mode = OFF")
        self._file.execute("CREATE TABLE seen (hash INTEGER PRIMARY KEY)")

    def is_new(self, thing: Hashable) -> bool:
        """Whether this is the first time."""
        return self._file.execute("INSERT OR IGNORE INTO seen VALUES (?)", (hash(thing),)).rowcount > 0
