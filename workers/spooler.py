"""Hands on the paid answers that lie on this machine's disk: at a worker's start, and as soon as Redis is back."""

from __future__ import annotations

import json
import threading

import structlog

from restyle.errors import RestyleError
from restyle.job.parked import in_redis
from restyle.job.parked.on_disk import Spooled
from restyle.models import Record
from tasks.resources import Resources

log = structlog.get_logger("restyle.spool")

#: Seconds between two looks at the folder.
_OFTEN = 5.0


class Spooler(threading.Thread):
    """Looks now and then whether answers lie in the spool, whichever worker of this machine left them there."""

    def __init__(self, resources: Resources) -> None:
        super().__init__(name="spooler", daemon=True)
        self._resources = resources
        self._spool = resources.tools.spool
        self._unreadable: set[str] = set()
        self._over = threading.Event()

    def stop(self) -> None:
        """Ends after the answer at hand."""
        self._over.set()

    def run(self) -> None:
        """Looks; an error costs one look."""
        while not self._over.wait(_OFTEN):
            self.hand_on()

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
            found = self._resources.store.find(answer.record)
        except RestyleError:
            return False  # then Redis has to do
        return found is not None and Record.read(found.data).fingerprint.token == json.loads(answer.text)["made_from"]
