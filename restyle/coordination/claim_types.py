"""The values of a claim: the right to a call, its limits, and the fleet's verdict on a failed call.

Decided in restyle/coordination/lua/claim.lua and call_failed.lua; called by restyle/coordination/fleet.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypedDict

from restyle.coordination.budgets import Budgets
from restyle.coordination.in_hand import Grant
from restyle.coordination.redis.durability import Durability


class Dropped(Exception):
    """The message is no work for this worker now: done, held, suspended, cancelled or unknown. Acknowledge it."""

    def __init__(self, why: str, *, is_released: bool = False) -> None:
        super().__init__(why)
        #: The fleet knows already that this worker has parted with the job.
        self.is_released = is_released


class HeldJob(TypedDict):
    """A job and by what it is held, as the scripts take it: the first arguments of each that is about a job in hand."""

    worker: str
    run: str
    shard: int
    index: int
    job: str
    token: str


@dataclass(frozen=True)
class Limits:
    """The protocol's settings as values; in seconds, unless noted otherwise."""

    max_rpm: int = 0
    heartbeat_seconds: float = 3.0
    heartbeat_ttl: float = 15.0
    durability: Durability = Durability.AUTO
    look_up_age: float = 60.0
    call_within: float = 5.0
    outage_failures: int = 10
    outage_jobs: int = 5
    probe_seconds: float = 5.0
    probe_max: float = 300.0
    api_timeout: float = 180.0
    budgets: Budgets = field(default_factory=Budgets)

    @property
    def interval_us(self) -> int:
        """Microseconds between two calls of the fleet, a little above the limit's own; 0 is no limit."""
        return round(60e6 / (self.max_rpm * 0.975)) if self.max_rpm else 0


#: What a claim is answered: `go` means one call, now; `submitted`, that the call was begun and is to be ended.
#: `unplaced` is none: the picture was set aside by an earlier run.
Verdict = Literal["go", "submitted", "look", "parked", "wait", "unplaced"]


@dataclass(frozen=True)
class Claim:
    """The right to a call, or what is to be done instead."""

    verdict: Verdict
    wait: float = 0.0
    epoch: str = "0"
    #: Calls made for this job before this one, and how many of them are in doubt.
    calls: int = 0
    doubts: int = 0
    #: The request that the API's queue has for this job, as the API's mode wrote it down.
    request: str = ""
    granted: Grant | None = None


@dataclass(frozen=True)
class Storm:
    """What a failed call leaves: calls used up, doubts, and whether others fail too."""

    used: int
    doubts: int
    running: bool
    #: The API refused, and the fleet stands still for it.
    stopped: bool = False
    #: The API refused this job with a word against all, and others do well: it waits for them to tell.
    in_question: bool = False
    #: The API refuses this worker, and others do well: it is to stand aside.
    singled_out: bool = False
