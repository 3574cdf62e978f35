"""What the fleet shares about calls: claims and leases, heartbeats, suspension, pacing.

Read with docs/architecture.md. A claim is the only way to a paid call; the scripts are in restyle/coordination/lua/.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

from restyle.coordination.budgets import weight
from restyle.coordination.call_ends import call_end, recipe
from restyle.coordination.claims import Claim, Dropped, HeldJob, Limits, Storm
from restyle.coordination.heartbeats import Granted, Hands, Holding
from restyle.coordination.hints import MOST_TTL, MOST_WORKERS, read_number, read_object, read_place
from restyle.coordination.redis.client import State
from restyle.coordination.suspensions import Suspension, read_hold, read_suspensions
from restyle.errors import RequestRejected, RestyleError
from restyle.http.rate_limits import MOST
from restyle.models import Message
from restyle.runtime.clock import elapsed
from restyle.telemetry import metrics

#: Times that a heartbeat is said to a server that has forgotten something; more are left to the next one.
_BEATS = 3
#: Seconds until a claim that was not confirmed is asked for again.
UNCONFIRMED_WAIT = 0.5


class Fleet:
    """One worker's view of the fleet; without a worker id, a command's view of it."""

    def __init__(self, state: State, limits: Limits, *, worker: str = "") -> None:
        self.state = state
        self.limits = limits
        self.worker = worker
        self.hands = Hands()
        #: Set by the heartbeat: whether anything suspends the fleet, and the monotonic time of the last good beat.
        self.suspended = False
        self.last_beat = 0.0
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
        with _taking(self.hands, message.job_id, Holding(place, token)):
            answer = self.state.run("take", **self.held_job(message, token), variant=message.job.variant)
            if answer[0] != "ok":
                raise Dropped(answer[1], settled=True)

    def claim(
        self, message: Message, token: str, *, looked: bool, looked_at: float, made_from: str = "", result: str = ""
    ) -> Claim:
        """Asks for the right to call, or to take up a request for the same result: rate slot and lease in one.

        A claim that is not yet as durable as the settings want it is given back: no call begins by it.

        Args:
            message: the job's.
            token: by which the job is held.
            looked: whether the job was looked for since a claim said so.
            looked_at: when it was looked for last.
            made_from: what its result is made from.
            result: what stands for its result, whichever job asks for it; empty: no other job shares it.

        Raises:
            Dropped: the job may not be worked on any more.
            RequestRejected: the API refused the job, twice, and others do well: it is not called again.
        """
        limits = self.limits
        age_ms = round((time.monotonic() - looked_at) * 1000)
        day, month = limits.budgets.periods()
        answer, is_durable = self.state.run_durably(
            limits.durability.proof(self._replicas),
            "claim",
            **self.held_job(message, token),
            is_fresh=looked and age_ms <= limits.look_up_age * 1000,
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
        match answer:
            case ["drop", why]:
                self.hands.remove(message.job_id, token)
                raise Dropped(why, settled=True)
            case ["wait", wait_ms]:
                metrics.CLAIM_WAITS.inc(wait_ms / 1000)
                return Claim("wait", wait=wait_ms / 1000)
            case ["go" | "submitted" as verdict, epoch, calls, doubts, number, reserved, named, incarnation, *request]:
                granted = Granted(number, reserved, named, incarnation, result)
                told = "".join(request)
                self._count = max(self._count, number)
                self.hands.calling(message.job_id, granted)
                self.hands.submitted(message.job_id, told, made_from)
                claim = Claim(verdict, epoch=str(epoch), calls=calls, doubts=doubts, request=told, granted=granted)
                return claim if self._may_begin(is_durable) else self._given_back(message, token, claim)
            case ["refused", told, status]:
                raise RequestRejected(told, int(status))
            case [verdict]:
                return Claim(verdict)
        raise AssertionError(f"claim.lua answered {answer!r}")

    def _may_begin(self, is_durable: bool | None) -> bool:
        """Whether a call may begin by a claim; says so once where claims are not as durable as they are to be."""
        if is_durable is not self._is_durable:
            from structlog import get_logger  # commands, which claim nothing, need not wait for it

            log = get_logger("restyle.fleet")
            self._is_durable = is_durable
            told = {"durability": self.limits.durability.value}
            if is_durable is None:
                log.warning("Redis cannot tell whether a claim is durable: calls begin without that", **told)
            elif not is_durable:
                log.warning("claims are not durable: no call begins until Redis confirms one", **told)
            else:
                log.info("claims are durable again", **told)
        return is_durable is not False

    def _given_back(self, message: Message, token: str, claim: Claim) -> Claim:
        """A claim that may be lost allows no call; it is asked for again."""
        self.answered(message, token, claim, None)
        return Claim("wait", wait=UNCONFIRMED_WAIT)

    def answered(
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
            "answered",
            **self.held_job(message, token),
            kind=end.kind,
            doubt=end.in_doubt,
            wait=round(wait * 1000),
            epoch=claim.epoch,
            reason=end.reason,
            detail=error.message if error else "",
            failures=limits.outage_failures,
            jobs=limits.outage_jobs,
            probe=round(limits.probe_seconds * 1000),
            probe_max=round(limits.probe_max * 1000),
            recipe=recipe(message.run_id, message.job),
            ends_request=error is not None and error.ends_request,
            is_lost=end.is_lost,
            cost=f"{end.cost:.6f}",
            day=day.name,
            month=month.name,
            cause=end.cause,
            status=end.status,
            longest_hold=round(MOST * 1000),
            longest_call=self._longest_call,
        )
        return Storm(used, doubts, bool(storm), verdict == 1, verdict == 2, verdict == 3)

    def submitted(self, message: Message, token: str, made_from: str, request: str) -> bool:
        """Notes a request that the API's queue has accepted; False where the job is another worker's by now."""
        self.hands.submitted(message.job_id, request, made_from)
        return bool(self.state.run("submitted", **self.held_job(message, token), made_from=made_from, request=request))

    def has_request(self, job_id: str) -> bool:
        """Whether the API's queue has a request for a job whose id is known."""
        return bool(self.state.ask("EXISTS", self.state.key("request", job_id)))

    def settle(self, message: Message, token: str, *, found: bool) -> None:
        """Tells that a job's lost calls were looked up: found, or never arrived."""
        self.state.run("settle", **self.held_job(message, token), is_queued=found)

    def let_go(self, message: Message, token: str, *, give_back: bool = False) -> None:
        """Parts with a job that has no outcome, so that it is fed again; its attempts may be given back."""
        self.hands.remove(message.job_id, token)
        self.state.run("let_go", **self.held_job(message, token), restore_attempts=give_back)

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

    def beat(self, status: dict[str, object]) -> None:
        """Says that this worker lives and what it holds; learns whether the fleet is suspended.

        To a server that has forgotten something it is said once more, by a list that was made up since.
        """
        for _ in range(_BEATS):
            if self._beat(status):
                return

    def _beat(self, status: dict[str, object]) -> bool:
        began, known, limits = elapsed(), self.incarnation, self.limits
        jobs: list[str] = []
        for job_id, holding in self.hands.snapshot().items():
            jobs += [job_id, holding.place, holding.call_as_json()]
        last_beat = time.monotonic()
        suspended, _, self.incarnation, count, self._replicas = self.state.run(
            "beat",
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
        self.suspended, self.last_beat, self._beaten = bool(suspended), last_beat, began
        return known in {"", self.incarnation}

    def leave(self) -> None:
        """Ends this worker's heartbeat at once."""
        self.state.run("leave", worker=self.worker)

    def workers(self) -> dict[str, dict[str, object] | None]:
        """Every known worker with the state of its heartbeat; None where that is missing, or has no end."""
        names = sorted(self.state.ask("SRANDMEMBER", self.state.key("workers"), MOST_WORKERS))
        keys = [self.state.key("worker", name) for name in names]
        told = self.state.ask_all(*(("PTTL", key) for key in keys), ("MGET", *keys)) if names else [[]]
        found = zip(names, told, told[-1], strict=False)
        return {name: (read_object(beat) or {}) if 0 <= ms <= MOST_TTL * 1000 else None for name, ms, beat in found}

    def jobs_of(self, worker: str) -> dict[str, dict[str, object]]:
        """The jobs on a worker's list: where each stands in its run; what is no place is passed over."""
        held = self.state.ask("HGETALL", self.state.key("worker", worker, "jobs"))
        return {job_id: place for job_id, text in held.items() if (place := read_place(text))}

    @property
    def living_jobs(self) -> set[str]:
        """Every job on the list of a worker that lives."""
        living = [name for name, beat in self.workers().items() if beat is not None]
        lists = self.state.ask_all(*(("HKEYS", self.state.key("worker", name, "jobs")) for name in living))
        return {job_id for held in lists for job_id in held}

    def lease(self, job_id: str) -> dict[str, str]:
        """Who holds a job and since when it is calling; empty where nobody does."""
        return dict(self.state.ask("HGETALL", self.state.key("lease", job_id)))

    def free(self, worker: str, place: dict[str, object], job_id: str) -> tuple[bool, int, int]:
        """Frees a job of a dead worker: whether a call was out, doubts so far, deaths before a call so far."""
        run, shard, index = (str(place[name]) for name in ("run", "shard", "index"))
        calling, doubts, deaths = self.state.run("free", worker=worker, run=run, shard=shard, index=index, job=job_id)
        return bool(calling), doubts, deaths

    def bury(self, worker: str) -> None:
        """Forgets a dead worker whose jobs have all been freed; not one that has come back meanwhile."""
        self.state.run("bury", worker=worker)

    def loosen(self, job_id: str) -> None:
        """Frees a lease that its holder does not know of, or whose holder has left."""
        self.state.run("loosen", job=job_id)

    def probe(self, job_id: str, *, at_once: bool = False) -> bool:
        """Makes this job the probe of an outage, where its wait is over (or not, at once) and no other probe is out."""
        return bool(self.state.run("probe", job=job_id, longest=self._longest_call, at_once=at_once))

    def failing(self) -> set[str]:
        """The jobs and recipes that have failed of late, and not succeeded since."""
        return set(self.state.ask("HKEYS", f"{self.state.account}failing"))

    # -- suspension ----------------------------------------------------------------------------------------

    def suspend(self, reason: str, detail: str, by: str, *, stored: bool = False) -> bool:
        """Suspends the fleet for one more reason; one that is stored stands in this workspace's S3 as well."""
        workspace = self.state.namespace if stored else ""
        return bool(self.state.run("suspend", reason=reason, detail=detail, by=by, workspace_in_s3=workspace))

    def resume(self) -> None:
        """Lifts every reason of the fleet's suspension; workers take up what is pending."""
        self.state.run("resume")

    def may_ask_balance(self, wait: float, longest: float) -> bool:
        """Whether this worker may ask for the balance: of all who wait one does, once in so many seconds."""
        key = f"{self.state.account}balance:asked"
        if not 0 <= self.state.ask("PTTL", key) <= longest * 1000:  # none, or one that no worker of ours has put there
            self.state.ask("UNLINK", key)
        return bool(self.state.ask("SET", key, self.worker, "NX", "PX", round(wait * 1000)))

    def topped_up(self, standing: Suspension, balance: float) -> bool:
        """Lifts `no_credits` where the account has more than before, and enough; False where it stands on."""
        least, price = self.limits.budgets.least, self.limits.budgets.price
        since = round(standing.since * 1000)
        return bool(
            self.state.run(
                "topped_up", balance=f"{balance:.6f}", least=least, price=price, worker=self.worker, since=since
            )
        )

    def suspensions(self) -> list[Suspension]:
        """Why the fleet stands still; empty when it runs."""
        reasons, lost = self.state.ask_all(
            ("HGETALL", f"{self.state.account}suspension"), ("HGET", self.state.key("fleet"), "lost")
        )
        entries = {**reasons, "workspace_held": lost} if lost else reasons
        return list(read_suspensions(entries, "fleet"))

    @property
    def holds_workspace(self) -> bool:
        """Whether S3 has said lately that this Redis holds the workspace; else no claim succeeds (holding.py)."""
        return bool(self.state.ask("EXISTS", self.state.key("holder")))

    def held(self) -> Suspension | None:
        """The API's hold after a 429, once it lasts for more than a minute: nobody calls, and it ends by itself."""
        told = self.state.ask("HMGET", f"{self.state.account}rate", "hold", "limited_since", "hold_detail", "hold_by")
        told[:2] = [text if read_number(text) is not None else None for text in told[:2]]
        return read_hold(*told, now=self.state.clock()) if told[0] else None

    def standing(self) -> list[Suspension]:
        """Why no call is made, for people: the suspensions, and a hold of the API's."""
        held = self.held()
        return [*self.suspensions(), *([held] if held else [])]

    @property
    def _longest_call(self) -> int:
        """Milliseconds after which a call that nobody has told the end of has ended."""
        return round((self.limits.api_timeout + 30) * 1000)

    def credits_left(self) -> float | None:
        """The account's credits by the last answer that told them."""
        return read_number(self.state.ask("HGET", f"{self.state.account}rate", "credits"))

    def held_job(self, message: Message, token: str) -> HeldJob:
        """A job in this worker's hands, as the scripts take it."""
        return {
            "worker": self.worker, "run": message.run_id, "shard": message.shard, "index": message.index,
            "job": message.job_id, "token": token,
        }  # fmt: skip


@contextmanager
def _taking(hands: Hands, job_id: str, holding: Holding) -> Iterator[None]:
    """A job in hand while Redis is asked for it, and from then on, unless that fails in whatever way.

    Raises:
        Dropped: another thread has it.
    """
    if not hands.add(job_id, holding):
        raise Dropped("held", settled=True)
    try:
        yield
    except BaseException:
        hands.remove(job_id, holding.token)
        raise
