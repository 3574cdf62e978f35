"""Writes points of the trends of runs and fleet, every few seconds; part of the dispatcher, so that one worker does."""

from __future__ import annotations

import time

from restyle.coordination.periods import Periods
from restyle.coordination.runs import trends
from restyle.coordination.runs.registry import Totals, legible
from restyle.coordination.traffic import Answers, Kind
from tasks.resources import Resources


class Trends:
    """The writer of the trends."""

    def __init__(self, resources: Resources) -> None:
        self._state = resources.state
        self._fleet = resources.tools.fleet
        self._progress = resources.progress
        self._noted = float("-inf")

    def note(self) -> None:
        """Writes a point for the fleet and one for each unfinished run, where they are due."""
        if time.monotonic() - self._noted < trends.EVERY:
            return
        self._noted = time.monotonic()
        runs, state = self._progress.unfinished(), self._state
        _, month = Periods(state).names(self._fleet.limits.budgets)
        left, spent, *run_hashes = state.ask_all(
            ("HGET", f"{state.account}rate", "credits"), ("GET", state.key("spent", month)),
            *(("HGETALL", state.key("run", run_id)) for run_id in runs),
        )  # fmt: skip
        now, credits = state.clock(), None if left is None else float(left)
        answers = sum((Answers.read(beat.get("api", {})) for beat in self._beats()), Answers())
        kinds = answers.kinds
        trends.note_fleet(
            state,
            trends.FleetPoint(
                at=round(now, 1), left=credits, spent=float(spent or 0), calls=answers.calls, broken=kinds[Kind.BROKEN],
                limited=kinds[Kind.LIMITED], lost=kinds[Kind.LOST], median=answers.within(0.5),
            ),
        )  # fmt: skip
        moving = {
            run_id: totals for run_id, run_hash in zip(runs, run_hashes, strict=True) if (totals := legible(run_hash))
        }
        trends.note_runs(state, {run_id: point(now, totals, credits) for run_id, totals in moving.items()})

    def _beats(self) -> list[dict[str, dict[str, dict[str, int]]]]:
        return [beat for beat in self._fleet.workers().values() if beat is not None]  # type: ignore[misc] # JSON


def point(now: float, totals: Totals, left: float | None) -> trends.RunPoint:
    """A point of a run's trend, now."""
    return trends.RunPoint(round(now, 1), totals.planned - totals.pending, totals.failed, totals.credits, left)
