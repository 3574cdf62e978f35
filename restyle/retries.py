"""What to do after an error, as a value: a pure table, carried out by tasks/image.py."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from restyle.coordination.claim_types import Storm
from restyle.errors import (
    ApiUnavailable,
    ClockSkewed,
    FleetError,
    JobError,
    MalformedResponse,
    RateLimited,
    RestyleError,
    StateUnavailable,
    StoreUnavailable,
    TransientError,
)


@dataclass(frozen=True)
class Policy:
    """The settings that retries go by; seconds."""

    max_attempts: int = 5
    backoff_base: float = 1.0
    backoff_max: float = 60.0
    in_doubt: Literal["retry", "hold"] = "retry"
    #: Whether a lost call is looked up before the next one, so that a doubt is judged only there.
    looks_up: bool = False

    def gives_up(self, doubts: int) -> bool:
        """Whether a job with so many lost calls is left to a person at once."""
        return not self.looks_up and (self.in_doubt == "hold" or doubts >= 2)

    def backoff(self, attempt: int) -> float:
        """A full-jitter exponential backoff: between 0 and base x 2^(attempt - 1), capped.

        Source: AWS Architecture Blog, "Exponential Backoff And Jitter" (2015).
        """
        return random.uniform(0, min(self.backoff_max, self.backoff_base * 2.0 ** max(0, attempt - 1)))


@dataclass(frozen=True)
class Retry:
    """Try again after this many seconds."""

    after: float


@dataclass(frozen=True)
class Fail:
    """The job has failed; the outcome says so under this code."""

    code: str


@dataclass(frozen=True)
class Release:
    """Nothing to hold against the job: part with it, and it is fed again when the fleet runs."""

    restore_attempts: bool = False


Decision = Retry | Fail | Release


def decide(error: RestyleError, *, storm: Storm, waits: int, policy: Policy) -> Decision:
    """What happens to a job after an error.

    Args:
        error: what went wrong.
        storm: what the fleet knows of this job's calls and of everyone's failures.
        waits: errors in a row of this job that came without a call: S3, Redis or the API out of reach, mostly.
        policy: the settings.
    """
    match error:
        case MalformedResponse(is_last=True):
            return Fail(error.code)
        case JobError():
            return Release() if storm.stopped else Fail(error.code)
        case FleetError() | ClockSkewed():
            return Retry(policy.backoff(1)) if storm.in_question else Release()
        case RateLimited():
            return Retry(0.0)
        case TransientError():
            return _after_failure(error, storm, waits, policy)
    return Fail(error.code)


def _after_failure(error: TransientError, storm: Storm, waits: int, policy: Policy) -> Decision:
    """What happens after an error that is likely to pass."""
    never_left = isinstance(error, StoreUnavailable | StateUnavailable)
    if never_left or (isinstance(error, ApiUnavailable) and error.never_sent):
        return Retry(policy.backoff(waits))
    if error.in_doubt and policy.gives_up(storm.doubts):
        return Fail("in_doubt")
    tries = max(storm.used, waits)
    if tries >= min(policy.max_attempts, error.most_attempts or policy.max_attempts):
        return Release(restore_attempts=True) if storm.running else Fail(error.code)
    return Retry(policy.backoff(storm.used))
