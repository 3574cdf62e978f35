"""A process's metrics for Prometheus. docs/metrics.md is generated from here and from workers/gauges.py.

Each label has few, known values: no label names a job, an entry or a key.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from prometheus_client import Counter, Gauge, Histogram

from restyle.errors import ApiTimeout, InputNotFound, InvalidImage, RestyleError
from restyle.models import Outcome, OutcomeKind

P = ParamSpec("P")
R = TypeVar("R")
#: An answer whose first field is the status.
A = TypeVar("A", bound=tuple[int, object, object, object])

#: A call takes about 8 s; a cold start takes minutes.
_CALL_BUCKETS = (0.1, 0.5, 1, 2, 4, 6, 8, 10, 15, 20, 30, 60, 120, 180, 300)
_S3_BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

JOBS = Counter("restyle_jobs", "Jobs that ended in this process, by outcome.", ["outcome"])
CREDITS = Counter("restyle_credits", "Credits of the outcomes that this process reported.")
RETRIES = Counter("restyle_retries", "Attempts that ended without an outcome and are followed by another.", ["reason"])
CLAIM_WAITS = Counter(
    "restyle_rate_limited_seconds",
    "Seconds for which jobs had to wait before a call: for a slot of the rate limit, after a 429, for a budget.",
)
REQUESTS = Counter(
    "restyle_api_requests",
    "Calls of the API, of v2 the submits, by the answer's status; timeout: sent, no answer; unreachable: never sent.",
    ["code"],
)
REQUEST_SECONDS = Histogram(
    "restyle_api_request_seconds", "Time of a call of the API (v2: of a submit).", buckets=_CALL_BUCKETS
)
S3_SECONDS = Histogram("restyle_s3_seconds", "Time of a request to S3.", ["operation"], buckets=_S3_BUCKETS)
S3_ERRORS = Counter("restyle_s3_errors", "Requests to S3 that were refused or not answered.", ["operation"])
WEB_INPUTS = Counter("restyle_web_inputs", "Pictures on the web that were requested, by what came.", ["outcome"])
HINTS_DROPPED = Counter(
    "restyle_hints_dropped",
    "Messages, envelopes, notices and other words of Redis or the queue that were not well formed or not true.",
    ["kind"],
)
LAST_SUCCESS = Gauge(
    "restyle_last_success_timestamp_seconds", "When this process last ended a job well; 0: not yet, Unix seconds."
)

_ENDED = {kind: JOBS.labels(kind.value) for kind in OutcomeKind}


def ended(outcome: Outcome) -> None:
    """Counts a job's outcome, once it counts in its run."""
    _ENDED[outcome.outcome].inc()
    CREDITS.inc(outcome.credits)
    if outcome.outcome is not OutcomeKind.FAILED:
        LAST_SUCCESS.set(time.time())


def api(request: Callable[P, A]) -> Callable[P, A]:
    """Counts and times each request that a function makes to the API; the status is the first field of its answer."""

    @functools.wraps(request)
    def call(*args: P.args, **kwargs: P.kwargs) -> A:
        began, code = time.perf_counter(), "unreachable"
        try:
            answer = request(*args, **kwargs)
            code = str(answer[0])
        except ApiTimeout:
            code = "timeout"
            raise
        finally:
            REQUESTS.labels(code).inc()
            REQUEST_SECONDS.observe(time.perf_counter() - began)
        return answer

    return call


def s3(operation: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Times each request to S3 that a method makes, by this name."""
    seconds, errors = S3_SECONDS.labels(operation), S3_ERRORS.labels(operation)

    def decorate(method: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(method)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            began = time.perf_counter()
            try:
                return method(*args, **kwargs)
            except (InputNotFound, InvalidImage):
                raise
            except RestyleError:
                errors.inc()
                raise
            finally:
                seconds.observe(time.perf_counter() - began)

        return call

    return decorate
