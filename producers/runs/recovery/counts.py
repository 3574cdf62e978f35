"""What the jobs of a run came to, counted from S3 while it is rebuilt."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime

from restyle.coordination.budgets import weight
from restyle.coordination.runs.registry import Totals
from restyle.models import Job, Outcome, OutcomeKind, Run


@dataclass
class Count:
    """What some jobs of a run came to."""

    kinds: Counter[OutcomeKind] = field(default_factory=Counter)
    attempts: int = 0
    in_doubt: int = 0
    credits: float = 0.0
    suspect: int = 0
    reused: int = 0
    saved: float = 0.0
    #: Credits of the dearest sample of 30 steps.
    unit: float = 0.0
    by_day: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, job: Job, outcome: Outcome, day: str) -> None:
        """Counts one job."""
        self.kinds[outcome.outcome] += 1
        self.attempts += outcome.attempts
        self.in_doubt += outcome.in_doubt
        self.credits += outcome.credits
        self.suspect += bool(outcome.suspect)
        self.reused += outcome.reused
        self.saved += outcome.saved
        self.by_day[day] += outcome.credits
        if outcome.credits:
            self.unit = max(self.unit, outcome.credits / weight(job.params))

    def merge(self, other: Count) -> None:
        """Adds what another count has."""
        self.kinds += other.kinds
        for name in ("attempts", "in_doubt", "credits", "suspect", "reused", "saved"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.unit = max(self.unit, other.unit)
        for day, credits in other.by_day.items():
            self.by_day[day] += credits


@dataclass(frozen=True)
class LostCalls:
    """Calls of one job that may have been paid for: how much of a sample of 30 steps they are together, and when."""

    job_id: str
    shard: int
    weight: float
    at: datetime
    #: The job has no record of this run: what became of its call may yet be found out.
    waits: bool


@dataclass
class OpenShard:
    """A shard that was open, by its plan, the records of its jobs, and the notes of its doubts."""

    shard: int
    fields: dict[str, str]
    count: Count
    known_ids: set[str]
    lost: list[LostCalls]


def totals_of(run: Run, count: Count, closed: list[int], cursor: int) -> Totals:
    """The run's ledger, as Redis is to have it."""
    kinds = count.kinds
    return Totals(
        status=run.status, planned=run.planned, shards=run.shards, closed=len(closed), cursor=cursor,
        succeeded=kinds[OutcomeKind.SUCCEEDED], skipped=kinds[OutcomeKind.SKIPPED], failed=kinds[OutcomeKind.FAILED],
        attempts=count.attempts, in_doubt=count.in_doubt, credits=round(count.credits, 6), last_error="",
        credits_before=None, credits_after=None, finish_queued=0, suspect=count.suspect, reused=count.reused,
        saved=round(count.saved, 6),
    )  # fmt: skip
