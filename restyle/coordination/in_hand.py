"""The jobs that a worker process has in hand: taken from the queue, and without an outcome yet.

The worker's heartbeat lists them (`Fleet.heartbeat`).
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Grant:
    """What a claim has granted for its call. Where Redis loses it, the next heartbeat puts it back."""

    #: Of two grants for one job, the one with the higher number is the later.
    number: int
    #: Credits set aside for the call, and the names of the periods whose budgets they count in, as Redis has them.
    reserved: str = "0"
    periods: str = ""
    #: The incarnation of the Redis server that granted it (`Fleet.incarnation`).
    incarnation: str = ""
    #: The key of the result that the call makes; empty where no other job shares it.
    result: str = ""
    since_ms: int = 0


@dataclass(frozen=True)
class JobInHand:
    """A job that this process has in hand."""

    place: str
    token: str
    #: Set while its call is out.
    granted: Grant | None = None
    #: The request that the API's queue has accepted for it, and what its result is made from.
    request: str = ""
    made_from: str = ""

    @property
    def calling_ms(self) -> int | None:
        """When the call that is out began, in Unix milliseconds; None where no call is out."""
        return self.granted.since_ms if self.granted else None

    def call_as_json(self) -> str:
        """The call that is out, as heartbeat.lua reads it; empty where no call is out."""
        if not (call := self.granted):
            return ""
        return json.dumps(
            {
                "token": self.token,
                "number": call.number,
                "reserved": call.reserved,
                "periods": call.periods,
                "since": call.since_ms,
                "result": call.result,
                "request": self.request,
                "made_from": self.made_from,
            }
        )


class JobsInHand:
    """The jobs that this process has taken. Safe among threads."""

    def __init__(self) -> None:
        """Starts empty."""
        self._lock = threading.Lock()
        self._held: dict[str, JobInHand] = {}
        #: The runs whose reports are being written here.
        self.reports: set[str] = set()

    def add(self, job_id: str, holding: JobInHand) -> bool:
        """Takes a job in hand; False where another thread has it."""
        with self._lock:
            return self._held.setdefault(job_id, holding) is holding

    def calling(self, job_id: str, granted: Grant | None) -> None:
        """Notes that a call is out (or in again: None)."""
        if granted:
            granted = replace(granted, since_ms=round(time.time() * 1000))
        with self._lock:
            if held := self._held.get(job_id):
                self._held[job_id] = JobInHand(held.place, held.token, granted)

    def submitted(self, job_id: str, request: str, made_from: str) -> None:
        """Notes what the API's queue has accepted for the call that is out."""
        with self._lock:
            if held := self._held.get(job_id):
                self._held[job_id] = replace(held, request=request, made_from=made_from)

    def remove(self, job_id: str, token: str) -> None:
        """Removes a job, unless another thread has taken it since."""
        with self._lock:
            if (held := self._held.get(job_id)) and held.token == token:
                del self._held[job_id]

    def snapshot(self) -> dict[str, JobInHand]:
        """The list as it is now."""
        with self._lock:
            return dict(self._held)
