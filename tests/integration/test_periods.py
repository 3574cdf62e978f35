"""Days and months of budgets: one clock and one time zone for the fleet, and no claim before their sums are known."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from restyle.coordination.budgets import Budgets
from restyle.coordination.claim_types import Limits
from restyle.coordination.fleet import Fleet
from restyle.coordination.periods import Periods, names_of
from restyle.coordination.redis.client import State
from restyle.coordination.runs.progress import Progress
from tests.integration.test_fleet import DONE, RUN, WORKSPACE, a_message, a_run
from tests.support.holding import hold


@pytest.fixture
def state(redis_url: str) -> Iterator[State]:
    """A client of a real Valkey."""
    state = State(redis_url, namespace=WORKSPACE.namespace, account="account")
    hold(state)
    yield state
    state.close()


@pytest.fixture
def worker(state: State) -> Callable[[str], Fleet]:
    """Makes workers with a budget of two credits a day, each with the time zone of its settings."""
    progress = Progress(state)
    progress.register(a_run())
    assert progress.open_shard(RUN, 0, 10)

    def make(zone: str) -> Fleet:
        fleet = Fleet(state, Limits(budgets=Budgets(price=1.0, daily=2.0, zone=zone)), worker=f"in {zone}")
        fleet.heartbeat({})
        return fleet

    return make


def claim(fleet: Fleet, index: int) -> str:
    """The verdict of one claim."""
    message = a_message(index)
    fleet.take(message, f"t{index}")
    return fleet.claim(message, f"t{index}", looked=True, looked_at=time.monotonic()).verdict


def take_stock(state: State) -> None:
    """As the reconciler does once it has summed."""
    state.ask("HSET", state.key("stock"), "server", "this one")


def test_a_claim_waits_until_the_sums_are_known(state: State, worker: Callable[[str], Fleet]) -> None:
    """A Redis that is new grants no call under a budget of the day; one that has taken stock does."""
    fleet, periods = worker("UTC"), Periods(state)
    assert claim(fleet, 0) == "wait"
    assert not periods.begin("UTC", [])
    assert fleet.claim(a_message(0), "t0", looked=True, looked_at=time.monotonic()).verdict == "wait"
    take_stock(state)
    assert periods.begin("UTC", [])
    assert fleet.claim(a_message(0), "t0", looked=True, looked_at=time.monotonic()).verdict == "go"


def test_workers_of_two_time_zones_have_one_day(state: State, worker: Callable[[str], Fleet]) -> None:
    """Where one has tomorrow by now and another today: they share the two credits of the fleet's own day."""
    take_stock(state)
    assert Periods(state).begin("Pacific/Kiritimati", [])
    east, west = worker("Pacific/Kiritimati"), worker("Pacific/Niue")
    assert [period.name for period in east.limits.budgets.periods()] != [
        period.name for period in west.limits.budgets.periods()
    ]
    assert (claim(east, 0), claim(west, 1)) == ("go", "go")
    for fleet, index in ((east, 0), (west, 1)):
        assert Progress(state).report(fleet, a_message(index), f"t{index}", _cost(1.0))
    day, month = names_of(datetime.now(UTC), "Pacific/Kiritimati")
    assert [float(state.ask("GET", state.key("spent", name))) for name in (day, month)] == [2.0, 2.0]
    with pytest.raises(Exception, match="suspended"):
        claim(west, 2)
    [standing] = Progress(state).suspensions(RUN)
    assert standing.until > time.time(), "it goes on when the fleet's day is over"


def test_the_fleets_zone_stays_as_long_as_a_worker_has_it(state: State) -> None:
    """A dispatcher with another setting changes nothing; with the last worker of the old zone gone, its own counts."""
    take_stock(state)
    periods = Periods(state)
    assert periods.begin("Europe/Berlin", [])
    assert periods.begin("UTC", ["UTC", "Europe/Berlin"])
    assert periods.zone() == "Europe/Berlin"
    assert periods.begin("UTC", ["UTC"])
    assert periods.zone() == "UTC"
    assert periods.in_force() == names_of(datetime.now(UTC), "UTC")


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/Sao_Paulo", "Pacific/Kiritimati"])
def test_a_period_ends_by_redis_clock(state: State, zone: str) -> None:
    """What is written down lasts to the end of the day there, and is gone then."""
    take_stock(state)
    Periods(state).begin(zone, [])
    left = state.ask("PTTL", state.key("periods")) / 1000
    ends = datetime.fromtimestamp(state.clock() + left, UTC)
    day, _ = names_of(ends - timedelta(minutes=1), zone)
    after, _ = names_of(ends + timedelta(minutes=1), zone)
    assert Periods(state).in_force()[0] == day != after  # type: ignore[index] # it is in force
    found = state.ask("HGETALL", state.key("periods"))
    assert float(found["day_began"]) <= state.clock() * 1000 < float(found["day_ends"]) <= float(found["month_ends"])
    assert float(found["month_began"]) <= float(found["day_began"])


def _cost(credits: float):  # type: ignore[no-untyped-def] # an Ended
    return type(DONE)(DONE.outcome.model_copy(update={"credits": credits}), calls=1, wrote_record=True)
