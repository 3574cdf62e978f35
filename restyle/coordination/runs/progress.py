"""What the fleet shares about runs: which shards are open, how jobs ended, and totals that always add up.

Everything here can be rebuilt from S3 (plan, results, records); Redis holds it while a run moves.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from restyle.coordination.budgets import weight
from restyle.coordination.call_ends import recipe
from restyle.coordination.fleet import Fleet
from restyle.coordination.redis.hints import read_object
from restyle.coordination.runs.brakes import shortened
from restyle.coordination.runs.registry import Totals, read_totals
from restyle.coordination.runs.shards import Shards
from restyle.coordination.suspensions import Suspension, read_suspensions
from restyle.errors import RunUnreadable
from restyle.models import Message, Outcome, OutcomeKind, RunStatus, utc_now
from restyle.outputs import REJECTED
from restyle.record import Record
from restyle.run_ids import is_run_id
from restyle.telemetry import metrics

__all__ = ["REMEMBER_ENDED", "Ended", "Progress", "Totals", "failed", "read_totals"]

#: Seconds for which Redis remembers an ended run; its report stays in S3.
REMEMBER_ENDED = 30 * 86400


@dataclass(frozen=True)
class Ended:
    """How a job ended, as it is reported."""

    outcome: Outcome
    #: Calls of this last attempt that count (1 after a picture, else they were counted when they failed).
    calls: int = 0
    wrote_record: bool = False
    #: The API answered with a picture: the fleet's failure streak is over.
    call_succeeded: bool = False
    #: Seconds between the claim and a picture in which the API was not at work on it, as far as it tells.
    lag: float = 0.0
    credits_left: float | None = None
    #: The record of this run that was there already, where no call was made: its cost counts for its own day.
    record: Record | None = None


class Progress(Shards):
    """The shared ledger of runs."""

    # -- runs ----------------------------------------------------------------------------------------------

    def doubt(self, run_id: str, job_ids: Iterable[str]) -> None:
        """Tells of jobs whose calls were in doubt before Redis lost the run."""
        if job_ids := list(job_ids):
            self.state.ask("SADD", self._run(run_id, "doubts"), *job_ids)

    def unfinished(self) -> list[str]:
        """The runs that the dispatcher moves, oldest first; what is no run's id is passed over."""
        return sorted(filter(is_run_id, self.state.ask("SMEMBERS", self.state.key("runs"))))

    def is_listed(self, run_id: str) -> bool:
        """Whether the dispatcher moves this run, for all that Redis knows."""
        return bool(self.state.ask("SISMEMBER", self.state.key("runs"), run_id))

    def ledgers(self) -> dict[str, Totals]:
        """The ledgers of all unfinished runs; one that cannot be read is left out."""
        ledgers = {}
        for run_id in self.unfinished():
            try:
                totals = self.totals(run_id)
            except RunUnreadable:
                continue
            if totals is not None:
                ledgers[run_id] = totals
        return ledgers

    def note_trouble(self, run_id: str, trouble: str) -> None:
        """Notes what keeps a run from being moved, as JSON with `reason` and `next`; empty: nothing does."""
        key = self.state.key("troubles")
        self.state.ask("HSET", key, run_id, trouble) if trouble else self.state.ask("HDEL", key, run_id)

    def trouble(self, run_id: str) -> dict[str, str] | None:
        """What keeps a run from being moved: `reason` and `next`; None: nothing does."""
        return _trouble(self.state.ask("HGET", self.state.key("troubles"), run_id))

    def troubles(self) -> dict[str, dict[str, str]]:
        """The runs that cannot be moved: `reason` and `next` of each."""
        texts = self.state.ask("HGETALL", self.state.key("troubles"))
        troubles = {run_id: _trouble(text) for run_id, text in texts.items() if is_run_id(run_id)}
        return {run_id: trouble for run_id, trouble in troubles.items() if trouble}

    def set_status(self, run_id: str, status: RunStatus) -> None:
        """Moves a run to another status; an ended one is no longer moved by the dispatcher."""
        self.state.ask("HSET", self._run(run_id), "status", status.value)

    def end(self, run_id: str, status: RunStatus) -> None:
        """The report is written: the run is finished (or stays cancelled) and is forgotten after a month."""
        self.state.run("end", run=run_id, status=status.value, seconds=REMEMBER_ENDED)

    def forget(self, run_ids: Collection[str]) -> None:
        """Removes all that Redis still has of runs that have ended."""
        prefix, ended = self._run(""), set(run_ids) - set(self.unfinished())
        cursor = 0
        while True:
            cursor, names = self.state.ask("SCAN", cursor, "MATCH", f"{prefix}*", "COUNT", 1000)
            if gone := [key for key in names if key.removeprefix(prefix).partition(":")[0] in ended]:
                self.state.ask("UNLINK", *gone)
            if int(cursor) == 0:
                return

    def finishing(self, run_id: str, worker: str) -> bool:
        """Takes the right to write a run's report; False where the run is not over, or a living worker writes it."""
        return bool(self.state.run("finishing", run=run_id, worker=worker))

    def not_finishing(self, run_id: str) -> None:
        """Notes that nobody writes the report."""
        self.state.ask("HSET", self._run(run_id), "writer", "")

    def finish_queued(self, run_id: str) -> None:
        """Notes that the report was queued, so that it is not queued at every tick; nobody living writes it."""
        self.state.ask("HSET", self._run(run_id), "finish_queued", f"{self.state.clock():.3f}", "writer", "")

    def suspend(self, run_id: str, reason: str, detail: str, by: str) -> bool:
        """Suspends one run, for one more reason; False where it stands still for that already."""
        entry = {"detail": detail, "by": by, "since": round(self.state.clock() * 1000)}
        return bool(self.state.ask("HSETNX", self._run(run_id, "suspension"), reason, json.dumps(entry)))

    def resume(self, run_id: str, *, keep: frozenset[str] = frozenset({"awaiting_approval"})) -> None:
        """Lifts a run's suspension, but for the reasons to keep."""
        reasons = [reason for reason in self.state.ask("HKEYS", self._run(run_id, "suspension")) if reason not in keep]
        if reasons:
            self.state.ask("HDEL", self._run(run_id, "suspension"), *reasons)

    def lift(self, run_id: str, reason: str) -> None:
        """Lifts one reason of a run's suspension."""
        self.state.ask("HDEL", self._run(run_id, "suspension"), reason)

    def suspensions(self, run_id: str) -> list[Suspension]:
        """Why this run stands still, beside the fleet's own reasons."""
        return list(read_suspensions(self.state.ask("HGETALL", self._run(run_id, "suspension")), "run"))

    # -- shards --------------------------------------------------------------------------------------------

    def is_sound(self, run_id: str) -> bool:
        """Whether all that Redis has of a run can be read."""
        kinds = {(): "hash", ("open",): "zset", ("closed",): "string", ("suspension",): "hash", ("doubts",): "set",
                 ("braked",): "hash", ("endings",): "hash"}  # fmt: skip
        types = self.state.ask_all(*(("TYPE", self._run(run_id, *parts)) for parts in kinds))
        if any(kind not in {"none", expected} for kind, expected in zip(types, kinds.values(), strict=True)):
            return False
        shards = self.state.ask("ZRANGE", self._run(run_id, "open"), 0, -1)
        types = self.state.ask_all(*(("TYPE", self._run(run_id, "shard", shard)) for shard in shards))
        if not {*types} <= {"none", "hash"}:
            return False
        try:
            self.totals(run_id)
            self.open_shards(run_id)
            self.check_closed(run_id)
        except RunUnreadable:
            return False
        return True

    def dispatch(self, token: str, ttl: float) -> bool:
        """Takes or renews the dispatcher's lock; seconds."""
        return bool(self.state.run("dispatch", token=token, ttl=round(ttl * 1000)))

    # -- outcomes ------------------------------------------------------------------------------------------

    def report(self, fleet: Fleet, message: Message, token: str, ended: Ended) -> bool:
        """Reports how a job ended; False where it had an outcome already or its shard is not open."""
        outcome = ended.outcome.model_copy(update={"worker": fleet.worker, "ended": utc_now()})
        record = ended.record
        failure = outcome.error if outcome.outcome is OutcomeKind.FAILED else ""
        called = record.timestamps.called if record else None
        day, month = fleet.limits.budgets.periods(called)
        counted = self.state.run(
            "report",
            **fleet.held_job(message, token),
            outcome=outcome.outcome.value,
            json=outcome.model_dump_json(exclude_defaults=True),
            calls=ended.calls,
            credits=f"{outcome.credits:.6f}",
            wrote_record=ended.wrote_record,
            call_succeeded=ended.call_succeeded,
            credits_left="" if ended.credits_left is None else f"{ended.credits_left:.6f}",
            recipe=recipe(message.run_id, message.job),
            seconds=outcome.seconds if ended.calls else 0,
            weight=weight(message.job.params) if ended.calls else 0,
            day=day.name,
            month=month.name,
            is_suspect=bool(outcome.suspect),
            lag=round(ended.lag * 1000),
            record_called=round(called.timestamp() * 1000) if called else "",
            record_attempts=record.api.attempts if record else 0,
            record_doubts=record.api.in_doubt if record else -1,
            variant=message.job.variant,
            entry=shortened(message.job.id),
            ending=failure or ("suspect" if {*outcome.suspect} - {REJECTED} else "good"),
            words=shortened(outcome.message if failure else ", ".join(outcome.suspect), 200),
            is_reused=outcome.reused,
            saved=f"{outcome.saved:.6f}",
        )
        fleet.hands.remove(message.job_id, token)
        if counted == 1:
            metrics.ended(outcome)
        return bool(counted == 1)


def _trouble(text: str | None) -> dict[str, str] | None:
    trouble = read_object(text)
    return {name: str(trouble.get(name, ""))[:1000] for name in ("reason", "next")} if trouble else None


def failed(error: str, message: str, *, http_status: int | None = None, seed: int | None = None) -> Ended:
    """An outcome that says why a job failed."""
    outcome = Outcome(
        outcome=OutcomeKind.FAILED, error=error, message=message[:1000], http_status=http_status, seed=seed
    )
    return Ended(outcome)
