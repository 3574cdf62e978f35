"""What people may want to know of while a run goes on: a worker lost, jobs that fail alike, budgets and credits low.

Each is judged anew when it is sent, from the fleet as it stands; by S3 only where Redis cannot know it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from restyle.coordination.fleet import Fleet
from restyle.coordination.outbox import LATEST
from restyle.coordination.periods import Periods
from restyle.coordination.redis.hints import read_number
from restyle.coordination.runs import trends
from restyle.coordination.runs.brakes import brakes
from restyle.coordination.runs.events import events
from restyle.coordination.runs.progress import Progress
from restyle.models import Run

#: Seconds for which a worker that was lost is reported.
LATELY = 600.0
#: The share of a budget that is reported.
NEARLY = 0.8
#: Seconds by which the account's pace is judged, at least and at most.
PACE_LEAST, PACE_MOST = 300.0, 1800.0
#: What a worker that was lost is called among the fleet's events.
WORKER_LOST = "worker_lost"
#: Seconds after which nobody has reported lately that S3 is out of reach.
STORE_LASTS = 60.0


@dataclass(frozen=True)
class Alarm:
    """One thing that is amiss."""

    event: str
    """As `[notify]` lists it."""
    reason: str
    since: int
    """What tells it from an earlier one, as a rule when it began."""
    text: str
    next: str = ""

    @property
    def name(self) -> str:
        """What it is remembered by."""
        return f"{self.event}-{self.reason}-{self.since}"


@dataclass(frozen=True)
class Watch:
    """What is looked at."""

    progress: Progress
    fleet: Fleet
    #: Hours for which the credits are to last at least; 0: nobody is notified.
    hours: float = 3.0

    def alarms(self, run: Run) -> Iterator[Alarm]:
        """All that is amiss with a run now."""
        yield from self.store()
        yield from self._lost()
        yield from self._braked(run)
        yield from self._budgets(run)
        yield from self._credits()

    # -- S3 ------------------------------------------------------------------------------------------------

    def store(self) -> Iterator[Alarm]:
        """That workers cannot reach S3."""
        text = self.progress.state.ask("GET", self._store_key) or ""
        since, _, why = text.partition(" ")
        if since.isdecimal() and int(since) <= LATEST:
            yield Alarm(
                "failing", "store", int(since), f"S3 is out of reach, and nothing is stored or begun: {why[:300]}",
                "restyle doctor",
            )  # fmt: skip

    def store_is_away(self, why: str) -> None:
        """Notes that this worker cannot reach S3; the first word on it stands while it lasts."""
        state, key = self.progress.state, self._store_key
        state.ask("SET", key, f"{state.clock():.0f} {why}"[:400], "NX")
        state.ask("PEXPIRE", key, round(STORE_LASTS * 1000))

    @property
    def _store_key(self) -> str:
        return self.progress.state.key("store_away")

    # -- workers and jobs ----------------------------------------------------------------------------------

    def _lost(self) -> Iterator[Alarm]:
        now = self.progress.state.clock()
        for event in events(self.progress.state, None):
            at = event.at.timestamp()
            if event.what == WORKER_LOST and 0 <= now - at <= LATELY:
                yield Alarm(
                    WORKER_LOST, "died", round(at), f"{event.detail}; its jobs go on with the other workers",
                    "restyle status",
                )  # fmt: skip

    def _braked(self, run: Run) -> Iterator[Alarm]:
        for brake in brakes(self.progress.state, run.run_id):
            number = zlib.crc32(brake.variant.encode(errors="replace"))
            text = f"variant {brake.variant} stands still, the others go on: {brake.detail}"
            yield Alarm("failing", "variant", number, text, f"restyle report {run.run_id} --status failed")

    # -- money ---------------------------------------------------------------------------------------------

    def _budgets(self, run: Run) -> Iterator[Alarm]:
        totals = self.progress.totals(run.run_id)
        if run.budget and totals and totals.credits >= NEARLY * run.budget:
            text = f"{totals.credits:,.2f} of the {run.budget:,.2f} credits of its budget are spent"
            more = f"restyle status {run.run_id}" if totals.pending else ""
            yield Alarm("budget_80", "run", min(round(run.budget), LATEST), text, more)
        state, limits = self.progress.state, self.fleet.limits.budgets
        names = Periods(state).in_force()
        for reason, name, budget in zip(("day", "month"), names or (), (limits.daily, limits.monthly), strict=False):
            spent = read_number(state.ask("GET", state.key("spent", name))) or 0.0
            number = name.replace("-", "")
            if budget and spent >= NEARLY * budget and number.isdecimal() and len(number) <= 8:
                text = f"{spent:,.2f} of the {budget:,.2f} credits that all runs may spend in a {reason} are spent"
                yield Alarm("budget_80", reason, int(number), text)

    def _credits(self) -> Iterator[Alarm]:
        left, pace = self.fleet.credits_left(), self._pace()
        if left is None or not pace or not self.hours or left / pace >= self.hours:
            return
        today = int(self.progress.state.clock() // 86400)
        text = f"{left:,.2f} credits are left, which at this pace last for {_span(left / pace)}"
        yield Alarm("low_credits", "hours", today, text)

    def _pace(self) -> float:
        """Credits an hour that the account has lost of late; 0 where that cannot be determined yet."""
        points = trends.read(trends.FleetPoint, self.progress.state.ask(*trends.ask_fleet(self.progress.state)))
        balances = [(point.at, point.left) for point in points if point.left is not None]
        if not balances:
            return 0.0
        last = balances[-1][0]
        of_late = [(at, left) for at, left in balances if last - at <= PACE_MOST]
        span = last - of_late[0][0]
        spent = sum(max(0.0, before - after) for (_, before), (_, after) in pairwise(of_late))
        return spent / span * 3600 if span >= PACE_LEAST else 0.0


def _span(hours: float) -> str:
    return f"{hours:.1f} hours" if hours >= 1 else f"{hours * 60:.0f} minutes"
