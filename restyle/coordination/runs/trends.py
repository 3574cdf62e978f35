"""How a run and the fleet have fared over time: a short list of points each in Redis, for whoever draws them.

Written by the dispatcher every few seconds, read by the dashboard. Like the events a convenience for readers: nothing
is decided by it, and a Redis that was lost takes it along.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from math import isfinite
from typing import NamedTuple, TypeVar

from restyle.coordination.redis.client import State
from restyle.coordination.redis.hints import read_json
from restyle.coordination.runs.progress import REMEMBER_ENDED

#: Seconds between two points.
EVERY = 5.0
#: Points of a run: where there are twice as many, every other one is left out, so that they span all of it evenly.
OF_A_RUN = 120
#: Points of the fleet: its last hour.
OF_THE_FLEET = 720


class RunPoint(NamedTuple):
    """A run at one moment, in Unix seconds."""

    at: float
    done: int
    failed: int
    credits: float
    left: float | None


class FleetPoint(NamedTuple):
    """The fleet at one moment, in Unix seconds: its last minute of calls, and what a workspace has spent this month."""

    at: float
    left: float | None
    spent: float
    calls: int
    broken: int
    limited: int
    lost: int
    median: float | None


P = TypeVar("P", RunPoint, FleetPoint)


def ask_run(state: State, run_id: str) -> tuple[str, str, int, int]:
    """The command that asks for a run's points, to be sent along with others."""
    return ("LRANGE", _run_key(state, run_id), 0, -1)


def ask_fleet(state: State) -> tuple[str, str, int, int]:
    """The command that asks for the fleet's points."""
    return ("LRANGE", state.key("trend"), -OF_THE_FLEET, -1)


def read(kind: type[P], texts: Iterable[str]) -> list[P]:
    """What these commands answer, as values, oldest first; what is no point is passed over."""
    points = (read_json(text) for text in texts)
    return [kind(*point) for point in points if isinstance(point, list) and _is_point(kind, point)]


def _is_point(kind: type[P], point: list[object]) -> bool:
    """Whether a list has as many numbers as the kind has fields; of some, nobody knows the number."""
    is_number = (value is None or (isinstance(value, (int, float)) and isfinite(value)) for value in point)
    return len(point) == len(kind._fields) and all(is_number) and point[0] is not None


def note_fleet(state: State, point: FleetPoint) -> None:
    """Adds a point of the fleet."""
    key, hour = state.key("trend"), round(EVERY * OF_THE_FLEET)
    state.ask_all(("RPUSH", key, json.dumps(point)), ("LTRIM", key, -OF_THE_FLEET, -1), ("EXPIRE", key, hour))


def note_runs(state: State, points: dict[str, RunPoint]) -> None:
    """Adds a point to each run that is due for one."""
    ends = [command for run_id in points for end in (0, -1) for command in [("LINDEX", _run_key(state, run_id), end)]]
    answers = iter(state.ask_all(*ends))
    added = []
    for (run_id, point), first, last in zip(points.items(), answers, answers, strict=True):
        ends_at = [points_[0].at if (points_ := read(RunPoint, filter(None, [end]))) else None for end in (first, last)]
        if is_due(point.at, *ends_at):
            added.append(run_id)
    if not added:
        return
    counts = state.ask_all(*(("RPUSH", _run_key(state, run_id), json.dumps(points[run_id])) for run_id in added))
    state.ask_all(*(("EXPIRE", _run_key(state, run_id), REMEMBER_ENDED) for run_id in added))
    for run_id, count in zip(added, counts, strict=True):
        if count > 2 * OF_A_RUN:
            key = _run_key(state, run_id)
            texts = state.ask("LRANGE", key, 0, -1)
            state.ask_all(("DEL", key), ("RPUSH", key, *thinned(texts)), ("EXPIRE", key, REMEMBER_ENDED))


def is_due(now: float, first: float | None, last: float | None) -> bool:
    """Whether a run's next point has come: the longer it has lasted, the further apart they lie."""
    if first is None or last is None:
        return True
    return now - last >= max(EVERY * 0.9, (last - first) / (2 * OF_A_RUN))


def thinned(texts: list[str]) -> list[str]:
    """Every other point, the first and the last among them."""
    return [*texts[:-1:2], texts[-1]]


def _run_key(state: State, run_id: str) -> str:
    return state.key("run", run_id, "trend")
