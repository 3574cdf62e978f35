"""The two modes of the API behind one interface: v1, one blocking call (blocking.py); v2, its queue (queued.py)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from restyle.coordination.claim_types import Claim
from restyle.models import Message
from restyle.runtime.memory import UploadBuffer
from restyle.segmind.responses import Answer


@dataclass(frozen=True)
class Call:
    """What is asked of the API, with the claim that allows it."""

    upload: UploadBuffer
    message: Message
    token: str
    claim: Claim
    #: The result's `Fingerprint.token`.
    made_from: str


class ApiMode(Protocol):
    """A mode of the API: how a call gets its picture (v1: one blocking call; v2: the queue)."""

    @property
    def url(self) -> str:
        """The address that calls are sent to."""

    def img2img(self, call: Call) -> Answer:
        """One paid call, or the end of one that was begun.

        Raises:
            RestyleError: as the API's answer says.
            Dropped: this worker drains, and the call is one that another can end.
        """

    def resolve(self, call: Call) -> bool:
        """Finds out what became of a job's lost calls; False where nobody can tell. After True, claim again."""

    def fetch(self, url: str) -> bytes:
        """A picture that an answer links to, paid for before.

        Raises:
            MalformedResponse: the link is not followed, or leads nowhere.
        """

    def close(self) -> None:
        """Closes the connections."""


@dataclass(frozen=True)
class Patience:
    """How long v2 waits; seconds."""

    #: For a result, as long as this worker holds the job.
    answer: float = 180.0
    #: Between two looks at a request.
    poll: float = 1.0
    #: Until the history must show what was submitted.
    history: float = 30.0
    #: For results, once this worker drains.
    leave: float = 10.0
