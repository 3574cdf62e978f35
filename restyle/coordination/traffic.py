"""How the API has answered lately: how many calls ended in the last minute, how, and how long the good ones took.

Each worker counts its own and its heartbeat carries them, so that the fleet's figures cost Redis nothing more.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum

from restyle.errors import RateLimited, RestyleError, TransientError

#: Seconds that are reported, and of which they are made.
WINDOW, SLICE = 60.0, 5.0
#: Times are counted in steps of five per cent: exact enough to be read, and few enough to be sent.
_STEP = math.log(1.05)


class Kind(StrEnum):
    """How a call ended."""

    GOOD = "good"
    LIMITED = "429"
    BROKEN = "5xx"
    LOST = "lost"
    """No answer, or none that can be used."""
    REFUSED = "refused"
    """The request, the key or the account, as the API sees it."""


def kind_of(error: RestyleError | None) -> Kind:
    """How a call ended, by its error."""
    match error:
        case None:
            return Kind.GOOD
        case RateLimited():
            return Kind.LIMITED
        case TransientError() if (error.http_status or 0) >= 500:
            return Kind.BROKEN
        case TransientError():
            return Kind.LOST
    return Kind.REFUSED


@dataclass(frozen=True)
class Answers:
    """Calls that ended within a minute; those of several workers add up."""

    kinds: Counter[str] = field(default_factory=Counter)
    #: Good calls by how long they took, in steps.
    steps: Counter[int] = field(default_factory=Counter)

    @property
    def calls(self) -> int:
        """All of them."""
        return self.kinds.total()

    def share(self, kind: Kind) -> float | None:
        """Which part of the calls ended so; None where there was no call."""
        return self.kinds[kind] / self.calls if self.calls else None

    def within(self, share: float) -> float | None:
        """Seconds within which this part of the good calls was answered; None where there was none."""
        remaining = share * self.steps.total()
        for step in sorted(self.steps):
            remaining -= self.steps[step]
            if remaining <= 1e-9:
                return math.exp(step * _STEP)
        return None

    def __add__(self, other: Answers) -> Answers:
        return Answers(self.kinds + other.kinds, self.steps + other.steps)

    def as_dict(self) -> dict[str, dict[str, int]]:
        """As a heartbeat carries them."""
        return {"kinds": dict(self.kinds), "steps": {str(step): count for step, count in self.steps.items()}}

    @classmethod
    def read(cls, state: Mapping[str, Mapping[str, int]]) -> Answers:
        """What a heartbeat carries."""
        steps = {int(step): int(count) for step, count in state.get("steps", {}).items()}
        return cls(Counter(state.get("kinds", {})), Counter(steps))


class Traffic:
    """The calls of this process; safe to share among threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._slices: dict[int, Answers] = {}

    def note(self, kind: Kind, seconds: float) -> None:
        """Counts a call that has just ended."""
        with self._lock:
            answers = self._slices.setdefault(int(self._clock() / SLICE), Answers())
            answers.kinds[kind] += 1
            if kind is Kind.GOOD:
                answers.steps[round(math.log(max(seconds, 0.001)) / _STEP)] += 1

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Counts the call that is made within."""
        began = self._clock()
        try:
            yield
        except RestyleError as error:
            self.note(kind_of(error), self._clock() - began)
            raise
        self.note(Kind.GOOD, self._clock() - began)

    def last_minute(self) -> Answers:
        """What ended within the last minute."""
        with self._lock:
            first = int((self._clock() - WINDOW) / SLICE) + 1
            self._slices = {number: answers for number, answers in self._slices.items() if number >= first}
            return sum(self._slices.values(), Answers())
