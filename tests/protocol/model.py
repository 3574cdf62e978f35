"""The model itself: what Redis remembers, and what follows from a word to it. It asks nobody."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from typing import Any

import redis

from restyle.coordination.fleet import Fleet
from restyle.coordination.runs.progress import Ended, Progress
from restyle.coordination.runs.registry import Totals, Word
from restyle.models import (
    OutcomeKind,
    RunStatus,
)
from tests.protocol.kept import Evidence, Hand, Lease, Ledger, Process, Server
from tests.protocol.places import (
    FOUND_RECORD,
    LIMITS,
    OPERATOR,
    PLACES,
    PLANS,
    Place,
    planned,
)
from tests.support.timelapse import Timelapse


class Model:
    """What Redis has by the model, and the truth beside it: which calls are out."""

    def __init__(self, state: Timelapse, raw: redis.Redis) -> None:
        super().__init__()
        state.flush()
        self.raw = raw
        self.state, self.progress = state, Progress(state)
        self.dispatcher = Fleet(state, LIMITS)
        self.numbers = itertools.count(1)
        self.ledgers = {run: Ledger() for run in PLANS}
        self.processes: dict[str, Process] = {}
        self.alive: set[str] = set()
        self.known: set[str] = set()
        self.lists: dict[str, dict[str, Place]] = defaultdict(dict)
        self.leases: dict[str, Lease] = {}
        #: Which run wrote a job's record last, as Redis remembers it.
        self.done: dict[str, str] = {}
        self.server: Server | None = None
        self.incarnations = itertools.count(1)
        #: What Redis had on disk a while ago, and what the model said of that.
        self.snapshot: tuple[dict[Any, tuple[int, Any]], dict[str, Any]] | None = None
        #: The truth: versions of the jobs' records in S3.
        self.records: Counter[str] = Counter()
        self.parked: set[str] = set()
        #: Requests in the API's queue whose ids are known: what each is made from.
        self.requests: dict[str, str] = {}
        #: The truth: requests that were accepted, or may have been, by job and run; neither stored nor over.
        self.paid: set[tuple[str, str]] = set()
        self.suspended: set[str] = set()
        self.epoch = 0
        self.held_back = False
        self.streak = self.lost = self.unreachable = 0
        self.failing: set[str] = set()
        self.probing: str | None = None
        #: The order of events; when the last of the calls with a good answer began, and what spoke against whom since.
        self.events = itertools.count(1)
        self.good_began = 0
        self.failed_at: dict[str, Evidence] = {}
        self.refused: dict[str, Evidence] = {}
        self.refusers: dict[str, Evidence] = {}
        self.alike: tuple[int, set[str]] = (0, set())
        #: Of an outage: failed probes in a row with recipes that never went well, and which.
        self.tries, self.suspects = 0, set[str]()
        self.allowed: dict[int, int] = {}
        self.stopped_alike: set[tuple[str, int]] = set()
        #: What evidence has decided by now.
        self.met: set[str] = set()
        #: The truth: tokens whose calls are out, by job, and neither answered nor freed.
        self.out: dict[str, set[str]] = defaultdict(set)
        #: Those of them whose claims a loss of Redis took away, and that nobody has put back.
        self.forgotten: set[str] = set()
        self.said: list[tuple[str, Place, str, Ended]] = []
        self.gone: list[tuple[str, Place, str, bool]] = []

    def release(self, job: str, token: str) -> bool:
        """Gives a lease back."""
        if job in self.leases and self.leases[job].token == token:
            del self.leases[job]
            return True
        return False

    def unlist(self, worker: str, job: str, token: str) -> bool:
        """Takes a job off a worker's list, unless another thread of it has the lease by now."""
        lease = self.leases.get(job)
        if lease and lease.worker == worker and lease.token != token:
            return False
        self.lists[worker].pop(job, None)
        return True

    def is_open(self, place: Place) -> bool:
        """Whether the job's shard is out."""
        return place.shard in self.ledgers[place.run].open

    def mark_for_enqueue(self, place: Place) -> None:
        """The shard's pending jobs are to be fed."""
        if self.is_open(place):
            self.ledgers[place.run].marked.add(place.shard)

    def pending(self) -> list[Place]:
        """Jobs that a worker may well be given."""
        return [
            place
            for place in PLACES
            if self.is_open(place) and place not in self.ledgers[place.run].ended and place.job not in self.leases
        ]

    def barred(self, worker: str, place: Place, token: str) -> str | None:
        """Why nothing may be done for a job now."""
        ledger, lease = self.ledgers[place.run], self.leases.get(place.job)
        checks = [
            (worker not in self.alive, "heartbeat"),
            (not ledger.known or ledger.status is not RunStatus.RUNNING, "run"),
            (not self.is_open(place), "closed"),
            (place in ledger.ended, "done"),
            (not self.passes(place) or bool(ledger.suspended), "suspended"),
            (lease is not None and lease.token != token, "held"),
        ]
        return next((why for holds, why in checks if holds), None)

    def passes(self, place: Place) -> bool:
        """Whether the fleet's suspension lets this job through."""
        return not self.suspended or (self.suspended == {"outage"} and self.probing == place.job)

    def hands(self, *, calling: bool = False, parked: bool = False) -> list[tuple[str, Hand]]:
        """The jobs in the hands of processes, by where they are on their way."""
        return [
            (worker, hand)
            for worker, process in self.processes.items()
            for hand in process.hands.values()
            if (hand.claim is not None, hand.parked) == (calling, parked) or (parked and hand.parked)
        ]

    def recognise(self, seen: int) -> None:
        """Each beat and each claim looks whether the server has forgotten something."""
        server = self.server
        if server and not server.is_other and server.counter >= seen:
            return
        is_new = server is None and seen == 0
        least = 6 if server and server.counter >= seen else 600
        counter = max(server.counter if server else 0, seen) + 1
        if server and not server.is_other and server.holds:
            server.counter, server.least = counter, least
            return
        self.server = Server(counter, next(self.incarnations), holds=not is_new, least=least)

    def waits(self) -> bool:
        """Whether no call is granted as long as calls may be out that the server does not know of."""
        server = self.server
        assert server
        if not server.holds:
            return False
        if server.age < server.least or (server.age < 600 and self.known - server.beaten) or not server.recalled:
            return True
        server.holds = False
        return False

    def over(self, place: Place) -> bool:
        """Whether Redis knows that the job has ended in this run."""
        ledger = self.ledgers[place.run]
        is_done = self.done.get(place.job) == place.run
        return is_done or place in ledger.ended or (ledger.known and place.shard in ledger.closed)

    def has_others(self, run: str) -> bool:
        """Whether jobs of a run are pending that were not refused."""
        ledger = self.ledgers[run]
        return ledger.known and planned(run) - len(ledger.ended) > len(self.refused)

    def word(self, run: str) -> Word | None:
        """What stands in S3."""
        return OPERATOR if self.ledgers[run].word else None

    def agreed(self, run: str) -> None:
        """Redis was brought in line with S3."""
        ledger = self.ledgers[run]
        if ledger.known:
            # All runs of the model are approved.
            ledger.suspended = (ledger.suspended - {"operator", "awaiting_approval"}) | (
                {"operator"} if ledger.word else set()
            )

    def told(self, run: str) -> Totals:
        """The ledger by the model."""
        ledger = self.ledgers[run]
        return Totals(
            status=ledger.status, planned=planned(run), shards=len(PLANS[run]), closed=len(ledger.closed),
            cursor=ledger.cursor, succeeded=ledger.total(OutcomeKind.SUCCEEDED),
            skipped=ledger.total(OutcomeKind.SKIPPED), failed=ledger.total(OutcomeKind.FAILED),
            attempts=ledger.attempts, in_doubt=ledger.in_doubt, credits=round(ledger.credits, 6), last_error="",
            credits_before=None, credits_after=None, finish_queued=0,
        )  # fmt: skip

    def counts(self, place: Place) -> bool:
        """Whether Redis knows all that a note of this job could tell."""
        ledger = self.ledgers[place.run]
        return self.is_open(place) and (ledger.doubts[place] > 0 or place in ledger.ended)

    def reported(self, worker: str, place: Place, token: str, ended: Ended) -> bool:
        """A job's outcome is told; whether it counts."""
        ledger, lease = self.ledgers[place.run], self.leases.get(place.job)
        began = lease.began if lease and lease.token == token and lease.calling else 0
        mine = self.release(place.job, token)
        self.unlist(worker, place.job, token)
        self.refused.pop(place.job, None)
        self.failed_at.pop(place.job, None)
        if ended.wrote_record or ended.outcome.outcome is OutcomeKind.SKIPPED:
            self.requests.pop(place.job, None)
            self.paid -= {(place.job, run) for run in PLANS}
        if ended.wrote_record:
            self.done[place.job] = place.run
        if ended.call_succeeded:
            self.streak, self.lost, self.unreachable, self.failing = 0, 0, 0, set()
            self.alike = (self.alike[0], set())
            self.failed_at.pop(place.recipe, None)
            self.refusers.pop(worker, None)
            ledger.well.add(place.variant)
            self.good_began = max(self.good_began, began)
            self.suspended.discard("outage")
            self.probing = None
        if self.probing == place.job:
            self.probing = None
        if not self.is_open(place):
            # Late, and paid for all the same; of a shard that is lost, the record tells it.
            counts = place.shard in ledger.closed or ledger.status is not RunStatus.RUNNING
            ledger.credits += ended.outcome.credits if mine and ended.calls and ledger.known and counts else 0
            return False
        if (place, token) in ledger.said:
            return ledger.said[place, token]
        first = place not in ledger.ended
        if token:
            ledger.said[place, token] = first
        self.paid_for(place, ended, first=first)
        if first:
            ledger.ended[place] = ended.outcome.outcome
        return first

    def paid_for(self, place: Place, ended: Ended, *, first: bool) -> None:
        """What an outcome tells of calls and credits; that of a record counts once, whoever tells of it first."""
        ledger, calls = self.ledgers[place.run], ended.calls
        if calls and place in ledger.counted:
            ledger.counted.discard(place)
            calls = 0
        ledger.calls[place] += calls
        found = first and ended is FOUND_RECORD
        if calls or (found and place not in ledger.counted):
            ledger.credits += ended.outcome.credits
        if found:
            ledger.counted.add(place)

    def freed(self, worker: str, place: Place) -> tuple[bool, int, int]:
        """The dispatcher frees one job."""
        job, ledger, lease = place.job, self.ledgers[place.run], self.leases.get(place.job)
        if worker in self.alive:
            return False, 0, 0
        calling = False
        if self.lists[worker].pop(job, None) or (lease and lease.worker == worker):
            if lease and lease.worker == worker:
                del self.leases[job]
                self.out[job].discard(lease.token)
                calling = lease.calling and job not in self.parked and job not in self.requests
            if self.is_open(place):
                ledger.calls[place] += calling
                ledger.doubts[place] += calling
                ledger.deaths[place] += not calling
            self.mark_for_enqueue(place)
        return calling, ledger.doubted(place), ledger.deaths[place] * self.is_open(place)
