"""What a job is done with: the message in hand, the tools of the process, and the answer that was paid for."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import datetime

from restyle.coordination.claim_types import Claim
from restyle.coordination.fleet import Fleet
from restyle.coordination.rotation import Rotation
from restyle.coordination.traffic import Traffic
from restyle.images.c2pa import Signer
from restyle.job.modes import ApiMode
from restyle.job.parked.aside import Aside
from restyle.job.parked.on_disk import Spool
from restyle.job.parked.unsaved import Unsaved
from restyle.job.results.keys import result_key
from restyle.keys import Workspace
from restyle.models import Message, Params, RunOptions, utc_now
from restyle.request_digest import request_digest
from restyle.runtime.memory import MemoryBudget
from restyle.runtime.slots import Slots
from restyle.s3.store import Store
from restyle.segmind.responses import Answer


@dataclass(frozen=True)
class Tools:
    """What a worker process shares among its jobs."""

    workspace: Workspace
    store: Store
    segmind: ApiMode
    fleet: Fleet
    #: One a call in flight; held only for the call.
    slots: Slots
    #: What pictures take in memory until they are sent.
    memory: MemoryBudget
    #: Set when this worker drains: no call begins any more.
    stopping: threading.Event
    #: Answers that S3 does not take: no call begins while there is one, so that they do not pile up.
    unsaved: Unsaved
    #: What earlier runs paid for and could not place.
    aside: Aside
    #: Where answers lie that neither S3 nor Redis takes.
    spool: Spool
    version: str
    #: Credits a sample of 30 steps, where the API does not tell its cost.
    price: float
    #: Whether a job whose call may have been paid for is left to a person (RESTYLE_IN_DOUBT=hold).
    hold_doubts: bool = False
    #: With whose certificate outputs are signed, where a run wants that.
    signer: Signer | None = None
    traffic: Traffic = field(default_factory=Traffic)
    #: Whether this worker takes jobs, or stands aside since it alone cannot do them.
    rotation: Rotation = field(default_factory=Rotation)


@dataclass(frozen=True)
class Work:
    """A message in hand, with what its run froze for it."""

    message: Message
    token: str
    options: RunOptions
    started: datetime = field(default_factory=utc_now)
    address: str = ""
    """Where on the web the input was fetched from, without what may be a secret."""

    @property
    def request(self) -> str:
        """The fingerprint's part that is known before the picture is."""
        return self.request_of(self.message.job.params)

    def request_of(self, params: Params) -> str:
        """The same, were these the job's parameters."""
        return request_digest(params, self.options.model, self.options.preparation)

    def result_key(self, sha256: str) -> str:
        """What stands for the result, whoever asks for it, of an input with this sha256; empty: nobody shares it."""
        message = self.message
        return result_key(
            sha256, message.job.params, self.options,
            job_id=message.job_id, run_id=message.run_id, variant=message.job.variant,
        )  # fmt: skip


@dataclass(frozen=True)
class Called:
    """A paid answer, and when it was requested and given."""

    claim: Claim
    answer: Answer
    called: datetime
    answered: datetime
    claimed: float
    """When the claim was requested (`clock.elapsed`)."""
    lag: float = 0.0
    """Seconds since then in which the API was not at work on it, as far as it tells."""
