"""The table of what follows an error."""

from __future__ import annotations

from typing import Literal

import pytest

from restyle import errors
from restyle.coordination.claim_types import Storm
from restyle.errors import RestyleError
from restyle.retries import Decision, Fail, Policy, Release, Retry, decide

FIRST = Storm(used=1, doubts=0, running=False)
LAST = Storm(used=5, doubts=0, running=False)
LAST_IN_STORM = Storm(used=5, doubts=0, running=True)
DOUBTED = Storm(used=1, doubts=1, running=False)
DOUBTED_TWICE = Storm(used=2, doubts=2, running=False)
STOPPED = Storm(used=1, doubts=0, running=False, stopped=True)
IN_QUESTION = Storm(used=0, doubts=0, running=False, in_question=True)
LOST = errors.ApiTimeout("lost", in_doubt=True)
PAID_TWICE = errors.MalformedResponse("JSON of an unknown shape", 200)
PAID_TWICE.is_last = True


@pytest.mark.parametrize(
    ("error", "storm", "in_doubt", "expected"),
    [
        (errors.InputNotFound(), FIRST, "retry", Fail("input_not_found")),
        (errors.InvalidImage(), FIRST, "retry", Fail("invalid_image")),
        (errors.RequestRejected(), FIRST, "retry", Fail("request_rejected")),
        (errors.OutOfCredits(), LAST, "retry", Release()),
        (errors.Unauthorized(), FIRST, "retry", Release()),
        (errors.Misconfigured(), FIRST, "retry", Release()),
        (errors.StoreAccessDenied(), FIRST, "retry", Release()),
        (errors.RateLimited(), LAST, "retry", Retry(0.0)),
        (errors.RequestRejected(), STOPPED, "retry", Release()),
        (errors.OutOfCredits(), STOPPED, "retry", Release()),
        (errors.OutOfCredits(), IN_QUESTION, "retry", Retry),
        (errors.ClockSkewed(), LAST, "retry", Release()),
        (errors.ApiUnavailable("500", 500), FIRST, "retry", Retry),
        (errors.ApiUnavailable("500", 500), LAST, "retry", Fail("api_unavailable")),
        (errors.ApiUnavailable("500", 500), LAST_IN_STORM, "retry", Release(restore_attempts=True)),
        (errors.ApiUnavailable("no such host"), LAST, "retry", Retry),
        (errors.MalformedResponse(), FIRST, "retry", Retry),
        (errors.MalformedResponse(), LAST, "retry", Fail("unreadable")),
        (PAID_TWICE, FIRST, "retry", Fail("unreadable")),
        (PAID_TWICE, LAST_IN_STORM, "retry", Fail("unreadable")),
        (errors.RequestFailed(), FIRST, "retry", Retry),
        (errors.RequestFailed(), DOUBTED_TWICE, "retry", Fail("request_failed")),
        (errors.RequestLost(), DOUBTED, "hold", Fail("in_doubt")),
        (errors.ResultGone(), FIRST, "retry", Fail("result_gone")),
        (LOST, DOUBTED, "retry", Retry),
        (LOST, DOUBTED_TWICE, "retry", Fail("in_doubt")),
        (LOST, DOUBTED, "hold", Fail("in_doubt")),
        (errors.StoreUnavailable(), LAST, "retry", Retry),
        (errors.StateUnavailable(), LAST, "retry", Retry),
    ],
)
def test_each_error_has_its_consequence(
    error: RestyleError, storm: Storm, in_doubt: str, expected: Decision | type[Retry]
) -> None:
    """Every branch of the error tree leads to one decision, whatever the attempts."""
    policy = Policy(max_attempts=5, in_doubt="hold" if in_doubt == "hold" else "retry")
    decision = decide(error, storm=storm, waits=0, policy=policy)
    if isinstance(expected, type):
        assert isinstance(decision, expected)
    else:
        assert decision == expected


def test_what_fails_again_and_again_without_a_call_ends() -> None:
    """No error but an S3, a Redis or an API that is out of reach may repeat itself for ever, whoever raised it."""
    policy, unused = Policy(max_attempts=5), Storm(used=0, doubts=0, running=False)
    for error in (errors.MalformedResponse(), errors.ApiUnavailable("500", 500), errors.ApiTimeout()):
        assert isinstance(decide(error, storm=unused, waits=4, policy=policy), Retry)
        assert decide(error, storm=unused, waits=5, policy=policy) == Fail(error.code)
    for away in (errors.StoreUnavailable(), errors.StateUnavailable(), errors.ApiUnavailable("no such host")):
        assert isinstance(decide(away, storm=unused, waits=500, policy=policy), Retry)


@pytest.mark.parametrize("in_doubt", ["retry", "hold"])
def test_a_doubt_that_is_looked_up_is_judged_there(in_doubt: Literal["retry", "hold"]) -> None:
    """Where lost calls are looked up before the next one, no job is left to a person before that."""
    policy = Policy(max_attempts=5, in_doubt=in_doubt, looks_up=True)
    assert isinstance(decide(LOST, storm=DOUBTED_TWICE, waits=0, policy=policy), Retry)
    assert not policy.gives_up(2)
    assert Policy(in_doubt=in_doubt).gives_up(2)


@pytest.mark.parametrize("attempt", range(1, 12))
def test_a_backoff_is_jittered_and_capped(attempt: int) -> None:
    """The longest possible backoff doubles with each attempt up to the cap; the shortest is nothing."""
    policy = Policy(backoff_base=1, backoff_max=60)
    drawn = [policy.backoff(attempt) for _ in range(200)]
    longest = min(60, 2 ** (attempt - 1))
    assert 0 <= min(drawn) < longest / 3
    assert longest * 2 / 3 < max(drawn) <= longest


class Plain(Policy):
    """Its backoff is the number of the attempt that it goes by."""

    def backoff(self, attempt: int) -> float:
        """No jitter."""
        return float(attempt)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errors.OutOfCredits(), 1.0),
        (errors.ClockSkewed(), 1.0),
        (errors.StoreUnavailable(), 3.0),
        (errors.StateUnavailable(), 3.0),
        (errors.ApiUnavailable("no such host"), 3.0),
        (errors.ApiUnavailable("500", 500), 2.0),
        (errors.WebUnavailable("503", 503), 2.0),
        (LOST, 2.0),
    ],
)
def test_what_a_backoff_goes_by(error: RestyleError, expected: float) -> None:
    """What never left this machine by its waits in a row, else by the calls that are used up."""
    storm = Storm(used=2, doubts=1, running=False, in_question=True)
    assert decide(error, storm=storm, waits=3, policy=Plain()) == Retry(expected)


def test_an_error_of_its_own_may_allow_fewer_attempts() -> None:
    """Never more than the settings."""
    failed = errors.RequestFailed()
    for used, most, expected in ((1, 5, Retry(1.0)), (2, 5, Fail("request_failed")), (1, 1, Fail("request_failed"))):
        storm = Storm(used=used, doubts=0, running=False)
        assert decide(failed, storm=storm, waits=0, policy=Plain(max_attempts=most)) == expected


@pytest.mark.parametrize("error", [errors.RestyleError("odd"), errors.RunUnreadable(), errors.ObjectRefused()])
def test_any_other_error_fails_its_job(error: RestyleError) -> None:
    """Nothing is known of it that would help."""
    assert decide(error, storm=STOPPED, waits=0, policy=Policy()) == Fail(error.code)


def test_one_doubt_is_no_second_one() -> None:
    """And the first settings are those that the page shows."""
    assert [Policy().gives_up(doubts) for doubts in (0, 1, 2, 3)] == [False, False, True, True]
    assert [Policy(in_doubt="hold").gives_up(doubts) for doubts in (0, 1)] == [True, True]
    assert Policy().max_attempts == 5
