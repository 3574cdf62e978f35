"""The one that moves every run forward: frees what dead workers held, probes an outage, advances each run.

A thread in every worker process; a lock with a TTL lets one of them work. Nothing depends on which one it is, or
on its staying alive: each step may be cut off and done again.
"""

from __future__ import annotations

import json
import random
import threading
import time

import structlog

from producers.doubts import recall
from producers.enqueue import Feeder, PlannedJob
from restyle.errors import RestyleError, StateUnavailable
from restyle.firings import Firings
from restyle.fleet import Dropped
from restyle.models import Job, Message, utc_now
from restyle.progress import Progress, failed
from tasks.resources import Resources
from workers.trends import Trends

log = structlog.get_logger("restyle.dispatcher")

#: Workers that may die with a job before its call, until the job is taken for the cause.
DEATHS = 5


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
        self._probed = ""
        self._trends = Trends(resources)
        self._over = threading.Event()

    def stop(self) -> None:
        """Ends after the step at hand."""
        self._over.set()

    def run(self) -> None:
        """Ticks; an error costs one tick, never the thread."""
        settings = self._resources.settings
        while not self._over.wait(settings.dispatch_seconds):
            try:
                if self._progress.dispatch(self._feeder.token, ttl=max(5.0, 5 * settings.dispatch_seconds)):
                    self.tick()
            except StateUnavailable as error:
                # What was missed while Redis was silent says nothing of the workers.
                self._missing.clear()
                log.warning("tick missed", reason=error.message)
            except RestyleError as error:
                log.warning("tick missed", reason=error.message)
            except Exception:
                log.exception("tick failed")

    def tick(self) -> None:
        """One step for everything that is ready for one."""
        self._recall()
        self._free_the_dead()
        reasons = {suspension.reason for suspension in self._fleet.suspensions()}
        if reasons == {"outage"}:
            self._probe()
        for run_id in self._progress.unfinished():
            for suspension in self._progress.suspensions(run_id):
                if suspension.until and self._progress.state.clock() >= suspension.until:
                    self._progress.lift(run_id, suspension.reason)  # a new day, a new budget
            self._feeder.advance(run_id)
            self._tell(run_id)
        if self._firings.waiting():  # else no planning is imported, 2 MB of a worker
            self._resources.starter.hand_out(self._feeder.start)
        self._trends.note()

    def _recall(self) -> None:
        """Tells a Redis that has forgotten something what S3 knows; where S3 does not tell, at the next tick."""
        try:
            told = recall(self._feeder)
        except StateUnavailable:
            raise
        except RestyleError as error:
            log.warning("doubts cannot be read: no call begins before", reason=error.message)
        else:
            if told is not None:
                log.warning("Redis has forgotten something: calls wait until all workers have told theirs", doubts=told)

    def _tell(self, run_id: str) -> None:
        """Has it told that a run stands still; nothing that goes wrong there touches the run."""
        try:
            self._resources.notifications.standing_still(self._resources.run(run_id))
        except (RestyleError, Dropped) as error:
            log.warning("not notified", run=run_id, reason=str(error))

    # -- dead workers --------------------------------------------------------------------------------------

    def _free_the_dead(self) -> None:
        workers = self._fleet.workers()
        missing = {name for name, beat in workers.items() if beat is None}
        self._missing = {name: self._missing.get(name, time.monotonic()) for name in missing}
        for name, since in list(self._missing.items()):
            if time.monotonic() - since >= self._resources.settings.dead_after:
                self._free(name)

    def _free(self, worker: str) -> None:
        """Frees each job of a dead worker, with the doubt written down first, then forgets the worker."""
        jobs = self._fleet.jobs_of(worker)
        for job_id, place in jobs.items():
            lease = self._fleet.lease(job_id)
            calls = lease.get("worker") == worker and lease.get("calling")
            if calls and not self._fleet.has_request(job_id):
                self._note_doubt(str(place["run"]), job_id, worker, lease["calling"])
            calling, doubts, deaths = self._fleet.free(worker, place, job_id)
            if calling and self._resources.policy.parks(doubts):
                self._park(place, job_id, "in_doubt", f"the worker {worker} died during its call: it may be paid for")
            elif not calling and deaths >= DEATHS:
                self._park(place, job_id, "worker_lost", f"{deaths} workers died with this job before its call")
        self._fleet.bury(worker)
        self._missing.pop(worker, None)
        log.warning("freed the jobs of a dead worker", worker=worker, jobs=len(jobs))

    def _note_doubt(self, run_id: str, job_id: str, worker: str, calling_ms: str) -> None:
        note = f'{{"job_id": "{job_id}", "worker": "{worker}", "calling_ms": {calling_ms}, "noted": "{utc_now()}"}}'
        uri = self._resources.workspace.doubt(run_id, job_id)
        self._resources.store.put(uri, note.encode(), content_type="application/json")

    def _park(self, place: dict[str, object], job_id: str, code: str, why: str) -> None:
        run_id, shard, index = str(place["run"]), int(str(place["shard"])), int(str(place["index"]))
        line = self._feeder.plan(run_id, shard)[index]
        job = Job.model_validate_json(line)
        message = Message(run_id=run_id, shard=shard, index=index, job_id=job_id, job=job)
        self._progress.report(self._fleet, message, "", failed(code, why, seed=job.params.seed))

    # -- outages -------------------------------------------------------------------------------------------

    def _probe(self) -> None:
        """Lets one pending job through, each time another one: of another variant where there is one."""
        living = self._fleet.living_jobs
        candidates = [
            (run_id, shard.shard, job)
            for run_id in self._progress.unfinished()
            if not self._progress.suspensions(run_id)
            for shard in self._progress.open_shards(run_id)
            for job in self._feeder.hungry(run_id, shard.shard, living)
        ]
        if not candidates:
            return
        random.shuffle(candidates)
        fresh = (found for found in candidates if _variant(found[2]) != self._probed)
        run_id, shard, job = next(fresh, candidates[0])
        if self._fleet.probe(job[1]):
            self._probed = _variant(job)
            self._feeder.publish(run_id, shard, [job])


def _variant(job: PlannedJob) -> str:
    return str(json.loads(job[2])["variant"])
