"""The flags below `fleets/`: the records by which the Redis of one workspace see each other, read and written in S3."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from restyle.coordination.workspace.holder import MAX_BYTES, FleetRecord, Rival, Standing, Terms, is_name, read_record
from restyle.coordination.workspace.tenure import Held, Known, Turn
from restyle.errors import InputNotFound, RestyleError
from restyle.formats import lying_at
from restyle.keys import Workspace
from restyle.models import utc_now
from restyle.s3.store import Dated, Store

#: Seconds between two readings of a record that cannot be read.
_PAUSES = (0.1, 0.3, 0.6)


@dataclass(frozen=True)
class Look:
    """The records as they lie in S3."""

    #: Those that this Redis has written, by name.
    mine: dict[str, Dated]
    rivals: tuple[Rival, ...]
    #: Names of holders that somebody has asked to stop.
    stops: frozenset[str]
    #: S3's own time.
    at: float | None


@dataclass
class _Seen:
    """A record as this process has seen it."""

    version: tuple[str, float | None]
    record: FleetRecord | None
    #: Monotonic seconds.
    since: float
    #: It is not the first one under this name.
    beats: bool = False


@dataclass(frozen=True)
class Owner:
    """How this Redis is named."""

    who: str
    redis: str
    version: str = ""
    #: The machine whose Redis it is, as eight hex digits; empty for one that others reach too.
    machine: str = ""


class Flags:
    """Looks at the records again and again, remembers which of them change, and writes its own Redis's."""

    def __init__(self, store: Store, workspace: Workspace, owner: Owner, terms: Terms) -> None:
        self._store = store
        self._workspace = workspace
        self._owner = owner
        self._terms = terms
        self._seen: dict[str, _Seen] = {}

    # -- reading -------------------------------------------------------------------------------------------

    def look(self, known: Known) -> Look:
        """One listing; records that are new or have changed are read, but for one's own.

        That under this Redis's own name is a rival's where a copy of this Redis has written it.
        """
        glance = self._store.glance(self._workspace.under("fleets") + "/")
        mine, rivals, stops = {}, [], set()
        for dated in glance.objects:
            name, _, suffix = dated.uri.rpartition("/")[2].partition(".")
            if not is_name(name):
                continue
            if suffix == "stop":
                stops.add(name)
            elif suffix == "json" and name in known.names and (name != known.name or self._is_mine(dated, known)):
                mine[name] = dated
            elif suffix == "json":
                rivals.append(self.seen(name, dated, glance.at))
        return Look(mine, tuple(rivals), frozenset(stops), glance.at)

    def seen(self, name: str, dated: Dated, at: float | None) -> Rival:
        """A record as another one's."""
        version, now = (dated.etag, dated.written), time.monotonic()
        seen = self._seen.get(name)
        if seen is None or seen.version != version:
            seen = self._seen[name] = _Seen(version, self._read(dated), now, beats=seen is not None)
        age = None if at is None or dated.written is None else at - dated.written
        return Rival(name, seen.record, age, now - seen.since, seen.beats)

    def _read(self, dated: Dated) -> FleetRecord | None:
        """A record; None: it is none that this version reads, or is gone.

        One that cannot be read is read again for a second before that is believed: some servers, the embedded one
        among them, show a file for a moment as it is being written.

        Raises:
            NewerFormat: a later version of restyle wrote it, and with it perhaps all else in the workspace.
        """
        if dated.bytes > MAX_BYTES:
            return None
        for pause in (*_PAUSES, None):
            with suppress(InputNotFound):
                with lying_at(dated.uri):
                    record = read_record(self._store.get(dated.uri, max_bytes=MAX_BYTES).data)
                if record:
                    return record
            if pause:
                time.sleep(pause)
        return None

    def _is_mine(self, dated: Dated, known: Known) -> bool:
        """Whether this Redis wrote it: it is what it wrote last, or bears a beat of ours."""
        if known.etag and dated.etag == known.etag:
            return True
        record = self._read(dated)
        return record is not None and record.beat in known.beats

    # -- writing -------------------------------------------------------------------------------------------

    def write(self, state: Standing, turn: Turn, known: Known) -> Held:
        """Writes this Redis's record as it is known to be, but for its state."""
        record = FleetRecord(
            state=state, beat=turn.beat, number=known.number, who=known.who[:300],
            since=datetime.fromisoformat(known.since), redis=self._owner.redis[:300], runs=turn.runs,
            pending=max(0, turn.pending), silent_after=self._terms.silent_after, version=self._owner.version[:64],
        )  # fmt: skip
        text = record.model_dump_json(indent=1).encode()
        etag = self._store.put(self._workspace.fleet(known.name), text, content_type="application/json")
        return Held(known.name, etag, known.who, known.since, known.number)

    def remove(self, names: Iterable[str]) -> None:
        """Removes records of one's own, or of others that left or are silent."""
        for name in names:
            self._store.delete(self._workspace.fleet(name))

    # -- asking a holder to stop -----------------------------------------------------------------------------

    def ask_to_stop(self, name: str) -> None:
        """Lays down the wish that a holder should stop; it reads that at its next look."""
        wish = json.dumps({"by": self._owner.who, "at": str(utc_now())}).encode()
        self._store.put(self._workspace.handover(name), wish, content_type="application/json")

    def who_asks(self, name: str) -> str:
        """Who wishes that."""
        with suppress(RestyleError, ValueError, TypeError, KeyError):
            wish = self._store.get(self._workspace.handover(name), max_bytes=MAX_BYTES)
            return str(json.loads(wish.data)["by"])[:300]
        return "somebody"

    def remove_wishes(self, names: Iterable[str]) -> None:
        """Removes such wishes."""
        for name in names:
            self._store.delete(self._workspace.handover(name))
