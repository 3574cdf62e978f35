"""Every error of restyle, named for what happens next.

RestyleError
├── ConfigurationError        settings are wrong: exit 2, nothing spent
├── ManifestError             the manifest is wrong: exit 2, every bad line listed, nothing queued
├── JobError                  this job fails, at once; the others go on
│   ├── InputNotFound         the image is missing, or reading it is not allowed
│   ├── InvalidImage          the bytes are no picture that can be sent
│   ├── RequestRejected       the API says that this request is wrong (400, 413, 422, other 4xx)
│   └── ResultGone            of the API's queue: billed, and the file was gone before it could be fetched
├── TransientError            likely to pass: backoff and another attempt
│   ├── ApiUnavailable        5xx, or the API cannot be reached
│   ├── ApiTimeout            no answer in time, or the connection broke (408 too)
│   ├── MalformedResponse     200, but no picture in it
│   ├── RequestFailed         the API's queue took the request and could not make the picture; not billed, one retry
│   ├── RequestLost           the API's queue does not know a request of ours any more; in doubt
│   ├── StoreUnavailable      S3 is throttling, failing or out of reach; costs no attempt
│   └── StateUnavailable      Redis is out of reach; costs no attempt
├── RateLimited               429: the fleet waits until its reset; costs no attempt
├── FleetError                true for every job: the fleet is suspended, nothing is failed for it
│   ├── OutOfCredits          402, 406: no_credits
│   ├── Unauthorized          401, 403: unauthorized
│   ├── Misconfigured         404, 405, 410, 3xx: misconfigured
│   └── StoreAccessDenied     S3 refuses our credentials, or the workspace's bucket us: misconfigured
└── ObjectRefused             S3 refuses this object, however often it is asked: an output of a job fails it
    └── BucketRefused         its bucket is missing, or refuses us

An error's message says what happened, to what, and what to do next. None carries the API key or a picture.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

#: What a terminal may obey, or shows in another order than it stands.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str, most: int) -> str:
    """Somebody else's words as part of a message: of bounded length, and nothing that a terminal obeys."""
    shown = text if len(text) <= most else f"{text[: most - 3]}..."
    return _UNPRINTABLE.sub(lambda found: ascii(found.group())[1:-1], shown)


class RestyleError(Exception):
    """Something went wrong in restyle."""

    #: The word that stands for this error in outcomes, reports and logs.
    code = "error"
    #: Whether the request that the API's queue has for the job, if any, is over and not to be asked for again.
    ends_request = False

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (self.__doc__ or "").strip())

    @property
    def message(self) -> str:
        """The sentence for the reader."""
        return str(self.args[0])


class ConfigurationError(RestyleError):
    """The settings are wrong or incomplete."""

    code = "configuration"


@dataclass(frozen=True, order=True)
class Problem:
    """One thing wrong with a manifest or variants file: where, and why."""

    source: str
    line: int
    column: str
    reason: str

    def __str__(self) -> str:
        source, reason = printable(self.source, 300), printable(self.reason, 600)
        where = f"{source}:{self.line}" if self.line else source
        return f"{where}: {printable(self.column, 100)}: {reason}" if self.column else f"{where}: {reason}"


class ManifestError(RestyleError):
    """The manifest has lines that cannot be run; nothing was queued."""

    code = "manifest"

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class JobError(RestyleError):
    """This job cannot succeed as it is."""

    code = "job"

    def __init__(self, message: str | None = None, http_status: int | None = None) -> None:
        super().__init__(message)
        self.http_status = http_status


class InputNotFound(JobError):
    """The input image is missing, or reading it is not allowed."""

    code = "input_not_found"


class InvalidImage(JobError):
    """The input is not a picture that can be sent to the API."""

    code = "invalid_image"


class RequestRejected(JobError):
    """The API rejected this request; sending it again would not help."""

    code = "request_rejected"


class ResultGone(JobError):
    """The picture was made and billed, and its file is gone: it can only be paid for again."""

    code = "result_gone"
    ends_request = True


class TransientError(RestyleError):
    """Likely to pass; worth another attempt."""

    code = "transient"
    #: Attempts after which it fails the job, however many are allowed.
    most_attempts: int | None = None

    def __init__(self, message: str | None = None, http_status: int | None = None, *, in_doubt: bool = False) -> None:
        super().__init__(message)
        self.http_status = http_status
        #: The request had been sent and its answer was lost: it may have been billed.
        self.in_doubt = in_doubt


class ApiUnavailable(TransientError):
    """The API answered with a server error, or could not be reached."""

    code = "api_unavailable"


class ApiTimeout(TransientError):
    """The API did not answer in time, or the connection broke before the whole answer was there."""

    code = "api_timeout"


class MalformedResponse(TransientError):
    """The API answered 200, but not with a picture that can be read."""

    code = "malformed_response"
    ends_request = True
    #: Credits that the answer says it cost; None where it does not, though it may have been billed all the same.
    cost: float | None = None


class RequestFailed(TransientError):
    """The API's queue took the request and could not make the picture; it is not billed."""

    code = "request_failed"
    ends_request = True
    most_attempts = 2


class RequestLost(TransientError):
    """The API's queue does not know a request of ours any more: it may have been billed."""

    code = "request_lost"
    ends_request = True

    def __init__(self, message: str | None = None, since: datetime | None = None) -> None:
        super().__init__(message, 404, in_doubt=True)
        #: When it was submitted.
        self.since = since


class StoreUnavailable(TransientError):
    """S3 is throttling, failing or out of reach."""

    code = "store_unavailable"


class StateUnavailable(TransientError):
    """Redis is out of reach."""

    code = "state_unavailable"


class RateLimited(RestyleError):
    """The API's rate limit is reached; the fleet waits."""

    code = "rate_limited"

    def __init__(self, message: str | None = None, wait: float | None = None) -> None:
        super().__init__(message)
        #: Seconds until the limit resets, taken from the answer's own clock; None where it did not say.
        self.wait = wait


class FleetError(RestyleError):
    """True for every job alike: the whole fleet stops until a person has looked."""

    code = "fleet"
    #: The suspension's reason (protocol: `no_credits`, `unauthorized`, `misconfigured`).
    reason = "misconfigured"

    def __init__(self, message: str | None = None, http_status: int | None = None) -> None:
        super().__init__(message)
        self.http_status = http_status


class OutOfCredits(FleetError):
    """The account has not enough credits for another call."""

    code = reason = "no_credits"


class Unauthorized(FleetError):
    """The API key is missing, wrong or not allowed to use this model."""

    code = reason = "unauthorized"


class Misconfigured(FleetError):
    """The API's address, verb or model is wrong."""

    code = reason = "misconfigured"


class StoreAccessDenied(FleetError):
    """S3 refuses our credentials, or access to the workspace."""

    code = "store_access_denied"


class ObjectRefused(RestyleError):
    """S3 refuses this object: its key, its metadata, its size, or how it is to be held."""

    code = "not_stored"

    def __init__(self, message: str | None = None, uri: str = "") -> None:
        super().__init__(message)
        #: The object that was asked for.
        self.uri = uri


class BucketRefused(ObjectRefused):
    """The object's bucket is missing, or refuses us."""
