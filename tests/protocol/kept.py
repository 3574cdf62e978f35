"""What a worker knows of itself, and what Redis and S3 keep, as the model has them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from restyle.coordination.claim_types import Claim
from restyle.coordination.fleet import Fleet
from restyle.coordination.in_hand import JobsInHand
from restyle.models import (
    OutcomeKind,
    RunStatus,
)
from tests.protocol.places import (
    PLACES,
    Place,
)


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
    late: tuple[JobsInHand, dict[str, Listed], int, str] | None = None

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
    marked: set[int] = field(default_factory=set)
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
        self.known, self.suspended, self.recalled, self.marked, self.open = False, set(), set(), set(), set()
