"""The one that moves every run forward: frees what dead workers held, probes an outage, advances each run.

A thread in every worker process; a lock with a TTL lets one of them work. Nothing depends on which one it is, or
on its staying alive: each step may be cut off and done again.
"""

from __future__ import annotations

import threading

import structlog

from producers.dispatch.feeder import Feeder
from producers.runs.recovery.doubts import recall
from producers.runs.snapshot import read_run, write_run
from restyle.coordination.claim_types import Dropped
from restyle.coordination.periods import Periods
from restyle.coordination.redis.hints import MOST_TTL
from restyle.coordination.runs.firings import Firings
from restyle.coordination.runs.progress import Progress
from restyle.errors import InputNotFound, RestyleError, StateUnavailable
from restyle.job.parked import in_redis
from restyle.models import RunStatus, utc_now
from tasks.resources import Resources
from workers.background.dead_workers import DeadWorkers
from workers.background.outage_probe import OutageProbe
from workers.background.reconciler import Reconciler
from workers.background.trends import Trends
from workers.background.troubles import Troubles

log = structlog.get_logger("restyle.dispatcher")


def lock_seconds(every: float) -> float:
    """How long the lock of one who ticks so often stands: several ticks, and no longer than locks may (prelude.lua)."""
    return min(max(5.0, 5 * every), MOST_TTL)


class LeftOnDisk(RestyleError):
    """Paid answers of a run lie on the disks of workers that have ended, and nowhere else."""

    next = "start a worker there, with the same RESTYLE_HOME: it hands them on, and nothing is paid again"

    def __init__(self, workers: str) -> None:
        super().__init__(f"neither S3 nor Redis took paid answers: they lie on the disk of {workers}")


class WebServersFail(RestyleError):
    """Web servers fail for every picture that a run asks them for."""

    next = "nothing: they are asked again, ever more seldom; after RESTYLE_FETCH_PATIENCE their pictures fail alone"

    def __init__(self, hosts: list[str], jobs: int) -> None:
        named = ", ".join(hosts[:3]) + (f" and {len(hosts) - 3:,} more" if len(hosts) > 3 else "")
        super().__init__(f"{jobs:,} jobs wait for pictures of {named}, which fails for all: the others go on")


class Dispatcher(threading.Thread):
    """Ticks until it is stopped."""

    def __init__(self, resources: Resources, feeder: Feeder) -> None:
        super().__init__(name="dispatcher", daemon=True)
        self._resources = resources
        self._feeder = feeder
        self._progress: Progress = resources.progress
        self._fleet = resources.tools.fleet
        self._firings = Firings(self._progress.state)
        self._trends = Trends(resources)
        self._troubles = Troubles(self._progress)
        self._dead_workers = DeadWorkers(resources, feeder, self._troubles)
        self._outage_probe = OutageProbe(resources, feeder)
        self.reconciler = Reconciler(resources, self._troubles)
        self._periods = Periods(self._progress.state)
        self._over = threading.Event()

    def stop(self) -> None:
        """Ends after the step at hand."""
        self._over.set()
        self.reconciler.stop()

    def run(self) -> None:
        """Ticks; an error costs one tick, never the thread."""
        settings = self._resources.settings
        self.reconciler.start()
        while not self._over.wait(settings.dispatch_seconds):
            if self._resources.tools.rotation.out:
                continue  # the lock runs out, and a worker dispatches that reaches what this one does not
            try:
                if self._progress.dispatch(self._feeder.token, ttl=lock_seconds(settings.dispatch_seconds)):
                    self.tick()
            except StateUnavailable as error:
                self._dead_workers.look_anew()
                log.debug("tick missed", reason=error.message)  # its spells are logged once (workers/waiting.py)
            except RestyleError as error:
                self._resources.tools.rotation.failed(error)
                log.warning("tick missed", reason=error.message)
            except Exception:
                log.exception("tick failed")

    def tick(self) -> None:
        """One step for everything that is ready for one; what goes wrong with one costs the others nothing.

        None is made while the workspace may be another Redis's; the reconciler then checks whether it is this one's.
        """
        self.reconciler.nudge()
        if not self._fleet.holds_workspace:
            for run_id in self._progress.unfinished() if self._fleet.suspensions() else ():
                self._tell(run_id)
            return
        with self._troubles.of_all("Redis has forgotten something, and S3 does not tell of doubts: no call begins"):
            self._recall()
        beats = self._dead_workers.free()
        with self._troubles.of_all("the day and the month of budgets could not be written down"):
            self._periods.begin(
                self._resources.settings.time_zone, (str(beat["zone"]) for beat in beats if "zone" in beat)
            )
        standing = self._fleet.suspensions()
        if [suspension.reason for suspension in standing] == ["outage"]:
            with self._troubles.of_all("the API could not be probed"):
                self._outage_probe.let_through(standing[0])
        elif not standing:
            self._outage_probe.forget()
        with self._troubles.of_all("jobs whose inputs on the web are there could not be fed"):
            self._feeder.feed_fetched()
        self._move_all()
        if self._firings.names():  # else no planning is imported, 2 MB of a worker
            with self._troubles.of_all("firings of schedules could not be handed out"):
                self._resources.starter.hand_out(self._feeder.start)
        with self._troubles.of_all("how runs fare could not be noted"):
            self._trends.note()

    def _move_all(self) -> None:
        """A step for each unfinished run, and what stands in its way."""
        left_on_disk: dict[str, set[str]] = {}
        with self._troubles.of_all("what lies on the disks of workers could not be looked up"):
            left_on_disk = self._left_on_disk()
        down = self._feeder.web.fetches.down()
        for run_id in self._progress.unfinished():
            with self._troubles.of_run(run_id, "dispatcher"):
                self._move(run_id)
            with self._troubles.of_run(run_id, "web"):
                if jobs := self._feeder.pending.waiting_for(run_id, down):
                    raise WebServersFail(down, jobs)
            with self._troubles.of_run(run_id, "spool"):
                if where := left_on_disk.get(run_id):
                    raise LeftOnDisk(", ".join(sorted(where)))
            with self._troubles.of_all(f"nobody could be notified how run {run_id} stands"):
                self._tell(run_id)

    def _move(self, run_id: str) -> None:
        """One run's step."""
        for suspension in self._progress.suspensions(run_id):
            if suspension.until and self._progress.state.clock() >= suspension.until:
                self._progress.lift(run_id, suspension.reason)  # a new day, a new budget
        try:
            self._feeder.advance(run_id)
        except InputNotFound as error:
            self._write_off(run_id, error)

    def _left_on_disk(self) -> dict[str, set[str]]:
        """The workers of each run that have ended, and left paid answers where only their machines have them."""
        left = dict[str, set[str]]()
        if spooled := in_redis.spooled(self._progress.state):
            living = {name for name, beat in self._fleet.workers().items() if beat is not None}
            for run_id, worker in spooled:
                if worker not in living:
                    left.setdefault(run_id, set()).add(worker)
        return left

    def _write_off(self, run_id: str, error: InputNotFound) -> None:
        """Ends a run that is cancelled and whose plan is gone: of it no report can be written.

        Raises:
            InputNotFound: it is not cancelled.
        """
        here = self._resources
        run = read_run(run_id, store=here.store, workspace=here.workspace)
        if run.status is not RunStatus.CANCELLED:
            raise error
        write_run(run.model_copy(update={"finished": utc_now()}), store=here.store, workspace=here.workspace)
        self._progress.end(run_id, RunStatus.CANCELLED)
        log.warning("ended without a report", run=run_id, reason=error.message)

    def _recall(self) -> None:
        """Tells a Redis that has forgotten something what S3 knows; where S3 does not tell, at the next tick."""
        doubts = recall(self._feeder)
        if doubts is not None:
            self._feeder.pending.look_anew()
            log.warning(
                "Redis has forgotten something: no call begins until all workers have reported theirs", doubts=doubts
            )

    def _tell(self, run_id: str) -> None:
        """Lists the notifications that a run stands still."""
        try:
            run = self._resources.run(run_id)
        except Dropped as why:
            raise RestyleError(str(why)) from None
        self._resources.notifications.standing_still(run)
