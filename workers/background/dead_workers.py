"""Frees what dead workers held, with each call that may have been paid for written down first."""

from __future__ import annotations

import time

import structlog

from producers.dispatch.feeder import Feeder
from reports.alarms import WORKER_LOST
from restyle.coordination.runs.events import note
from restyle.coordination.runs.progress import failed
from restyle.errors import StateUnavailable
from restyle.models import Job, Message, utc_now
from restyle.run_ids import is_run_id
from tasks.resources import Resources
from workers.background.troubles import Troubles

log = structlog.get_logger("restyle.dispatcher")

#: Workers that may die with a job before its call, until the job is taken for the cause.
DEATHS = 5


class DeadWorkers:
    """The workers whose heartbeats are missing, since when, and what they held."""

    def __init__(self, resources: Resources, feeder: Feeder, troubles: Troubles) -> None:
        self._resources = resources
        self._feeder = feeder
        self._fleet = resources.tools.fleet
        self._progress = resources.progress
        self._troubles = troubles
        self._missing: dict[str, float] = {}

    def look_anew(self) -> None:
        """Forgets since when workers are missing: what was missed while Redis was silent says nothing of them."""
        self._missing.clear()

    def free(self) -> list[dict[str, object]]:
        """Frees what dead workers held; the heartbeats of the living."""
        workers = self._fleet.workers()
        missing = {name for name, beat in workers.items() if beat is None}
        self._missing = {name: self._missing.get(name, time.monotonic()) for name in missing}
        for name, since in list(self._missing.items()):
            if time.monotonic() - since >= self._resources.settings.dead_after:
                with self._troubles.of_all(f"the jobs of the dead worker {name} could not all be freed"):
                    self._free_all(name)
        return [beat for beat in workers.values() if beat is not None]

    def _free_all(self, worker: str) -> None:
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
        line = self._feeder.plans.lines(run_id, shard)[index]
        job = Job.model_validate_json(line)
        message = Message(run_id=run_id, shard=shard, index=index, job_id=job_id, job=job)
        self._progress.report(self._fleet, message, "", failed(code, why, seed=job.params.seed))
