"""A workspace at one moment: its unfinished runs, and the fleet. A snapshot takes two round trips to Redis.

A run that has ended does not change any more, so its row is read once and kept.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from apps.session import Session
from apps.views.moment import Moment, Row, read_worker
from apps.views.pace import WINDOW, Pace
from config.celery_app import QUEUES
from producers.runs.snapshot import totals_of_report
from restyle.coordination.runs.events import ask_events, read_events
from restyle.coordination.runs.registry import Totals, legible
from restyle.coordination.runs.trends import FleetPoint, RunPoint, ask_fleet, ask_run, read
from restyle.coordination.suspensions import Suspension, read_hold, read_suspensions
from restyle.errors import RestyleError
from restyle.models import ENDED, Run

#: Seconds between two listings of S3, which also find runs that Redis has forgotten.
LIST_EVERY = 5.0
#: Seconds between two readings of the fleet's trend, which gets points no more often.
TREND_EVERY = 5.0
#: Seconds between two checks whether Redis takes writes.
WRITES_EVERY = 3.0
_THREADS = 16
#: What the first round trip reads of the fleet: rate, suspension, the day and the month in force, Redis's clock.
Waiting = tuple[list[str | None], dict[str, str], list[str | None], float]


class Side:
    """The paid side of a workspace, or its sandbox's, with what is kept of it between two snapshots."""

    def __init__(self, name: str, session: Session) -> None:
        self.name = name
        self.session = session
        #: The ids of all runs, newest first.
        self.ids: list[str] = []
        self._listed = float("-inf")
        self._runs: dict[str, Run] = {}
        self._paces: dict[str, Pace] = {}
        self._settled: dict[str, Row] = {}
        self._trend: tuple[FleetPoint, ...] = ()
        self._trend_read = float("-inf")
        self._refusal: tuple[str, str] | None = None
        self._refusal_read = float("-inf")
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="rows")

    def look(self) -> Moment:
        """A snapshot.

        Raises:
            StateUnavailable, StoreUnavailable: Redis or S3 is out of reach.
        """
        state, settings = self.session.state, self.session.settings
        known, names, account, waiting = self._first()
        rate, reasons, periods, clock = waiting
        hold = read_hold(*rate[1:], now=clock)
        if account and state.account != f"restyle:{account}:":
            # A dashboard without a key takes the account that the workers use.
            state.account = f"restyle:{account}:"
            return self.look()
        fleet_reasons = (*read_suspensions(reasons, "fleet"), *([hold] if hold else []))
        own = (period.name for period in self.session.fleet.limits.budgets.periods())
        days = [in_force or name for in_force, name in zip(periods, own, strict=True)]
        replies = self._replies(known, names, days)
        rows = self._rows(known, replies, fleet_reasons, clock)
        self._list(known)
        for texts in replies["trend"]:
            self._trend, self._trend_read = tuple(read(FleetPoint, texts)), time.monotonic()
        return Moment(
            side=self.name, taken=time.time(), rows=rows,
            workers=tuple(
                read_worker(name, beat, left / 1000, settings.heartbeat_ttl)
                for name, beat, left in zip(names, replies["beats"], replies["lives"], strict=True)
            ),
            reasons=fleet_reasons,
            credits_left=None if rate[0] is None else float(rate[0]),
            held=max(0.0, float(rate[1] or 0) / 1000 - clock),
            queued=sum(replies["queues"]), events=tuple(read_events(*replies["events"])), trend=self._trend,
            spent_today=float(replies["spent"][0] or 0), spent_month=float(replies["spent"][1] or 0),
            refusal=self._refused(),
        )  # fmt: skip

    def _replies(self, known: list[str], names: list[str], days: list[str]) -> dict[str, list[Any]]:
        """What the second round trip reads of runs, workers, queues and spending."""
        state = self.session.state
        return self._ask(
            runs=[("HGETALL", state.key("run", run_id)) for run_id in known],
            standing=[("HGETALL", state.key("run", run_id, "suspension")) for run_id in known],
            beats=[("GET", state.key("worker", name)) for name in names],
            lives=[("PTTL", state.key("worker", name)) for name in names],
            queues=[("LLEN", state.key(queue)) for queue in QUEUES.values()],
            spent=[("GET", state.key("spent", period)) for period in days],
            events=[ask_events(state, None)],
            trend=[ask_fleet(state)] if time.monotonic() - self._trend_read >= TREND_EVERY else [],
            # The last points of runs that are new here, so that their pace is known at once.
            tails=[(*ask_run(state, run_id)[:2], -6, -1) for run_id in known if run_id not in self._paces],
        )

    def _rows(
        self, known: list[str], replies: dict[str, list[Any]], fleet_reasons: tuple[Suspension, ...], clock: float
    ) -> dict[str, Row]:
        """The rows of unfinished runs, with the reasons for which each stands still."""
        tails = dict(zip((run_id for run_id in known if run_id not in self._paces), replies["tails"], strict=True))
        runs = dict(zip(known, self._threads.map(self._run, known), strict=True))
        rows = {}
        for run_id, fields, suspended in zip(known, replies["runs"], replies["standing"], strict=True):
            if run := runs[run_id]:
                with suppress(ValueError):  # an unreadable budget does not mean that run.json has changed
                    if float(fields.get("budget") or 0) != (run.budget or 0):
                        self._runs.pop(run_id)  # run.json was written anew; the next snapshot reads it
                why = (*fleet_reasons, *read_suspensions(suspended, "run"))
                rows[run_id] = self._moving(run, legible(fields), why, clock, tails.get(run_id, ()))
        return rows

    def _refused(self) -> tuple[str, str] | None:
        if time.monotonic() - self._refusal_read >= WRITES_EVERY:
            error = self.session.refusal()
            self._refusal, self._refusal_read = (error.message, error.next) if error else None, time.monotonic()
        return self._refusal

    def _ask(self, **commands: list[tuple[str | float, ...]]) -> dict[str, list[Any]]:
        """Sends groups of commands in one round trip; their answers, in the same groups."""
        answers = iter(self.session.state.ask_all(*(command for group in commands.values() for command in group)))
        return {name: [next(answers) for _ in group] for name, group in commands.items()}

    def _first(self) -> tuple[list[str], list[str], str | None, Waiting]:
        """The first round trip, whose replies say what to ask for in the second."""
        state = self.session.state
        runs, workers, account, rate, reasons, periods, clock, lost = state.ask_all(
            ("SMEMBERS", state.key("runs")), ("SMEMBERS", state.key("workers")), ("GET", state.key("account")),
            ("HMGET", f"{state.account}rate", "credits", "hold", "limited_since", "hold_detail", "hold_by"),
            ("HGETALL", f"{state.account}suspension"), ("HMGET", state.key("periods"), "day", "month"), ("TIME",),
            ("HGET", state.key("fleet"), "lost"),
        )  # fmt: skip
        reasons |= {"workspace_held": lost} if lost else {}
        return sorted(runs, reverse=True), sorted(workers), account, (rate, reasons, periods, float(clock[0]))

    def _moving(
        self, run: Run, totals: Totals | None, reasons: tuple[Suspension, ...], clock: float, tail: Sequence[str]
    ) -> Row:
        if totals is None or totals.status in ENDED:
            return Row(run, self.name, totals)
        if run.run_id not in self._paces:
            self._paces[run.run_id] = pace = Pace()
            for point in read(RunPoint, tail):
                if clock - point.at < WINDOW:
                    pace.add(point.done, ago=clock - point.at)
        pace = self._paces[run.run_id]
        pace.add(totals.planned - totals.pending)
        if reasons or not pace.per_minute:
            return Row(run, self.name, totals, reasons)
        return Row(run, self.name, totals, reasons, pace.per_minute, pace.left(totals.pending))

    def _list(self, known: list[str]) -> None:
        """Updates the ids of all runs: from S3 every few seconds, in between from those that Redis knows."""
        if time.monotonic() - self._listed > LIST_EVERY:
            listed = set(self.session.store.folders(self.session.workspace.under("runs") + "/"))
            self._listed = time.monotonic()
        else:
            listed = set(self.ids)
        self.ids = sorted(listed.union(known), reverse=True)

    def rows(self, ids: Iterable[str], moment: Moment) -> list[Row]:
        """The rows of these runs: unfinished ones from the moment, the others from memory, or read now."""
        ids = list(ids)
        candidates = self._threads.map(lambda run_id: moment.rows.get(run_id) or self._resting(run_id), ids)
        return [row for row in candidates if row is not None]

    def known(self, ids: Iterable[str], moment: Moment) -> list[Row]:
        """The rows of these runs that are in memory; for when neither Redis nor S3 can be reached."""
        candidates = (moment.rows.get(run_id) or self._settled.get(run_id) for run_id in ids)
        return [row for row in candidates if row is not None]

    def _resting(self, run_id: str) -> Row | None:
        """The row of a run that Redis does not list; once it has ended it is kept, and not read again."""
        if row := self._settled.get(run_id):
            return row
        self._runs.pop(run_id, None)
        run = self._run(run_id)
        if run is None:
            return None
        fields = self.session.state.ask("HGETALL", self.session.state.key("run", run_id))
        totals = legible(fields) or totals_of_report(run, self.session.store, self.session.workspace)
        row = Row(run, self.name, totals)
        if run.finished is not None:
            self._settled[run_id] = row
        return row

    def _run(self, run_id: str) -> Run | None:
        """A run's run.json; None where there is none (yet), or it cannot be read."""
        if run_id not in self._runs:
            try:
                self._runs[run_id] = self.session.read(run_id)
            except (RestyleError, ValueError):
                return None
        return self._runs[run_id]

    def close(self) -> None:
        """Closes the connections."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self.session.store.close()
        self.session.state.close()
