"""The records by which the Redis of one workspace see each other, as one process reads them from S3."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass

from restyle.errors import InputNotFound
from restyle.holder import MAX_BYTES, FleetRecord, Rival, is_name, read_record
from restyle.keys import Workspace
from restyle.store import Dated, Store


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

    version: tuple[str, float]
    record: FleetRecord | None
    #: Monotonic seconds.
    since: float
    #: It is not the first one under this name.
    beats: bool = False


class Rivals:
    """Looks at the records again and again, and remembers which of them change."""

    def __init__(self, store: Store, workspace: Workspace) -> None:
        self._store = store
        self._workspace = workspace
        self._seen: dict[str, _Seen] = {}

    def look(self, names: Collection[str]) -> Look:
        """One listing; records that are new or have changed are read, but for those of the names given, one's own."""
        glance = self._store.glance(self._workspace.under("fleets") + "/")
        mine, rivals, stops = {}, [], set()
        for dated in glance.objects:
            name, _, suffix = dated.uri.rpartition("/")[2].partition(".")
            if not is_name(name):
                continue
            if suffix == "stop":
                stops.add(name)
            elif suffix == "json" and name in names:
                mine[name] = dated
            elif suffix == "json":
                rivals.append(self.seen(name, dated, glance.at))
        return Look(mine, tuple(rivals), frozenset(stops), glance.at)

    def seen(self, name: str, dated: Dated, at: float | None) -> Rival:
        """A record as another one's."""
        version, now = (dated.etag, dated.written), time.monotonic()
        seen = self._seen.get(name)
        if seen is None or seen.version != version:
            seen = self._seen[name] = _Seen(version, self.read(dated), now, beats=seen is not None)
        age = None if at is None else at - dated.written
        return Rival(name, seen.record, age, now - seen.since, seen.beats)

    def read(self, dated: Dated) -> FleetRecord | None:
        """What a record says; None where it cannot be read."""
        if dated.bytes > MAX_BYTES:
            return None
        try:
            return read_record(self._store.get(dated.uri, max_bytes=MAX_BYTES).data)
        except InputNotFound:
            return None
