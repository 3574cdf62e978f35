"""Which jobs of a plan would write to the same place. Memory does not grow with the plan: hashes go to a file."""

from __future__ import annotations

import posixpath
import sqlite3
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from producers.planning.jobs.batch import Batch
from restyle.keys import Workspace
from restyle.runtime.scratch import scratch
from restyle.runtime.spilled import SpilledHashes

_RECORD, _OUTPUT, _FOLDER, _INPUT = 0, 1, 2, 3
#: What keys of ours end in: only a folder so named can be a key as well.
_SUFFIXES = (".json", ".jpg", ".jpeg", ".png", ".webp")


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


#: An entry's place, its id, the jobs that it has as variant and places, and its input where that lies in S3.
Writing = tuple[int, str, Sequence[tuple[str, Sequence[str]]], str]


class Collisions:
    """All keys of a plan, as hashes."""

    def __init__(self, workspace: Workspace) -> None:
        """Starts without any."""
        self._workspace = workspace
        self._written, self._beside = SpilledHashes(), SpilledHashes()

    def add(self, entry_id: str, variant: str, outputs: Sequence[str]) -> None:
        """Notes where a job writes."""
        written, beside = self._written.add, self._beside.add
        for key in (self._workspace.record(entry_id, variant), *outputs):
            # The interpreter's own hash: 64 bits with a secret of this process, which the file does not outlive.
            written(hash(key.casefold()))
            for folder in _folders(key):
                beside(hash(folder.casefold()))

    def add_all(self, batch: Batch) -> None:
        """Notes where the jobs of plain rows write, and what they read: as `add` and `add_input`."""
        ids = "\n".join(batch.block.ids).casefold().split("\n")
        for column in batch.columns:
            record = self._workspace.record("\n", column.alike.variant).partition("\n")[::2]
            for before, after in (record, *column.places):
                start, end = before.casefold(), after.casefold()
                self._written.add_all([hash(f"{start}{entry_id}{end}") for entry_id in ids])
                if "." in start or "." in "".join(ids):  # elsewhere no folder could be a key
                    for entry_id in batch.block.ids:
                        self._beside.add_all([hash(one.casefold()) for one in _folders(f"{before}{entry_id}{after}")])
        self._beside.add_all(map(hash, "\n".join(batch.block.images).casefold().split("\n")))

    def add_input(self, uri: str) -> None:
        """Notes an input in S3, which no output may replace."""
        self._beside.add(hash(uri.casefold()))

    def each(self, again: Callable[[], Iterable[Writing]]) -> Iterable[Collision]:
        """Every collision, once an entry.

        Args:
            again: goes through the entries once more, where there are collisions to be reported.
        """
        shared = self._written.repeated(self._beside)
        if not shared:
            return
        collisions: dict[int, Collision] = {}
        with closing(sqlite3.connect("")) as file:  # a file of its own, which SQLite removes
            file.execute("PRAGMA synchronous = OFF")
            file.execute("PRAGMA journal_mode = OFF")
            file.execute("CREATE TABLE keys (folded INTEGER, exact INTEGER, kind INTEGER, ordinal INTEGER)")
            keys = (key for writing in again() for key in self._keys(*writing) if key[0] in shared)
            file.executemany("INSERT INTO keys VALUES (?, ?, ?, ?)", keys)
            rows = file.execute("SELECT folded, exact, kind, ordinal FROM keys ORDER BY folded, rowid")
            for _, same in groupby(rows, itemgetter(0)):
                for collision in _among([key[1:] for key in same]):
                    known = collisions.get(collision.ordinal)
                    if known is None or _RANKS.index(collision.kind) < _RANKS.index(known.kind):
                        collisions[collision.ordinal] = collision
        yield from collisions.values()

    def _keys(
        self, ordinal: int, entry_id: str, jobs: Sequence[tuple[str, Sequence[str]]], image: str
    ) -> Iterator[tuple[int, int, int, int]]:
        """Folded, exact, kind and place of all that an entry writes or reads."""
        for variant, outputs in jobs:
            record = self._workspace.record(entry_id, variant)
            named = [(record, _RECORD), *((output, _OUTPUT) for output in outputs)]
            named += [(folder, _FOLDER) for key in (record, *outputs) for folder in _folders(key)]
            for key, kind in named:
                yield hash(key.casefold()), hash(key), kind, ordinal
        if image:
            yield hash(image.casefold()), hash(image), _INPUT, ordinal


def _folders(key: str) -> Iterable[str]:
    """The folders above a key that could be a key of ours as well."""
    folder = key.rpartition("/")[0]
    if "." not in folder:
        return ()
    folders = []
    while folder.count("/") > 2:
        if folder.lower().endswith(_SUFFIXES):
            folders.append(folder)
        folder = posixpath.dirname(folder)
    return folders


def _among(keys: list[tuple[int, int, int]]) -> Iterable[Collision]:
    """The collisions among the keys of one hash: what, which kind, of which entry."""
    written = [(exact, ordinal) for exact, what, ordinal in keys if what in {_RECORD, _OUTPUT}]
    if not written:
        return
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
        self._file = scratch(self)
        self._file.execute("CREATE TABLE seen (hash INTEGER PRIMARY KEY)")

    def is_new(self, thing: Hashable) -> bool:
        """Whether this is the first time."""
        return self._file.execute("INSERT OR IGNORE INTO seen VALUES (?)", (hash(thing),)).rowcount > 0
