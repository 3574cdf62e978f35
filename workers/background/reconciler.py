"""Keeps Redis true to what people have decided in S3, and makes it whole again after a loss.

A thread beside the dispatcher, nudged at each tick of the one that works; reading S3 may take long, and no run waits
for it.
Each step is one script that refuses where a person has spoken since S3 was read, so two stewards do no harm.
"""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from producers.runs.listing import read_runs, run_ids
from producers.runs.recovery.rebuild import Rebuilder
from producers.runs.snapshot import read_run, write_run
from producers.runs.suspensions import (
    keep_suspended,
    put_suspension,
    read_suspension,
    remove_suspension,
    stopped_by_itself,
)
from restyle.coordination.runs.firings import Firings
from restyle.errors import RestyleError, RunUnreadable, StateUnavailable
from restyle.models import ENDED, Run, RunStatus, utc_now
from tasks.resources import Resources
from workers.background.balance import Balance
from workers.background.orphan_scan import LONG_AGO, OrphanScan, Unmoved
from workers.background.troubles import Troubles

log = structlog.get_logger("restyle.reconciler")

#: Ticks of the dispatcher between two looks at S3, and looks between two listings of it.
TICKS, LOOKS = 3, 10
#: Requests to S3 at a time.
_AT_ONCE = 8


@dataclass(frozen=True)
class Server:
    """The Redis that answers: which process it is, and of which one stock was last taken; empty: of none."""

    process: str
    stock: str
    stock_id: str

    @property
    def is_new(self) -> bool:
        """Whether it knows nothing of what was before."""
        return not self.stock

    @property
    def restarted(self) -> bool:
        """Whether it may have lost something."""
        return self.stock != self.process


class Reconciler(threading.Thread):
    """Looks at S3 every few ticks, until it is stopped."""

    def __init__(self, resources: Resources, troubles: Troubles) -> None:
        super().__init__(name="reconciler", daemon=True)
        self._resources = resources
        self._store = resources.store
        self._workspace = resources.workspace
        self._progress = resources.progress
        self._state = resources.state
        self._troubles = troubles
        self._rebuilder = Rebuilder(self._store, self._workspace, self._progress, resources.tools.fleet)
        self._nudged, self._over = threading.Event(), threading.Event()
        self._looks, self._next_glance, self._is_interested = 0, 0.0, False
        self._orphan_scan = OrphanScan(resources)
        self._balance = Balance(resources)
        self._seen, self._since = ("", ""), 0.0

    def nudge(self) -> None:
        """The dispatcher works in this process: one more look, in its time."""
        self._nudged.set()

    def stop(self) -> None:
        """Ends after the step at hand."""
        self._over.set()
        self._nudged.set()

    def run(self) -> None:
        """Looks; an error costs one look, never the thread."""
        pause = TICKS * self._resources.settings.dispatch_seconds
        while True:
            self._nudged.wait()
            if self._over.is_set():
                return
            self._nudged.clear()
            began = time.monotonic()
            with suppress(StateUnavailable), self._troubles.of_all("Redis could not be brought in line with S3"):
                try:
                    self.look()
                except Exception:
                    if not self._over.is_set():  # else the connections were closed meanwhile
                        raise
            self._over.wait(max(0.0, began + pause - time.monotonic()))

    def look(self) -> None:
        """Brings Redis in line with S3 once, while this Redis holds the workspace."""
        if not self._resources.tools.fleet.holds_workspace:
            self._glance()
            return
        self._next_glance = 0.0
        server = self._server()
        if (seen := (server.process, server.stock_id)) != self._seen:
            self._seen, self._since = seen, time.monotonic()
        # What commands without a key of their own go by.
        self._state.ask("SET", self._state.key("account"), self._resources.settings.account or "")
        if keep_suspended(self._store, self._workspace, self._state):
            log.warning("the fleet's suspension is as in S3 again")
        self._balance.look(self._agree())
        if server.restarted:
            self._take_stock(server)
        elif self._looks % LOOKS == 0:
            self._move(self._orphan_scan.look())
        self._looks += 1
        if self._is_interested and (self._progress.unfinished() or Firings(self._state).names()):
            self._is_interested = False
            self._resources.holding.lose_interest()  # the workspace is held for the run itself by now

    def _move(self, unmoved: Unmoved) -> None:
        """Has moved what nobody moves."""
        for run in unmoved.unlisted:
            with self._troubles.of_run(run.run_id, "reconciler"):
                if self._progress.register(run):
                    log.warning("moved again: it was on nobody's list", run=run.run_id)
        for run in unmoved.unknown:
            self._restore(run)
        for run_id in unmoved.firings:
            Firings(self._state).fire(run_id)

    def _glance(self) -> None:
        """Whether S3 has a run to be moved that Redis does not know of, for which nobody would hold the workspace."""
        holding, now = self._resources.holding, time.monotonic()
        if now < self._next_glance:
            return
        self._next_glance = now + holding.terms.silent_after
        if not holding.was_last():
            return
        unmoved = self._orphan_scan.look()
        if unmoved:
            log.warning(
                "S3 has an unfinished run, or a firing, of which Redis does not know: the workspace is held for it"
            )
            self._looks = 0
            self._is_interested = True
            holding.take_interest()

    # -- what people have said -----------------------------------------------------------------------------

    def _agree(self) -> list[Run]:
        """Brings each unfinished run in line with its run.json and suspended.json; those that could be read."""
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="reconciler") as pool:
            return list(filter(None, pool.map(self._agree_run, self._progress.unfinished())))

    def _agree_run(self, run_id: str) -> Run | None:
        run = None
        with self._troubles.of_run(run_id, "reconciler"):
            revision = self._progress.revision(run_id)
            run = read_run(run_id, store=self._store, workspace=self._workspace)
            suspended = read_suspension(run_id, self._store, self._workspace)
            own = None if suspended else stopped_by_itself(self._progress.suspensions(run_id))
            if own:
                put_suspension(run_id, own, self._store, self._workspace)
            word = suspended or own
            if not self._progress.agree(run, word.word if word else None, revision=revision) and own:
                remove_suspension(run_id, self._store, self._workspace)  # a person has let it go on meanwhile
        return run

    # -- a Redis that has lost something -------------------------------------------------------------------

    def _server(self) -> Server:
        stock_id = self._progress.stock_id()
        server = self._state.ask("INFO", "server")
        stock = self._state.ask("HGET", self._state.key("stock"), "server")
        return Server(str(server.get("run_id") or "unnamed"), str(stock or ""), stock_id)

    def _take_stock(self, server: Server) -> None:
        """Rebuilds the runs that Redis has lost; for an empty one sums what all runs have spent."""
        runs = list(read_runs(run_ids(self._store, self._workspace), self._store, self._workspace))
        known, _ = self._orphan_scan.known([run.run_id for run in runs])
        lost = [run for run in runs if run.finished is None and run.run_id not in known]
        fell_back = [] if server.is_new or self._is_embedded else self._progress.unfinished()
        # A living worker may need so long to reach a Redis that has moved, and to write down what it is calling for.
        beaten = time.monotonic() - self._since >= self._resources.settings.heartbeat_ttl
        if (lost or fell_back) and not beaten:
            return
        waiting = [run for run in lost if not self._restore(run)]
        if server.is_new:
            with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="reconciler") as pool:
                ended = [run for run in runs if run.run_id not in known and self._may_count(run)]
                waiting += [run for run, done in zip(ended, pool.map(self._sum, ended), strict=True) if not done]
        for run_id in fell_back:
            # What ended in the last second that Redis has lost is found done, and counts, once it is fed again.
            self._progress.mark_for_enqueue(run_id)
        if not waiting:
            if not self._state.run("stock", id=server.stock_id, process=server.process):
                return
            log.info("taken stock of S3", runs=len(runs), rebuilt=[run.run_id for run in lost], new=server.is_new)

    def _restore(self, run: Run) -> bool:
        """Rebuilds a run; False where that has to wait. The embedded stack works on what its command names alone."""
        if run.status is not RunStatus.CANCELLED and (self._is_embedded or run.created < utc_now() - LONG_AGO):
            if not self._is_embedded:
                trouble = {"reason": "Redis has lost it, and it is old", "next": _old(run.run_id)}
                self._progress.note_trouble(run.run_id, json.dumps(trouble))
            return self._sum_lost(run)
        done = False
        with self._troubles.of_run(run.run_id, "reconciler"):
            try:
                done = self._rebuilder.restore(run.run_id)
            except RunUnreadable:
                done = True  # the others go on; this one is reported
                if run.status is not RunStatus.CANCELLED:
                    raise
                # Of one that a person has ended, and that cannot be read, no report can be written.
                over = run.model_copy(update={"finished": utc_now()})
                write_run(over, store=self._store, workspace=self._workspace)
        if done:
            log.warning("rebuilt: Redis did not know it", run=run.run_id)
        return done

    def _sum_lost(self, run: Run) -> bool:
        """Counts what a run has spent that is rebuilt by a command alone."""
        if self._rebuilder.calls_out(run.run_id):
            return False
        try:
            _, _, earlier = self._rebuilder.read(run, None)
        except RunUnreadable as error:
            log.warning("its spending is not counted", run=run.run_id, reason=error.message)
        else:
            self._progress.spent_earlier(run.run_id, earlier.spent)
        return True

    @property
    def _is_embedded(self) -> bool:
        return self._resources.settings.local_redis is not None

    def _may_count(self, run: Run) -> bool:
        """Whether a run that is over may have spent something this month, in whatever time zone."""
        if run.finished is None:
            return False
        now = datetime.fromtimestamp(self._state.clock(), UTC)
        return run.status in ENDED and run.finished >= now.replace(day=1, hour=0, minute=0) - timedelta(days=1)

    def _sum(self, run: Run) -> bool:
        """Counts what a run that is over has spent."""
        try:
            self._progress.spent_earlier(run.run_id, self._rebuilder.spent(run))
        except StateUnavailable:
            raise
        except RestyleError as error:
            log.warning("its spending is not counted yet", run=run.run_id, reason=error.message)
            return False
        return True


def _old(run_id: str) -> str:
    return f"go on with it: restyle resume {run_id}; or end it: restyle cancel {run_id}"
