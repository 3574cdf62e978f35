"""Rebuilds a run that Redis has lost, whole: what bounds it and what it has spent are known before its first claim.

Closed shards by their results, open ones by the records and notes of their jobs, limits by run.json, a person's
suspension by suspended.json. All is read first and written in one step; a rebuild that is cut off grants nothing.
"""

from __future__ import annotations

import json
import posixpath
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from producers.dispatch.ledger import Ledger, add_up, read_ledger
from producers.dispatch.plans import read_plan
from producers.runs.outcomes import read_results, readable
from producers.runs.recovery.counts import Count, LostCalls, OpenShard, totals_of
from producers.runs.recovery.unread import given_up, unread
from producers.runs.snapshot import read_run
from producers.runs.suspensions import keep_suspended, read_suspension
from restyle.coordination.budgets import weight
from restyle.coordination.fleet import Fleet
from restyle.coordination.periods import Periods, known_zone, names_of
from restyle.coordination.runs.progress import Progress
from restyle.coordination.runs.registry import Earlier, Totals, Word
from restyle.errors import InputNotFound, RunUnreadable
from restyle.job import recorded
from restyle.job.parked.unreadable import Note
from restyle.keys import Workspace
from restyle.models import Job, OutcomeKind, Run
from restyle.record import Record
from restyle.s3.store import Store

#: Requests to S3 at a time.
_AT_ONCE = 16


@dataclass(frozen=True)
class Rebuilder:
    """Reads runs from S3 and tells Redis of them."""

    store: Store
    workspace: Workspace
    progress: Progress
    fleet: Fleet

    def restore(self, run_id: str) -> bool:
        """Makes a run known again; False where that has to wait: calls of before are out, or a person spoke meanwhile.

        Raises:
            RunUnreadable: what S3 has of it cannot be read.
        """
        self.progress.stock_id()  # what is seen of a Redis that is emptied from here on is out of date
        if self.progress.totals(run_id) is not None or self.calls_out(run_id):
            return self.progress.totals(run_id) is not None
        revision = self.progress.revision(run_id)
        run = read_run(run_id, store=self.store, workspace=self.workspace)
        if run.finished is not None:
            return True
        suspended = read_suspension(run_id, self.store, self.workspace)
        totals, closed, earlier = self.read(run, suspended.word if suspended else None)
        keep_suspended(self.store, self.workspace, self.progress.state)  # the fleet's, before any run can be claimed
        return self.progress.restore(run, totals, closed, earlier, revision=revision)

    def calls_out(self, run_id: str) -> bool:
        """Whether a worker is calling for this run: its answer is to be in S3 before that is read."""
        for worker in self.fleet.workers():
            for job_id, place in self.fleet.jobs_of(worker).items():
                if place.get("run") == run_id and self.fleet.lease(job_id).get("calling"):
                    return True
        return False

    def read(self, run: Run, word: Word | None) -> tuple[Totals, list[int], Earlier]:
        """What S3 tells of a run: its ledger, its closed shards, and all that Redis has to know before a claim.

        Raises:
            RunUnreadable: a shard of it is missing, or is no such thing.
        """
        zone = self._zone()
        ledger = read_ledger(run.run_id, self.store, self.workspace)
        closed = sorted(int(name) for name in self._names(run.run_id, "results") if name.isdigit())
        doubtful = {*self._names(run.run_id, "doubt"), *self._names(run.run_id, "requests")}
        notes = unread(run.run_id, self.store, self.workspace)
        with ThreadPoolExecutor(_AT_ONCE) as pool, naming_run(run.run_id):
            counted = dict(zip(closed, pool.map(lambda shard: self._closed(run, shard, zone), closed), strict=True))
            is_open = sorted(ledger.opened - counted.keys())
            if not run.approved:  # earlier versions wrote down more than the sample's shard
                is_open = [shard for shard in is_open if shard == 0]
            opened = [self._open(run, shard, doubtful, notes, zone, pool.map) for shard in is_open]
        total, ended = Count(), Count()
        ended.kinds[OutcomeKind.SKIPPED] += run.unchanged
        for shard, count in counted.items():
            ended.merge(count)
            # What its jobs cost beyond their pictures stands in the ledger alone.
            total.merge(Count(by_day=dict(ledger.spent.get(shard) or count.by_day)))
        lost = max(0.0, sum(total.by_day.values()) - ended.credits)
        for open_shard in opened:
            ended.merge(open_shard.count)
        price = self._price(ended.unit)
        by_job: dict[str, dict[str, str]] = {}
        for open_shard in opened:
            lost += self._add_lost(open_shard, ledger, price, zone, by_job)
            total.merge(Count(by_day=_spent(open_shard)))
        known_ids = set[str]().union(*(open_shard.known_ids for open_shard in opened))
        earlier = Earlier(
            word=word, doubts=doubtful - known_ids, spent=add_up(total.by_day, self._in_force(zone)), lost=lost,
            lost_by_job=by_job, shards={one.shard: one.fields for one in opened}, unit=ended.unit,
        )  # fmt: skip
        return totals_of(run, ended, closed, _cursor(run, ledger, closed)), closed, earlier

    def spent(self, run: Run) -> dict[str, float]:
        """What a run that is over has spent of the day's and the month's budgets in force."""
        zone = self._zone()
        return add_up(read_ledger(run.run_id, self.store, self.workspace).by_day, self._in_force(zone))

    # -- shards --------------------------------------------------------------------------------------------

    def _closed(self, run: Run, shard: int, zone: str) -> Count:
        count = Count()
        for job, outcome in read_results(self.store, self.workspace, run.run_id, shard):
            if outcome:
                count.add(job, outcome, names_of(outcome.ended or run.created, zone)[0])
        return count

    def _open(
        self, run: Run, shard: int, doubtful: set[str], notes: dict[str, list[Note]], zone: str,
        map_all: Callable[..., Iterator[Record | None]],
    ) -> OpenShard:  # fmt: skip
        with readable():
            jobs = [Job.model_validate_json(line) for line in read_plan(self.store, self.workspace, run.run_id, shard)]
        opened = OpenShard(shard, {"size": str(len(jobs))}, Count(), set(), [])
        for index, (job, record) in enumerate(zip(jobs, map_all(self._record, jobs), strict=True)):
            job_id = self.workspace.job_id(job.id, job.variant)
            unreadable = notes.get(job_id, [])
            self._add_unread(opened, job, unreadable, zone)
            if record is not None and record.run_id == run.run_id:
                self._add_record(opened, index, job, record, zone)
                if record.reused_from and job_id in doubtful:
                    # A copy says nothing of what became of the job's own call.
                    noted = self._noted(run.run_id, job_id)
                    opened.lost.append(LostCalls(job_id, shard, weight(job.params), noted, waits=False))
            elif (ended := given_up(unreadable, self.workspace)) is not None:
                opened.known_ids.add(job_id)
                day = names_of(unreadable[-1].called, zone)[0]
                opened.count.add(job, ended.model_copy(update={"attempts": len(unreadable)}), day)
                outcome = ended.model_dump_json(exclude_defaults=True)
                opened.fields |= {f"o:{index}": outcome, f"c:{index}": str(len(unreadable))}
            else:
                if unreadable:
                    opened.fields[f"c:{index}"] = str(len(unreadable))
                if job_id in doubtful:
                    noted = self._noted(run.run_id, job_id)
                    opened.lost.append(LostCalls(job_id, shard, weight(job.params), noted, waits=True))
        opened.fields["n"] = str(len(opened.known_ids))
        return opened

    def _add_record(self, opened: OpenShard, index: int, job: Job, record: Record, zone: str) -> None:
        """Counts a job that this run has done."""
        from restyle.job.outcomes import outcome_of, skipped

        job_id, called = self.workspace.job_id(job.id, job.variant), record.timestamps.called
        price = self.fleet.limits.budgets.price
        outcome = skipped(record, record.run_id).outcome if record.reused_from else outcome_of(record, price)
        outcome = outcome.model_copy(update={"worker": record.worker, "ended": record.timestamps.stored})
        opened.known_ids.add(job_id)
        calls = {"attempts": record.api.attempts, "in_doubt": record.api.in_doubt}
        opened.count.add(job, outcome.model_copy(update=calls), names_of(called, zone)[0])
        opened.fields |= {
            f"o:{index}": outcome.model_dump_json(exclude_defaults=True), f"f:{index}": "1",
            f"c:{index}": str(record.api.attempts), f"d:{index}": str(record.api.in_doubt),
        }  # fmt: skip
        if record.api.in_doubt:
            size = weight(job.params) * record.api.in_doubt
            opened.lost.append(LostCalls(job_id, opened.shard, size, called, waits=False))

    def _add_unread(self, opened: OpenShard, job: Job, notes: list[Note], zone: str) -> None:
        """Counts what unreadable answers of a job cost, whatever became of it."""
        for note in notes:
            if note.cost is None:
                opened.lost.append(LostCalls(note.job_id, opened.shard, weight(job.params), note.called, waits=False))
            else:
                opened.count.credits += note.cost
                opened.count.by_day[names_of(note.called, zone)[0]] += note.cost

    def _add_lost(
        self, opened: OpenShard, ledger: Ledger, price: float, zone: str, by_job: dict[str, dict[str, str]]
    ) -> float:
        """Prices the lost calls of an open shard, and writes down by day what it has cost; the credits of those."""
        days, lost = defaultdict(float, opened.count.by_day), 0.0
        for call in opened.lost:
            day, month = names_of(call.at, zone)
            credits = call.weight * price
            days[day] += credits
            lost += credits
            if call.waits:
                by_job[call.job_id] = {
                    "lost": f"{credits:.6f}", "periods": f"{day} {month}", "shard": str(call.shard)
                }  # fmt: skip
        # Where its closing was cut off, the ledger knows what its jobs cost beyond their pictures.
        for day, credits in ledger.spent.get(opened.shard, {}).items():
            lost += max(0.0, credits - days[day])
            days[day] = max(days[day], credits)
        opened.fields |= {f"s:{day}": f"{credits:.6f}" for day, credits in days.items()}
        return lost

    # -- what the above share ------------------------------------------------------------------------------

    def _record(self, job: Job) -> Record | None:
        return recorded.find_at(self.workspace.record(job.id, job.variant), self.store)

    def _noted(self, run_id: str, job_id: str) -> datetime:
        """When a call was noted to be in doubt."""
        stored = self.store.find(self.workspace.doubt(run_id, job_id))
        try:
            noted = datetime.fromisoformat(json.loads(stored.data)["noted"]) if stored else None
        except (ValueError, KeyError, TypeError):
            noted = None
        return noted.astimezone(UTC) if noted else datetime.fromtimestamp(self.progress.state.clock(), UTC)

    def _names(self, run_id: str, folder: str) -> list[str]:
        """The names in a folder of a run, without what follows the first dot."""
        listed = self.store.list(self.workspace.run(run_id, folder) + "/")
        return [posixpath.basename(one.uri).partition(".")[0] for one in listed]

    def _zone(self) -> str:
        return known_zone(Periods(self.progress.state).zone() or self.fleet.limits.budgets.zone)

    def _in_force(self, zone: str) -> tuple[str, str]:
        return names_of(datetime.fromtimestamp(self.progress.state.clock(), UTC), zone)

    def _price(self, unit: float) -> float:
        budgets = self.fleet.limits.budgets
        return budgets.ceiling or max(budgets.price, unit)


@contextmanager
def naming_run(run_id: str) -> Iterator[None]:
    """Says of what cannot be read that it is this run's."""
    try:
        yield
    except (InputNotFound, RunUnreadable) as error:
        raise RunUnreadable(f"run {run_id} cannot be rebuilt from S3: {error.message}") from error


def _spent(shard: OpenShard) -> dict[str, float]:
    """What an open shard has cost, by day."""
    return {name[2:]: float(credits) for name, credits in shard.fields.items() if name.startswith("s:")}


def _cursor(run: Run, ledger: Ledger, closed: list[int]) -> int:
    """The first shard that was never opened; of a run of an older version nobody knows, and all are looked at."""
    if ledger.opened:
        return max(*ledger.opened, *closed, -1) + 1
    return run.shards if closed else 0
