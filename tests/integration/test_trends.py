"""The points that pages draw trends of: few and evenly spread, however long a run takes; and the fleet's own log."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

import pytest

from restyle.coordination.claim_types import Limits
from restyle.coordination.fleet import Fleet
from restyle.coordination.redis.client import State
from restyle.coordination.runs import trends
from restyle.coordination.runs.events import events
from restyle.coordination.runs.trends import FleetPoint, RunPoint
from restyle.keys import Workspace

RUN = "20260101T000000Z-abcdef"


@pytest.fixture
def state(redis_url: str) -> Iterator[State]:
    """A client of a real Valkey."""
    state = State(redis_url, namespace=Workspace("s3://bucket/trends").namespace, account="trends")
    state.ask("FLUSHALL")
    yield state
    state.close()


def test_a_run_of_days_has_few_points_and_even_ones(state: State) -> None:
    """Looked at every five seconds for two days, a run keeps 120 to 240 points that span all of it."""
    looks = 0
    for second in range(0, 2 * 86400, 300):
        trends.note_runs(state, {RUN: RunPoint(1e9 + second, second, 0, 0.0, None)})
        trends.note_runs(state, {RUN: RunPoint(1e9 + second + 1, second, 0, 0.0, None)})  # too soon to tell anything
        looks += 1
    points = trends.read(RunPoint, state.ask(*trends.ask_run(state, RUN)))
    assert trends.OF_A_RUN <= len(points) <= 2 * trends.OF_A_RUN < looks
    assert points[0].at == pytest.approx(1e9, abs=2)
    assert points[-1].at == pytest.approx(1e9 + 2 * 86400, abs=1500)
    gaps = [after.at - before.at for before, after in itertools.pairwise(points)]
    assert max(gaps) <= 3 * min(gaps)
    assert state.ask("TTL", state.key("run", RUN, "trend")) > 0


def test_the_fleet_keeps_an_hour(state: State) -> None:
    """The fleet's own points are those of the last hour."""
    for number in range(trends.OF_THE_FLEET + 30):
        trends.note_fleet(state, FleetPoint(1e9 + number * 5, 9.5, 0.5, 10, 1, 0, 0, 8.0))
    points = trends.read(FleetPoint, state.ask(*trends.ask_fleet(state)))
    assert len(points) == trends.OF_THE_FLEET
    assert points[-1].at - points[0].at == pytest.approx(3600, abs=10)


def test_what_the_fleet_does_by_itself_is_written_down(state: State) -> None:
    """A suspension that no person made has its line in the fleet's log, once, with the reason and by whom."""
    fleet = Fleet(state, Limits(), worker="w1")
    assert fleet.suspend("no_credits", "the API answers 406: «zu wenig»", "w1")
    assert not fleet.suspend("no_credits", "again", "w2")
    assert fleet.suspend("operator", "suspended by anna", "anna")
    (event,) = events(state, None)
    assert (event.what, event.by) == ("suspended", "w1")
    assert event.detail == "no_credits: the API answers 406: «zu wenig»"
    assert abs(event.at.timestamp() - time.time()) < 60
