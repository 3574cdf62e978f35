"""When a worker stands aside: it alone is in trouble, for longer than a blip, or its clock is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from restyle.coordination.rotation import LONGEST_REST, Part, Rotation, Trouble, is_to_leave, is_well, part_of
from restyle.errors import ApiTimeout, ApiUnavailable, ClockSkewed, OutOfCredits, RestyleError, StoreUnavailable

PATIENCE = 5.0
AWAY = StoreUnavailable("S3 cannot be reached")
WELL: dict[str, Any] = {"taken": 3, "troubles": {}, "out": ""}


class Clock:
    """A clock that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock."""
    return Clock()


@pytest.fixture
def rotation(clock: Clock) -> Rotation:
    """A worker that is in rotation."""
    return Rotation(PATIENCE, clock)


@pytest.mark.parametrize(
    ("error", "part"),
    [
        (AWAY, "s3"),
        (ClockSkewed(), "clock"),
        (ApiUnavailable("no such host"), "api"),
        (ApiUnavailable("500", 500), None),
        (ApiTimeout("lost", in_doubt=True), "api"),
        (ApiTimeout("408", 408), None),
        (OutOfCredits("406", 406), None),
        (ValueError(), None),
    ],
)
def test_only_what_did_not_get_through_is_a_workers_own(error: Exception, part: Part | None) -> None:
    """An answer, whatever it says, is proof of a way."""
    assert part_of(error) == part


@pytest.mark.parametrize(
    ("beat", "well"),
    [
        (WELL, True),
        ({}, True),
        ({**WELL, "draining": True}, False),
        ({**WELL, "out": "this worker's clock is wrong"}, False),
        ({**WELL, "troubles": {"s3": "away"}}, False),
        ({**WELL, "troubles": {"api": "away"}}, True),
    ],
)
def test_another_worker_is_well_where_it_takes_jobs_and_has_no_such_trouble(beat: dict[str, Any], well: bool) -> None:
    """One of an older version, which says nothing of troubles, counts as well."""
    assert is_well(beat, "s3") is well


def trouble(part: Part = "s3", *, ago: float = 6.0, failures: int = 3) -> Trouble:
    """A trouble that has lasted for so long."""
    return Trouble(part, "why", 100.0 - ago, failures)


@pytest.mark.parametrize(
    ("found", "peers", "leaves"),
    [
        (None, [WELL], False),
        (trouble(), [WELL], True),
        (trouble(), [], False),
        (trouble(), [{**WELL, "troubles": {"s3": "away"}}, {**WELL, "out": "S3"}], False),
        (trouble(), [{**WELL, "troubles": {"s3": "away"}}, WELL], True),
        (trouble(ago=1), [WELL], False),
        (trouble(failures=2), [WELL], False),
        (trouble("clock", ago=0, failures=1), [], True),
        (trouble("refused", ago=0, failures=1), [WELL], True),
        (trouble("refused", ago=0, failures=1), [], False),
    ],
)
def test_a_worker_leaves_where_others_can_do_its_jobs(
    found: Trouble | None, peers: list[dict[str, Any]], leaves: bool
) -> None:
    """Where all are in the same trouble nobody leaves: the fleet sits it out."""
    assert is_to_leave(found, peers, now=100.0, patience=PATIENCE) is leaves


def fail(rotation: Rotation, error: RestyleError, times: int = 3) -> None:
    """The same error again and again."""
    for _ in range(times):
        rotation.failed(error)


def test_a_blip_is_told_to_nobody(rotation: Rotation, clock: Clock) -> None:
    """Others do not hold one failure against a worker; success ends a trouble."""
    fail(rotation, AWAY)
    assert rotation.troubles == {}
    clock.now += PATIENCE + 1
    assert rotation.troubles == {"s3": AWAY.message}
    rotation.worked("api")
    assert rotation.trouble is not None
    rotation.worked("s3")
    assert rotation.trouble is None


def test_each_try_that_ends_alike_is_followed_by_a_longer_rest(rotation: Rotation, clock: Clock) -> None:
    """A check that passes and work that fails again: out ever longer, up to five minutes, until work succeeds."""
    rests = []
    lost = ApiTimeout("lost", in_doubt=True)
    fail(rotation, lost)
    clock.now += PATIENCE
    for _ in range(8):
        found = rotation.trouble
        assert found is not None
        assert found.lasts(clock.now, PATIENCE)
        rotation.leave(found)
        assert rotation.out
        began = clock.now
        while rotation.rests:
            clock.now += 1
        rests.append(clock.now - began)
        rotation.checked("api")
        rotation.come_back()
        assert not rotation.out
        rotation.failed(lost)  # one is enough now
    assert rests == [PATIENCE, 10, 20, 40, 80, 160, LONGEST_REST, LONGEST_REST]
    rotation.checked("api")
    rotation.worked("api")
    rotation.failed(lost)
    assert rotation.trouble is not None
    assert not rotation.trouble.lasts(clock.now, PATIENCE)


def test_what_was_never_sent_is_excused_where_it_may_be_this_worker(rotation: Rotation, clock: Clock) -> None:
    """A blip says nothing of the API, nor does the trouble of one alone; a lasting one that all have does."""
    away = ApiUnavailable("no such host")
    fail(rotation, away)
    assert rotation.excuses(away)
    clock.now += PATIENCE + 1
    assert not rotation.excuses(away)
    rotation.is_alone = True
    assert rotation.excuses(away)
    assert not rotation.excuses(ApiUnavailable("500", 500))
