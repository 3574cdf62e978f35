"""Which suspensions a command that follows a run sits out, and at which it ends: a person is needed."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import cast

import pytest

from apps.cli.runs.follow import needs_person
from apps.session import Session
from producers.runs.snapshot import Snapshot
from restyle.models import Run

HERE = cast("Session", SimpleNamespace(settings=SimpleNamespace(max_outage=600.0)))
RUN = cast("Run", SimpleNamespace(wait_credits=False))


@pytest.mark.parametrize(
    ("reason", "seconds", "needs"),
    [
        ("held", 3000, False),  # by a 429: the API is asked again when its time is up
        ("outage", 300, False),
        ("outage", 3000, True),
        ("workspace_held", 0, True),
        ("no_credits", 0, True),
        ("unauthorized", 0, True),
        ("budget", 0, True),
        ("awaiting_approval", 0, True),
        ("operator", 0, True),
    ],
)
def test_what_is_sat_out(reason: str, seconds: float, needs: bool) -> None:
    """What ends by itself is waited for, an outage for as long as it may last; all else takes a person."""
    since = datetime.fromtimestamp(time.time() - seconds, UTC)
    now = cast("Snapshot", SimpleNamespace(suspension=SimpleNamespace(reason=reason, since=since)))
    assert needs_person(now, RUN, HERE, time.time() - seconds) is needs


def test_a_run_that_moves() -> None:
    """Nothing stands."""
    assert not needs_person(cast("Snapshot", SimpleNamespace(suspension=None)), RUN, HERE, time.time())
