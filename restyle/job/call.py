"""From a picture that is ready to an answer that is paid for: the claim, the call, and what the fleet learns of both.

The claim says what to do: call, wait, look for a result again, or take an answer that is parked. A call that brought
no picture is `CallFailed`; the fleet knows of it before it is raised.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager

from restyle.coordination.claim_types import Dropped, Storm
from restyle.coordination.redis.client import patiently
from restyle.coordination.runs.progress import Ended, failed
from restyle.errors import MalformedResponse, RestyleError
from restyle.fingerprint import Fingerprint
from restyle.images import Prepared
from restyle.job import costs
from restyle.job.context import Called, Tools, Work
from restyle.job.modes import Call
from restyle.job.parked import unplaced, unreadable
from restyle.job.parked.unsaved import Unsaved
from restyle.job.results import adopting
from restyle.models import utc_now
from restyle.runtime.clock import elapsed
from restyle.runtime.memory import UploadBuffer
from restyle.telemetry.steps import step

#: Seconds for which a job that has to wait for its call sleeps at a time.
LONGEST_NAP = 1.0


class CallFailed(Exception):
    """A call brought no picture; the fleet knows of it."""

    def __init__(self, error: RestyleError, storm: Storm) -> None:
        super().__init__(error.message)
        self.error = error
        self.storm = storm


def call(
    work: Work, prepared: Prepared, upload: UploadBuffer, fingerprint: Fingerprint, looked_at: float, tools: Tools
) -> Called | Ended:
    """Claims and calls; or, where the claim says to look again, finds the job done."""
    looked, judged, result = False, False, work.result_key(fingerprint.sha256)
    if set_aside := unplaced.find(work, fingerprint.token, tools):
        return set_aside
    while True:
        wait_for(tools.unsaved, tools)
        with tools.slots.one(work.options.priority):
            stop_if(tools)
            if not tools.unsaved.is_set():
                continue
            claimed = elapsed()
            claim = patiently(
                tools.stopping, tools.fleet.claim, work.message, work.token,
                looked=looked, looked_at=looked_at, made_from=fingerprint.token, result=result,
            )  # fmt: skip
            if claim.verdict in {"go", "submitted"}:
                ask = Call(upload, work.message, work.token, claim, fingerprint.token)
                doubtful = claim.verdict == "go" and claim.doubts > 0 and not judged
                judged = judged or doubtful
                if done := judge(work, ask, tools) if doubtful else img2img(work, ask, claimed, tools):
                    return done
        if claim.verdict == "wait":
            # Asked again soon, however long the wait: a resume ends it, and another's answer may.
            tools.stopping.wait(min(claim.wait, LONGEST_NAP) + random.uniform(0, 0.02))
        elif claim.verdict == "parked" and (parked := unplaced.find_parked(work, fingerprint.token, tools)):
            return parked
        elif claim.verdict == "look":
            looked, looked_at = True, time.monotonic()
            if ended := adopting.look_again(work, fingerprint, prepared, tools):
                return ended


def judge(work: Work, ask: Call, tools: Tools) -> Ended | None:
    """Looks up calls whose answers were lost; None: claim again. Where nobody can tell, a person may have to."""
    is_resolved = tools.segmind.resolve(ask)
    patiently(tools.stopping, tools.fleet.call_failed, work.message, work.token, ask.claim, None)
    if is_resolved or not (tools.hold_doubts or ask.claim.doubts >= 2):
        return None
    why = "RESTYLE_IN_DOUBT is hold" if tools.hold_doubts else "it is the second one"
    return failed("in_doubt", f"a call of this job may have been paid for; {why}")


@step("call")
def img2img(work: Work, ask: Call, claimed: float, tools: Tools) -> Called | None:
    """One paid call; None where the claim has grown stale before it could begin."""
    late = elapsed() - claimed > tools.fleet.limits.call_within or tools.fleet.is_outdated(ask.claim)
    if late or not tools.fleet.is_heartbeat_fresh or tools.stopping.is_set():
        patiently(tools.stopping, tools.fleet.call_failed, work.message, work.token, ask.claim, None)
        return None
    paid = unreadable.Paid(work, ask.claim, ask.made_from)
    with reporting(paid, tools), tools.traffic.counted():
        answer = tools.segmind.img2img(ask)
    tools.rotation.worked("api")
    answer = costs.judged(answer, work.message.job.params, tools.fleet.limits.budgets)
    lag = elapsed() - claimed - (answer.generation or 0.0)
    return Called(ask.claim, answer, paid.called, utc_now(), claimed, max(0.0, lag))


@contextmanager
def reporting(paid: unreadable.Paid, tools: Tools) -> Iterator[None]:
    """Tells the fleet of an error of the call, and raises it as CallFailed; what was paid for is kept before that."""
    try:
        yield
    except RestyleError as error:
        if isinstance(error, MalformedResponse):
            unreadable.keep(paid, error, tools)
        tools.rotation.failed(error)
        if error.http_status:
            tools.rotation.worked("api")
        alone, work = tools.rotation.excuses(error), paid.work
        storm = patiently(
            tools.stopping, tools.fleet.call_failed, work.message, work.token, paid.claim, error, alone=alone
        )
        if storm.singled_out:
            tools.rotation.singled_out(error)
        raise CallFailed(error, storm) from error


def wait_for(gate: Unsaved, tools: Tools) -> None:
    """Waits until no answer is unsaved, or until this worker drains or stands aside."""
    while not gate.wait(0.5):
        stop_if(tools)


def stop_if(tools: Tools) -> None:
    """Raises Dropped where this worker drains, or is out of rotation."""
    if tools.stopping.is_set():
        raise Dropped("stopping")
    if tools.rotation.out:
        raise Dropped("out of rotation")
