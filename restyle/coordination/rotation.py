"""Whether this worker is in rotation: one that alone cannot reach S3 or the API hands its jobs back and takes no more.

What is out of reach for everybody is nobody's fault: the fleet sits it out (restyle/coordination/lua/call_failed.lua).
Here is what one worker knows of itself, and the decision; workers/rotation.py asks the others and carries it out.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from restyle.errors import ApiUnavailable, ClockSkewed, RestyleError, StoreUnavailable, TransientError

Part = Literal["s3", "api", "clock", "refused"]

#: Failures in a row that make a trouble of what may be a blip.
FAILURES = 3
#: Seconds out of rotation at most, before another try is allowed, where each try ended alike.
LONGEST_REST = 300.0


@dataclass(frozen=True)
class Trouble:
    """What this worker cannot do, and since when (monotonic seconds)."""

    part: Part
    why: str
    since: float
    failures: int = 1

    def lasts(self, now: float, patience: float) -> bool:
        """Whether it is more than a blip; a wrong clock or a refusal does not come right by trying again."""
        return self.part in {"clock", "refused"} or (self.failures >= FAILURES and now - self.since >= patience)


def part_of(error: BaseException) -> Part | None:
    """What an error says is out of reach of this machine; None where it says nothing of that."""
    match error:
        case ClockSkewed():
            return "clock"
        case StoreUnavailable():
            return "s3"
        case ApiUnavailable() if error.never_sent:
            return "api"
        case TransientError() if error.in_doubt:
            return "api"  # sent, and the answer did not find its way back
    return None


def is_to_leave(trouble: Trouble | None, peers: Iterable[Mapping[str, object]], *, now: float, patience: float) -> bool:
    """Whether a worker goes, or stays, out of rotation.

    Args:
        trouble: what it cannot do; None: all is well.
        peers: the heartbeats of the other living workers.
        now: monotonic seconds.
        patience: seconds until a trouble is more than a blip.
    """
    if trouble is None or not trouble.lasts(now, patience):
        return False
    return trouble.part == "clock" or any(is_well(peer, trouble.part) for peer in peers)


def is_well(beat: Mapping[str, object], part: Part) -> bool:
    """Whether a worker, by its heartbeat, takes jobs and knows of no such trouble."""
    troubles = beat.get("troubles")
    has_it = isinstance(troubles, Container) and part in troubles
    return not beat.get("draining") and not beat.get("out") and not has_it


class Rotation:
    """What this worker meets, and whether it is in rotation. Safe to share among threads."""

    def __init__(self, patience: float = 5.0, clock: Callable[[], float] = time.monotonic) -> None:
        """`patience`: seconds until a trouble is more than a blip."""
        self.patience = patience
        #: Set at each failure, for whoever decides.
        self.concerned = threading.Event()
        #: Whether others fare better, as of the last look at them.
        self.is_alone = False
        self._clock = clock
        self._lock = threading.Lock()
        self._troubles: dict[Part, Trouble] = {}
        self._out = ""
        self._since = 0.0
        #: Seconds to stay out, which double while what is tried afterwards ends alike.
        self._rest = 0.0

    @property
    def out(self) -> str:
        """Why this worker is out of rotation; empty where it is in."""
        return self._out

    def failed(self, error: BaseException) -> None:
        """Notes an error; most say nothing of this machine."""
        part = part_of(error)
        if part is None:
            return
        why = (error.message if isinstance(error, RestyleError) else str(error))[:300]
        with self._lock:
            known = self._troubles.get(part)
            # One that has just come back need not fail so often again.
            failures = known.failures + 1 if known else FAILURES if self._rest else 1
            since = known.since if known else self._clock() - (self.patience if self._rest else 0.0)
            self._troubles[part] = Trouble(part, why, since, failures)
        self.concerned.set()

    def singled_out(self, error: RestyleError) -> None:
        """Notes that the API refuses this worker, as the fleet has seen by the others."""
        with self._lock:
            self._troubles["refused"] = Trouble("refused", error.message, self._clock())
        self.concerned.set()

    def worked(self, *parts: Part) -> None:
        """Notes that all is well with these: by real work, so that what was before counts no more."""
        if not self._troubles and not self._rest:
            return
        with self._lock:
            for part in parts:
                self._troubles.pop(part, None)
            if not self._troubles and not self._out:
                self._rest, self.is_alone = 0.0, False

    def checked(self, part: Part) -> None:
        """Notes that a check of its own succeeded: it may be tried again."""
        with self._lock:
            self._troubles.pop(part, None)

    @property
    def trouble(self) -> Trouble | None:
        """The trouble that has lasted longest."""
        with self._lock:
            return min(self._troubles.values(), key=lambda trouble: trouble.since, default=None)

    @property
    def troubles(self) -> dict[str, str]:
        """All that is amiss for longer than a blip, for the heartbeat."""
        now = self._clock()
        with self._lock:
            return {part: trouble.why for part, trouble in self._troubles.items() if trouble.lasts(now, self.patience)}

    def excuses(self, error: BaseException) -> bool:
        """Whether a call that was never sent says nothing of the API: a blip, or this worker's own trouble."""
        with self._lock:
            trouble = self._troubles.get("api")
        if trouble is None or part_of(error) != "api":
            return False
        return self.is_alone or not trouble.lasts(self._clock(), self.patience)

    @property
    def rests(self) -> bool:
        """Whether it is too early for another try."""
        return self._clock() - self._since < self._rest

    def leave(self, trouble: Trouble) -> None:
        """Goes out of rotation."""
        with self._lock:
            self._rest = min(2 * self._rest, LONGEST_REST) if self._rest else self.patience
            self._since, self._out = self._clock(), f"{_WHAT[trouble.part]}: {trouble.why}"

    def come_back(self) -> None:
        """Takes jobs again."""
        with self._lock:
            self._out = ""


_WHAT: dict[Part, str] = {
    "s3": "this worker alone cannot reach S3",
    "api": "this worker alone cannot reach the API",
    "clock": "this worker's clock is wrong",
    "refused": "the API refuses this worker alone",
}
