"""What a plan will take: calls, credits, dollars and time."""

from __future__ import annotations

from dataclasses import dataclass

from config.settings import Settings
from restyle.coordination.budgets import PRICED_STEPS

#: Seconds of a call, for estimates (research: about 8 s at 30 steps; the sandbox answers in half a second).
CALL_SECONDS, SANDBOX_SECONDS = 8.0, 0.5


@dataclass(frozen=True)
class Estimate:
    """What a plan will take."""

    calls: int
    samples: int
    credits: float
    dollars: float
    seconds: float
    at_most: bool
    """Jobs that turn out to be done already are free, and no listing says how many."""


def estimated(calls: int, samples: int, steps: int, settings: Settings) -> Estimate:
    """What so many calls will take, at most; steps are those of all samples."""
    credits = round(steps * settings.price / PRICED_STEPS, 6)
    rpm, seconds = settings.effective_max_rpm, SANDBOX_SECONDS if settings.sandbox else CALL_SECONDS
    busy = calls * seconds / settings.concurrency
    return Estimate(
        calls=calls,
        samples=samples,
        credits=credits,
        dollars=round(credits * settings.credit_price, 6),
        seconds=max(busy, calls * 60 / rpm + seconds) if rpm else busy,
        at_most=True,
    )


def pace(settings: Settings) -> float:
    """The seconds of a call, as many calls one after another and beside one another take them."""
    rpm, seconds = settings.effective_max_rpm, SANDBOX_SECONDS if settings.sandbox else CALL_SECONDS
    return max(seconds / settings.concurrency, 60 / rpm if rpm else 0)
