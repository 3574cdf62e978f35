"""The lines that the dashboard draws: few points, the newest among them, and no pace taken over next to nothing."""

from __future__ import annotations

import pytest

from apps.dashboard.pages.charts import HEIGHT, POINTS, chart, pace, spending
from apps.dashboard.pages.html import runs_parts
from apps.views.moment import Moment
from restyle.coordination.runs.trends import FleetPoint, RunPoint


def a_run(*points: tuple[float, int]) -> list[RunPoint]:
    """So many jobs done at these times."""
    return [RunPoint(at, done, 0, done * 0.02, None) for at, done in points]


def heights(points: str) -> list[float]:
    """How far above the bottom edge each point lies."""
    return [HEIGHT - float(pair.partition(",")[2]) for pair in points.split()]


def test_a_line_needs_two_points() -> None:
    """Where too little is known there is no line; what has no value is left out."""
    assert chart([]) is None
    assert chart([(1.0, 5.0)]) is None
    assert chart([(1.0, 5.0), (2.0, None)]) is None
    found = chart([(1.0, 5.0), (2.0, None), (61.0, 7.0)])
    assert found is not None
    assert (found.first, found.last, found.seconds) == (5.0, 7.0, 60.0)
    assert heights(found.points)[0] < heights(found.points)[1]


def test_the_first_page_names_the_command_that_was_typed() -> None:
    """Where no worker runs, the dashboard's own command with one, and of the sandbox where it is the sandbox's."""
    for is_sandbox, command in ((True, "restyle dashboard --worker --sandbox"), (False, "restyle dashboard --worker")):
        parts = runs_parts([Moment("live", 0.0)], [], 1, 1, embedded=True, sandbox=is_sandbox)
        assert f"<code>{command}</code>" in parts["runs"]


def test_many_points_become_few() -> None:
    """An hour of points is drawn with a few dozen, the newest among them."""
    found = chart([(float(at), float(at)) for at in range(0, 3600, 5)])
    assert found is not None
    assert len(found.points.split()) <= POINTS
    assert found.last == 3595.0


def test_nothing_lies_on_the_floor() -> None:
    """With a floor, a line of noughts lies at the bottom and one that stands still above it at the top."""
    for value, edge in ((0.0, "low"), (9.0, "high")):
        found = chart([(0.0, value), (60.0, value)], floor=0)
        assert found is not None
        assert all((height < HEIGHT / 2) == (edge == "low") for height in heights(found.points))


def test_a_pace_is_not_taken_over_a_moment() -> None:
    """A last point that follows at once, with no job more, is no standstill."""
    found = pace(a_run((0, 0), (5, 10), (10, 20), (10.1, 20)))
    assert [round(rate) for _, rate in found] == [120, 118]
    assert pace(a_run((0, 0), (1, 10))) == []


def test_a_new_month_costs_nothing_back() -> None:
    """Where the month's sum begins anew, the spending is nought rather than negative."""
    points = [FleetPoint(at, None, spent, 0, 0, 0, 0, None) for at, spent in ((0, 9.0), (60, 9.6), (120, 0.2))]
    assert [rate for _, rate in spending(points)] == [pytest.approx(0.6), 0.0]
