"""Where a paid answer outlives its worker until S3 takes it: in Redis, or else on this machine's disk.

An answer on disk is marked in Redis where Redis takes that much: its job is not called again, and whoever looks at its
run sees where the answer lies. A worker that is started there hands it on (workers/background/spooler.py).
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog

from restyle.coordination.claim_types import Claim, Dropped
from restyle.coordination.redis.client import patiently
from restyle.errors import ApiTimeout, StateUnavailable
from restyle.job.context import Tools, Work
from restyle.job.parked import in_redis
from restyle.job.parked.on_disk import Spooled

log = structlog.get_logger("restyle.store")

#: Seconds until the second try, and at most between two.
FIRST_WAIT, LONGEST_WAIT = 0.2, 5.0
#: Times that S3 refuses an object until that is believed; with the waits between them, three seconds.
REFUSALS = 4
#: Seconds that a worker which drains waits for S3 or Redis with an answer that lies on its disk alone.
LEAVE_WITHIN = 5.0


class Safekeeping:
    """Keeps one answer while S3 does not take it."""

    def __init__(self, work: Work, claim: Claim, text: Callable[[], str], tools: Tools) -> None:
        """`text` makes the answer as Redis holds it (`in_redis.as_text`); it is large, and not held meanwhile."""
        self._work, self._claim, self._text, self._tools = work, claim, text, tools
        self._size = 0
        self._in_redis = claim.verdict == "parked"
        self._on_disk: Path | None = None
        self._is_marked = False
        self.wait = FIRST_WAIT
        self._drains_since = 0.0

    @property
    def _job_id(self) -> str:
        return self._work.message.job_id

    def make_safe(self) -> None:
        """Has the answer lie where it outlives this process: in Redis, which may have forgotten it, else on disk."""
        try:
            self._in_redis = self._park()
        except Exception as error:  # noqa: BLE001 - whatever Redis says: it does not have the answer
            self._in_redis = False
            log.warning("a paid answer cannot be parked", reason=str(error))
        if self._in_redis:
            self._off_disk()
            return
        if self._on_disk is None:
            self._spool()
        if self._on_disk and not self._is_marked:
            with suppress(StateUnavailable):
                in_redis.mark_spooled(self._work.message, self._tools.fleet)
                self._is_marked = True

    def pause(self) -> None:
        """Waits until the next try; a worker that drains or stands aside leaves as soon as the answer is safe.

        Raises:
            Dropped: it leaves.
        """
        tools = self._tools
        drains = tools.stopping.is_set()
        if self._in_redis and (drains or tools.rotation.out):
            # Whoever claims the job next finds the answer there.
            raise Dropped("stopping" if drains else "out of rotation")
        if not drains:
            tools.stopping.wait(random.uniform(0.1, self.wait))
            self.wait = min(self.wait * 2, LONGEST_WAIT)
            return
        self._drains_since = self._drains_since or time.monotonic()
        if self._on_disk and time.monotonic() - self._drains_since > LEAVE_WITHIN:
            self._leave_on_disk(self._on_disk)
        time.sleep(random.uniform(0.1, 0.5))

    def forget(self) -> None:
        """It lies in S3, or is nobody's any more."""
        if self._in_redis or self._is_marked:
            with suppress(StateUnavailable):  # then whoever claims the job next finds its record beside it
                patiently(self._tools.stopping, in_redis.unpark, self._job_id, self._tools.fleet.state)
        self._off_disk()

    def _park(self) -> bool:
        state = self._tools.fleet.state
        if self._in_redis and self._size and in_redis.is_parked(self._job_id, self._size, state):
            return True
        text = self._text()
        self._size = len(text)
        return in_redis.park(self._job_id, text, state)

    def _spool(self) -> None:
        workspace, message = self._tools.workspace, self._work.message
        record = workspace.record(message.job.id, message.job.variant)
        try:
            self._on_disk = self._tools.spool.put(
                Spooled(workspace.uri, message.run_id, self._job_id, record, self._text())
            )
        except OSError as error:
            log.error("a paid answer is in memory alone: S3, Redis and disk do not take it", reason=str(error))
        else:
            log.warning("neither S3 nor Redis takes a paid answer: it lies on disk", path=str(self._on_disk))

    def _off_disk(self) -> None:
        self._is_marked = False
        if self._on_disk:
            with suppress(OSError):
                self._on_disk.unlink(missing_ok=True)
            self._on_disk = None

    def _leave_on_disk(self, path: Path) -> None:
        """Goes, with the answer where nobody but a worker here finds it.

        Where that could not be written to Redis, the call is in doubt to all others.

        Raises:
            Dropped: always.
        """
        log.warning("left with a paid answer on disk: a worker started here stores it", path=str(path))
        if not self._is_marked:
            lost = ApiTimeout(f"its answer lies on the disk of {self._tools.fleet.worker}", in_doubt=True)
            with suppress(StateUnavailable):  # then the dispatcher frees the job of a dead worker, which says the same
                self._tools.fleet.call_failed(self._work.message, self._work.token, self._claim, lost)
        raise Dropped("stopping")
