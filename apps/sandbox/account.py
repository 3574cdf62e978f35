"""The sandbox's account: credits are reserved at a call's start and charged with a good answer; and its counters."""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import dataclass, field

#: Most calls whose starting times are kept.
REMEMBERED = 20_000


@dataclass
class Account:
    """Balance and counters. Used from one event loop only, so each step is atomic."""

    balance: float
    reserved: float = 0.0
    calls: int = 0
    in_flight: int = 0
    peak: int = 0
    charged: int = 0
    charged_credits: float = 0.0
    by_status: Counter[str] = field(default_factory=Counter)
    #: Charged answers by the key of their call: a key with a count of 2 was paid twice.
    paid: Counter[str] = field(default_factory=Counter)
    begun: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    first_406: float | None = None
    #: Billed answers in which no picture can be found.
    spoiled: int = 0
    #: Requests for the balance.
    balance_asked: int = 0

    def begin(self) -> None:
        """Counts a call that begins."""
        self.calls += 1
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        self.begun.append(time.time())

    def end(self, status: str) -> None:
        """Counts a call that was answered."""
        self.in_flight -= 1
        self.by_status[status] += 1
        if status == "406" and self.first_406 is None:
            self.first_406 = time.time()

    def reserve(self, cost: float) -> bool:
        """Reserves a call's cost; False where the balance does not suffice."""
        if self.balance - self.reserved < cost - 1e-9:
            return False
        self.reserved += cost
        return True

    def release(self, cost: float) -> None:
        """Releases the cost of a call that failed."""
        self.reserved -= cost

    def charge(self, cost: float, key: str) -> None:
        """Bills a call."""
        self.reserved -= cost
        self.balance -= cost
        self.charged += 1
        self.charged_credits += cost
        self.paid[key] += 1

    def counters(self) -> dict[str, object]:
        """The counters that `/control` shows."""
        after = [at - self.first_406 for at in self.begun if self.first_406 is not None and at > self.first_406]
        return {
            "calls": self.calls,
            "in_flight": self.in_flight,
            "peak_in_flight": self.peak,
            "by_status": dict(self.by_status),
            "charged": self.charged,
            "spoiled": self.spoiled,
            "balance_asked": self.balance_asked,
            "charged_credits": round(self.charged_credits, 6),
            "balance": round(self.balance, 6),
            "paid": dict(self.paid),
            "begun": list(self.begun),
            "first_406": self.first_406,
            "begun_after_first_406": {"count": len(after), "latest": max(after, default=0.0)},
        }
