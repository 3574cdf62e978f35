"""A side of a workspace at one moment, as values: its runs, its workers, why it stands still."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from restyle.coordination.runs.events import Event
from restyle.coordination.runs.registry import Totals
from restyle.coordination.runs.trends import FleetPoint
from restyle.coordination.suspensions import Suspension
from restyle.coordination.traffic import Answers
from restyle.models import ENDED, Run, RunStatus
from restyle.run_ids import is_run_id


def marked_in(manifest: str) -> str:
    """The run whose marks a manifest is, `.../runs/RUN/marks.csv`; empty: it is another manifest."""
    *_, folder, run_id, file = "", "", *manifest.split("/")
    return run_id if (folder, file) == ("runs", "marks.csv") and is_run_id(run_id) else ""


@dataclass(frozen=True)
class Row:
    """A run as the pages show it."""

    run: Run
    side: str
    #: None where neither Redis nor a report has them.
    totals: Totals | None
    reasons: tuple[Suspension, ...] = ()
    #: Jobs ended a minute, and how long the rest takes at this pace; None before the second snapshot.
    per_minute: float | None = None
    left: str = ""

    @property
    def name(self) -> str:
        """What people call the run: its name, the run that it retries, its schedule's name, or its manifest's."""
        return self.run.heading

    @property
    def marked_in(self) -> str:
        """The run whose marked pictures it makes again; empty: it does something else."""
        return marked_in(self.run.manifest.uri)

    @property
    def status(self) -> str:
        """Its status in one word; `lost` is an unfinished run that Redis does not know."""
        if self.totals is None:
            return self.run.status.value if self.run.status in ENDED else "lost"
        if self.totals.status is not RunStatus.RUNNING or not self.reasons:
            return self.totals.status.value
        return "awaiting_approval" if self.reasons[0].reason == "awaiting_approval" else "suspended"

    @property
    def ended(self) -> bool:
        """Whether it has ended; its report may still be missing."""
        return self.status in {"finished", "cancelled"}

    @property
    def average(self) -> float | None:
        """Jobs a minute over the whole time of a run that has ended; None of one that has not."""
        took = (self.run.finished - self.run.created).total_seconds() if self.run.finished else 0.0
        return self.done / took * 60 if took else None

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
    concurrency: int = 0
    taken: int = 0
    in_flight: int = 0
    draining: bool = False
    #: Why it is out of rotation; empty: it is not.
    out: str = ""
    #: Its calls of the last minute.
    answers: Answers = field(default_factory=Answers)


@dataclass(frozen=True)
class Moment:
    """One side of a workspace at one moment."""

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
    #: Credits that all runs of the workspace have cost, today and this month.
    spent_today: float = 0.0
    spent_month: float = 0.0
    trend: tuple[FleetPoint, ...] = ()
    #: Why this could not be read anew; else empty.
    trouble: str = ""
    #: Where Redis can be read but refuses writes: its message, and the advice.
    refusal: tuple[str, str] | None = None

    @property
    def living(self) -> list[Worker]:
        """The workers with a heartbeat."""
        return [worker for worker in self.workers if not worker.silent]

    @property
    def in_flight(self) -> int:
        """Calls in flight."""
        return sum(worker.in_flight for worker in self.living)

    @property
    def answers(self) -> Answers:
        """The fleet's calls of the last minute."""
        return sum((worker.answers for worker in self.living), Answers())

    @property
    def pending(self) -> int:
        """Jobs without an outcome, of all runs that have not ended."""
        return sum(row.totals.pending for row in self.rows.values() if row.totals and not row.ended)


def read_worker(name: str, beat: str | None, left: float, ttl: float) -> Worker:
    """A worker by its heartbeat, which expires in `left` seconds; the heartbeat itself has its whole time to live."""
    if beat is None:
        return Worker(name, silent=True)
    heartbeat = json.loads(beat)
    return Worker(
        name, silent=False, age=max(0.0, heartbeat.get("ttl", ttl) - left),
        concurrency=int(heartbeat.get("concurrency", 0)), taken=int(heartbeat.get("taken", 0)),
        in_flight=int(heartbeat.get("in_flight", 0)), draining=bool(heartbeat.get("draining")),
        out=str(heartbeat.get("out", "")),
        answers=Answers.read(heartbeat.get("api", {})),
    )  # fmt: skip
