"""How a run comes to be known to Redis, whole, and is kept in line with what people have decided of it.

What bounds a run (its budget, approval, cancellation, suspension by a person) stands in S3 before it is acted on:
in run.json and suspended.json. Redis has a copy, which a loss takes along and which a command may fail to change; the
scripts here bring it in line, each in one step.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from uuid import uuid4

from restyle.coordination.redis.client import State
from restyle.errors import RunUnreadable
from restyle.models import Run, RunStatus


@dataclass(frozen=True)
class Totals:
    """A run's ledger: succeeded + skipped + failed + pending = planned, at every moment."""

    status: RunStatus
    planned: int
    shards: int
    closed: int
    cursor: int
    succeeded: int
    skipped: int
    failed: int
    attempts: int
    in_doubt: int
    credits: float
    last_error: str
    credits_before: float | None
    credits_after: float | None
    finish_queued: float
    priority: str = "normal"
    approved: bool = True
    #: Jobs among the succeeded and skipped whose pictures look wrong.
    suspect: int = 0
    #: Jobs among the skipped whose pictures this run copied from other results, and the credits that they cost then.
    reused: int = 0
    saved: float = 0.0
    #: The worker that writes the report; empty: nobody does.
    writer: str = ""

    @property
    def pending(self) -> int:
        """Jobs without an outcome."""
        return self.planned - self.succeeded - self.skipped - self.failed


@dataclass(frozen=True)
class Word:
    """A person's suspension of a run or of the fleet, as it stands in S3."""

    reason: str
    detail: str
    by: str
    since_ms: int

    @property
    def entry(self) -> str:
        """As it stands in Redis; what is in S3 as well is lifted where it is there no more."""
        return json.dumps({"detail": self.detail, "by": self.by, "since": self.since_ms, "stored": True})


@dataclass(frozen=True)
class Earlier:
    """What S3 tells of a run beside its totals: what Redis has to know before the first claim."""

    word: Word | None = None
    #: Jobs whose calls were in doubt, or whose requests wait in the API's queue.
    doubts: Collection[str] = ()
    #: Credits that it has spent, by the day and the month in force.
    spent: Mapping[str, float] = field(default_factory=dict)
    #: Credits that its lost calls may have cost, in all; and of each job that still waits: `lost`, `periods`, `shard`.
    lost: float = 0.0
    lost_by_job: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    #: The shards that were open: the fields of their hashes.
    shards: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    #: Credits of its dearest sample of 30 steps.
    unit: float = 0.0


#: Shards of a run: of a hundred million jobs.
MOST_SHARDS = 200_000
#: How urgent a run can be.
PRIORITIES = frozenset({"high", "normal", "low"})


class Registry:
    """The runs that Redis knows."""

    def __init__(self, state: State) -> None:
        self.state = state

    def totals(self, run_id: str) -> Totals | None:
        """The run's ledger; None where Redis does not know the run."""
        return read_totals(self.state.ask("HGETALL", self._run(run_id)))

    def register(self, run: Run) -> bool:
        """Makes a planned run known to the fleet; again and again without harm. False where it has ended already."""
        fields = {
            **_fields_of(run),
            "planned": str(run.planned),
            "shards": str(run.shards),
            "skipped": str(run.unchanged),
        }
        return bool(self.state.run("register", run=run.run_id, fields=json.dumps(fields)))

    def restore(
        self, run: Run, ledger: Totals, closed: Collection[int], earlier: Earlier | None = None, *, revision: str = ""
    ) -> bool:
        """Rebuilds a run that Redis has lost, whole: with its limits, what it has spent, and why it stands still.

        Args:
            run: its run.json.
            ledger: its counts and sums by S3.
            closed: its closed shards.
            earlier: what else S3 tells.
            revision: `revision` as it was before S3 was read; empty: whatever it is.

        Returns:
            False where Redis knows it, or a person has had a word since: then S3 is to be read again.
        """
        earlier = earlier or Earlier()
        fields = _fields_of(run) | {
            name: str(getattr(ledger, name))
            for name in (
                "planned", "shards", "cursor", "succeeded", "skipped", "failed", "attempts", "in_doubt", "suspect",
                "credits", "reused", "saved",
            )
        }  # fmt: skip
        if not fields["finish_by"]:
            del fields["finish_by"]
        text = json.dumps(
            {
                "fields": {**fields, "closed": str(len(closed)), "lost": f"{earlier.lost:.6f}"},
                "closed": sorted(closed),
                "doubts": sorted(earlier.doubts),
                "suspension": {earlier.word.reason: earlier.word.entry} if earlier.word else {},
                "spent": earlier.spent,
                "shards": earlier.shards,
                "lost": earlier.lost_by_job,
                "unit": earlier.unit,
            }
        )
        return bool(self.state.run("restore", run=run.run_id, revision=revision, in_s3=text) == 1)

    def stock_id(self) -> str:
        """What tells this Redis from an empty one in its place; given to it by who asks first."""
        key = self.state.key("stock")
        self.state.ask("HSETNX", key, "id", uuid4().hex)
        return str(self.state.ask("HGET", key, "id") or "")

    def revision(self, run_id: str) -> str:
        """What changes with each word of a person on this run, and with a loss of everything."""
        stock_id, number = self.state.ask_all(
            ("HGET", self.state.key("stock"), "id"), ("HGET", self._run(run_id), "revision")
        )
        return f"{stock_id or ''}/{number or 0}"

    def agree(self, run: Run, word: Word | None, *, revision: str = "", lift: bool = False) -> bool:
        """Brings Redis in line with what people have decided of a run, which stands in S3.

        Args:
            run: its run.json.
            word: its suspension in S3, by a person or of a run that stopped by itself.
            revision: `revision` as it was before S3 was read; empty: this is a person's own command.
            lift: whether that person lets it go on: every suspension but `awaiting_approval` is lifted.

        Returns:
            False where Redis does not know the run, or a person has had a word since.
        """
        decided = _fields_of(run) | {"reason": word.reason if word else "", "entry": word.entry if word else ""}
        text = json.dumps(decided)
        return bool(self.state.run("agree", run=run.run_id, revision=revision, lift=lift, decided=text) == 1)

    def spent_earlier(self, run_id: str, amounts: Mapping[str, float]) -> bool:
        """Counts what a run spent in these periods before Redis knew of it; once."""
        return bool(self.state.run("earlier", run=run_id, amounts=json.dumps(amounts)))

    def drop(self, run_id: str) -> None:
        """Forgets a run of which something here cannot be read, so that it is rebuilt from S3."""
        self.state.run("drop", run=run_id)

    def _run(self, run_id: str, *parts: str) -> str:
        return self.state.key("run", run_id, *parts)


class Standing:
    """A person's suspension of the fleet, as Redis has it beside the one in S3."""

    def __init__(self, state: State) -> None:
        self.state = state

    def server(self) -> str:
        """What tells this Redis from an empty one in its place; empty: nobody has asked yet."""
        return str(self.state.ask("HGET", self.state.key("stock"), "id") or "")

    def epoch(self) -> int:
        """How often the fleet was resumed, as far as Redis knows."""
        return int(self.state.ask("GET", f"{self.state.account}epoch") or 0)

    def entry(self) -> str:
        """The suspension by a person; empty: there is none."""
        return str(self.state.ask("HGET", f"{self.state.account}suspension", "operator") or "")

    def agree(self, epoch: int, entry: str, word: Word | None) -> bool:
        """Brings it in line with S3; False where it is so already, or was resumed or suspended since.

        Args:
            epoch: as it was before S3 was read.
            entry: as it was before S3 was read.
            word: what stands in S3.
        """
        detail, by = (word.detail, word.by or "somebody") if word else ("", "")
        return bool(self.state.run("agree_fleet", epoch=epoch, entry=entry, detail=detail, by=by))


def _fields_of(run: Run) -> dict[str, str]:
    """What run.json says of how a run may move, as the scripts take it."""
    return {
        "status": run.status.value,
        "priority": run.options.priority,
        "approved": str(int(run.approved)),
        "budget": str(run.budget or 0),
        "variants": str(run.variants),
        "max_failures": run.options.max_failures,
        "max_suspects": run.options.max_suspects,
        "finish_by": str(round(run.finish_by.timestamp() * 1000)) if run.finish_by else "",
    }


def read_totals(fields: Mapping[str, str]) -> Totals | None:
    """A run's ledger from its hash in Redis; None where there is none.

    Raises:
        RunUnreadable: it is no such ledger.
    """
    if "planned" not in fields:
        return None
    try:
        return _totals(fields)
    except (ValueError, KeyError) as error:
        raise RunUnreadable(f"what Redis has of the run cannot be read ({error})") from None


def legible(fields: Mapping[str, str]) -> Totals | None:
    """A run's ledger; None where there is none that can be read."""
    try:
        return read_totals(fields)
    except RunUnreadable:
        return None


def _totals(fields: Mapping[str, str]) -> Totals:
    if fields.get("priority", "normal") not in PRIORITIES:
        raise ValueError(f"its priority is {ascii(fields['priority'])[:100]}")

    def number(name: str) -> int:
        return int(fields.get(name, 0))

    def credit(name: str) -> float | None:
        return float(fields[name]) if name in fields else None

    if not 0 <= number("closed") <= number("shards") <= MOST_SHARDS or not 0 <= number("cursor") <= number("shards"):
        raise ValueError("its counts of shards cannot be")
    return Totals(
        status=RunStatus(fields["status"]), planned=number("planned"), shards=number("shards"),
        closed=number("closed"), cursor=number("cursor"), succeeded=number("succeeded"),
        skipped=number("skipped"), failed=number("failed"), attempts=number("attempts"),
        in_doubt=number("in_doubt"), credits=round(float(fields.get("credits", 0)), 6),
        last_error=fields.get("last_error", ""), credits_before=credit("credits_before"),
        credits_after=credit("credits_after"), finish_queued=float(fields.get("finish_queued", 0)),
        priority=fields.get("priority", "normal"), writer=fields.get("writer", ""),
        approved=fields.get("approved") != "0",
        suspect=number("suspect"), reused=number("reused"), saved=round(float(fields.get("saved", 0)), 6),
    )  # fmt: skip
