"""The day and the month that budgets count by: one clock, Redis's, and one time zone for the whole fleet.

The dispatcher writes them down, and only once what was spent in them before is known to Redis; until then a claim
under a budget of the day or the month waits. A period ends by Redis's clock, and the next one is written down.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from restyle.coordination.budgets import Budgets, Period
from restyle.coordination.redis.client import State


class Periods:
    """The periods of one workspace."""

    def __init__(self, state: State) -> None:
        self.state = state

    def in_force(self) -> tuple[str, str] | None:
        """The names of the day and of the month; None while what was spent in them is not known."""
        day, month = self.state.ask("HMGET", self.state.key("periods"), "day", "month")
        return (str(day), str(month)) if day and month else None

    def names(self, budgets: Budgets) -> tuple[str, str]:
        """The names of the day and of the month, for whoever shows them; by these budgets while none are in force."""
        day, month = budgets.periods()
        return self.in_force() or (day.name, month.name)

    def zone(self) -> str:
        """The fleet's time zone; empty where no dispatcher has written one down."""
        return str(self.state.ask("HGET", self.state.key("stock"), "zone") or "")

    def begin(self, own: str, of_workers: Iterable[str]) -> bool:
        """Writes down the day and the month in force; False where what was spent in them is not known yet.

        Args:
            own: the time zone of this process's settings.
            of_workers: those of the living workers. The fleet's stays while one of them has it.
        """
        zone = self.zone()
        if zone not in {own, *of_workers}:
            zone = own
        now = datetime.fromtimestamp(self.state.clock(), UTC)
        if zone == self.state.ask("HGET", self.state.key("periods"), "zone"):
            return True
        fields = {"zone": zone}
        for name, period in zip(("day", "month"), Budgets(zone=zone).periods(now), strict=True):
            began = _began(period, zone)
            fields |= {name: period.name, f"{name}_began": _ms(began), f"{name}_ends": _ms(period.ends)}
        return bool(self.state.run("periods", in_force=json.dumps(fields)))


def names_of(moment: datetime, zone: str) -> tuple[str, str]:
    """The day and the month that a moment is in."""
    day, month = Budgets(zone=zone).periods(moment)
    return day.name, month.name


def known_zone(name: str) -> str:
    """The zone's name, or UTC where this machine does not know it."""
    try:
        return ZoneInfo(name).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return "UTC"


def _began(period: Period, zone: str) -> datetime:
    """When a period began."""
    last = (period.ends - timedelta(days=1)).astimezone(ZoneInfo(zone))
    begin = last.replace(day=1) if period.name.count("-") == 1 else last
    return begin.replace(hour=0, minute=0)


def _ms(moment: datetime) -> str:
    return str(round(moment.timestamp() * 1000))
