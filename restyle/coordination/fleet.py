"""What a worker does within the fleet: takes jobs, claims calls, tells their ends, beats.

Read with docs/architecture.md. A claim is the only way to a paid call; the scripts are in restyle/coordination/lua/.
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

#: Times that a heartbeat is sent to a server that has forgotten something; more are left to the next one.
_HEARTBEATS = 3
#: Seconds until a claim that was not confirmed is tried again.
UNCONFIRMED_WAIT = 0.5


class Fleet(FleetView):
    """The fleet for one worker: its jobs in hand, its calls, its heartbeat; without a worker id, for a command."""

    def __init__(self, state: State, limits: Limits, *, worker: str = "") -> None:
        super().__init__(state, limits, worker=worker)
        self.hands = JobsInHand()
        #: Set by the heartbeat: whether anything suspends the fleet, and the monotonic time of the last good beat.
        self.suspended = False
        self.last_heartbeat = 0.0
        #: What the server remembers, by its name for it: another one wherever it has forgotten something.
        self.incarnation = ""
        #: The highest count of grants and beats that this process has seen; a server that has less has forgotten.
        self._count = 0
        #: Replicas that follow this server, by the last heartbeat.
        self._replicas = 0
        self._is_durable: bool | None = True
        #: When the last good beat began, and when it was last found to be late; `clock.elapsed`.
        self._beaten = self._lapsed = 0.0

    # -- a job's way to its call ---------------------------------------------------------------------------

    def take(self, message: Message, token: str) -> None:
        """Puts the message's job on this worker's list.

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
        """Asks for the right to call, or to take up a request for the same result: rate slot and lease in one.

        A claim that is not yet as durable as the settings want it is released: no call begins by it.

        Args:
            message: the job's.
            token: by which the job is held.
            looked: whether the job was looked for since a claim answered so.
            looked_at: when it was looked for last.
            made_from: what its result is made from.
            result: what stands for its result, whichever job asks for it; empty: no other job shares it.

        Raises:
            Dropped: the job may not be worked on any more.
            RequestRejected: the API refused the job, twice, and others do well: it is not called again.
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
                self._take_in(message.job_id, claim, granted, made_from)
                return claim if self._may_begin(is_durable) else self._refused(message, token, claim)
            case ["refused", detail, status]:
                raise RequestRejected(detail, int(status))
            case [verdict]:
                return Claim(verdict)
        raise AssertionError(f"claim.lua answered {answer!r}")

    def _take_in(self, job_id: str, claim: Claim, granted: Grant, made_from: str) -> None:
        """From here on heartbeats say that the job is being called for."""
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
        """Whether a call may begin by a claim; says so once where claims are not as durable as they are to be."""
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

    def _refused(self, message: Message, token: str, claim: Claim) -> Claim:
        """A claim that may be lost allows no call; it is tried again."""
        self.call_failed(message, token, claim, None)
        return Claim("wait", wait=UNCONFIRMED_WAIT)

    def call_failed(
        self, message: Message, token: str, claim: Claim, error: RestyleError | None, *,
        fallback_wait: float = 5.0, alone: bool = False,
    ) -> Storm:  # fmt: skip
        """Reports a call that brought no picture (None: it was never made); the fleet draws its conclusions.

        Args:
            message: the job's.
            token: by which the job is held.
            claim: by which it was allowed.
            error: how it ended.
            fallback_wait: seconds that a 429 holds for which does not say how long.
            alone: whether others fare better than this worker (restyle/coordination/rotation.py).
        """
        self.hands.calling(message.job_id, None)
        end, limits = call_end(error, alone=alone), self.limits
        wait = fallback_wait if end.wait is None else end.wait
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
        """Notes a request that the API's queue has accepted; False where the job is another worker's by now."""
        self.hands.submitted(message.job_id, request, made_from)
        return bool(self.state.run("submitted", **self.held_job(message, token), made_from=made_from, request=request))

    def has_request(self, job_id: str) -> bool:
        """Whether the API's queue has a request for a job whose id is known."""
        return bool(self.state.ask("EXISTS", self.state.key("request", job_id)))

    def resolve_doubts(self, message: Message, token: str, *, is_queued: bool) -> None:
        """Notes that a job's lost calls were looked up: they are in the API's queue, or never arrived."""
        self.state.run("resolve_doubts", **self.held_job(message, token), is_queued=is_queued)

    def release(self, message: Message, token: str, *, restore_attempts: bool = False) -> None:
        """Parts with a job that has no outcome, so that it is fed again; its attempts may be given back."""
        self.hands.remove(message.job_id, token)
        self.state.run("release", **self.held_job(message, token), restore_attempts=restore_attempts)

    def spent(self, message: Message, token: str, credits: float) -> None:
        """Parts with a job that is another's by now; the call that was paid for it counts."""
        self.hands.remove(message.job_id, token)
        day, month = self.limits.budgets.periods()
        self.state.run(
            "spent", **self.held_job(message, token), credits=f"{credits:.6f}", day=day.name, month=month.name
        )

    def lapsed_since(self, moment: float) -> bool:
        """Whether this worker may have counted as dead at any time since then (`clock.elapsed`)."""
        return self._lapsed > moment or not self.heart_fresh

    def is_outdated(self, claim: Claim) -> bool:
        """Whether a claim was granted by a server that has forgotten since, perhaps this very grant."""
        return claim.granted is not None and claim.granted.incarnation != self.incarnation

    @property
    def heart_fresh(self) -> bool:
        """Whether the fleet must still count this worker as living."""
        return elapsed() - self._beaten < self.limits.heartbeat_ttl

    # -- heartbeats ----------------------------------------------------------------------------------------

    def heartbeat(self, status: dict[str, object]) -> None:
        """Says that this worker lives and what it holds; learns whether the fleet is suspended.

        To a server that has forgotten something it is sent once more, by a list that was made up since.
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
        if self._beaten and now - self._beaten > limits.heartbeat_ttl:
            self._lapsed = now
        self.suspended, self.last_heartbeat, self._beaten = bool(suspended), last_heartbeat, began
        return known in {"", self.incarnation}

    def leave(self) -> None:
        """Ends this worker's heartbeat at once."""
        self.state.run("leave", worker=self.worker)

    def held_job(self, message: Message, token: str) -> HeldJob:
        """A job in this worker's hands, as the scripts take it."""
        return {
            "worker": self.worker, "run": message.run_id, "shard": message.shard, "index": message.index,
            "job": message.job_id, "token": token,
        }  # fmt: skip


@contextmanager
def _taking(hands: JobsInHand, job_id: str, holding: JobInHand) -> Iterator[None]:
    """A job in hand while Redis is asked for it, and from then on, unless that fails in whatever way.

    Raises:
        Dropped: another thread has it.
    """
    if not hands.add(job_id, holding):
        raise Dropped("held", is_released=True)
    try:
        yield
    except BaseException:
        hands.remove(job_id, holding.token)
        raise
