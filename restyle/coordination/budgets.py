"""What may be spent: the price of a call as it is set aside before it, and the limits of a day and of a month.

Whether a call still fits is decided in restyle/coordination/lua/claim.lua.
"""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from restyle.models import Params

#: The API's price is for a sample of so many steps.
PRICED_STEPS = 30


def weight(params: Params) -> float:
    """A call's size in samples of 30 steps, which is what its price goes by."""
    return params.samples * params.num_inference_steps / PRICED_STEPS


@dataclass(frozen=True)
class Period:
    """A day or a month: its name, its budget in credits (0: none), and when it is over."""

    name: str
    budget: float
    ends: datetime


@dataclass(frozen=True)
class Budgets:
    """The limits of all runs of a workspace together, and what a call is taken to cost."""

    price: float = 0.02
    """Credits a sample of 30 steps, until a dearer one was seen."""
    ceiling: float = 0.0
    """Credits a sample of 30 steps that are set aside whatever was seen; 0: none."""
    least: float = 0.0
    """Credits to leave on the account."""
    daily: float = 0.0
    monthly: float = 0.0
    zone: str = "UTC"

    def periods(self, now: datetime | None = None) -> tuple[Period, Period]:
        """Today and this month, in the budgets' time zone."""
        return _periods(self, int((time.time() if now is None else now.timestamp()) // 60))


@functools.lru_cache(maxsize=8)
def _periods(budgets: Budgets, minute: int) -> tuple[Period, Period]:
    """Those that a minute since 1970 is in; days begin with a minute everywhere."""
    here = datetime.fromtimestamp(60 * minute, ZoneInfo(budgets.zone))
    midnight = here.replace(hour=0, minute=0)
    next_month = (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)
    return (
        Period(f"{here:%Y-%m-%d}", budgets.daily, midnight + timedelta(days=1)),
        Period(f"{here:%Y-%m}", budgets.monthly, next_month),
    )
