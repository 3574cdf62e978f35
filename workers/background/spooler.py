"""Hands on the paid answers that lie on this machine's disk: at a worker's start, and as soon as Redis is back."""

from __future__ import annotations

import json
import threading
import time

import structlog

from producers.dispatch.plans import read_plan
from restyle.errors import RestyleError
from restyle.job import recorded
from restyle.job.parked import in_redis
from restyle.job.parked.on_disk import Spooled
from restyle.models import Job
from restyle.run_ids import is_run_id
from tasks.resources import Resources

log = structlog.get_logger("restyle.spool")

#: Seconds between two looks at the folder.
_OFTEN = 5.0
#: Seconds between two looks into S3 for one answer.
_SELDOM = 60.0


class Spooler(threading.Thread):
    """Looks now and then whether answers lie in the spool, whichever worker of this machine left them there."""

    def __init__(self, resources: Resources) -> None:
        super().__init__(name="spooler", daemon=True)
        self._resources = resources
        self._spool = resources.tools.spool
        self._unreadable: set[str] = set()
        #: When S3 was searched for what became of a job, by its mark.
        self._looked: dict[in_redis.Mark, float] = {}
        self._over = threading.Event()

    def stop(self) -> None:
        """Ends after the answer at hand."""
        self._over.set()

    def run(self) -> None:
        """Looks; an error costs one look."""
        while not self._over.wait(_OFTEN):
            self.hand_on()
            try:
                self.release()
            except RestyleError as error:
                log.debug("marks of answers on disks stay", reason=error.message)
            except Exception:
                log.exception("marks of answers on disks stay")

    def release(self) -> None:
        """Lets go of jobs that wait for an answer which lies on no disk: Redis forgets, also that one was handed on.

        Of its own a worker knows what lies there. Of one that has ended it is known where S3 has the run's result; for
        any other a person may have to start a worker there.
        """
        here = self._resources
        marks = in_redis.marks(here.state)
        if not marks:
            return
        own, living = here.tools.fleet.worker, here.tools.fleet.workers()
        for mark in marks:
            if mark.worker == own:  # an answer is put there before its mark
                is_stale = not self._spool.may_have(mark.run_id, mark.job_id)
            else:
                is_stale = living.get(mark.worker) is None and self._has_result(mark)
            if is_stale and in_redis.release(mark, here.state):
                log.warning("an answer lies on no disk any more: its job is let go", run=mark.run_id, job=mark.job_id)

    def _has_result(self, mark: in_redis.Mark) -> bool:
        """Whether the run of a mark has a record of its job; looked at once in a while."""
        if time.monotonic() < self._looked.get(mark, 0.0) + _SELDOM:
            return False
        self._looked[mark] = time.monotonic()
        here = self._resources
        if not (is_run_id(mark.run_id) and mark.shard.isdecimal()):
            return False
        for job in map(Job.model_validate_json, read_plan(here.store, here.workspace, mark.run_id, int(mark.shard))):
            if here.job_id(job) == mark.job_id:
                record = recorded.find_at(here.workspace.record(job.id, job.variant), here.store)
                return record is not None and record.run_id == mark.run_id
        return False

    def hand_on(self) -> None:
        """Parks every answer of this workspace in Redis, where the job's next claim finds it."""
        for path in self._spool.waiting():
            try:
                if self._spool.hand_on(path, self._take):
                    log.info("a paid answer was taken from disk", path=str(path))
            except RestyleError as error:
                log.warning("a paid answer stays on disk", path=str(path), reason=error.message)
                return
            except (OSError, ValueError, KeyError, TypeError) as error:
                if str(path) not in self._unreadable:
                    log.error("a file in the spool is no paid answer of ours", path=str(path), reason=str(error))
                    self._unreadable.add(str(path))

    def _take(self, answer: Spooled) -> bool:
        """Whether the answer is safe elsewhere, or needed no more; one of another workspace is another worker's."""
        here = self._resources
        if answer.workspace != here.workspace.uri:
            return False
        if self._is_done(answer):
            in_redis.unpark(answer.job_id, here.state)
            return True
        return in_redis.park(answer.job_id, answer.text, here.state)

    def _is_done(self, answer: Spooled) -> bool:
        """Whether S3 has the job's result for this very request: somebody has paid for it once more meanwhile."""
        if not answer.record.startswith(self._resources.workspace.under("records") + "/"):
            raise ValueError(f"{answer.record} is no record of {answer.workspace}")
        try:
            record = recorded.find_at(answer.record, self._resources.store)
        except RestyleError:
            return False  # then Redis has to do
        return record is not None and record.fingerprint.token == json.loads(answer.text)["made_from"]
