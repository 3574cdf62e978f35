"""What a 429 holds: on a real Valkey by a clock of the test's own, so that a quarter of an hour passes at once."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from restyle.coordination.claim_types import Claim, Limits
from restyle.coordination.fleet import Fleet
from restyle.coordination.runs.progress import Progress
from restyle.errors import ApiUnavailable, RateLimited
from restyle.http.retry_after import MOST
from tests.acceptance.test_rate import busiest
from tests.integration.test_fleet import DONE, RUN, WORKSPACE, a_message, a_run
from tests.support.timelapse import Timelapse

#: Calls that a fleet has in flight when it meets the limit.
IN_FLIGHT = 8


@pytest.fixture
def state(redis_url: str) -> Iterator[Timelapse]:
    """A Valkey whose scripts go by the test's clock."""
    state = Timelapse(redis_url, namespace=WORKSPACE.namespace, account="account")
    yield state
    state.close()


@pytest.fixture
def fleet(state: Timelapse) -> Fleet:
    """A worker with jobs in hand."""
    progress = Progress(state)
    progress.register(a_run(planned=100))
    assert progress.open_shard(RUN, 0, 100)
    fleet = Fleet(state, Limits(), worker="w1")
    fleet.heartbeat({})
    for index in range(IN_FLIGHT):
        fleet.take(a_message(index), str(index))
    return fleet


def ask(fleet: Fleet, index: int) -> Claim:
    """One claim."""
    return fleet.claim(a_message(index), str(index), looked=True, looked_at=time.monotonic())


def limited(fleet: Fleet, index: int, claim: Claim, wait: float | None) -> None:
    """A call is answered 429."""
    fleet.call_failed(a_message(index), str(index), claim, RateLimited("the API answers 429: slow down", wait))


def all_limited(fleet: Fleet, wait: float | None = None) -> None:
    """All calls that are out are answered so."""
    claims = [ask(fleet, index) for index in range(IN_FLIGHT)]
    assert {claim.verdict for claim in claims} == {"go"}
    for index, claim in enumerate(claims):
        limited(fleet, index, claim, wait)


def poll(state: Timelapse, fleet: Fleet, seconds: float, wait: float | None) -> list[float]:
    """Every job asks again and again, and each call is answered 429; when the calls began."""
    begun, began = [], state.now
    while state.now < began + seconds:
        for index in range(IN_FLIGHT):
            claim = ask(fleet, index)
            if claim.verdict == "go":
                begun.append(state.now)
                limited(fleet, index, claim, wait)
        state.go(0.25 if state.now < began + 20 else 4)
    return begun


@pytest.mark.parametrize(
    "wait", [None, MOST, *(pytest.param(wait, marks=pytest.mark.long) for wait in (0.0, 1.0, 30.0))]
)
def test_a_limit_that_never_lets_up_is_asked_seldom(state: Timelapse, fleet: Fleet, wait: float | None) -> None:
    """Never more than two calls a second, ever fewer of them, and one every quarter of an hour at least."""
    all_limited(fleet, wait)
    begun = poll(state, fleet, 1200, wait)
    assert busiest(begun, 1.0) <= 2
    assert busiest(begun, 60) <= 8
    gaps = [later - earlier for earlier, later in zip([0, *begun], [*begun, state.now], strict=True) if earlier]
    assert max(gaps) <= MOST + 5
    assert begun, "somebody asks"


def test_a_long_hold_is_told_and_ends_with_one_call(state: Timelapse, fleet: Fleet) -> None:
    """From a minute on people are told until when; then one call asks, and the others go as its answer is good."""
    all_limited(fleet, 600.0)
    held = fleet.held()
    assert held is not None
    assert held.reason == "held"
    assert held.until == pytest.approx(state.now + 600, abs=1)
    assert "held by the API until" in held.detail
    assert "slow down" in held.detail
    assert [found.reason for found in fleet.standing()] == ["held"]
    assert fleet.suspensions() == [], "it ends by itself"
    state.go(599)
    assert {ask(fleet, index).verdict for index in range(IN_FLIGHT)} == {"wait"}
    state.go(2)
    assert fleet.held() is None
    claims = [ask(fleet, index) for index in range(IN_FLIGHT)]
    assert [claim.verdict for claim in claims] == ["go", *["wait"] * (IN_FLIGHT - 1)]
    state.go(8)
    assert ask(fleet, 1).verdict == "wait", "one asks at a time"
    assert Progress(state).report(fleet, a_message(0), "0", DONE)
    assert {ask(fleet, index).verdict for index in range(1, IN_FLIGHT)} == {"go"}


def test_a_short_hold_is_not_told(fleet: Fleet) -> None:
    """A few seconds are the usual way of a rate limit."""
    all_limited(fleet, 5.0)
    assert fleet.held() is None


def test_holds_that_follow_each_other_are_told(state: Timelapse, fleet: Fleet) -> None:
    """However short each is: nobody has called well for more than a minute."""
    all_limited(fleet, 20.0)
    poll(state, fleet, 90, 20.0)
    held = fleet.held()
    assert held is not None
    assert held.until - held.since >= 60


def test_who_asks_and_dies_is_followed(state: Timelapse, fleet: Fleet) -> None:
    """A call whose end nobody tells does not hold the others for longer than a call may take."""
    all_limited(fleet, 120.0)
    state.go(121)
    assert ask(fleet, 0).verdict == "go"
    state.go(fleet.limits.api_timeout + 31)
    assert ask(fleet, 1).verdict == "go"


def test_an_answer_from_before_the_limit_lifts_nothing(state: Timelapse, fleet: Fleet) -> None:
    """A call that was out before the 429 and ends well tells nothing of the limit."""
    claims = [ask(fleet, index) for index in range(IN_FLIGHT)]
    state.go(1)
    limited(fleet, 0, claims[0], 120.0)
    assert Progress(state).report(fleet, a_message(1), "1", DONE)
    state.go(121)
    assert [ask(fleet, index).verdict for index in (0, 2)] == ["go", "wait"]


def test_resume_lets_everyone_ask(state: Timelapse, fleet: Fleet) -> None:
    """A person knows better; and an answer to a call from before holds nobody again."""
    claims = [ask(fleet, index) for index in range(IN_FLIGHT)]
    limited(fleet, 0, claims[0], 600.0)
    fleet.resume()
    limited(fleet, 1, claims[1], 600.0)
    assert fleet.held() is None
    assert {ask(fleet, index).verdict for index in range(IN_FLIGHT)} == {"go"}


def test_a_clock_that_is_set_back_holds_nobody_longer(state: Timelapse, fleet: Fleet) -> None:
    """A hold lasts as long as it was to last, by whatever clock; so does the wait of who asks after it."""
    all_limited(fleet, 30.0)
    state.go(-600)
    assert ask(fleet, 0).verdict == "wait"
    state.go(31)
    assert ask(fleet, 0).verdict == "go"
    state.go(-600)
    assert ask(fleet, 1).verdict == "go"


def test_an_outage_is_probed_in_time_by_a_clock_that_was_set_back(state: Timelapse, fleet: Fleet) -> None:
    """Its wait is not longer than it was to be; nor does a probe of before stand in the way."""
    for attempt in range(10):
        index = attempt % 5
        claim = ask(fleet, index)
        fleet.call_failed(a_message(index), str(index), claim, ApiUnavailable("500", 500))
    assert [found.reason for found in fleet.suspensions()] == ["outage"]
    assert not fleet.probe("job")
    state.go(-600)
    assert fleet.probe("job")


def test_a_low_priority_waits_for_nobody_of_the_future(state: Timelapse) -> None:
    """After the clock was set back, jobs of other priorities that "will" wait count as none."""
    progress = Progress(state)
    run = a_run(planned=100)
    progress.register(run.model_copy(update={"options": run.options.model_copy(update={"priority": "low"})}))
    assert progress.open_shard(RUN, 0, 100)
    fleet = Fleet(state, Limits(max_rpm=60), worker="w1")
    fleet.heartbeat({})
    fleet.take(a_message(0), "0")
    state.ask("HSET", f"{state.account}rate", "waits:0", round((state.now + 600) * 1000))
    assert ask(fleet, 0).verdict == "go"
