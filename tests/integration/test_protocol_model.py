"""The protocol against a model: hypothesis drives a fleet on a real Valkey, and every step is predicted and checked.

The model is docs/architecture.md in Python, plain and without concurrency. Beside it stands the truth, which no key of
Redis tells: which calls are out. That no job has two of them is judged by the truth alone.
"""

from __future__ import annotations

import copy
import itertools
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from restyle.coordination.fleet import Claim, Dropped, Fleet, Limits, Storm
from restyle.coordination.heartbeats import Hands
from restyle.coordination.progress import Ended, Progress, failed
from restyle.coordination.registry import Earlier, Totals, Word
from restyle.errors import (
    ApiTimeout,
    ApiUnavailable,
    FleetError,
    MalformedResponse,
    OutOfCredits,
    RateLimited,
    RequestFailed,
    RequestLost,
    RequestRejected,
    RestyleError,
)
from restyle.keys import Workspace
from restyle.models import (
    Job,
    ManifestSource,
    Message,
    Outcome,
    OutcomeKind,
    Params,
    Run,
    RunOptions,
    RunStatus,
    utc_now,
)
from tests.support.timelapse import Timelapse

WORKSPACE = Workspace("s3://bucket/model")
#: The jobs of each run by shard. The second run has two jobs of the first one: a lease is on a job across runs.
PLANS: dict[str, list[list[str]]] = {"run-1": [["a", "b"], ["c", "d", "e"]], "run-2": [["a", "d"]]}
DEATHS, FAILURES, JOBS = 5, 4, 3
#: Of lost answers half as many are an outage; and so many jobs in a row refused alike stop the fleet.
LOST, LOST_JOBS, ALIKE = 2, 2, 3
#: Failed probes in a row with recipes that never went well, that end an outage.
PROBES = 5
#: No heartbeat runs out by itself within an example, and an outage may be probed at once.
LIMITS = Limits(heartbeat_ttl=600, outage_failures=FAILURES, outage_jobs=JOBS, probe_seconds=0, probe_max=0)
DONE = Ended(
    Outcome(outcome=OutcomeKind.SUCCEEDED, credits=0.02),
    calls=1, wrote_record=True, call_succeeded=True, credits_left=7.5,
)  # fmt: skip
SKIPPED = Ended(Outcome(outcome=OutcomeKind.SKIPPED))
#: A record of this very run was there.
FOUND_RECORD = Ended(Outcome(outcome=OutcomeKind.SUCCEEDED, credits=0.02), wrote_record=True)
#: What a person says of a run that is to stand still.
OPERATOR = Word("operator", "", "me", 1)
#: 200, paid for, and no picture.
SPOILED = MalformedResponse("half a picture", 200)
SPOILED.cost = 0.02
#: How a call may end without a picture.
ENDINGS: dict[str, RestyleError | None] = {
    "failed": ApiUnavailable("500", 500),
    "doubted": ApiTimeout("lost", in_doubt=True),
    "spoiled": SPOILED,
    "unreachable": ApiUnavailable("no such host"),
    "rejected": RequestRejected("400", 400),
    "limited": RateLimited("429"),
    "refused": OutOfCredits("406", 406),
    "request failed": RequestFailed("422"),
    "request lost": RequestLost("404"),
    "unsent": None,
}
#: What a result is made from: the plan of one run asks for another picture than that of the other.
MADE_FROM = {"run-1": "this", "run-2": "that"}


@dataclass(frozen=True)
class Place:
    """Where a job stands."""

    run: str
    shard: int
    index: int

    @property
    def name(self) -> str:
        """The job's name; the same in both runs."""
        return PLANS[self.run][self.shard][self.index]

    @property
    def variant(self) -> str:
        """Its look: one of two."""
        return "dawn" if self.name in "ace" else "dusk"

    @property
    def recipe(self) -> str:
        """What it has in common with others of its run."""
        return f"{self.run} {self.variant}"

    @property
    def job(self) -> str:
        """The job's id."""
        return WORKSPACE.job_id(self.name, self.variant)

    @property
    def message(self) -> Message:
        """Its message on the queue."""
        job = Job(
            id=self.name,
            variant=self.variant,
            image="s3://b/i.jpg",
            params=Params(prompt="p"),
            output="s3://b/o.jpg",
        )
        return Message(run_id=self.run, shard=self.shard, index=self.index, job_id=self.job, job=job)


SHARDS = [(run, shard) for run, plan in PLANS.items() for shard in range(len(plan))]
PLACES = [Place(run, shard, index) for run, shard in SHARDS for index in range(len(PLANS[run][shard]))]


@dataclass
class Hand:
    """A job in a worker's process."""

    place: Place
    token: str
    claim: Claim | None = None
    #: A picture has come, and S3 would not take it.
    parked: bool = False
    looked: bool = False
    #: The heartbeat was missing at some time since the claim.
    lapsed: bool = False
    #: The API's queue has accepted a request of this call.
    submitted: bool = False
    #: Of its grant.
    number: int = 0
    #: The job's record as it was when the attempt began, by its version.
    known: int = 0


@dataclass
class Process:
    """What a worker knows of itself."""

    fleet: Fleet
    hands: dict[str, Hand] = field(default_factory=dict)
    #: A heartbeat made up earlier that has not reached Redis yet: what it carries, and what the model says of that.
    late: tuple[Hands, dict[str, Listed], int, str] | None = None

    def listed(self) -> dict[str, Listed]:
        """What a heartbeat says now."""
        return {
            job: Listed(hand.place, hand.token, hand.claim is not None, hand.number, hand.submitted)
            for job, hand in self.hands.items()
        }


@dataclass(frozen=True)
class Listed:
    """A job as a heartbeat tells of it."""

    place: Place
    token: str
    calling: bool
    number: int
    submitted: bool


@dataclass
class Lease:
    """A lease in Redis."""

    place: Place
    worker: str
    token: str
    calling: bool = False
    #: Calling for longer than a heartbeat lasts.
    old: bool = False
    number: int = 0
    #: When its call began, by the order of events; 0: a heartbeat told it, or long ago.
    began: int = 0


@dataclass
class Server:
    """What the server remembers of itself."""

    counter: int = 0
    #: Changes with each loss that was recognised.
    incarnation: int = 0
    #: It is another process than the one that wrote this.
    is_other: bool = False
    #: No call is granted until all who may have one out have told of it.
    holds: bool = False
    recalled: bool = False
    beaten: set[str] = field(default_factory=set)
    #: Seconds since the loss was recognised, and how many pass at least.
    age: int = 0
    least: int = 0


@dataclass
class Evidence:
    """What is known of a job that was refused with a word against all."""

    at: int
    times: int = 1


@dataclass
class Ledger:
    """A run in Redis, and what S3 holds of it."""

    known: bool = True
    status: RunStatus = RunStatus.RUNNING
    cursor: int = 0
    open: set[int] = field(default_factory=set)
    closed: set[int] = field(default_factory=set)
    hungry: set[int] = field(default_factory=set)
    ended: dict[Place, OutcomeKind] = field(default_factory=dict)
    calls: Counter[Place] = field(default_factory=Counter)
    doubts: Counter[Place] = field(default_factory=Counter)
    deaths: Counter[Place] = field(default_factory=Counter)
    given_back: Counter[Place] = field(default_factory=Counter)
    said: dict[tuple[Place, str], bool] = field(default_factory=dict)
    suspended: set[str] = field(default_factory=set)
    #: Variants that have succeeded.
    well: set[str] = field(default_factory=set)
    credits: float = 0.0
    #: Doubt files in S3, and those of them that Redis was told of when it had lost the run.
    noted: set[str] = field(default_factory=set)
    recalled: set[str] = field(default_factory=set)
    #: Notes of requests in S3.
    requested: set[str] = field(default_factory=set)
    #: Records of this run in S3, and those whose cost counts although their worker has not told of it.
    recorded: set[Place] = field(default_factory=set)
    counted: set[Place] = field(default_factory=set)
    #: Shards that S3 knows to have been opened.
    opened: set[int] = field(default_factory=set)
    #: Whether a person's suspension stands in S3.
    word: bool = False

    def total(self, kind: OutcomeKind) -> int:
        """How many jobs ended so."""
        return sum(1 for found in self.ended.values() if found is kind)

    @property
    def attempts(self) -> int:
        """Calls of the jobs that have ended."""
        return sum(self.calls[place] for place in self.ended)

    @property
    def in_doubt(self) -> int:
        """Lost answers of the jobs that have ended."""
        return sum(self.doubts[place] for place in self.ended)

    def doubted(self, place: Place) -> int:
        """Lost answers of one job, those before a loss of Redis included."""
        return self.doubts[place] * (place.shard in self.open) + (place.job in self.recalled)

    def used(self, place: Place) -> int:
        """Attempts of one job that count against it."""
        return (self.calls[place] - self.given_back[place]) * (place.shard in self.open)

    def forget(self) -> None:
        """Redis has lost everything."""
        lost = [place for place in PLACES if place.shard not in self.closed]
        for place in lost:
            self.ended.pop(place, None)
            for counts in (self.calls, self.doubts, self.deaths, self.given_back):
                counts.pop(place, None)
        self.said.clear()
        self.counted = {place for place in self.counted if place.shard in self.closed}
        self.well.clear()
        self.known, self.suspended, self.recalled, self.hungry, self.open = False, set(), set(), set(), set()


def planned(run: str) -> int:
    """How many jobs a run has."""
    return sum(len(shard) for shard in PLANS[run])


def a_run(run: str, status: RunStatus = RunStatus.RUNNING) -> Run:
    """The run as its run.json tells it."""
    return Run(
        run_id=run,
        status=status,
        created=utc_now(),
        manifest=ManifestSource(uri="m.csv", sha256="0"),
        plan_digest="d",
        options=RunOptions(),
        shards=len(PLANS[run]),
        planned=planned(run),
    )


def some(choices: list[Any], pick: int) -> Any:
    """One of them, by a number that shrinks well."""
    return choices[pick % len(choices)]


#: What may follow a call without a picture.
THEN = ["retry", "let go", "give back", "fail"]
#: What happens every day, as often as it stands here.
USUAL = [
    *["take"] * 8, *["claim"] * 4, *["succeed"] * 3, *["failed"] * 3, *["doubted"] * 2, "spoiled", "rejected", "skip",
    "park", "store parked", "tell again", "let go", "let go again", *["close"] * 2, "open", "fed", "beat",
    "make up a beat", "late beat", "lapse", "die", "start", "leave", "time passes", *["free the dead"] * 2, "loosen",
    *["probe"] * 2, "snapshot", "refused", *["resume"] * 2, *["submit"] * 4, "settle", "request failed",
    "request lost", "unreachable", "find a record", "agree",
]  # fmt: skip
ALL = [
    *sorted({*USUAL, *ENDINGS}), *["snapshot", "fall back"] * 3, *["recall", "hold passes"] * 2, "hold is over",
    "free the living", "suspend", "suspend run", "cancel", "redis loses everything", "restore", "resume", "resume run",
    "hold ends", "redis forgets a word", "agree too late",
]  # fmt: skip

PICK = st.integers(0, 35)
FLAG = st.booleans()
#: What happens around a loss.
BUSY = [
    "take",
    "take",
    "take",
    "succeed",
    "doubted",
    "let go",
    "submit",
    "start",
    "late beat",
    "make up a beat",
    "park",
]
AFTER = [*BUSY, "take", "take", "take", "beat", "beat", "recall", "recall", "hold passes", "claim", "claim", "loosen"]


class Protocol(RuleBasedStateMachine):
    """Workers, a dispatcher and a person, in any order."""

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
        self.said: list[tuple[str, Place, str, Ended]] = []
        self.gone: list[tuple[str, Place, str, bool]] = []
        for run in PLANS:
            self.progress.register(a_run(run))
            self.open((run, 0))
        self.start()
        self.start()

    # -- what happens --------------------------------------------------------------------------------------

    @rule(
        calm=st.booleans(), moves=st.lists(st.tuples(st.sampled_from(USUAL), PICK, FLAG, FLAG), min_size=6, max_size=24)
    )
    def work(self, calm: bool, moves: list[tuple[str, int, bool, bool]]) -> None:
        """For a while workers do what they are for, and now and then one of them dies."""
        if calm:
            self.mend_all()
        for move, pick, one, other in moves:
            if move == "take":
                self.take(pick, some(self.pending() or PLACES, pick), on=one or other)
            else:
                self.step(move, pick, one, other)

    @rule(move=st.sampled_from(ALL), pick=PICK, one=FLAG, other=FLAG)
    def anything(self, move: str, pick: int, one: bool, other: bool) -> None:
        """One step of anybody, at the wrong time too."""
        self.step(move, pick, one, other)

    @rule(
        lost=st.lists(st.tuples(st.sampled_from(BUSY), PICK, FLAG, FLAG), min_size=1, max_size=6),
        after=st.lists(st.tuples(st.sampled_from(AFTER), PICK, FLAG, FLAG), min_size=2, max_size=16),
    )
    def forget(self, lost: list[tuple[str, int, bool, bool]], after: list[tuple[str, int, bool, bool]]) -> None:
        """What happens is lost, and all goes on."""
        self.take_snapshot()
        for moves in (lost, after):
            for move, pick, one, other in moves:
                if move == "take":
                    self.take(pick, some(self.pending() or PLACES, pick), on=one or other)
                else:
                    self.step(move, pick, one, other)
            self.fall_back()

    def step(self, move: str, pick: int, one: bool, other: bool) -> None:
        """One step, by its name; where there is nothing that it could happen to, nothing happens."""
        if move in ENDINGS:
            self.fail(pick, move, again=one, then=some(THEN, pick))
            return
        place, run, at = some(PLACES, pick), some(sorted(PLANS), pick), some(SHARDS, pick)
        steps: dict[str, Callable[[], None]] = {
            "take": lambda: self.take(pick, place, on=one),
            "claim": lambda: self.claim(pick, stale=one and other, again=one and not other),
            "submit": lambda: self.submit(pick),
            "settle": lambda: self.settle(pick, found=one),
            "succeed": lambda: self.succeed(pick),
            "park": lambda: self.park(pick),
            "store parked": lambda: self.store_parked(pick),
            "find a record": lambda: self.find_a_record(pick),
            "agree": lambda: self.agree(run),
            "agree too late": lambda: self.agree_too_late(run),
            "redis forgets a word": lambda: self.forget_a_word(run),
            "skip": lambda: self.end_without_a_call(pick, SKIPPED if one else failed("invalid_image", "no picture")),
            "tell again": lambda: self.tell_again(pick),
            "let go": lambda: self.let_go(pick, give_back=one),
            "let go again": lambda: self.part_again(pick),
            "start": self.start,
            "beat": lambda: self.beat(pick),
            "make up a beat": lambda: self.make_up_a_beat(pick),
            "late beat": lambda: self.late_beat(pick),
            "lapse": lambda: self.lapse(pick),
            "die": lambda: self.die(pick),
            "leave": lambda: self.leave(pick, word=one, beat=other),
            "time passes": self.time_passes,
            "open": lambda: self.open(at),
            "fed": lambda: self.fed(at),
            "close": lambda: self.close(at),
            "free the dead": lambda: self.free_the_dead(pick, None if one else pick % 3, comes_back=other),
            "free the living": lambda: self.free_the_living(pick),
            "loosen": lambda: self.loosen(some([lease.place for lease in self.leases.values()] or PLACES, pick)),
            "probe": lambda: self.probe(some(self.pending() or PLACES, pick)),
            "suspend": lambda: self.suspend("operator" if one else "no_credits"),
            "suspend run": lambda: self.suspend_run(run, "operator" if one else "awaiting_approval"),
            "cancel": lambda: self.cancel(run) if one and other else None,
            "redis loses everything": self.redis_loses_everything,
            "restore": lambda: self.restore(run),
            "resume": self.resume,
            "resume run": lambda: self.resume_run(run, frozenset({"awaiting_approval"})),
            "hold ends": self.hold_ends,
            "snapshot": self.take_snapshot,
            "fall back": self.fall_back,
            "recall": self.recall,
            "hold passes": lambda: self.hold_passes(10),
            "hold is over": self.hold_is_over,
        }
        steps[move]()

    def mend_all(self) -> None:
        """All is well again: workers live, nothing is suspended, and what may be open is."""
        for run in PLANS:
            self.restore(run)
            self.resume_run(run, frozenset())
        self.resume()
        for worker in sorted(self.processes):
            self.beat_now(worker)
        self.recall()
        self.hold_is_over()
        while len(self.processes) < 2:
            self.start()
        for at in SHARDS:
            self.open(at)

    # -- the model -----------------------------------------------------------------------------------------

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

    def hunger(self, place: Place) -> None:
        """The shard's pending jobs are to be fed."""
        if self.is_open(place):
            self.ledgers[place.run].hungry.add(place.shard)

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

    def beat_now(self, worker: str) -> None:
        """A heartbeat; to a server that has forgotten it is said again."""
        process = self.processes[worker]
        known, seen, listed = process.fleet.incarnation, process.fleet._count, process.listed()
        process.fleet.beat({})
        self.beaten(worker, listed, seen, known)
        if known not in {"", process.fleet.incarnation}:
            # By then the worker has seen what the server answered to the first.
            assert self.server
            self.beaten(worker, listed, self.server.counter, process.fleet.incarnation)

    def beaten(self, worker: str, listed: dict[str, Listed], seen: int, known: str) -> None:
        """A heartbeat has reached Redis."""
        process = self.processes[worker]
        self.recognise(seen)
        server = self.server
        assert server
        if known in {"", process.fleet.incarnation}:
            server.beaten.add(worker)
        self.alive.add(worker)
        self.known.add(worker)
        jobs = {job: entry.place for job, entry in listed.items()}
        for job, place in self.lists[worker].items():
            lease = self.leases.get(job)
            if job not in jobs and lease and lease.worker == worker and lease.calling and not lease.old:
                jobs[job] = place
        self.lists[worker] = jobs
        for job, entry in listed.items():
            if entry.calling and not self.over(entry.place):
                self.put_back(worker, job, entry)
            if entry.calling and job in self.leases and self.leases[job].token != entry.token:
                # Somebody else was allowed to call since: this one was freed before.
                self.out[job].discard(entry.token)
        server.counter += 1

    def put_back(self, worker: str, job: str, entry: Listed) -> None:
        """What Redis has lost of a call, or remembers of an earlier holder, is set right."""
        lease, hand = self.leases.get(job), self.processes[worker].hands.get(job)
        if lease and lease.token != entry.token and lease.number >= entry.number:
            return
        if not lease or lease.token != entry.token:
            self.leases[job] = Lease(entry.place, worker, entry.token, calling=True, number=entry.number)
            if hand and hand.claim and hand.token == entry.token:
                self.out[job].add(entry.token)
        if self.server and self.server.holds and entry.submitted and job not in self.requests:
            self.requests[job] = MADE_FROM[entry.place.run]

    def over(self, place: Place) -> bool:
        """Whether Redis knows that the job has ended in this run."""
        ledger = self.ledgers[place.run]
        is_done = self.done.get(place.job) == place.run
        return is_done or place in ledger.ended or (ledger.known and place.shard in ledger.closed)

    def called(self, worker: str, kind: str, hand: Hand, error: RestyleError | None) -> Storm:
        """A call ended without a picture."""
        place, ledger = hand.place, self.ledgers[hand.place.run]
        mine = self.release(place.job, hand.token)
        if mine:
            self.paid_by(place, error)
        if mine and error and error.ends_request:
            self.requests.pop(place.job, None)
        if mine and error is SPOILED:
            ledger.credits += 0.02
        if mine and self.is_open(place):
            ledger.calls[place] += kind in {"failed", "rejected"}
            ledger.doubts[place] += bool(getattr(error, "in_doubt", False))
        assert hand.claim
        fresh = hand.claim.epoch == str(self.epoch)
        if kind == "limited" and fresh:
            self.held_back = True
        stopped, in_question, singled_out, storm = False, False, False, False
        if isinstance(error, OutOfCredits):
            verdict = self.refusal(worker, place, error, fresh, mine)
            stopped, in_question, singled_out = verdict == 1, verdict == 2, verdict == 3
        elif isinstance(error, RequestRejected):
            stopped = self.rejection(place, error, fresh)
        elif kind == "failed":
            storm = self.one_more_failure(place, mine, doubted=bool(getattr(error, "in_doubt", False)))
        elif kind == "unreachable":
            self.unreachable += mine
            storm = self.outage(place, self.unreachable >= LOST)
        return Storm(ledger.used(place), ledger.doubted(place), storm, stopped, in_question, singled_out)

    def paid_by(self, place: Place, error: RestyleError | None) -> None:
        """What a call's end says of the request that was perhaps accepted for it."""
        if isinstance(error, RequestFailed):
            self.paid.discard((place.job, place.run))
        if isinstance(error, ApiTimeout):
            self.paid.add((place.job, place.run))

    def refusal(self, worker: str, place: Place, error: FleetError, fresh: bool, mine: bool) -> int:
        """A refusal with a word against all: the fleet stands for it (1), or job (2) or worker (3) is in question."""
        if self.probing == place.job:
            self.probing = None
        if not fresh:
            return 0
        too_many, now, before = self.one_more_alike(place, 406), next(self.events), self.refused.get(place.job)
        if not mine and before and before.times >= 2:
            return 2
        others_well = before and self.good_began > (before.at if self.has_others(place.run) else 0)
        in_question = bool(others_well) and not too_many
        if self.is_refuser(worker, now, before is None and not too_many):
            return 3
        times = before.times + 1 if before and in_question else 1
        self.refused[place.job] = Evidence(now, times)
        if in_question:
            return 2
        if error.reason not in self.suspended:
            self.suspended.add(error.reason)
            self.refused = {job: Evidence(now) for job in self.refused}
            self.stopped_alike |= {(error.reason, 406)} if too_many else set()
        return 1

    def is_refuser(self, worker: str, now: int, may_be: bool) -> bool:
        """Whether a worker is refused for one more job while others do well; told once."""
        known = self.refusers.get(worker)
        self.refusers.setdefault(worker, Evidence(now, 0))
        if not (known and may_be and not known.times and self.good_began > known.at):
            return False
        known.times = 1
        self.met.add("worker")
        return True

    def has_others(self, run: str) -> bool:
        """Whether jobs of a run are pending that were not refused."""
        ledger = self.ledgers[run]
        return ledger.known and planned(run) - len(ledger.ended) > len(self.refused)

    def rejection(self, place: Place, error: RequestRejected, fresh: bool) -> bool:
        """A refusal of one job; whether it is one too many."""
        self.streak, self.lost, self.unreachable, self.failing = 0, 0, 0, set()
        if self.probing == place.job:
            self.probing = None
        if not fresh or not self.one_more_alike(place, error.http_status or 0):
            return False
        if "refused" not in self.suspended:
            self.suspended.add("refused")
            self.met.add("stopped")
            self.stopped_alike.add(("refused", error.http_status or 0))
        return True

    def one_more_alike(self, place: Place, status: int) -> bool:
        """One more job in a row that is refused under a status; whether those are too many."""
        jobs = self.alike[1] if self.alike[0] == status else set()
        self.alike = (status, jobs | {place.job})
        return len(self.alike[1]) >= self.allowed.get(status, ALIKE)

    def fails_alone(self, name: str, turns: int) -> bool:
        """Whether a job or a recipe has failed again so often while others did well."""
        now = next(self.events)
        seen = self.failed_at.setdefault(name, Evidence(now, 0))
        if self.good_began > seen.at:
            seen.at, seen.times = now, seen.times + 1
        if seen.times >= turns:
            self.met.add("alone")
        return seen.times >= turns

    def probe_failed(self, place: Place, *, is_suspect: bool) -> None:
        """A probe has failed; where none but recipes that never went well are left, it is no outage in the end."""
        self.tries = self.tries + 1 if is_suspect else 0
        self.suspects = self.suspects | {place.recipe} if is_suspect else set()
        if self.tries >= PROBES:
            self.met.add("no outage")
            self.suspended.discard("outage")
            self.streak, self.lost, self.failing = 0, 0, set()
            self.failed_at |= {name: Evidence(next(self.events), 1) for name in self.suspects}

    def outage(self, place: Place, is_over_limit: bool, *, is_suspect: bool = False) -> bool:
        """One more failure under an outage, or one too many; whether one stands."""
        if "outage" in self.suspended:
            if self.probing == place.job:
                self.probing = None
                self.probe_failed(place, is_suspect=is_suspect)
        elif is_over_limit:
            self.tries, self.suspects = 0, set()
            self.suspended.add("outage")
            self.met.add("outage")
        return "outage" in self.suspended

    def one_more_failure(self, place: Place, mine: bool, *, doubted: bool) -> bool:
        """One more failure in a row; whether it is a storm."""
        ledger = self.ledgers[place.run]
        recipe_alone = self.fails_alone(place.recipe, 1)
        alone = self.fails_alone(place.job, 3) or recipe_alone
        self.unreachable = 0
        self.streak += mine and not alone
        self.lost = self.lost + (mine and not alone) if doubted else 0
        if not alone:
            self.failing.add(place.job)
        failing = len(self.failing)
        over_limit = (self.streak >= FAILURES and failing >= JOBS) or (self.lost >= LOST and failing >= LOST_JOBS)
        is_suspect = bool(ledger.well) and place.variant not in ledger.well
        if self.outage(place, over_limit, is_suspect=is_suspect):
            return True
        pending = planned(place.run) - len(ledger.ended) if ledger.known else 0
        return not alone and failing >= 2 and pending > failing

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
            self.hunger(place)
        return calling, ledger.doubted(place), ledger.deaths[place] * self.is_open(place)

    # -- workers come and go -------------------------------------------------------------------------------

    def start(self) -> None:
        """A worker starts."""
        if len(self.processes) >= 3:
            return
        worker = f"w{next(self.numbers)}"
        self.processes[worker] = Process(Fleet(self.state, LIMITS, worker=worker))
        self.beat_now(worker)

    def beat(self, pick: int) -> None:
        """A heartbeat; also of a worker that was taken for dead."""
        if not self.processes:
            return
        self.beat_now(some(sorted(self.processes), pick))

    def make_up_a_beat(self, pick: int) -> None:
        """A heartbeat has read its worker's list, and is slow."""
        if not self.processes:
            return
        process = self.processes[some(sorted(self.processes), pick)]
        hands = Hands()
        for job, holding in process.fleet.hands.snapshot().items():
            hands.add(job, holding)
        process.late = (hands, process.listed(), process.fleet._count, process.fleet.incarnation)

    def late_beat(self, pick: int) -> None:
        """The slow heartbeat arrives, with a list of before."""
        if not any(process.late for process in self.processes.values()):
            return
        worker, process = some([(name, found) for name, found in self.processes.items() if found.late], pick)
        assert process.late
        (hands, listed, seen, known), process.late = process.late, None
        fleet = process.fleet
        now = fleet.hands, fleet._count, fleet.incarnation
        fleet.hands, fleet._count, fleet.incarnation = hands, seen, known
        fleet._beat({})
        fleet.hands, fleet._count = now[0], max(now[1], fleet._count)
        self.beaten(worker, listed, seen, known)

    def lapse(self, pick: int) -> None:
        """A living worker's heartbeat does not come through for longer than it lasts."""
        if not self.alive:
            return
        worker = some(sorted(self.alive), pick)
        self.state.ask("DEL", self.state.key("worker", worker))
        self.alive.discard(worker)
        for hand in self.processes[worker].hands.values() if worker in self.processes else ():
            hand.lapsed = True

    def die(self, pick: int) -> None:
        """Kill -9, long enough ago."""
        if not self.processes:
            return
        worker = some(sorted(self.processes), pick)
        for job, hand in self.processes[worker].hands.items():
            # Perhaps its request had been accepted, and nobody was told of it.
            if hand.claim and not hand.parked and job in self.leases and self.leases[job].token == hand.token:
                self.paid.add((job, hand.place.run))
            lease = self.leases.get(job)
            if not lease or lease.token != hand.token:
                # Redis has lost its claim, and nobody is left to tell: only a durable claim has a trace (0026).
                self.out[job].discard(hand.token)
        del self.processes[worker]
        self.state.ask("DEL", self.state.key("worker", worker))
        self.alive.discard(worker)

    def leave(self, pick: int, word: bool, beat: bool) -> None:
        """A worker has drained; where Redis was away, without a word of what it had in hand."""
        if not self.processes:
            return
        worker = some(sorted(self.processes), pick)
        process = self.processes[worker]
        for hand in list(process.hands.values()):
            if word and hand.claim is None and not hand.parked:
                self.part(worker, hand, give_back=False)
            else:
                # Its call is over, and nobody but S3 was told.
                process.fleet.hands.remove(hand.place.job, hand.token)
                self.out[hand.place.job].discard(hand.token)
        process.hands.clear()
        if beat:
            self.beat_now(worker)
        process.fleet.leave()
        self.alive.discard(worker)
        if not self.lists[worker]:
            self.known.discard(worker)
        del self.processes[worker]

    def time_passes(self) -> None:
        """Calls take longer than a heartbeat lasts; every living worker has beaten since."""
        for worker, process in self.processes.items():
            process.late = None
            if worker in self.alive:
                self.beat_now(worker)
        for job, lease in self.leases.items():
            if lease.calling:
                self.state.ask("HSET", self.state.key("lease", job), "calling", 1000)
                lease.old, lease.began = True, 0

    # -- a job's way ---------------------------------------------------------------------------------------

    def take(self, pick: int, place: Place, on: bool) -> None:
        """A worker gets a message, of any job at any time; and mostly claims at once."""
        if not self.processes:
            return
        worker = some(sorted(self.processes), pick)
        process, token = self.processes[worker], f"t{next(self.numbers)}"
        if place.job in process.hands:
            why: str | None = "held"
        else:
            why = self.barred(worker, place, token)
            if why in {"suspended", "heartbeat"}:
                self.hunger(place)
        if why:
            with pytest.raises(Dropped, match=why):
                process.fleet.take(place.message, token)
            return
        process.fleet.take(place.message, token)
        self.lists[worker][place.job] = place
        hand = process.hands[place.job] = Hand(place, token, known=self.records[place.job])
        self.said = [said for said in self.said if (said[0], said[1].job) != (worker, place.job)]
        if on:
            self.ask(worker, hand, stale=False)

    def claim(self, pick: int, stale: bool, again: bool) -> None:
        """A worker asks for the right to call; again, where the first answer was lost."""
        if not self.hands():
            return
        worker, hand = some(self.hands(), pick)
        self.ask(worker, hand, stale=stale)
        if again and hand.claim is not None:
            self.out[hand.place.job].discard(hand.token)
            hand.looked = True
            self.ask(worker, hand, stale=False)

    def ask(self, worker: str, hand: Hand, *, stale: bool) -> None:
        """One claim, as predicted."""
        process, place = self.processes[worker], hand.place
        expected = self.verdict(worker, hand, stale, process.fleet._count)
        looked_at = time.monotonic() - (2 * LIMITS.look_up_age if stale else 0)

        def claim_it() -> Claim:
            made_from = MADE_FROM[place.run]
            return process.fleet.claim(
                place.message, hand.token, looked=hand.looked, looked_at=looked_at, made_from=made_from
            )

        if expected == "refused":
            self.met.add("refused alone")
            with pytest.raises(RequestRejected):
                claim_it()
            self.tell(worker, hand, failed("request_rejected", "406"))
            return
        if expected not in {"go", "submitted", "look", "parked", "wait"}:
            with pytest.raises(Dropped, match=expected):
                claim_it()
            del process.hands[place.job]
            return
        claim = claim_it()
        assert claim.verdict == expected
        hand.lapsed = hand.lapsed and claim.verdict == "wait"
        if claim.verdict in {"go", "submitted"}:
            self.granted(worker, hand, claim)
        if claim.verdict == "look":
            hand.looked = True
        hand.parked = claim.verdict == "parked"

    def verdict(self, worker: str, hand: Hand, stale: bool, seen: int) -> str:
        """What a claim is answered."""
        place, job, ledger = hand.place, hand.place.job, self.ledgers[hand.place.run]
        why = self.barred(worker, place, hand.token) or (None if job in self.lists[worker] else "heartbeat")
        if why:
            self.release(job, hand.token)
            self.unlist(worker, job, hand.token)
            if why in {"suspended", "heartbeat"}:
                self.hunger(place)
            return why
        self.recognise(seen)
        if self.waits():
            return "wait"
        unsure = stale or ledger.calls[place] + ledger.doubted(place) > 0 or job in self.done
        lease = Lease(place, worker, hand.token)
        if job in self.parked:
            verdict = "parked"
        elif unsure and (stale or not hand.looked):
            verdict = "look"
        elif self.requests.get(job) == MADE_FROM[place.run]:
            verdict, lease.calling = "submitted", True
        elif told := self.questioned(place):
            self.release(job, hand.token)
            return told
        elif self.held_back:
            self.release(job, hand.token)
            return "wait"
        else:
            verdict, lease.calling = "go", True
            if self.requests.pop(job, None):
                # Another run wants another picture: what was asked for is given up.
                self.paid -= {(job, run) for run in PLANS if run != place.run}
        lease.began = next(self.events)
        assert self.server
        self.server.counter += 1
        lease.number = hand.number = self.server.counter
        self.leases[job] = lease
        return verdict

    def questioned(self, place: Place) -> str:
        """What a claim is answered for a job that was refused with a word against all; empty: as any other."""
        evidence = self.refused.get(place.job)
        if evidence is None:
            return ""
        if self.good_began <= evidence.at and self.has_others(place.run):
            return "wait"
        return "refused" if evidence.times >= 2 else ""

    def granted(self, worker: str, hand: Hand, claim: Claim) -> None:
        """A call is out: judged by what must never be, whatever the keys say."""
        place, ledger = hand.place, self.ledgers[hand.place.run]
        assert not self.out[place.job], "two calls for one job"
        assert worker in self.alive
        assert place not in ledger.ended
        assert place.shard in ledger.open - ledger.closed
        assert self.passes(place)
        assert not ledger.suspended
        assert ledger.status is RunStatus.RUNNING
        assert (claim.epoch, claim.calls, claim.doubts) == (
            str(self.epoch), ledger.calls[place], ledger.doubted(place),
        )  # fmt: skip
        self.out[place.job].add(hand.token)
        hand.claim, hand.submitted = claim, claim.verdict == "submitted"
        if hand.submitted:
            assert claim.request == f"a request for {MADE_FROM[place.run]}"
        else:
            is_paid = (place.job, place.run) in self.paid
            assert not is_paid or claim.doubts, "a request is paid for, and nobody is told to look for it"

    def submit(self, pick: int) -> None:
        """The API's queue accepts the request of a call, and its id is noted."""
        calling = [(worker, hand) for worker, hand in self.hands(calling=True) if not hand.submitted]
        if calling:
            self.note_request(*some(calling, pick))

    def note_request(self, worker: str, hand: Hand) -> None:
        """Writes down a request, in Redis and in S3."""
        place, lease = hand.place, self.leases.get(hand.place.job)
        made_from = MADE_FROM[place.run]
        mine = lease.token == hand.token if lease else place.job not in self.requests
        told = f"a request for {made_from}"
        assert self.processes[worker].fleet.submitted(place.message, hand.token, made_from, told) == mine
        hand.submitted = True
        self.ledgers[place.run].requested.add(place.job)
        if mine:
            self.requests[place.job] = made_from
            self.paid.add((place.job, place.run))

    def settle(self, pick: int, *, found: bool) -> None:
        """A job's lost calls are looked up: a request is found, or there is none; then the job is claimed again."""
        doubtful = [(worker, hand) for worker, hand in self.hands(calling=True) if hand.claim and hand.claim.doubts]
        if not doubtful:
            return
        worker, hand = some(doubtful, pick)
        place, fleet = hand.place, self.processes[worker].fleet
        ledger, lease = self.ledgers[place.run], self.leases.get(place.job)
        found = found or hand.submitted
        if found and not hand.submitted:
            self.note_request(worker, hand)
        mine = lease is not None and lease.token == hand.token
        assert self.state.run("settle", *fleet._at(place.message, hand.token), int(found)) == mine
        if mine:
            if found and self.is_open(place):
                ledger.calls[place] -= ledger.doubts[place]
            ledger.doubts.pop(place, None)
            ledger.recalled.discard(place.job)
            ledger.noted.discard(place.job)
        if mine and not found:
            self.paid.discard((place.job, place.run))

    def fail(self, pick: int, ending: str, again: bool, then: str) -> None:
        """A call brings no picture, which is told once or twice; what follows is any of what may follow."""
        if not self.hands(calling=True):
            return
        worker, hand = some(self.hands(calling=True), pick)
        fleet, place, claim = self.processes[worker].fleet, hand.place, hand.claim
        assert claim
        if ending == "spoiled" and (hand.submitted or claim.verdict == "submitted"):
            ending = "failed"  # a result of the API's queue is looked at before it is an answer
        error = ENDINGS[ending]
        kind = "failed" if ending in {"doubted", "spoiled", "request failed", "request lost"} else ending
        self.out[place.job].discard(hand.token)
        for _ in range(1 + again):
            expected = self.called(worker, kind, hand, error)
            assert fleet.answered(place.message, hand.token, claim, error, fallback_wait=600) == expected
        if ending in {"doubted", "request lost"}:
            self.ledgers[place.run].noted.add(place.job)
        hand.claim, hand.looked, hand.submitted = None, False, False
        hand.known = self.records[place.job]
        if then == "fail":
            self.tell(worker, hand, failed("api_unavailable", "500"))
        elif then != "retry":
            self.part(worker, hand, give_back=then == "give back")

    def succeed(self, pick: int) -> None:
        """A call brings a picture, which is stored unless the job is another's by now."""
        if not self.hands(calling=True):
            return
        worker, hand = some(self.hands(calling=True), pick)
        self.store(worker, hand)

    def park(self, pick: int) -> None:
        """A call brings a picture that S3 does not take."""
        if not self.hands(calling=True):
            return
        _, hand = some(self.hands(calling=True), pick)
        hand.parked = bool(self.state.run("park", hand.place.job, "a picture", 100))
        self.parked |= {hand.place.job} if hand.parked else set()

    def store_parked(self, pick: int) -> None:
        """S3 takes a parked answer."""
        if not self.hands(parked=True):
            return
        worker, hand = some(self.hands(parked=True), pick)
        assert bool(self.state.run("unpark", hand.place.job)) == (hand.place.job in self.parked)
        self.parked.discard(hand.place.job)
        self.store(worker, hand)

    def store(self, worker: str, hand: Hand) -> None:
        """Stores an answer and reports it; where this worker may have been taken for dead, not over a newer record."""
        fleet, place = self.processes[worker].fleet, hand.place
        self.out[place.job].discard(hand.token)
        if not hand.lapsed or self.records[place.job] == hand.known:
            self.records[place.job] += 1
            self.ledgers[place.run].recorded.add(place)
            self.tell(worker, hand, DONE)
            return
        fleet.spent(place.message, hand.token, 0.02)
        self.release(place.job, hand.token)
        self.unlist(worker, place.job, hand.token)
        self.ledgers[place.run].credits += 0.02
        del self.processes[worker].hands[place.job]

    def find_a_record(self, pick: int) -> None:
        """A worker finds that its job has a record of this run, written by one that has not told of it."""
        found = [
            (worker, hand)
            for worker, hand in self.hands()
            if hand.place in self.ledgers[hand.place.run].recorded
        ]  # fmt: skip
        if found:
            worker, hand = some(found, pick)
            self.tell(worker, hand, FOUND_RECORD)

    def end_without_a_call(self, pick: int, ended: Ended) -> None:
        """A record is found, or the input is no picture."""
        if not self.hands():
            return
        worker, hand = some(self.hands(), pick)
        self.tell(worker, hand, ended)

    def tell(self, worker: str, hand: Hand, ended: Ended) -> None:
        """Reports, as predicted."""
        fleet, place = self.processes[worker].fleet, hand.place
        expected = self.reported(worker, place, hand.token, ended)
        assert self.progress.report(fleet, place.message, hand.token, ended) == expected
        del self.processes[worker].hands[place.job]
        self.said.append((worker, place, hand.token, ended))

    def tell_again(self, pick: int) -> None:
        """The answer to a report was lost: it is said again, whatever has happened since."""
        if not self.said:
            return
        worker, place, token, ended = some(self.said[::-1], pick)
        if worker in self.processes:
            expected = self.reported(worker, place, token, ended)
            assert self.progress.report(self.processes[worker].fleet, place.message, token, ended) == expected

    def let_go(self, pick: int, give_back: bool) -> None:
        """A worker parts with a job."""
        if not self.hands():
            return
        worker, hand = some(self.hands(), pick)
        self.part(worker, hand, give_back=give_back)

    def part(self, worker: str, hand: Hand, *, give_back: bool) -> None:
        """Lets a job go."""
        self.parted(worker, hand.place, hand.token, give_back=give_back)
        del self.processes[worker].hands[hand.place.job]
        self.gone.append((worker, hand.place, hand.token, give_back))

    def part_again(self, pick: int) -> None:
        """The answer to that was lost: it is said again, whatever has happened since."""
        if not self.gone:
            return
        worker, place, token, give_back = some(self.gone[::-1], pick)
        if worker in self.processes:
            self.parted(worker, place, token, give_back=give_back)

    def parted(self, worker: str, place: Place, token: str, *, give_back: bool) -> None:
        """A worker parts with a job, as predicted."""
        ledger = self.ledgers[place.run]
        self.processes[worker].fleet.let_go(place.message, token, give_back=give_back)
        self.release(place.job, token)
        if not self.unlist(worker, place.job, token):
            return
        self.hunger(place)
        if self.probing == place.job:
            self.probing = None
        if give_back and self.is_open(place):
            ledger.given_back[place] = ledger.calls[place]

    # -- the dispatcher ------------------------------------------------------------------------------------

    def open(self, at: tuple[str, int]) -> None:
        """Opens a shard, where that may be."""
        (run, shard), ledger = at, self.ledgers[at[0]]
        may = ledger.known and ledger.status is RunStatus.RUNNING and not self.suspended | ledger.suspended
        may = may and shard not in ledger.open | ledger.closed
        gaps = set(range(ledger.cursor)) - ledger.open - ledger.closed if ledger.known else set()
        assert set(self.progress.gaps(run, ledger.cursor if ledger.known else 0)) == gaps
        assert self.progress.open_shard(run, shard, len(PLANS[run][shard])) == may
        if may:
            ledger.opened.add(shard)
            ledger.open.add(shard)
            ledger.hungry.add(shard)
            ledger.cursor = max(ledger.cursor, shard + 1)

    def fed(self, at: tuple[str, int]) -> None:
        """A shard's pending jobs are on the queue."""
        self.progress.fed(*at)
        self.ledgers[at[0]].hungry.discard(at[1])

    def close(self, at: tuple[str, int]) -> None:
        """Closes a shard that has all outcomes, or of a cancelled run one whose calls have ended."""
        (run, shard), ledger = at, self.ledgers[at[0]]
        places = [place for place in PLACES if (place.run, place.shard) == at]
        living = {job for worker in self.alive for job in self.lists[worker]}
        ended = all(place in ledger.ended for place in places)
        if shard in ledger.open and not ended:
            cancelled = ledger.status is RunStatus.CANCELLED
            ended = cancelled and not any(place.job in living for place in places)
        may = shard in ledger.open and ended
        if may:
            told = self.progress.outcomes(run, shard)
            assert {index: (found.outcome, found.attempts, found.in_doubt) for index, found in told.items()} == {
                place.index: (ledger.ended[place], ledger.calls[place], ledger.doubts[place])
                for place in places
                if place in ledger.ended
            }
            ledger.open.discard(shard)
            ledger.hungry.discard(shard)
            ledger.closed.add(shard)
        if may or shard not in ledger.open:
            assert self.progress.close_shard(run, shard) == may
            assert not self.progress.close_shard(run, shard)

    def free_the_dead(self, pick: int, cut_off: int | None, comes_back: bool) -> None:
        """Frees what a dead worker held; perhaps it was not dead after all, perhaps the dispatcher dies at it."""
        if not self.known - self.alive:
            return
        worker = some(sorted(self.known - self.alive), pick)
        held = self.dispatcher.jobs_of(worker)
        assert held.keys() == self.lists[worker].keys()
        for number, (job, told) in enumerate(held.items()):
            if number == cut_off:
                break
            self.free(worker, job, told)
        if comes_back and worker in self.processes:
            self.beat_now(worker)
        if cut_off is None:
            self.dispatcher.bury(worker)
            if worker not in self.alive:
                self.known.discard(worker)
                self.lists[worker].clear()

    def free_the_living(self, pick: int) -> None:
        """A worker that came back in time loses nothing."""
        if not self.alive:
            return
        worker = some(sorted(self.alive), pick)
        for job, told in self.dispatcher.jobs_of(worker).items():
            self.free(worker, job, told)

    def free(self, worker: str, job: str, told: dict[str, Any]) -> None:
        """Frees one job as the dispatcher does, doubt first."""
        place = Place(str(told["run"]), int(told["shard"]), int(told["index"]))
        assert place == self.lists[worker][job]
        lease = self.leases.get(job)
        calls = worker not in self.alive and lease and lease.worker == worker and lease.calling
        if calls and job not in self.requests:
            self.ledgers[place.run].noted.add(job)
        expected = self.freed(worker, place)
        assert self.dispatcher.free(worker, told, job) == expected
        calling, doubts, deaths = expected
        if (calling and doubts >= 2) or (not calling and deaths >= DEATHS):
            lost = failed("in_doubt", "its worker died")
            first = self.reported("", place, "", lost)
            assert self.progress.report(self.dispatcher, place.message, "", lost) == first

    def loosen(self, place: Place) -> None:
        """Frees a lease that its holder cannot know of."""
        self.dispatcher.loosen(place.job)
        lease = self.leases.get(place.job)
        if not lease:
            return
        unknown = lease.worker not in self.known | self.alive
        if unknown or (lease.worker in self.alive and place.job not in self.lists[lease.worker]):
            assert lease.token not in self.out[place.job], "a call is out"
            del self.leases[place.job]

    def probe(self, place: Place) -> None:
        """Lets one job through an outage."""
        may = self.suspended == {"outage"} and self.probing is None
        assert self.dispatcher.probe(place.job) == may
        if may:
            self.probing = place.job

    # -- a person, the API and Redis -----------------------------------------------------------------------

    def suspend(self, reason: str) -> None:
        """The fleet is suspended."""
        assert self.dispatcher.suspend(reason, "", "me") == (reason not in self.suspended)
        self.suspended.add(reason)

    def resume(self) -> None:
        """The fleet goes on."""
        self.dispatcher.resume()
        for reason, status in self.stopped_alike:
            if reason in self.suspended:
                self.allowed[status] = 2 * self.allowed.get(status, ALIKE)
        self.suspended.clear()
        self.stopped_alike.clear()
        self.streak, self.failing, self.probing, self.held_back = 0, set(), None, False
        self.lost, self.unreachable, self.alike = 0, 0, (self.alike[0], set())
        self.epoch += 1

    def suspend_run(self, run: str, reason: str) -> None:
        """One run is suspended: by a person, which stands in S3 first, or by a limit of its own."""
        ledger = self.ledgers[run]
        if reason == "operator":
            ledger.word = True
            assert self.progress.agree(a_run(run, ledger.status), OPERATOR) == ledger.known
            self.agreed(run)
        else:
            self.progress.suspend(run, reason, "", "me")
            ledger.suspended.add(reason)

    def resume_run(self, run: str, keep: frozenset[str]) -> None:
        """One run goes on; an approval is another thing, but where the dispatcher's question is answered by `keep`."""
        ledger = self.ledgers[run]
        ledger.word = False
        # Whoever approves says so in run.json; here it says so all the time, and the script takes it at that.
        assert self.progress.agree(a_run(run, ledger.status), None, lift=True) == ledger.known
        self.progress.resume(run, keep=keep)
        ledger.suspended &= keep - ({"awaiting_approval"} if ledger.known else set())

    def cancel(self, run: str) -> None:
        """A run is cancelled, in S3 first; where Redis does not know it that is all."""
        ledger = self.ledgers[run]
        ledger.status = RunStatus.CANCELLED
        assert self.progress.agree(a_run(run, ledger.status), self.word(run)) == ledger.known
        self.agreed(run)

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

    def agree(self, run: str) -> None:
        """The dispatcher has read S3, and nobody has spoken since."""
        ledger, revision = self.ledgers[run], self.progress.revision(run)
        assert self.progress.agree(a_run(run, ledger.status), self.word(run), revision=revision) == ledger.known
        self.agreed(run)

    def agree_too_late(self, run: str) -> None:
        """The dispatcher has read S3, and a person has spoken since: what it read is not told to Redis."""
        ledger, revision = self.ledgers[run], self.progress.revision(run)
        before = a_run(run, ledger.status), self.word(run)
        if ledger.word:
            self.resume_run(run, frozenset({"awaiting_approval"}))
        else:
            self.suspend_run(run, "operator")
        assert not self.progress.agree(*before, revision=revision)
        if not ledger.known:
            told = self.told(run)
            assert not self.progress.restore(before[0], told, sorted(ledger.closed), revision=revision)

    def forget_a_word(self, run: str) -> None:
        """Redis falls back to before a person suspended a run."""
        self.state.ask("HDEL", self.state.key("run", run, "suspension"), "operator")
        self.ledgers[run].suspended.discard("operator")

    def hold_ends(self) -> None:
        """A rate limit has reset."""
        self.state.ask("HDEL", f"{self.state.account}rate", "hold", "limited_since")
        self.held_back = False

    def redis_loses_everything(self) -> None:
        """Redis comes back empty; the processes know nothing of it."""
        self.state.flush()
        for ledger in self.ledgers.values():
            ledger.forget()
        for lost in (self.alive, self.known, self.leases, self.lists, self.done, self.parked, self.suspended):
            lost.clear()
        self.requests.clear()
        self.server = self.snapshot = None
        # Of one whose worker died before anything was written down, nobody knows any more.
        self.paid = {
            (job, run) for job, run in self.paid if job in self.ledgers[run].noted | self.ledgers[run].requested
        }
        self.epoch, self.streak, self.failing, self.probing, self.held_back = 0, 0, set(), None, False
        self.lost, self.unreachable, self.good_began, self.alike = 0, 0, 0, (0, set())
        for evidence in (self.refused, self.refusers, self.failed_at, self.allowed, self.stopped_alike):
            evidence.clear()
        # Of a call whose worker is dead as well nobody knows.
        in_hand = {hand.token for process in self.processes.values() for hand in process.hands.values()}
        for tokens in self.out.values():
            tokens.intersection_update(in_hand)
        for process in self.processes.values():
            for hand in process.hands.values():
                hand.lapsed = True

    def restore(self, run: str) -> None:
        """`resume RUN`: the run is rebuilt from S3, one heartbeat later."""
        ledger = self.ledgers[run]
        if not ledger.known:
            assert self.progress.totals(run) is None
            ledger.recalled = ledger.noted | ledger.requested
            for worker, process in self.processes.items():
                process.late = None
                self.beat_now(worker)
            ledger.cursor = max(ledger.opened, default=-1) + 1
            ledger.open = ledger.opened - ledger.closed
            ledger.hungry = set(ledger.open)
            ledger.suspended = ({"operator"} if ledger.word else set()) | (ledger.suspended & {"awaiting_approval"})
            done = {place for place in ledger.recorded if place.shard in ledger.open}
            ledger.ended |= dict.fromkeys(done, OutcomeKind.SUCCEEDED)
            ledger.calls.update(done)
            ledger.counted |= done
            ledger.credits = round(0.02 * ledger.total(OutcomeKind.SUCCEEDED), 6)
            self.has_forgotten()
        shards = {shard: self.fields(run, shard) for shard in ledger.open}
        earlier = Earlier(word=self.word(run), doubts=ledger.recalled, shards=shards)
        read = a_run(run, ledger.status)
        assert self.progress.restore(read, self.told(run), sorted(ledger.closed), earlier) == (not ledger.known)
        ledger.known = True

    def fields(self, run: str, shard: int) -> dict[str, str]:
        """A shard that was open, as its records tell it."""
        done = [place for place in self.ledgers[run].recorded if (place.run, place.shard) == (run, shard)]
        fields = {"size": str(len(PLANS[run][shard])), "n": str(len(done))}
        for place in done:
            outcome = DONE.outcome.model_dump_json()
            fields |= {f"o:{place.index}": outcome, f"c:{place.index}": "1", f"f:{place.index}": "1"}
        return fields

    def has_forgotten(self) -> None:
        """A run is rebuilt: the server may not know of calls that are out."""
        self.recognise(0)
        assert self.server
        if self.server.age < 600:
            self.server.holds, self.server.least = True, 600

    # -- a server that falls back --------------------------------------------------------------------------

    #: What the model says of keys of Redis, beside what a run's ledger has in S3.
    REMEMBERED = (
        "alive", "known", "lists", "leases", "done", "parked", "requests", "suspended", "epoch", "held_back", "streak",
        "failing", "probing", "server", "lost", "unreachable", "good_began", "failed_at", "refused", "refusers",
        "alike", "tries", "suspects", "allowed", "stopped_alike",
    )  # fmt: skip

    def take_snapshot(self) -> None:
        """What Redis has now reaches its disk, or a replica."""
        keys = [key for key in self.raw.scan_iter() if not key.startswith(b"timelapse:")]
        dumped = {key: (max(self.raw.pttl(key), 0), self.raw.dump(key)) for key in keys}
        remembered = {name: copy.deepcopy(getattr(self, name)) for name in self.REMEMBERED}
        self.snapshot = (dumped, remembered | {"ledgers": copy.deepcopy(self.ledgers)})

    def fall_back(self) -> None:
        """Another process goes on with what was on disk; the workers know nothing of it."""
        if not self.snapshot:
            return
        (dumped, remembered), self.snapshot = self.snapshot, None
        self.state.flush()
        for key, (ttl, text) in dumped.items():
            self.raw.restore(key, ttl, text, replace=True)
        for name in self.REMEMBERED:
            setattr(self, name, remembered[name])
        if self.server:
            self.raw.hset(self.state.key("server"), "id", "another")
            self.server.is_other = True
        for run, ledger in remembered["ledgers"].items():
            # The notes and the records are in S3, where nothing is lost.
            for name in ("noted", "requested", "recorded", "opened", "word"):
                setattr(ledger, name, getattr(self.ledgers[run], name))
            self.ledgers[run] = ledger
        in_hand = {
            (job, hand.place.run): hand.token
            for process in self.processes.values()
            for job, hand in process.hands.items()
        }
        # Of a call whose worker is dead, and whose lease is lost, nobody knows.
        leased = {lease.token for lease in self.leases.values()}
        for tokens in self.out.values():
            tokens.intersection_update({*in_hand.values(), *leased})
        known = {(job, lease.place.run) for job, lease in self.leases.items() if lease.calling} | in_hand.keys()
        self.paid = {
            (job, run)
            for job, run in self.paid
            if (job, run) in known or job in self.ledgers[run].noted | self.ledgers[run].requested
        }

    def recall(self) -> None:
        """The dispatcher reads the notes of doubts and requests that S3 has, and tells of those that Redis lacks."""
        if not self.server or not self.server.holds or self.server.recalled:
            return
        for run, ledger in self.ledgers.items():
            if not ledger.known:
                continue
            counted = {place.job for place in PLACES if place.run == run and self.counts(place)}
            jobs = (ledger.noted | (ledger.requested - self.requests.keys())) - counted
            self.progress.doubt(run, jobs)
            ledger.recalled |= jobs
        key = self.state.key("server")
        self.state.ask("HSET", key, "recalled", self.state.ask("HGET", key, "incarnation"))
        self.server.recalled = True

    def counts(self, place: Place) -> bool:
        """Whether Redis knows all that a note of this job could tell."""
        ledger = self.ledgers[place.run]
        return self.is_open(place) and (ledger.doubts[place] > 0 or place in ledger.ended)

    def hold_passes(self, age: int) -> None:
        """Time passes since the loss was recognised."""
        if self.server and self.server.holds and self.server.age < age:
            since = (self.state.now - age) * 1000
            self.state.ask("HSET", self.state.key("server"), "since", f"{since:.0f}")
            self.server.age = age

    def hold_is_over(self) -> None:
        """A heartbeat's whole time: who has said nothing counts as dead, and nobody knows of what it called."""
        server = self.server
        if not server or not server.holds:
            return
        self.hold_passes(1000)
        for worker in sorted(self.processes.keys() - server.beaten):
            self.state.ask("DEL", self.state.key("worker", worker))
            self.alive.discard(worker)
            for job, hand in self.processes[worker].hands.items():
                hand.lapsed = True
                lease = self.leases.get(job)
                if not lease or lease.token != hand.token:
                    self.out[job].discard(hand.token)

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

    # -- after each step -----------------------------------------------------------------------------------

    @invariant()
    def the_ledgers_are_true(self) -> None:
        """Totals add up and equal the model's; no shard is open and closed; outcomes stay."""
        for run, ledger in self.ledgers.items():
            totals = self.progress.totals(run)
            assert (totals is not None) == ledger.known
            opened = {shard.shard: shard for shard in self.progress.open_shards(run)}
            assert opened.keys() == ledger.open
            assert {number for number, shard in opened.items() if shard.fed == 0} == ledger.hungry
            if totals is None:
                continue
            plain = replace(totals, last_error="", credits_before=None, credits_after=None)
            assert plain == self.told(run)
            assert totals.pending >= 0
            assert totals.succeeded + totals.skipped + totals.failed + totals.pending == totals.planned
            assert not ledger.open & ledger.closed
            for number, shard in opened.items():
                outcomes = self.progress.outcomes(run, number)
                wanted = {place.index: kind for place, kind in ledger.ended.items() if place.shard == number}
                assert {index: found.outcome for index, found in outcomes.items()} == wanted
                assert shard.ended == len(wanted)

    @invariant()
    def the_leases_are_true(self) -> None:
        """At most one lease a job, held by who took it; and each worker's list is what the model says."""
        names = sorted({place.job for place in PLACES})
        leases = self.state.ask_all(*(("HGETALL", self.state.key("lease", job)) for job in names))
        for job, found in zip(names, leases, strict=True):
            lease = self.leases.get(job)
            assert bool(found) == (lease is not None)
            if lease:
                told = (found["run"], int(found["shard"]), int(found["index"]), found["worker"], found["token"])
                assert told == (lease.place.run, lease.place.shard, lease.place.index, lease.worker, lease.token)
                assert ("calling" in found) == lease.calling
        aside = {run: sum(float(at.get("reserved", 0)) for at in leases if at and at["run"] == run) for run in PLANS}
        reserved = [float(self.state.ask("HGET", self.state.key("run", run), "reserved") or 0) for run in PLANS]
        assert reserved == pytest.approx(list(aside.values()), abs=1e-6), "credits set aside are those of the leases"
        workers = self.dispatcher.workers()
        assert workers.keys() == self.known
        assert {worker for worker, beat in workers.items() if beat is not None} == self.alive
        lists = self.state.ask_all(*(("HKEYS", self.state.key("worker", worker, "jobs")) for worker in workers))
        for worker, held in zip(workers, lists, strict=True):
            assert set(held) == self.lists[worker].keys()

    @invariant()
    def a_call_that_is_out_is_known(self) -> None:
        """Of no job are two calls out; and where a worker that has beaten is calling, its lease stands."""
        beaten = self.server.beaten if self.server and not self.server.is_other else set()
        for job, tokens in self.out.items():
            assert len(tokens) <= 1
            for worker in self.alive & self.processes.keys() & beaten:
                hand = self.processes[worker].hands.get(job)
                if hand and hand.claim and hand.token in tokens:
                    assert self.leases[job].token == hand.token

    @invariant()
    def the_server_is_known(self) -> None:
        """What it remembers of itself is what the model says."""
        found = self.state.ask("HGETALL", self.state.key("server"))
        assert bool(found) == (self.server is not None)
        if self.server:
            assert (int(found["counter"]), found["open"] == "0") == (self.server.counter, self.server.holds)

    @invariant()
    def the_suspensions_are_true(self) -> None:
        """The reasons that stand are those of the model."""
        assert {found.reason for found in self.dispatcher.suspensions()} == self.suspended
        for run, ledger in self.ledgers.items():
            assert {found.reason for found in self.progress.suspensions(run)} == ledger.suspended


@pytest.fixture
def state(redis_url: str) -> Iterator[Timelapse]:
    """The door to a real Valkey, whose scripts' clock ticks at each look: events have an order.

    It is ahead of the workers' own, so that a beginning that a heartbeat tells is before all of them.
    """
    soon = time.time() + 300
    state = Timelapse(redis_url, namespace=WORKSPACE.namespace, account="account", now=soon, step=1)
    yield state
    state.close()


@pytest.fixture
def raw(redis_url: str) -> Iterator[redis.Redis]:
    """The same, for bytes that are no text."""
    client = redis.Redis.from_url(redis_url)
    yield client
    client.close()


@pytest.mark.timeout(600)
def test_the_protocol_is_its_model(state: Timelapse, raw: redis.Redis) -> None:
    """In whatever order workers, dispatcher, person, API and Redis act, die or forget, every key is as predicted."""
    run_state_machine_as_test(
        lambda: Protocol(state, raw),  # type: ignore[arg-type] # any factory will do
        settings=settings(
            max_examples=90, stateful_step_count=25, deadline=None, derandomize=True, database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip


#: What the model has found, as its steps: a move, whom or what it is about, and two choices (see `Protocol.step`).
#: An even pick is worker w1, an odd one w2; modulo 7 it is a place: 0 is job a of run-1, 1 is b, 5 is a of run-2.
FOUND: dict[str, list[tuple[str, int, bool, bool]]] = {
    "a worker that comes back while it is buried keeps its list": [
        ("take", 0, True, False), ("lapse", 0, False, False), ("free the dead", 0, True, True),
    ],
    "a beat made up before a call hides it from nobody": [
        ("make up a beat", 0, False, False), ("take", 0, True, False), ("late beat", 0, False, False),
        ("loosen", 0, False, False), ("take", 7, True, False),
    ],
    "a lease left behind without a word is free in the end": [
        ("take", 0, True, False), ("time passes", 0, False, False), ("leave", 0, False, True),
        ("loosen", 0, False, False), ("take", 7, True, False), ("claim", 0, False, False),
    ],
    "a beat made up before a report brings no lease back": [
        ("take", 0, True, False), ("make up a beat", 0, False, False), ("succeed", 0, False, False),
        ("late beat", 0, False, False),
    ],
    "a late answer does not keep a lost run from being rebuilt": [
        ("take", 0, True, False), ("redis loses everything", 0, False, False), ("failed", 0, False, False),
        ("restore", 0, False, False),
    ],
    "a call that fails after the job's outcome counts in the totals": [
        ("take", 0, False, False), ("take", 7, True, False), ("skip", 0, True, False), ("doubted", 1, False, False),
    ],
    "a call whose worker dies after the job's outcome counts in the totals": [
        ("take", 0, False, False), ("take", 7, True, False), ("skip", 0, True, False), ("die", 1, False, False),
        ("free the dead", 0, True, False),
    ],
    "two reports of one job, both said again, count once each": [
        ("take", 0, False, False), ("take", 7, True, False), ("skip", 0, True, False), ("succeed", 0, False, False),
        ("tell again", 1, False, False), ("tell again", 0, False, False),
    ],
    "a probe that needs no call makes way for the next": [
        ("take", 0, True, False), ("failed", 1, False, False), ("take", 8, True, False), ("failed", 1, False, False),
        ("take", 6, True, False), ("failed", 1, False, False), ("take", 0, True, False), ("claim", 0, False, False),
        ("failed", 1, False, False), ("probe", 0, False, False), ("take", 0, True, False), ("skip", 0, True, False),
        ("probe", 0, False, False),
    ],
    "a done mark of an earlier run takes no call from its worker": [
        ("take", 0, True, False), ("succeed", 0, False, False), ("take", 12, True, False), ("claim", 0, False, False),
        ("lapse", 0, False, False), ("succeed", 0, False, False),
    ],
    "what is parted with twice stays with the thread that has it since": [
        ("take", 0, True, False), ("let go", 0, False, False), ("take", 0, True, False),
        ("let go again", 0, False, False), ("loosen", 0, False, False), ("take", 7, True, False),
    ],
    "what a late beat lists may be taken again": [
        ("take", 0, False, False), ("make up a beat", 0, False, False), ("let go", 0, False, False),
        ("late beat", 0, False, False), ("take", 0, True, False),
    ],
    "a doubt from before a loss of Redis counts at the next one": [
        ("take", 0, True, False), ("doubted", 1, False, False), ("redis loses everything", 0, False, False),
        ("restore", 0, False, False), ("open", 0, False, False), ("recall", 0, False, False),
        ("hold is over", 0, False, False), ("take", 0, True, False), ("claim", 0, False, False),
        ("doubted", 1, False, False),
    ],
}  # fmt: skip


#: Refusals and failures that evidence decides (restyle/coordination/lua/answered.lua), step by step; at the end the
#: events that the model must have met on the way. Shard 1 of run-1 holds places 2 to 4.
DECIDED: dict[str, tuple[list[tuple[str, int, bool, bool]], str]] = {
    "a job that is refused again while others do well is in question, and fails alone": ([
        ("open", 1, False, False), ("take", 0, True, False), ("refused", 1, False, False), ("resume", 0, False, False),
        ("take", 8, True, False), ("succeed", 0, False, False), ("take", 0, True, False), ("refused", 0, True, False),
        ("claim", 0, False, False), ("take", 2, True, False), ("succeed", 0, False, False),
        ("claim", 0, False, False), ("claim", 0, False, False),
    ], "refused alone"),
    "three jobs in a row that are refused alike stop the fleet, and after a resume six": ([
        ("open", 1, False, False), ("take", 0, True, False), ("rejected", 3, False, False),
        ("take", 8, True, False), ("rejected", 3, True, False), ("take", 2, True, False), ("rejected", 1, False, False),
        ("resume", 0, False, False), ("take", 2, True, False), ("rejected", 3, False, False), ("take", 3, True, False),
        ("rejected", 3, False, False), ("take", 4, True, False), ("rejected", 3, False, False),
    ], "stopped"),
    "a recipe that fails again while others do well spends its own attempts": ([
        ("open", 1, False, False), ("take", 0, True, False), ("failed", 1, False, False), ("take", 8, True, False),
        ("succeed", 0, False, False), ("take", 0, True, False), ("claim", 0, False, False),
        ("failed", 1, False, False), ("take", 2, True, False), ("failed", 1, False, False),
        ("take", 4, True, False), ("failed", 1, False, False), ("take", 0, True, False), ("claim", 0, False, False),
        ("failed", 1, False, False),
    ], "alone"),
    "an outage that only a recipe is left to probe with, which never went well, is none in the end": ([
        ("open", 1, False, False), ("take", 8, True, False), ("succeed", 0, False, False),
        ("take", 0, True, False), ("failed", 1, False, False), ("take", 2, True, False), ("failed", 1, False, False),
        ("take", 4, True, False), ("failed", 1, False, False), ("take", 0, True, False), ("claim", 0, False, False),
        ("failed", 1, False, False),
        *[
            ("probe", 0, False, False), ("take", 0, True, False), ("claim", 0, False, False),
            ("failed", 1, False, False),
        ] * 5,
    ], "no outage"),
    "a worker that is refused for one more job while another does well is to stand aside": ([
        ("open", 1, False, False), ("take", 0, True, False), ("refused", 1, False, False), ("resume", 0, False, False),
        ("take", 1, True, False), ("succeed", 0, False, False), ("take", 2, True, False), ("refused", 1, False, False),
    ], "worker"),
    "lost answers are an outage sooner than failures": ([
        ("take", 0, True, False), ("doubted", 1, False, False), ("take", 8, True, False), ("doubted", 1, False, False),
    ], "outage"),
    "what was never sent is an outage, and spends nothing": ([
        ("take", 0, True, False), ("unreachable", 0, False, False), ("claim", 0, False, False),
        ("unreachable", 0, False, False),
    ], "outage"),
}  # fmt: skip


@pytest.mark.parametrize("decided", DECIDED)
def test_evidence_decides(state: Timelapse, raw: redis.Redis, decided: str) -> None:
    """Each rule that goes by what happened, in a sequence that comes to it."""
    protocol = Protocol(state, raw)
    steps, event = DECIDED[decided]
    for step in steps:
        protocol.step(*step)
        protocol.the_ledgers_are_true()
        protocol.the_leases_are_true()
        protocol.the_suspensions_are_true()
    assert event in protocol.met


@pytest.mark.parametrize("found", FOUND)
def test_what_once_went_wrong_goes_right(state: Timelapse, raw: redis.Redis, found: str) -> None:
    """Each sequence in which a script once broke the model, step by step."""
    protocol = Protocol(state, raw)
    for step in FOUND[found]:
        protocol.step(*step)
        protocol.the_ledgers_are_true()
        protocol.the_leases_are_true()
        protocol.a_call_that_is_out_is_known()
        protocol.the_suspensions_are_true()
