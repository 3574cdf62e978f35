"""What a worker does within the fleet: takes jobs, claims calls, reports how they ended, sends heartbeats.

A claim is the only way to a paid call. Each method runs a script of restyle/coordination/lua/. Read with
docs/architecture.md.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from restyle.coordination.budgets import weight
from restyle.coordination.call_ends import call_end, recipe
from restyle.coordination.claim_types import Claim, Dropped, HeldJob, Limits, Storm
from restyle.coordination.fleet_view import FleetView
from restyle.coordination.in_hand import Grant, JobInHand, JobsInHand
from restyle.coordination.redis.client import State
from restyle.errors import RequestRejected, RestyleError
from restyle.http.retry_after import MOST
from restyle.models import Message
from restyle.runtime.clock import elapsed
from restyle.telemetry import metrics

#: How often one heartbeat is sent at most, where the server has forgotten something.
_HEARTBEATS = 3
#: Seconds until a claim that is not as durable as the settings want it is tried again.
UNCONFIRMED_WAIT = 0.5
#: Seconds to hold after a 429 that does not say how long.
_UNSAID_WAIT = 5.0


class Fleet(FleetView):
    """The fleet for one worker: its jobs in hand, its calls, its heartbeat; without a worker id, for a command."""

    def __init__(self, state: State, limits: Limits, *, worker: str = "") -> None:
        super().__init__(state, limits, worker=worker)
        self.hands = JobsInHand()
        #: Set by each heartbeat that succeeds: whether the fleet is suspended, and the monotonic time.
        self.suspended = False
        self.last_heartbeat = 0.0
        #: A name that the server changes whenever it has forgotten something (docs/glossary.md).
        self.incarnation = ""
        #: The highest count of grants and heartbeats that this process has seen. A lower one: Redis has forgotten.
        self._count = 0
        #: How many replicas follow this server, as the last heartbeat was answered.
        self._replicas = 0
        self._is_durable: bool | None = True
        #: When the last heartbeat that succeeded began, and when a heartbeat last came too late; `clock.elapsed`.
        self._last_beat = self._lapsed = 0.0

    # -- a job's way to its call ---------------------------------------------------------------------------

    def take(self, message: Message, token: str) -> None:
        """Takes the message's job in hand.

        Raises:
            Dropped: the job is done, held, suspended, cancelled, or its shard is not open.
        """
        place = json.dumps({"run": message.run_id, "shard": message.shard, "index": message.index})
        with _taking(self.hands, message.job_id, JobInHand(place, token)):
            answer = self.state.run("take", **self.held_job(message, token), variant=message.job.variant)
            if answer[0] != "ok":
                raise Dropped(answer[1], is_released=True)

    def claim(
        self, message: Message, token: str, *, looked: bool, looked_at: float, made_from: str = "", result: str = ""
    ) -> Claim:
        """Asks for the right to call: a slot of the rate limit and the lease of the job, both or neither.

        The answer may also be to take up a request that was submitted for the same result, to wait, or to look the
        record up again. A claim that is not as durable as the settings want it is given up: it allows no call.

        Args:
            message: the message of the job.
            token: the token by which this worker holds the job.
            looked: whether the job's record was looked up since a claim last asked for that.
            looked_at: when it was last looked up; monotonic seconds.
            made_from: the fingerprint of its result.
            result: the key by which jobs share the result; empty where no other job can share it.

        Raises:
            Dropped: the job may not be worked on any more.
            RequestRejected: the API has refused this job twice while other jobs succeeded: it is not called again.
        """
        age_ms = round((time.monotonic() - looked_at) * 1000)
        fresh = looked and age_ms <= self.limits.look_up_age * 1000
        answer, is_durable = self._run_claim(message, token, age_ms, fresh, made_from, result)
        match answer:
            case ["drop", why]:
                self.hands.remove(message.job_id, token)
                raise Dropped(why, is_released=True)
            case ["wait", wait_ms]:
                metrics.CLAIM_WAITS.inc(wait_ms / 1000)
                return Claim("wait", wait=wait_ms / 1000)
            case ["go" | "submitted" as verdict, epoch, calls, doubts, number, reserved, named, incarnation, *request]:
                granted, noted = Grant(number, reserved, named, incarnation, result), "".join(request)
                claim = Claim(verdict, epoch=str(epoch), calls=calls, doubts=doubts, request=noted, granted=granted)
                self._note_grant(message.job_id, claim, granted, made_from)
                return claim if self._may_begin(is_durable) else self._unconfirmed(message, token, claim)
            case ["refused", detail, status]:
                raise RequestRejected(detail, int(status))
            case [verdict]:
                return Claim(verdict)
        raise AssertionError(f"claim.lua answered {answer!r}")

    def _note_grant(self, job_id: str, claim: Claim, granted: Grant, made_from: str) -> None:
        """Notes the grant, so that heartbeats say that a call is out for the job."""
        self._count = max(self._count, granted.number)
        self.hands.calling(job_id, granted)
        self.hands.submitted(job_id, claim.request, made_from)

    def _run_claim(
        self, message: Message, token: str, age_ms: int, fresh: bool, made_from: str, result: str
    ) -> tuple[list[Any], bool | None]:
        limits = self.limits
        day, month = limits.budgets.periods()
        return self.state.run_durably(
            limits.durability.proof(self._replicas),
            "claim",
            **self.held_job(message, token),
            is_fresh=fresh,
            age=age_ms,
            max_age=round(limits.look_up_age * 1000),
            interval=limits.interval_us,
            weight=weight(message.job.params),
            price=limits.budgets.price,
            ceiling=limits.budgets.ceiling,
            least=limits.budgets.least,
            day=day.name,
            day_budget=day.budget,
            month=month.name,
            month_budget=month.budget,
            made_from=made_from,
            count_seen=self._count,
            variant=message.job.variant,
            result=result,
        )

    def _may_begin(self, is_durable: bool | None) -> bool:
        """Whether a claim allows its call. Logs when claims stop or begin to be as durable as the settings want."""
        if is_durable is not self._is_durable:
            from structlog import get_logger  # commands, which claim nothing, need not wait for it

            log = get_logger("restyle.fleet")
            self._is_durable = is_durable
            fields = {"durability": self.limits.durability.value}
            if is_durable is None:
                log.warning("Redis cannot tell whether a claim is durable: calls begin without that", **fields)
            elif not is_durable:
                log.warning("claims are not durable: no call begins until Redis confirms one", **fields)
            else:
                log.info("claims are durable again", **fields)
        return is_durable is not False

    def _unconfirmed(self, message: Message, token: str, claim: Claim) -> Claim:
        """Gives up a claim that Redis may still lose, and answers that it is to be tried again."""
        self.call_failed(message, token, claim, None)
        return Claim("wait", wait=UNCONFIRMED_WAIT)

    def call_failed(
        self, message: Message, token: str, claim: Claim, error: RestyleError | None, *, alone: bool = False
    ) -> Storm:
        """Reports a call that brought no picture; call_failed.lua decides what follows for the job and the fleet.

        Args:
            message: the message of the job.
            token: the token by which this worker holds the job.
            claim: the claim that allowed the call.
            error: how the call ended; None: it was never made.
            alone: whether only this worker has the trouble (restyle/coordination/rotation.py).
        """
        self.hands.calling(message.job_id, None)
        end, limits = call_end(error, alone=alone), self.limits
        wait = _UNSAID_WAIT if end.wait is None else end.wait
        day, month = limits.budgets.periods()
        used, doubts, storm, verdict = self.state.run(
            "call_failed",
            **self.held_job(message, token),
            kind=end.kind,
            doubt=end.in_doubt,
            wait=round(wait * 1000),
            epoch=claim.epoch,
            reason=end.reason,
            detail=error.message if error else "",
            failures=limits.outage_failures, jobs=limits.outage_jobs,
            probe=round(limits.probe_seconds * 1000), probe_max=round(limits.probe_max * 1000),
            recipe=recipe(message.run_id, message.job),
            ends_request=error is not None and error.ends_request,
            is_lost=end.is_lost,
            cost=f"{end.cost:.6f}",
            day=day.name,
            month=month.name,
            cause=end.cause,
            status=end.status,
            longest_hold=round(MOST * 1000), longest_call=self._longest_call,
        )  # fmt: skip
        return Storm(used, doubts, bool(storm), verdict == 1, verdict == 2, verdict == 3)

    def submitted(self, message: Message, token: str, made_from: str, request: str) -> bool:
        """Notes a request that the API's queue has accepted; False where another worker holds the job by now."""
        self.hands.submitted(message.job_id, request, made_from)
        return bool(self.state.run("submitted", **self.held_job(message, token), made_from=made_from, request=request))

    def has_request(self, job_id: str) -> bool:
        """Whether the API's queue has a request for a job whose id is known."""
        return bool(self.state.ask("EXISTS", self.state.key("request", job_id)))

    def resolve_doubts(self, message: Message, token: str, *, is_queued: bool) -> None:
        """Notes what became of a job's calls in doubt: they are in the API's queue (`is_queued`), or never arrived."""
        self.state.run("resolve_doubts", **self.held_job(message, token), is_queued=is_queued)

    def release(self, message: Message, token: str, *, restore_attempts: bool = False) -> None:
        """Releases a job that has no outcome, so that it is queued again; its attempts may be restored."""
        self.hands.remove(message.job_id, token)
        self.state.run("release", **self.held_job(message, token), restore_attempts=restore_attempts)

    def spent(self, message: Message, token: str, credits: float) -> None:
        """Releases a job that another worker holds by now, and counts what this worker's call for it has cost."""
        self.hands.remove(message.job_id, token)
        day, month = self.limits.budgets.periods()
        self.state.run(
            "spent", **self.held_job(message, token), credits=f"{credits:.6f}", day=day.name, month=month.name
        )

    def lapsed_since(self, moment: float) -> bool:
        """Whether the fleet may have counted this worker as dead at any time since a moment (`clock.elapsed`)."""
        return self._lapsed > moment or not self.is_heartbeat_fresh

    def is_outdated(self, claim: Claim) -> bool:
        """Whether the server that granted a claim has forgotten something since, perhaps this grant."""
        return claim.granted is not None and claim.granted.incarnation != self.incarnation

    @property
    def is_heartbeat_fresh(self) -> bool:
        """Whether the fleet must still count this worker as living."""
        return elapsed() - self._last_beat < self.limits.heartbeat_ttl

    # -- heartbeats ----------------------------------------------------------------------------------------

    def heartbeat(self, status: dict[str, object]) -> None:
        """Says that this worker lives and which jobs it holds; learns whether the fleet is suspended.

        Where the server has forgotten something, the heartbeat is sent again with the jobs that are in hand by then.
        """
        for _ in range(_HEARTBEATS):
            if self._heartbeat(status):
                return

    def _heartbeat(self, status: dict[str, object]) -> bool:
        began, known, limits = elapsed(), self.incarnation, self.limits
        jobs: list[str] = []
        for job_id, holding in self.hands.snapshot().items():
            jobs += [job_id, holding.place, holding.call_as_json()]
        last_heartbeat = time.monotonic()
        suspended, _, self.incarnation, count, self._replicas = self.state.run(
            "heartbeat",
            worker=self.worker,
            ttl=round(limits.heartbeat_ttl * 1000),
            state=json.dumps(status),
            every=round(limits.heartbeat_seconds * 1000),
            seen=self._count,
            known_incarnation=known,
            jobs=jobs,
        )
        now, self._count = elapsed(), max(self._count, count)
        if self._last_beat and now - self._last_beat > limits.heartbeat_ttl:
            self._lapsed = now
        self.suspended, self.last_heartbeat, self._last_beat = bool(suspended), last_heartbeat, began
        return known in {"", self.incarnation}

    def leave(self) -> None:
        """Takes this worker off the fleet at once."""
        self.state.run("leave", worker=self.worker)

    def held_job(self, message: Message, token: str) -> HeldJob:
        """The arguments by which scripts know a job that this worker holds."""
        return {
            "worker": self.worker, "run": message.run_id, "shard": message.shard, "index": message.index,
            "job": message.job_id, "token": token,
        }  # fmt: skip


@contextmanager
def _taking(hands: JobsInHand, job_id: str, holding: JobInHand) -> Iterator[None]:
    """Puts a job in hand before Redis is asked for it, and removes it again if that fails.

    Raises:
        Dropped: another thread has the job.
    """
    if not hands.add(job_id, holding):
        raise Dropped("held", is_released=True)
    try:
        yield
    except BaseException:
        hands.remove(job_id, holding.token)
        raise
