"""The one that moves every run forward: frees what dead workers held, probes an outage, advances each run.

A thread in every worker process; a lock with a TTL lets one of them work. Nothing depends on which one it is, or
on its staying alive: each step may be cut off and done again.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter

import structlog

from producers.dispatch.feeder import Feeder
from producers.dispatch.web_inputs import PlannedJob
from producers.runs.recovery.doubts import recall
from producers.runs.snapshot import read_run, write_run
from reports.alarms import WORKER_LOST
from restyle.coordination.call_ends import recipe
from restyle.coordination.claim_types import Dropped
from restyle.coordination.periods import Periods
from restyle.coordination.redis.hints import MOST_TTL
from restyle.coordination.runs.events import note
from restyle.coordination.runs.firings import Firings
from restyle.coordination.runs.progress import Progress, failed
from restyle.coordination.runs.shards import OpenShard
from restyle.coordination.suspensions import Suspension
from restyle.errors import InputNotFound, RestyleError, StateUnavailable
from restyle.job.parked import in_redis
from restyle.keys import is_run_id
from restyle.models import Job, Message, RunStatus, utc_now
from tasks.resources import Resources
from workers.background.reconciler import Reconciler
from workers.background.trends import Trends
from workers.background.troubles import Troubles

log = structlog.get_logger("restyle.dispatcher")

#: A run, a shard, a job of it and its recipe.
Candidate = tuple[str, int, PlannedJob, str]
#: Jobs of each run that are looked at for a probe.
SAMPLE = 200
#: Workers that may die with a job before its call, until the job is taken for the cause.
DEATHS = 5


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
    """Ticks until it is told to stop."""

    def __init__(self, resources: Resources, feeder: Feeder) -> None:
        super().__init__(name="dispatcher", daemon=True)
        self._resources = resources
        self._feeder = feeder
        self._progress: Progress = resources.progress
        self._fleet = resources.tools.fleet
        self._firings = Firings(self._progress.state)
        self._missing: dict[str, float] = {}
        #: How often recipes and jobs were probes of this outage; and whether there was nothing to probe with.
        self._probed = Counter[str]()
        self._idle = True
        self._trends = Trends(resources)
        self._troubles = Troubles(self._progress)
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
                # What was missed while Redis was silent says nothing of the workers.
                self._missing.clear()
                log.debug("tick missed", reason=error.message)  # its spells are told once (workers/waiting.py)
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
        beats = self._free_the_dead()
        with self._troubles.of_all("the day and the month of budgets could not be written down"):
            self._periods.begin(
                self._resources.settings.time_zone, (str(beat["zone"]) for beat in beats if "zone" in beat)
            )
        standing = self._fleet.suspensions()
        if [suspension.reason for suspension in standing] == ["outage"]:
            with self._troubles.of_all("the API could not be probed"):
                self._probe(standing[0])
        elif not standing:
            self._probed.clear()
        with self._troubles.of_all("jobs whose inputs on the web are there could not be fed"):
            self._feeder.feed_fetched()
        left_on_disk: dict[str, set[str]] = {}
        with self._troubles.of_all("what lies on the disks of workers could not be looked up"):
            left_on_disk = self._left_on_disk()
        down = self._feeder.web.fetches.down()
        for run_id in self._progress.unfinished():
            with self._troubles.of_run(run_id, "dispatcher"):
                self._move(run_id)
            with self._troubles.of_run(run_id, "web"):
                if jobs := self._feeder.waiting_for(run_id, down):
                    raise WebServersFail(down, jobs)
            with self._troubles.of_run(run_id, "spool"):
                if where := left_on_disk.get(run_id):
                    raise LeftOnDisk(", ".join(sorted(where)))
            with self._troubles.of_all(f"nobody could be told how run {run_id} stands"):
                self._tell(run_id)
        if self._firings.names():  # else no planning is imported, 2 MB of a worker
            with self._troubles.of_all("firings of schedules could not be handed out"):
                self._resources.starter.hand_out(self._feeder.start)
        with self._troubles.of_all("how runs fare could not be noted"):
            self._trends.note()

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
            self._feeder.look_anew()
            log.warning("Redis has forgotten something: calls wait until all workers have told theirs", doubts=doubts)

    def _tell(self, run_id: str) -> None:
        """Has it told that a run stands still."""
        try:
            run = self._resources.run(run_id)
        except Dropped as why:
            raise RestyleError(str(why)) from None
        self._resources.notifications.standing_still(run)

    # -- dead workers --------------------------------------------------------------------------------------

    def _free_the_dead(self) -> list[dict[str, object]]:
        """Frees what dead workers held; the heartbeats of the living."""
        workers = self._fleet.workers()
        missing = {name for name, beat in workers.items() if beat is None}
        self._missing = {name: self._missing.get(name, time.monotonic()) for name in missing}
        for name, since in list(self._missing.items()):
            if time.monotonic() - since >= self._resources.settings.dead_after:
                with self._troubles.of_all(f"the jobs of the dead worker {name} could not all be freed"):
                    self._free(name)
        return [beat for beat in workers.values() if beat is not None]

    def _free(self, worker: str) -> None:
        """Frees each job of a dead worker, then forgets the worker; one that cannot be freed keeps none of the others.

        Raises:
            RestyleError: one of them could not be freed; the worker is looked at again.
        """
        jobs = self._fleet.jobs_of(worker)
        failure: Exception | None = None
        for job_id, place in jobs.items():
            if not (is_run_id(str(place["run"])) and job_id.isalnum()):
                continue  # nobody of ours has put it there, and it would be part of a key in S3
            try:
                self._free_job(worker, job_id, place)
            except StateUnavailable:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, it is that job's
                failure = error
        if failure is not None:
            raise failure
        self._fleet.bury(worker)
        self._missing.pop(worker, None)
        if jobs:
            note(
                self._progress.state, None, WORKER_LOST, "dispatcher",
                f"the worker {worker} is lost with {len(jobs):,} jobs in hand",
            )  # fmt: skip
        log.warning("freed the jobs of a dead worker", worker=worker, jobs=len(jobs))

    def _free_job(self, worker: str, job_id: str, place: dict[str, object]) -> None:
        """Frees one job of a dead worker, with the doubt written down first."""
        lease = self._fleet.lease(job_id)
        calls = lease.get("worker") == worker and lease.get("calling")
        if calls and not self._fleet.has_request(job_id):
            self._note_doubt(str(place["run"]), job_id, worker, lease["calling"])
        calling, doubts, deaths = self._fleet.free(worker, place, job_id)
        if calling and self._resources.policy.gives_up(doubts):
            self._fail(place, job_id, "in_doubt", f"the worker {worker} died during its call: it may be paid for")
        elif not calling and deaths >= DEATHS:
            self._fail(place, job_id, "worker_lost", f"{deaths} workers died with this job before its call")

    def _note_doubt(self, run_id: str, job_id: str, worker: str, calling_ms: str) -> None:
        note = f'{{"job_id": "{job_id}", "worker": "{worker}", "calling_ms": {calling_ms}, "noted": "{utc_now()}"}}'
        uri = self._resources.workspace.doubt(run_id, job_id)
        self._resources.store.put(uri, note.encode(), content_type="application/json")

    def _fail(self, place: dict[str, object], job_id: str, code: str, why: str) -> None:
        run_id, shard, index = str(place["run"]), int(str(place["shard"])), int(str(place["index"]))
        line = self._feeder.plan(run_id, shard)[index]
        job = Job.model_validate_json(line)
        message = Message(run_id=run_id, shard=shard, index=index, job_id=job_id, job=job)
        self._progress.report(self._fleet, message, "", failed(code, why, seed=job.params.seed))

    # -- outages -------------------------------------------------------------------------------------------

    def _probe(self, outage: Suspension) -> None:
        """Lets one pending job through: of a recipe that has not failed of late where there is one, each time another.

        Work that comes where there was none is tried at once: an outage may be over for long when nobody calls.
        """
        left = outage.until - self._progress.state.clock()
        if not self._idle and 0 < left <= self._fleet.limits.probe_max:
            return
        candidates = self._candidates()
        if not candidates:
            self._idle = True
            return
        failing = self._fleet.failing()
        run_id, shard, job, made = min(candidates, key=lambda candidate: self._rank(candidate, failing))
        if self._fleet.probe(job[1], at_once=self._idle):
            self._idle = False
            self._probed.update((made, job[1]))
            self._feeder.publish(run_id, shard, [job])

    def _rank(self, candidate: Candidate, failing: set[str]) -> tuple[bool, int, bool, int]:
        """The order of probes: what is known to fail last, and what was tried least first."""
        _, _, (_, job_id, _), made = candidate
        return made in failing, self._probed[made], job_id in failing, self._probed[job_id]

    def _candidates(self) -> list[Candidate]:
        """Pending jobs that may be called but for the outage: a sample of each run, in any order."""
        living, candidates = self._fleet.living_jobs, list[Candidate]()
        for run_id in self._progress.unfinished():
            if self._progress.suspensions(run_id):
                continue
            shards = self._progress.open_shards(run_id)
            if not any(self._feeder.pending(run_id, shard) for shard in shards):
                shards = self._opened(run_id, shards)
            jobs = [
                (shard.shard, job) for shard in shards for job in self._feeder.enqueueable(run_id, shard.shard, living)
            ]
            jobs = self._callable(run_id, jobs)
            sample = random.sample(jobs, min(len(jobs), SAMPLE))
            candidates += [
                (run_id, shard, job, recipe(run_id, Job.model_validate_json(job[2]))) for shard, job in sample
            ]
        random.shuffle(candidates)
        return candidates

    def _callable(self, run_id: str, jobs: list[tuple[int, PlannedJob]]) -> list[tuple[int, PlannedJob]]:
        """Those that wait for no input on the web; for the others that is asked for, since fetching needs no API."""
        shards = dict[int, list[PlannedJob]]()
        for shard, job in jobs:
            shards.setdefault(shard, []).append(job)
        ready = self._feeder.web.ready_or_ordered
        return [(shard, job) for shard, of_shard in shards.items() for job in ready(run_id, shard, of_shard)]

    def _opened(self, run_id: str, shards: list[OpenShard]) -> list[OpenShard]:
        """One shard more, for a probe: of a run that begins under an outage, or of whose open jobs all are braked."""
        totals = self._progress.totals(run_id)
        behind = sum(shard.size - shard.ended for shard in shards)
        if totals is None or totals.status is not RunStatus.RUNNING or behind >= self._feeder.most_braked:
            return shards
        missing = [*self._progress.gaps(run_id, totals.cursor), *range(totals.cursor, totals.shards)]
        for shard in missing[:1]:
            self._progress.open_shard(run_id, shard, len(self._feeder.plan(run_id, shard)), probing=True)
        return self._progress.open_shards(run_id)
