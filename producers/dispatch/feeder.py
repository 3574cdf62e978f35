"""advance(run): closes what is complete, feeds what is marked for it, opens what there is room for. The only publisher.

Called by the dispatcher at each tick, and once by a producer after planning. Every step may be repeated or cut off.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING
from uuid import uuid4

from config.celery_app import FINISH_TASK, QUEUES, START_TASK
from producers.dispatch.ledger import mark_opened, put_spent
from producers.dispatch.pending import PendingJobs
from producers.dispatch.plans import Plans
from producers.dispatch.publisher import Publisher
from producers.dispatch.queue_pace import QueuePace
from producers.dispatch.web_inputs import PlannedJob, WebFeed, by_shard, on_the_web
from restyle.coordination.fetches import Fetches
from restyle.coordination.fleet import Fleet
from restyle.coordination.runs.brakes import braked_variants, brakes
from restyle.coordination.runs.events import note
from restyle.coordination.runs.progress import Progress, Totals
from restyle.coordination.runs.shards import OpenShard
from restyle.keys import Workspace
from restyle.models import Outcome, RunStatus
from restyle.s3.store import Store

if TYPE_CHECKING:
    from celery import Celery

#: Jobs of braked variants that may be open beside what is fed: their shards stay open until a person has spoken.
MOST_BRAKED = 100_000
#: Shards without anything to feed that are opened at a time.
OPENED_AT_ONCE = 20
#: Seconds after which a report that was queued and that no living worker writes is queued again.
FINISH_AGAIN = 15.0
#: Who did it, where nobody did.
DISPATCHER = "dispatcher"


@dataclass
class Feeder:
    """Moves runs forward."""

    app: Celery
    progress: Progress
    fleet: Fleet
    store: Store
    workspace: Workspace
    window_jobs: int
    refeed_after: float
    most_braked: int = MOST_BRAKED
    token: str = field(default_factory=lambda: uuid4().hex)
    #: Shards that were marked as fed, and whose messages Redis did not all take: they are fed again at the next tick.
    _cut_off: set[tuple[str, int]] = field(default_factory=set)

    @cached_property
    def web(self) -> WebFeed:
        """What it knows of inputs on the web."""
        return WebFeed(Fetches(self.progress.state))

    @cached_property
    def plans(self) -> Plans:
        """The jobs of shards as planned."""
        return Plans(self.store, self.workspace)

    @cached_property
    def pending(self) -> PendingJobs:
        """Which jobs of open shards are pending."""
        return PendingJobs(self.progress, self.plans, self.web, self.workspace)

    @cached_property
    def _queue_pace(self) -> QueuePace:
        return QueuePace(self.progress)

    @cached_property
    def _publisher(self) -> Publisher:
        return Publisher(self.app, self.progress.state)

    def advance(self, run_id: str) -> None:
        """Takes every step that this run is ready for."""
        totals = self.progress.totals(run_id)
        if totals is None:
            return
        self.progress.check_closed(run_id)
        shards = self.progress.open_shards(run_id)
        cancelled = totals.status is RunStatus.CANCELLED
        living = self.fleet.living_jobs if cancelled else None
        still_open = []
        for shard in shards:
            if self._complete(run_id, shard, living):
                self.close(run_id, shard.shard)
            else:
                still_open.append(shard)
        if not totals.approved and totals.closed >= 1 and totals.shards > 1:
            sentence = f"the sample is done: {totals.credits:.2f} credits for {totals.planned - totals.pending:,} jobs"
            rest = totals.credits / max(1, totals.planned - totals.pending) * totals.pending
            sentence += f"; the other {totals.pending:,} would cost about {rest:.2f}"
            if self.progress.suspend(run_id, "awaiting_approval", sentence, DISPATCHER):
                note(self.progress.state, run_id, "suspended", DISPATCHER, f"awaiting_approval: {sentence}")
        if totals.status is RunStatus.RUNNING and not self._suspended(run_id):
            self._feed(run_id, totals, still_open)
        self._finish(run_id, len(still_open))

    def _suspended(self, run_id: str) -> bool:
        return bool(self.fleet.suspensions() or self.progress.suspensions(run_id))

    # -- closing -------------------------------------------------------------------------------------------

    def _complete(self, run_id: str, shard: OpenShard, cancelled_living: set[str] | None) -> bool:
        if shard.ended >= shard.size:
            size = len(self.plans.lines(run_id, shard.shard))
            return self.progress.recount(run_id, shard.shard, size) >= size
        if cancelled_living is None:
            return False
        # Of a cancelled run, a shard closes when its calls have ended: no living worker holds a job of it.
        return not any(self.plans.job_id(line) in cancelled_living for line in self.plans.lines(run_id, shard.shard))

    def close(self, run_id: str, shard: int) -> None:
        """Results first, then Redis forgets: cut off in between, it is done again to the same effect."""
        outcomes = self.progress.outcomes(run_id, shard)
        if shard not in {opened.shard for opened in self.progress.open_shards(run_id)}:
            return  # another dispatcher has closed it since, and its outcomes are in S3
        # What its jobs cost is in S3 before Redis forgets it, and before its results say that no record need be read.
        put_spent(run_id, shard, self.progress.spent(run_id, shard), self.store, self.workspace)
        lines = b"\n".join(
            b'{"job": %b, "outcome": %b}' % (line, _as_json(outcomes.get(index)))
            for index, line in enumerate(self.plans.lines(run_id, shard))
        )
        self.store.put(
            self.workspace.results(run_id, shard),
            gzip.compress(lines, mtime=0),
            content_type="application/gzip",
        )
        self.progress.close_shard(run_id, shard)
        self.web.fetches.forget(run_id, shard)
        self.plans.drop(run_id, shard)
        self.pending.drop(run_id, shard)

    # -- feeding -------------------------------------------------------------------------------------------

    def _feed(self, run_id: str, totals: Totals, shards: list[OpenShard]) -> None:
        """Feeds open shards again and opens the next ones; suspends the run where brakes leave nothing to feed."""
        braked = braked_variants(self.progress.state, run_id)
        pending = {shard.shard: self.pending.count(run_id, shard, braked) for shard in shards}
        if held := self.web.fetches.held():
            # What waits for a server that does not answer takes no room from the others.
            pending = {
                number: count - self.pending.held(run_id, number, count, held) for number, count in pending.items()
            }
        self._feed_again(run_id, shards, pending)
        is_all_open = self._open(run_id, totals, shards, pending, braked)
        if braked and is_all_open and pending and not any(pending.values()):
            standing = brakes(self.progress.state, run_id)
            detail = "; ".join(brake.detail for brake in standing)
            if standing and self.progress.suspend(run_id, standing[0].reason, detail, DISPATCHER):
                note(self.progress.state, run_id, "suspended", DISPATCHER, f"{standing[0].reason}: {detail}")

    def feed_fetched(self) -> None:
        """Feeds the jobs whose inputs on the web were decided since the last time."""
        places = self.web.fetches.fetched()
        while places:
            for (run_id, shard), indexes in by_shard(places).items():
                self._feed_decided(run_id, shard, indexes)
            places = self.web.fetches.fetched()

    def _feed_decided(self, run_id: str, shard: int, indexes: set[int]) -> None:
        totals = self.progress.totals(run_id)
        if totals is None or totals.status is not RunStatus.RUNNING or self._suspended(run_id):
            return  # what is pending is fed when it goes on
        if not self.progress.fed_at(run_id, shard):
            return  # it is closed, or fed as a whole at the next tick
        lines = self.plans.lines(run_id, shard)
        names = {on_the_web(lines[index])[0] for index in indexes if index < len(lines)} - {""}
        jobs = [
            job
            for job in self.pending.enqueueable(run_id, shard, self.fleet.living_jobs)
            if on_the_web(job[2])[0] in names
        ]
        self.publish(run_id, shard, jobs)

    def _feed_again(self, run_id: str, shards: list[OpenShard], pending: dict[int, int]) -> None:
        """Feeds what is pending and held by nobody: at once where a worker released it, else after a long silence.

        No more than the window has room for: of variants that were braked, more than that may be open.
        """
        now, patience = self.progress.state.clock(), self._queue_pace.patience(self.refeed_after)
        ahead = 0
        for shard in shards:
            if not pending[shard.shard] or ahead >= self.window_jobs:
                continue
            ahead += pending[shard.shard]
            is_marked = shard.fed == 0 or (run_id, shard.shard) in self._cut_off
            if is_marked or now - shard.fed > patience:
                self.feed(run_id, shard.shard, loosen=not is_marked)

    def feed(self, run_id: str, shard: int, *, loosen: bool = False) -> None:
        """Puts the pending jobs of a shard that no living worker holds on the queue."""
        jobs = self.pending.enqueueable(run_id, shard, self.fleet.living_jobs)
        if not jobs:
            self.progress.recount(run_id, shard, len(self.plans.lines(run_id, shard)))
        if loosen:
            for _, job_id, _ in jobs:
                self.fleet.loosen(job_id)
        # Marked first: a job dropped while these are published marks the shard again.
        self._cut_off.add((run_id, shard))
        self.progress.fed(run_id, shard)
        self.publish(run_id, shard, jobs)
        self._cut_off.discard((run_id, shard))

    def _open(
        self, run_id: str, totals: Totals, shards: list[OpenShard], pending: dict[int, int], braked: frozenset[str]
    ) -> bool:
        """Opens the next shards while the window has room, lost ones first; adds to `pending` what they have.

        Returns:
            Whether no more may be opened, whatever room there is.
        """
        room = self.window_jobs - sum(pending.values())
        behind = sum(shard.size - shard.ended for shard in shards) - sum(pending.values())
        missing = totals.cursor - totals.closed - len(shards)
        candidates = self.progress.gaps(run_id, totals.cursor) if missing > 0 else []
        candidates += range(totals.cursor, totals.shards)
        if not totals.approved:  # the sample is the first shard
            candidates = [shard for shard in candidates if shard == 0]
        is_refused, idle = False, 0
        for shard in candidates:
            if behind >= self.most_braked:
                return True
            if room <= 0 or idle == OPENED_AT_ONCE:
                return False
            size = len(self.plans.lines(run_id, shard))
            # In S3 first: whoever rebuilds the run looks for what was paid for in the shards that may have been opened.
            mark_opened(run_id, shard, self.store, self.workspace)
            if not self.progress.open_shard(run_id, shard, size):
                is_refused = True
                continue
            self.feed(run_id, shard)
            self.pending.drop(run_id, shard)  # of one that Redis had lost
            pending[shard] = self.pending.count(run_id, OpenShard(shard, size, 0, 0), braked)
            room -= pending[shard]
            behind += size - pending[shard]
            idle += not pending[shard]
            self._note_fed(run_id, totals, shard, size)
        return not is_refused or not totals.approved

    def _note_fed(self, run_id: str, totals: Totals, shard: int, size: int) -> None:
        """A run's log tells of its first jobs and of its last, not of each shard between."""
        if shard == 0 and totals.cursor == 0:
            extent = f"the first {size:,} of {totals.planned:,} jobs" if totals.shards > 1 else f"all {size:,} jobs"
        elif shard == totals.shards - 1:
            extent = f"the last of {totals.planned:,} jobs"
        else:
            return
        note(self.progress.state, run_id, "fed", DISPATCHER, extent)

    def publish(self, run_id: str, shard: int, jobs: Iterable[PlannedJob]) -> None:
        """Writes messages in batches; one lost on the way is fed again later.

        Of those whose input on the web is not there yet none is written, and its fetch is requested.
        """
        jobs = self.web.ready_or_ordered(run_id, shard, jobs)
        totals = self.progress.totals(run_id)
        queue = QUEUES[totals.priority if totals else "normal"]
        self._publisher.publish(queue, run_id, shard, jobs)

    # -- the end -------------------------------------------------------------------------------------------

    def _finish(self, run_id: str, still_open: int) -> None:
        """Queues the report once every shard is closed, or all that a cancelled run had open."""
        totals = self.progress.totals(run_id)
        if totals is None or still_open:
            return
        over = totals.closed >= totals.shards if totals.status is RunStatus.RUNNING else True
        if not over or totals.status is RunStatus.FINISHED:
            return
        writer = self.fleet.workers().get(totals.writer)
        if writer is not None and run_id in str(writer.get("writes", run_id)).split():
            return  # it is being written
        if self.progress.state.clock() - totals.finish_queued > FINISH_AGAIN:
            self.progress.finish_queued(run_id)
            self._publisher.send(FINISH_TASK, {"run_id": run_id})

    def start(self, run_id: str) -> None:
        """Queues the planning of a schedule's run."""
        self._publisher.send(START_TASK, {"run_id": run_id})


def _as_json(outcome: Outcome | None) -> bytes:
    return b"null" if outcome is None else outcome.model_dump_json(exclude_defaults=True).encode()
