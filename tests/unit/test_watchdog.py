"""When a worker counts as stopped: decided from what was seen, without clocks and threads."""

from __future__ import annotations

from dataclasses import replace

import pytest

from workers.watchdog import Inspection, Patience

WELL = Inspection(at=0, turned=0, received=0, beaten=0, wanting=False)


def after(limit: float, looks: list[Inspection | float]) -> str:
    """What has stopped after these inspections; a number is a moment at which Redis was away."""
    patience, found = Patience(limit, 0), ""
    for look in looks:
        if isinstance(look, Inspection):
            found = patience.stopped(look)
        else:
            patience.away(look)
    return found


def looks(until: int, **signs: float) -> list[Inspection | float]:
    """An inspection each second of a worker of which these signs stand still; all others are fresh."""
    fresh = [{"turned": at, "received": at, "beaten": at, "wanting": True} for at in range(until + 1)]
    return [replace(WELL, at=at, **{**found, **signs}) for at, found in enumerate(fresh)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sign", "told"),
    [("turned", "Celery's loop"), ("beaten", "the heartbeat"), ("received", "the taking of messages")],
)
def test_a_sign_that_stays_away_tells_what_has_stopped(sign: str, told: str) -> None:
    """Each sign of life has the whole limit, and not a second more."""
    assert after(10, looks(10, **{sign: 0})) == ""
    assert after(10, looks(11, **{sign: 0})) == told


def test_a_worker_that_has_nothing_to_take_is_well() -> None:
    """No message for hours is no fault where none waits, all slots are busy, or the fleet is suspended."""
    assert after(10, looks(5000, received=0, wanting=False)) == ""


def test_wanting_counts_from_where_it_began() -> None:
    """After an idle night the first message has the whole limit to be taken."""
    idle, busy = looks(1000, received=0, wanting=False), looks(1011, received=0)
    assert after(10, [*idle, *busy[1001:1011]]) == ""
    assert after(10, [*idle, *busy[1001:1012]]) == "the taking of messages"


def test_redis_away_excuses_everybody() -> None:
    """While Redis is away nothing turns, beats or comes in; all have the whole limit from its return."""
    still = looks(40, turned=0, received=0, beaten=0)
    assert after(10, [*still[:9], 9.0, 20.0, *still[21:31]]) == ""
    assert after(10, [*still[:9], 9.0, 20.0, *still[21:32]]) == "Celery's loop"
