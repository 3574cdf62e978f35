"""A paid answer on its way to S3, so that it outlives this process and is paid for once.

In S3 it is done. Where S3 takes nothing it is kept elsewhere meanwhile (restyle/job/parked/safekeeping.py). An object
that S3 refuses by itself is its job's own matter: the picture is set aside in the workspace, and the job ends as
`not_stored`.
"""

from __future__ import annotations

import time
import traceback
from contextlib import suppress
from functools import partial

import structlog

from restyle.coordination.claim_types import Dropped
from restyle.coordination.redis.client import patiently
from restyle.coordination.runs.progress import Ended
from restyle.errors import (
    ClockSkewed,
    FleetError,
    ObjectRefused,
    RestyleError,
    StateUnavailable,
    StoreUnavailable,
    drop_frames,
)
from restyle.job.commit import Made, store
from restyle.job.context import Tools
from restyle.job.lookup import find_record
from restyle.job.outcomes import cost_of
from restyle.job.outputs.locations import place
from restyle.job.parked import in_redis, unplaced
from restyle.job.parked.safekeeping import FIRST_WAIT, REFUSALS, Safekeeping
from restyle.keys import split_uri
from restyle.outputs import Storing
from restyle.record import Record
from restyle.s3.errors import as_for_all
from restyle.telemetry.steps import step

log = structlog.get_logger("restyle.store")

#: Seconds for which a bucket that is not the workspace's may be out of reach while the workspace is well.
ELSEWHERE_WITHIN = 15.0


@step("store")
def until_stored(made: Made, tools: Tools) -> Record | Ended:
    """Stores a paid answer, however long S3 is away; meanwhile this process makes no new call.

    Raises:
        Dropped: somebody else has stored the job since, or this worker drains or stands aside and the answer is safe.
    """
    answer = _Unstored(made, tools)
    try:
        return _stored(answer, made, tools)
    finally:
        tools.unsaved.remove(answer)


def _stored(answer: _Unstored, made: Made, tools: Tools) -> Record | Ended:
    while True:
        try:
            record = _ours(made, tools) or store(made, tools)
        except Dropped:
            answer.forget()
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is: what has been paid for is not thrown away
            if ended := answer.refused(_whose(error, made, tools)):
                return ended
        else:
            tools.unsaved.clear()
            tools.rotation.worked("s3", "clock")
            answer.forget()
            return record


def _ours(made: Made, tools: Tools) -> Record | None:
    """Where this worker may have been taken for dead during the call, looks whose the job is by its record in S3.

    None: nobody has done it since, and the answer is to be stored, whatever Redis says.

    Raises:
        Dropped: somebody has; only the cost is reported.
    """
    fleet, message = tools.fleet, made.work.message
    # What is read again was paid for by an earlier run, and holds no lease.
    if made.work.options.reread or not fleet.lapsed_since(made.called.claimed):
        return None
    record = find_record(message, tools.store, tools.workspace)
    if record is None or _call_of(record) == (made.known and _call_of(made.known)):
        return None
    if _call_of(record) == (message.run_id, fleet.worker, made.called.called):
        return record  # it was stored, and S3's answer was lost
    log.warning("another worker has done the job meanwhile", worker=record.worker)
    cost = cost_of(made.called.answer, message.job.params, tools.price)
    with suppress(StateUnavailable):
        patiently(tools.stopping, fleet.spent, message, made.work.token, cost)
    raise Dropped("taken over", is_released=True)


def _call_of(record: Record) -> tuple[object, ...]:
    """Which call a record is of; it stays the same where the record is written anew."""
    return record.run_id, record.worker, record.timestamps.called


def _whose(error: Exception, made: Made, tools: Tools) -> Exception:
    """Whose matter an error is. How S3 is to hold outputs is the run's own wish: what is refused for it is no sign."""
    if not isinstance(error, RestyleError):
        return error
    if made.work.options.outputs.storing != Storing() and isinstance(error, ObjectRefused):
        return error
    return as_for_all(error, tools.workspace, storing=True)


class _Unstored:
    """An answer that S3 has not taken yet."""

    def __init__(self, made: Made, tools: Tools) -> None:
        self._made, self._tools = made, tools
        text = partial(in_redis.as_text, made.called, made.fingerprint.token)
        self._safe = Safekeeping(made.work, made.called.claim, text, tools)
        self._refusals = 0
        #: Since when its own bucket alone is out of reach.
        self._elsewhere_since = 0.0

    def refused(self, error: Exception) -> Ended | None:
        """S3 has not taken it: it is made safe, and after a while tried again; or the job ends without its place.

        Raises:
            Dropped: this worker drains or stands aside, and the answer is safe.
        """
        if isinstance(error, StoreUnavailable) and self._is_elsewheres():
            self._elsewhere_since = self._elsewhere_since or time.monotonic()
            if time.monotonic() - self._elsewhere_since > ELSEWHERE_WITHIN and (ended := self._set_aside(error)):
                return ended
        elif isinstance(error, StoreUnavailable | ClockSkewed | FleetError):
            self._elsewhere_since = 0.0
            self._away(error)
        else:
            self._refusals += 1
            log.warning("a paid picture is refused", reason=_reason(error), times=self._refusals)
            if self._refusals >= REFUSALS and (ended := self._set_aside(error)):
                return ended
        drop_frames(error)  # all that follows may wait
        self._safe.make_safe()
        self._safe.pause()
        return None

    def forget(self) -> None:
        """It lies in S3, or is nobody's any more."""
        self._safe.forget()

    # -- S3 takes nothing, or not this ---------------------------------------------------------------------

    def _away(self, error: RestyleError) -> None:
        """S3 takes nothing: this process makes no new call, and where it refuses us, nobody does."""
        if self._safe.wait == FIRST_WAIT:
            log.warning("S3 does not take a paid picture: it is tried again", reason=error.message)
        self._tools.unsaved.add(self)
        self._tools.rotation.failed(error)
        if isinstance(error, FleetError):
            with suppress(StateUnavailable):
                self._tools.fleet.suspend(error.reason, error.message, self._tools.fleet.worker, cause=error.cause)

    def _is_elsewheres(self) -> bool:
        """Whether the bucket of the job's outputs alone is out of reach, as of a name that does not resolve."""
        workspace, made = self._tools.workspace, self._made
        uris = [place(made.job, sample, picture.content_type) for sample, picture in enumerate(made.pictures)]
        if made.suspect or all(split_uri(uri)[0] == workspace.bucket for uri in uris):
            return False
        try:
            self._tools.store.head(workspace.run(made.work.message.run_id))
        except RestyleError:
            return False
        return True

    def _set_aside(self, error: Exception) -> Ended | None:
        """The picture goes below unplaced/; None: the workspace does not take it there either."""
        try:
            ended = unplaced.set_aside(self._made, _reason(error), self._tools)
        except RestyleError as why:
            # What is refused in the workspace is everybody's matter.
            self._away(as_for_all(why, self._tools.workspace))
            return None
        self._tools.unsaved.clear()
        self.forget()
        return ended


def _reason(error: Exception) -> str:
    """The error in a sentence; of a fault of ours with its place."""
    if isinstance(error, RestyleError):
        return error.message
    return "bug: " + "".join(traceback.format_exception(error, limit=-3)).strip()
