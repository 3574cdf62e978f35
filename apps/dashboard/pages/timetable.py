"""The schedules of restyle.toml: when each fires next, how its last firing ended, and whether anybody looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from apps.views.overview import Side
from config.schedules import Schedule
from producers.scheduling.fired import Fired
from producers.scheduling.schedule import upcoming
from restyle.coordination.runs.firings import FiringEnd, Firings
from restyle.errors import RestyleError, StateUnavailable
from restyle.run_ids import schedule_of

#: How long after a beat's last look nobody counts as looking.
UNATTENDED = timedelta(minutes=2)
#: Last runs of a schedule that are shown.
NIGHTS = 7


#: The last firing of each schedule, when a beat last looked, and the runs that wait to be planned.
Ledger = tuple[dict[str, FiringEnd], dict[str, datetime], list[str]]


@dataclass(frozen=True)
class Line:
    """One schedule as the page shows it."""

    schedule: Schedule
    #: In the schedule's own time zone; None where it never comes again.
    next: datetime | None
    last: FiringEnd | None
    #: Firings that are not planned yet, by run id.
    waiting: tuple[str, ...]
    #: When a beat last looked whether it is due; None where none ever did.
    looked: datetime | None
    now: datetime
    #: Redis is out of reach, so what is shown here is what was known.
    blind: bool = False

    @property
    def unattended(self) -> bool:
        """Whether no beat looks, so that it will not fire."""
        return not self.blind and (self.looked is None or self.now - self.looked > UNATTENDED)


class Timetable:
    """The schedules of these settings, with what is remembered of them."""

    def __init__(self, schedules: Sequence[Schedule]) -> None:
        self.schedules = schedules
        self._settled: dict[str, FiringEnd | None] = {}
        self._ledger: Ledger = ({}, {}, [])

    def look(self, sides: Sequence[Side]) -> list[Line]:
        """Every schedule as it stands now; without sides, or where Redis is out of reach, as it was last known."""
        if not self.schedules:
            return []
        now = datetime.now(UTC)
        try:
            blind = not sides
            if sides:
                self._ledger = _read([Firings(side.session.state) for side in sides])
        except StateUnavailable:
            blind = True
        last, looked, waiting = self._ledger
        return [
            Line(
                schedule=schedule,
                next=next((moment.astimezone(schedule.zone) for moment in upcoming(schedule, now)), None),
                last=last.get(schedule.name) or self._remembered(schedule.name, sides),
                waiting=tuple(run_id for run_id in waiting if schedule_of(run_id) == schedule.name),
                looked=looked.get(schedule.name), now=now, blind=blind,
            )
            for schedule in self.schedules
        ]  # fmt: skip

    def _remembered(self, name: str, sides: Sequence[Side]) -> FiringEnd | None:
        """How the last firing ended where Redis has lost it, asked of S3 once."""
        for side in sides[:1] if name not in self._settled else ():
            try:
                self._settled[name] = Fired(side.session.store, side.session.workspace).end_of(name)
            except RestyleError:
                return None
        return self._settled.get(name)


def _read(ledgers: Sequence[Firings]) -> Ledger:
    """What the fleet and the sandbox's fleet know together."""
    last: dict[str, FiringEnd] = {}
    looked: dict[str, datetime] = {}
    waiting: list[str] = []
    for ledger in ledgers:
        for name, settled in ledger.last().items():
            last[name] = max(last.get(name, settled), settled, key=lambda one: one.at)
        for name, moment in ledger.looked().items():
            looked[name] = max(looked.get(name, moment), moment)
        waiting += ledger.waiting()
    return last, looked, waiting
