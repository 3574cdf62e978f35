"""Looks in S3 for unfinished runs and firings that nobody moves, since Redis has lost them, or somebody erased them.

A look is one listing of the runs' folders, one of what schedules have fired, and three round trips to Redis; run.json
is read of those runs alone that nobody moves, and once of each that has ended.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from producers.runs.listing import firing_ids, read_runs, run_ids
from restyle.coordination.runs.firings import Firings
from restyle.models import Run
from tasks.resources import Resources

#: A run that Redis does not know, though Redis has lost nothing, was submitted lately: its command was cut off.
LATELY = timedelta(days=2)
#: One that is older than this is nobody's any more, until a person names it.
LONG_AGO = timedelta(days=30)


@dataclass(frozen=True)
class Unmoved:
    """Unfinished runs, and firings, that nobody moves."""

    #: Redis knows them, and they are on the list of nobody.
    unlisted: list[Run]
    #: Redis does not know them.
    unknown: list[Run]
    #: The runs of firings that are not on Redis's list.
    firings: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.unlisted or self.unknown or self.firings)


class OrphanScan:
    """One process's view of them."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        #: Runs that have ended, by their run.json.
        self._ended = set[str]()
        #: Runs that were moved here: of whatever age, they are to be moved on.
        self._moved = set[str]()

    def look(self) -> Unmoved:
        """Asks S3 and Redis."""
        here, listed = self._resources, set(self._resources.progress.unfinished())
        self._moved |= listed
        names = [name for name in run_ids(here.store, here.workspace) if name > _named(LONG_AGO)]
        names = [name for name in names if name not in self._ended]
        known, over = self.known(names)
        unlisted = self._unfinished(known - over - listed)
        if here.settings.local_redis is not None:
            return Unmoved(unlisted, [])  # the embedded stack works on what its commands name alone
        firings = Firings(here.state).unknown(firing_ids(here.store, here.workspace))
        lately = {name for name in names if name > _named(LATELY)} | self._moved
        return Unmoved(unlisted, self._unfinished(lately.intersection(names) - known), firings)

    def known(self, names: list[str]) -> tuple[set[str], set[str]]:
        """The runs of which Redis has the size, or something unreadable; and those that are over by what it has."""
        state = self._resources.state
        keys = [state.key("run", name) for name in names]
        kinds = dict(zip(names, state.ask_all(*(("TYPE", key) for key in keys)), strict=True))
        known = {name for name, kind in kinds.items() if kind not in {"none", "hash"}}
        hashes = [name for name, kind in kinds.items() if kind == "hash"]
        fields = state.ask_all(*(("HMGET", state.key("run", name), "planned", "ended") for name in hashes))
        over = {name for name, (_, ended) in zip(hashes, fields, strict=True) if ended is not None}
        return known | {name for name, (planned, _) in zip(hashes, fields, strict=True) if planned is not None}, over

    def _unfinished(self, names: Iterable[str]) -> list[Run]:
        here = self._resources
        runs = list(read_runs(sorted(names), here.store, here.workspace))
        self._ended |= {run.run_id for run in runs if run.finished is not None}
        return [run for run in runs if run.finished is None]


def _named(ago: timedelta) -> str:
    """How the names of runs begin that were planned so long ago."""
    return f"{datetime.now(UTC) - ago:%Y%m%dT%H%M%SZ}"
