"""Has what is published follow the marks of a run's review; the command and the page do it alike."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace

from apps.session import Session
from producers.runs.review.marks import Marks
from producers.runs.review.withdrawal import Move, Withdrawal
from restyle.errors import ConfigurationError
from restyle.models import Run

#: Two who press at once: the second finds the pictures where they should be.
_ONE_AT_A_TIME = threading.Lock()


def follow_marks(here: Session, run: Run, by: str) -> Counter[Move]:
    """Takes out what is marked reject, puts back what was taken out and is marked keep, and writes down who did it.

    Raises:
        ConfigurationError: the run is a trial, of which nothing is published.
        StoreUnavailable, StoreAccessDenied, StateUnavailable: not all of it is done; doing it again goes on.
        WorkspaceHeld: another Redis holds the workspace.
    """
    if run.trial:
        raise ConfigurationError(f"run {run.run_id} is a trial: nothing of it is published")
    control = replace(here.control, by=by)
    with _ONE_AT_A_TIME:
        control.hold()
        marks = Marks(run.run_id, here.store, here.workspace).standing()
        withdrawal = Withdrawal(run, here.store, here.workspace, lambda job_id: bool(here.fleet.lease(job_id)))
        moves = withdrawal.follow(here.rows(run), marks)
    if changed := in_words(Counter({move: moves[move] for move in (Move.WITHDRAWN, Move.RESTORED) if moves[move]})):
        control.note(run.run_id, "followed its marks", changed)
    return moves


def in_words(moves: Counter[Move]) -> str:
    """What became of the pictures: `2 withdrawn · 1 put back`."""
    return " · ".join(f"{moves[move]:,} {move.value}" for move in Move if moves[move])
