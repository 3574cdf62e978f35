"""What people say of a run's pictures: keep, redo or reject, with a note; kept in the workspace, with who and when.

Each time somebody marks, an object of its own is written, so that two people who mark at once never write the same one
and no mark is lost, on any S3. Of two marks of one job the later stands. Many objects are merged into one now and then:
it is written first, and what is in it is removed then, so that nothing is missing in between. docs/decisions/0034.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, ValidationError

from restyle.errors import InputNotFound, InvalidImage, RestyleError
from restyle.formats import SchemaVersion
from restyle.keys import Workspace
from restyle.models import utc_now
from restyle.s3.store import Store
from restyle.value import UtcTime, Value

#: Marks that people set; empty takes one back.
Word = Literal["keep", "redo", "reject", ""]
JobId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{24}$")]
#: Characters of a note.
LONGEST_NOTE = 500
#: Bytes of an object that are read, objects after which they are merged, and how many are read at all.
_MOST_BYTES, _MERGE_AFTER, _MOST_OBJECTS = 64_000_000, 400, 20_000
_AT_ONCE = 16
_ATTEMPTS = 3


class Mark(Value):
    """Somebody's mark of a job's picture."""

    mark: Word
    note: str = Field("", max_length=LONGEST_NOTE)
    by: str = Field(max_length=200)
    at: UtcTime
    place: int = -1
    """Which job of the run it is: its shard and, in 20 bits, its index; -1: by its id alone."""

    @property
    def order(self) -> tuple[str, str, str]:
        """Of two marks of one job that with the greater order stands, whoever reads them."""
        return self.at.isoformat(), self.by, self.mark


def mark_now(word: Word, *, by: str, note: str = "", place: int = -1) -> Mark:
    """A mark that somebody sets now, within bounds."""
    return Mark(mark=word, note=note[:LONGEST_NOTE], by=by[:200], at=utc_now(), place=place)


class Marked(Value):
    """An object: marks by job id."""

    schema_version: SchemaVersion = 1
    marks: dict[JobId, Mark] = Field(max_length=1_000_000)


class Marks:
    """The marks of one run, as this process knows them; several threads may use it."""

    def __init__(self, run_id: str, store: Store, workspace: Workspace, *, merge_after: int = _MERGE_AFTER) -> None:
        """Starts without any; more objects than `merge_after` are merged."""
        self._run_id, self.store, self._workspace = run_id, store, workspace
        self._merge_after = merge_after
        self._lock = threading.Lock()
        self._standing: dict[str, Mark] = {}
        self._read: set[str] = set()
        #: Differs whenever the marks do.
        self.version = 0

    def put(self, marks: Mapping[str, Mark]) -> None:
        """Marks jobs by their ids; each mark is whole in S3 by then.

        Raises:
            StoreUnavailable, StoreAccessDenied: they are not kept.
        """
        uri = self._write(Marked(marks=dict(marks)))
        with self._lock:
            self._take(uri, marks)

    def standing(self) -> dict[str, Mark]:
        """Every job's mark by its id, those of others too; what was taken back, with its note, is none.

        Raises:
            StoreUnavailable, StoreAccessDenied: S3 does not tell.
        """
        with self._lock:
            for _ in range(_ATTEMPTS):
                if self._refresh():
                    break
            return {job_id: mark for job_id, mark in self._standing.items() if mark.mark or mark.note}

    def touched(self) -> frozenset[str]:
        """The ids of jobs that were ever marked, also where that was taken back, as far as is known here."""
        with self._lock:
            return frozenset(self._standing)

    def merge(self) -> None:
        """Merges what lies in many objects into one, where they are many; what cannot be done is left for later."""
        with self._lock:
            read = set(self._read)
            if len(read) <= self._merge_after:
                return
            try:
                whole = self._write(Marked(marks=self._standing))
                self._read = {whole}
                with ThreadPoolExecutor(_AT_ONCE) as pool:
                    list(pool.map(self.store.delete, read))
            except RestyleError:
                return

    def _refresh(self) -> bool:
        """Reads the objects that are new; False where one went away meanwhile, merged into another."""
        listed = []
        for listing in self.store.list(self._workspace.marks(self._run_id)):
            listed.append(listing.uri)
            if len(listed) >= _MOST_OBJECTS:
                break
        unread = [uri for uri in listed if uri not in self._read]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            contents = list(pool.map(self._fetch, unread)) if unread else []
        for uri, marks in zip(unread, contents, strict=True):
            if marks is not None:
                self._take(uri, marks)
        self._read &= set(listed)
        return None not in contents

    def _fetch(self, uri: str) -> dict[str, Mark] | None:
        """What an object says; nothing where it is none of ours, None where it is gone."""
        try:
            return Marked.read(self.store.get(uri, max_bytes=_MOST_BYTES).data).marks
        except InputNotFound:
            return None
        except (InvalidImage, ValidationError):
            return {}

    def _take(self, uri: str, marks: Mapping[str, Mark]) -> None:
        self._read.add(uri)
        for job_id, mark in marks.items():
            known = self._standing.get(job_id)
            if known is None or mark.order > known.order:
                self._standing[job_id] = mark
                self.version += 1

    def _write(self, marked: Marked) -> str:
        uri = self._workspace.marks(self._run_id, f"{utc_now():%Y%m%dT%H%M%S%fZ}-{secrets.token_hex(4)}.json")
        self.store.put(uri, marked.model_dump_json().encode(), content_type="application/json")
        return uri
