"""How a workspace stands at one moment: the runs that move, and the fleet. Two round trips to Redis a look.

A run that has ended changes no more, so its row is read once and kept.
"""

from __future__ import annotations

import json
import posixpath
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from apps.cli.board import Pace
from apps.cli.session import Session
from config.celery_app import QUEUES
from restyle.errors import RestyleError
from restyle.events import Event, ask_events, read_events
from restyle.fleet import Suspension, read_suspensions
from restyle.models import ENDED, Run, RunStatus
from restyle.progress import Totals, read_totals

#: Seconds between two listings of S3, which tell of runs that Redis has forgotten.
LIST_EVERY = 5.0
_THREADS = 16


@dataclass(frozen=True)
class Row:
    """A run as the pages show it."""

    run: Run
    side: str
    #: None where neither Redis nor a report knows how it stands.
    totals: Totals | None
    reasons: tuple[Suspension, ...] = ()
    #: Jobs ended a minute, and how long the rest takes at this pace; None before there are two looks.
    per_minute: float | None = None
    left: str = ""

    @property
    def name(self) -> str:
        """What people call the run: its manifest's name, its schedule's, or the run that it does again."""
        if self.run.retry_of:
            return "Retry of " + self.run.retry_of
        return self.run.schedule or posixpath.basename(self.run.manifest.uri.rstrip("/")) or self.run.manifest.uri

    @property
    def status(self) -> str:
        """Where it stands, in one word; `lost` is an unfinished run that Redis does not know."""
        if self.totals is None:
            return self.run.status.value if self.run.status in ENDED else "lost"
        if self.totals.status is not RunStatus.RUNNING or not self.reasons:
            return self.totals.status.value
        return "awaiting_approval" if self.reasons[0].reason == "awaiting_approval" else "suspended"

    @property
    def ended(self) -> bool:
        """Whether it moves no more, but for its report."""
        return self.status in {"finished", "cancelled"}

    @property
    def done(self) -> int:
        """Jobs with an outcome."""
        return self.totals.planned - self.totals.pending if self.totals else 0


@dataclass(frozen=True)
class Worker:
    """A worker by its last heartbeat; `silent` is one whose heartbeat is missing."""

    name: str
    silent: bool
    age: float = 0.0
    host: str = ""
    pid: int = 0
    concurrency: int = 0
    taken: int = 0
    in_flight: int = 0
    draining: bool = False


@dataclass(frozen=True)
class Moment:
    """One side of a workspace as it stood."""

    side: str
    taken: float
    rows: dict[str, Row] = field(default_factory=dict)
    workers: tuple[Worker, ...] = ()
    reasons: tuple[Suspension, ...] = ()
    credits_left: float | None = None
    queued: int = 0
    #: Seconds for which the API's rate limit still holds the fleet.
    held: float = 0.0
    events: tuple[Event, ...] = ()
    #: Why nothing newer is known.
    trouble: str = ""

    @property
    def living(self) -> list[Worker]:
        """The workers that live."""
        return [worker for worker in self.workers if not worker.silent]

    @property
    def in_flight(self) -> int:
        """Calls that are out."""
        return sum(worker.in_flight for worker in self.living)

    @property
    def pending(self) -> int:
        """Jobs without an outcome, of all runs that have not ended."""
        return sum(row.totals.pending for row in self.rows.values() if row.totals and not row.ended)


class Side:
    """The paid side of a workspace, or its sandbox's, with what is remembered of it between two looks."""

    def __init__(self, name: str, session: Session) -> None:
        self.name = name
        self.session = session
        #: The ids of all runs, newest first.
        self.ids: list[str] = []
        self._listed = float("-inf")
        self._runs: dict[str, Run] = {}
        self._paces: dict[str, Pace] = {}
        self._settled: dict[str, Row] = {}
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="rows")

    def look(self) -> Moment:
        """How it stands now.

        Raises:
            StateUnavailable, StoreUnavailable: Redis or S3 is out of reach.
        """
        state, settings = self.session.state, self.session.settings
        known, names, account, waiting = self._first()
        rate, reasons, clock = waiting
        if account and state.account != f"restyle:{account}:":
            # The account that the workers use, which a dashboard without a key learns from them.
            state.account = f"restyle:{account}:"
            return self.look()
        fleet_reasons = tuple(read_suspensions(reasons, "fleet"))
        answers = state.ask_all(
            *(("HGETALL", state.key("run", run_id)) for run_id in known),
            *(("HGETALL", state.key("run", run_id, "suspension")) for run_id in known),
            *(("GET", state.key("worker", name)) for name in names),
            *(("PTTL", state.key("worker", name)) for name in names),
            *(("LLEN", state.key(queue)) for queue in QUEUES.values()),
            ask_events(state, None),
        )
        cut = len(known)
        hashes, own, rest = answers[:cut], answers[cut : 2 * cut], answers[2 * cut :]
        runs = dict(zip(known, self._threads.map(self._run, known), strict=True))
        rows = {}
        for run_id, found, suspended in zip(known, hashes, own, strict=True):
            if run := runs[run_id]:
                if float(found.get("budget") or 0) != (run.budget or 0):
                    self._runs.pop(run_id)  # run.json was written anew; the next look reads it
                why = (*fleet_reasons, *read_suspensions(suspended, "run"))
                rows[run_id] = self._moving(run, read_totals(found), why)
        self._list(known)
        beats, ages, rest = rest[: len(names)], rest[len(names) : 2 * len(names)], rest[2 * len(names) :]
        return Moment(
            side=self.name, taken=time.time(), rows=rows,
            workers=tuple(
                _worker(name, beat, settings.heartbeat_ttl - age / 1000)
                for name, beat, age in zip(names, beats, ages, strict=True)
            ),
            reasons=fleet_reasons,
            credits_left=None if rate[0] is None else float(rate[0]),
            held=max(0.0, float(rate[1] or 0) / 1000 - clock),
            queued=sum(rest[:-1]), events=tuple(read_events(rest[-1])),
        )  # fmt: skip

    def _first(self) -> tuple[list[str], list[str], str | None, tuple[list[str | None], dict[str, str], float]]:
        """The round trip that tells what to ask for in the second."""
        state = self.session.state
        runs, workers, account, rate, reasons, clock = state.ask_all(
            ("SMEMBERS", state.key("runs")), ("SMEMBERS", state.key("workers")), ("GET", state.key("account")),
            ("HMGET", f"{state.account}rate", "credits", "hold"), ("HGETALL", f"{state.account}suspension"), ("TIME",),
        )  # fmt: skip
        return sorted(runs, reverse=True), sorted(workers), account, (rate, reasons, float(clock[0]))

    def _moving(self, run: Run, totals: Totals | None, reasons: tuple[Suspension, ...]) -> Row:
        if totals is None or totals.status in ENDED:
            return Row(run, self.name, totals)
        pace = self._paces.setdefault(run.run_id, Pace())
        pace.add(totals.planned - totals.pending)
        if reasons or not pace.per_minute:
            return Row(run, self.name, totals, reasons)
        return Row(run, self.name, totals, reasons, pace.per_minute, pace.left(totals.pending))

    def _list(self, known: list[str]) -> None:
        """Every run there is: now and then by S3, in between by those that Redis knows."""
        if time.monotonic() - self._listed > LIST_EVERY:
            found = set(self.session.store.folders(self.session.workspace.under("runs") + "/"))
            self._listed = time.monotonic()
        else:
            found = set(self.ids)
        self.ids = sorted(found.union(known), reverse=True)

    def rows(self, ids: Iterable[str], moment: Moment) -> list[Row]:
        """The rows of these runs: those that move as of the moment, the others from memory, or read now."""
        ids = list(ids)
        found = self._threads.map(lambda run_id: moment.rows.get(run_id) or self._resting(run_id), ids)
        return [row for row in found if row is not None]

    def _resting(self, run_id: str) -> Row | None:
        """A run that nothing moves; one that has ended is settled, and read no more."""
        if row := self._settled.get(run_id):
            return row
        self._runs.pop(run_id, None)
        run = self._run(run_id)
        if run is None:
            return None
        row = Row(run, self.name, self.session.progress.totals(run_id) or self._told_by_report(run))
        if run.finished is not None:
            self._settled[run_id] = row
        return row

    def _run(self, run_id: str) -> Run | None:
        """A run's run.json; None where it is not written (yet), or no run."""
        if run_id not in self._runs:
            try:
                self._runs[run_id] = self.session.read(run_id)
            except (RestyleError, ValueError):
                return None
        return self._runs[run_id]

    def _told_by_report(self, run: Run) -> Totals | None:
        """The ledger of an ended run that Redis has forgotten."""
        found = self.session.store.find(self.session.workspace.run(run.run_id, "report.json"))
        if found is None:
            return None
        told = json.loads(found.data)
        return read_totals(
            {name: str(told[name]) for name in ("planned", "succeeded", "skipped", "failed", "attempts", "in_doubt")}
            | {"status": run.status.value, "shards": str(run.shards), "credits": str(told["credits_spent"])}
        )

    def close(self) -> None:
        """Closes the doors."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self.session.store.close()
        self.session.state.close()


def _worker(name: str, beat: str | None, age: float) -> Worker:
    if beat is None:
        return Worker(name, silent=True)
    told = json.loads(beat)
    return Worker(
        name, silent=False, age=max(0.0, age), host=str(told.get("host", "")), pid=int(told.get("pid", 0)),
        concurrency=int(told.get("concurrency", 0)), taken=int(told.get("taken", 0)),
        in_flight=int(told.get("in_flight", 0)), draining=bool(told.get("draining")),
    )  # fmt: skip
