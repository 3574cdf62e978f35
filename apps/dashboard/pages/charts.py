"""Trends as lines of a few dozen points, which the templates draw as SVG; pure."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from restyle.coordination.runs.trends import FleetPoint, RunPoint

#: Points of a line; a chart is as wide as a word or two.
POINTS = 48
#: The drawing's own size; the page stretches it.
WIDTH, HEIGHT = 100.0, 24.0

Pairs = list[tuple[float, float]]
#: Seconds between two points that a pace is taken from; over less it would jump.
APART = 4.0


@dataclass(frozen=True)
class Chart:
    """A line ready to be drawn, and what it says in words."""

    points: str
    first: float
    last: float
    seconds: float


def chart(pairs: Sequence[tuple[float, float | None]], *, floor: float | None = None) -> Chart | None:
    """The line through these (time, value) pairs; None where they are too few for one.

    Args:
        pairs: oldest first; those without a value are left out.
        floor: the value of the bottom edge; without it the least one is.
    """
    known = _fewer([(at, value) for at, value in pairs if value is not None])
    if len(known) < 2 or known[-1][0] <= known[0][0]:
        return None
    begin, end = known[0][0], known[-1][0]
    values = [value for _, value in known]
    low = min(values) if floor is None else min(floor, *values)
    high = max(values)
    rise = (high - low) or 1.0
    level = 0.5 if floor is None and high == low else 0.0
    points = " ".join(
        f"{(at - begin) / (end - begin) * WIDTH:.1f},{HEIGHT - 1 - (level + (value - low) / rise) * (HEIGHT - 2):.1f}"
        for at, value in known
    )
    return Chart(points, values[0], values[-1], end - begin)


def pace(points: Sequence[RunPoint]) -> Pairs:
    """Jobs a minute between two points each."""
    return _a_minute([(point.at, float(point.done)) for point in points])


def spending(points: Sequence[FleetPoint]) -> Pairs:
    """Credits a minute between two points each; a new month begins at nothing again."""
    return _a_minute([(point.at, point.spent) for point in points])


def _a_minute(pairs: Pairs) -> Pairs:
    wide: Pairs = []
    for pair in reversed(pairs):  # so that the newest counts, however soon it follows the one before
        if not wide or wide[-1][0] - pair[0] >= APART:
            wide.append(pair)
    return [
        (after, max(0.0, now - then) / (after - before) * 60)
        for (before, then), (after, now) in itertools.pairwise(_fewer(wide[::-1]))
    ]


def _fewer(pairs: Pairs) -> Pairs:
    """At most so many points, the newest among them."""
    step = -(-len(pairs) // POINTS)
    return pairs[::-1][::step][::-1] if step > 1 else pairs
