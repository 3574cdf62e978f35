"""`restyle.image`: takes one message through the pipeline and carries out what was decided. Never raises."""

from __future__ import annotations

import json
import random
import traceback
from itertools import count
from typing import Any
from uuid import uuid4

import structlog
from pydantic import ValidationError

from restyle import pipeline
from restyle.coordination.claim_types import Dropped, Storm
from restyle.coordination.redis.client import patiently
from restyle.coordination.runs.progress import Ended, failed
from restyle.errors import (
    ApiUnavailable,
    FleetError,
    RestyleError,
    RunUnreadable,
    StateUnavailable,
    drop_frames,
)
from restyle.formats import NewerFormat
from restyle.job.call import CallFailed
from restyle.job.context import Tools, Work
from restyle.models import Message, OutcomeKind, utc_now
from restyle.problems import printable
from restyle.retries import Fail, Release, Retry, decide
from restyle.run_ids import is_run_id
from restyle.s3.errors import S3_ERRORS, as_for_all
from restyle.telemetry import metrics
from restyle.telemetry.steps import step
from tasks.resources import Resources

log = structlog.get_logger("restyle.job")

#: What is known of a job's calls where none was made: nothing that counts.
NO_STORM = Storm(used=0, doubts=0, running=False)


def restyle_image(resources: Resources, kwargs: dict[str, Any]) -> None:
    """One message: understood, taken, worked on until it has an outcome or is somebody else's, and acknowledged."""
    try:
        message = Message.model_validate(kwargs)
    except ValidationError as error:
        metrics.HINTS_DROPPED.labels("message").inc()
        reason = error.errors(include_input=False, include_url=False)[0]["msg"]
        log.warning("message not understood", reason=printable(reason, 200), version=ascii(kwargs.get("v"))[:20])
        return
    if not is_run_id(message.run_id) or message.job_id != resources.job_id(message.job):
        metrics.HINTS_DROPPED.labels("message").inc()
        log.warning(
            "message is not of this workspace", run=ascii(message.run_id[:100]), job=ascii(message.job_id[:100])
        )
        return
    with structlog.contextvars.bound_contextvars(
        run=message.run_id,
        shard=message.shard,
        id=message.job.id,
        variant=message.job.variant,
        job=message.job_id,
        attempt=1,
    ):
        try:
            _work(resources, message)
        except Dropped as why:
            log.debug("message dropped", why=str(why))
        except RunUnreadable as error:
            # The job has no outcome: the dispatcher reports its run, and a person has it rebuilt (restyle resume).
            log.warning("released: what Redis has of its run cannot be read", reason=error.message)
        except StateUnavailable as error:
            # Draining without Redis: the record in S3 stands, and the dispatcher feeds what has none.
            log.warning("left without telling Redis", reason=error.message)


@step("job")
def _work(resources: Resources, message: Message) -> None:
    tools = resources.tools
    token = uuid4().hex
    if tools.rotation.out:
        # Read before this worker stood aside: another one's.
        patiently(tools.stopping, tools.fleet.release, message, token)
        raise Dropped("out of rotation", is_released=True)
    patiently(tools.stopping, tools.fleet.take, message, token)
    try:
        ended = _attempts(message, token, resources)
        patiently(tools.stopping, resources.progress.report, tools.fleet, message, token, ended)
    except Dropped as why:
        if not why.is_released:
            patiently(tools.stopping, tools.fleet.release, message, token)
        raise
    finally:
        # Only what this thread took: where the message came twice, the job is in another thread's hands.
        tools.fleet.hands.remove(message.job_id, token)
    outcome = ended.outcome
    # A night in which nothing has changed would write a line for each of its jobs.
    write = log.debug if outcome.outcome is OutcomeKind.SKIPPED else log.info
    write(outcome.outcome.value, error=outcome.error, message=outcome.message, seconds=outcome.seconds)


def _attempts(message: Message, token: str, resources: Resources) -> Ended:
    """Runs the pipeline until the job has an outcome.

    Raises:
        Dropped: the job is to be fed again, or is not ours.
    """
    tools, started, waits, attempt = resources.tools, utc_now(), 0, count(1)
    while True:
        structlog.contextvars.bind_contextvars(attempt=next(attempt))
        try:
            resources.plans.check(message)
            return pipeline.run(Work(message, token, resources.options(message.run_id), started), tools)
        except NewerFormat as newer:
            raise Dropped(newer.message) from None
        except (Dropped, RunUnreadable):
            raise
        except CallFailed as failure:
            error, storm, tell = failure.error, failure.storm, note_doubt
            waits = waits + 1 if isinstance(error, ApiUnavailable) and error.never_sent else 0
        except RestyleError as caught:
            error, storm, waits, tell = as_for_all(caught, tools.workspace), NO_STORM, waits + 1, suspend
            tools.rotation.failed(caught)
        except Exception:
            log.exception("bug")
            return failed("bug", traceback.format_exc(limit=-5))
        drop_frames(error)  # all that follows may wait
        tell(message, error, tools)
        decision = decide(error, storm=storm, waits=waits, policy=resources.policy)
        log.warning("attempt ended", error=error.code, reason=error.message, used=storm.used, next=str(decision))
        match decision:
            case Fail(code):
                return failed(code, error.message, http_status=error.http_status)
            case Release(restore_attempts):
                patiently(tools.stopping, tools.fleet.release, message, token, restore_attempts=restore_attempts)
                raise Dropped(error.code, is_released=True)
            case Retry(after):
                metrics.RETRIES.labels(error.code).inc()
                back_off(after, tools)


def note_doubt(message: Message, error: RestyleError, tools: Tools) -> None:
    """Where a call may have been paid for, writes that down in S3, so that Redis's loss does not touch it.

    While S3 is away this waits: the job is neither called again nor ended before it is written.
    """
    if not getattr(error, "in_doubt", False):
        return
    note = {"job_id": message.job_id, "worker": tools.fleet.worker, "error": error.message, "noted": str(utc_now())}
    if since := getattr(error, "since", None):
        note["since"] = str(since)
    uri = tools.workspace.doubt(message.run_id, message.job_id)
    while True:
        try:
            tools.store.put(uri, json.dumps(note).encode(), content_type="application/json")
        except S3_ERRORS as failure:
            tools.rotation.failed(failure)
            if tools.rotation.out:
                # Redis has counted the doubt; waiting for an S3 that only others reach would hold the job for good.
                raise Dropped("out of rotation") from None
            if tools.stopping.wait(random.uniform(0.2, 2.0)):
                raise Dropped("stopping") from None
        else:
            return


def suspend(message: Message, error: RestyleError, tools: Tools) -> None:  # noqa: ARG001 - as note_doubt has it
    """Stops the fleet where the error concerns all of it."""
    if isinstance(error, FleetError):
        patiently(
            tools.stopping, tools.fleet.suspend, error.reason, error.message, tools.fleet.worker, cause=error.cause
        )


def back_off(seconds: float, tools: Tools) -> None:
    """Sleeps between two attempts, without the lease; a drain or a suspension ends it early.

    Raises:
        Dropped: this worker drains, or stands aside.
    """
    left = seconds
    while left > 0:
        if tools.stopping.wait(min(left, 0.5)):
            raise Dropped("stopping")
        if tools.rotation.out:
            raise Dropped("out of rotation")
        left = 0.0 if tools.fleet.suspended else left - 0.5
