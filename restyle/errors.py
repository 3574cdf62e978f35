"""Every error of restyle, named for what happens next.

RestyleError
├── ConfigurationError   settings are wrong: exit 2, nothing spent
├── WorkspaceHeld        another Redis is at work in the workspace: exit 3, nothing spent
├── ManifestError        the manifest is wrong: exit 2, every bad line listed, nothing queued
├── JobError             this job fails, at once; the others go on
├── TransientError       likely to pass: backoff and another attempt
├── RunUnreadable        what is written down of one run cannot be read: it stands still, the others go on
├── RateLimited          the fleet waits until the limit's reset; costs no attempt
├── ObjectRefused        S3 refuses this one object: not_stored; the others go on
└── FleetError           true for every job: the fleet is suspended, nothing is failed for it

An error's message says what happened, to what, and what to do next. None carries the API key or a picture.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from restyle.problems import Problem

if TYPE_CHECKING:
    from restyle.reply import Reply


class RestyleError(Exception):
    """Something went wrong in restyle."""

    #: The word that stands for this error in outcomes, reports and logs.
    code = "error"
    #: Whether the request that the API's queue has for the job, if any, is over and not to be polled again.
    ends_request = False
    #: The object that S3 was asked about, where the error is S3's.
    uri = ""

    def __init__(self, message: str | None = None, http_status: int | None = None) -> None:
        super().__init__(message or (self.__doc__ or "").strip())
        #: The status of the answer that says so; None where none came, or none is meant.
        self.http_status = http_status

    @property
    def message(self) -> str:
        """The sentence for the reader."""
        return str(self.args[0])


def drop_frames(error: BaseException) -> None:
    """Frees what the frames hold that an error came through, such as a picture, before a wait.

    Those of the errors that it wraps go too: theirs refer to each other, and would stay until a collection of garbage.
    """
    chain = [error]
    for each in chain:
        chain += [wrapped for wrapped in (each.__cause__, each.__context__) if wrapped]
        each.__traceback__ = each.__cause__ = each.__context__ = None


class ConfigurationError(RestyleError):
    """The settings are wrong or incomplete."""

    code = "configuration"


class WorkspaceHeld(RestyleError):
    """Another Redis is at work in this workspace."""

    code = "held"


class ManifestError(RestyleError):
    """The manifest has lines that cannot be run; nothing was queued."""

    code = "manifest"

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class JobError(RestyleError):
    """This job cannot succeed as it is."""

    code = "job"


class InputNotFound(JobError):
    """The input image is missing, or reading it is not allowed."""

    code = "input_not_found"


class InputRefused(JobError):
    """The web server that has the input image does not give it to us."""

    code = "input_refused"


class InputUnreachable(JobError):
    """The web server that has the input image did not give it for as long as it was asked."""

    code = "input_unreachable"


class InvalidImage(JobError):
    """The input is not a picture that can be sent to the API."""

    code = "invalid_image"


class RequestRejected(JobError):
    """The API rejected this request (400, 413, 422, other 4xx); sending it again would not help."""

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
        super().__init__(message, http_status)
        #: The request had been sent and its answer was lost: it may have been billed.
        self.in_doubt = in_doubt


class ApiUnavailable(TransientError):
    """The API answered with a server error, or could not be reached."""

    code = "api_unavailable"

    @property
    def never_sent(self) -> bool:
        """Whether the request never left this machine: no answer came that could have had a status."""
        return self.http_status is None


class ApiTimeout(TransientError):
    """The API did not answer in time (408 too), or the connection broke before the whole answer was there."""

    code = "api_timeout"


class MalformedResponse(TransientError):
    """The API answered 200, but not with a picture that can be read: kept, and paid for once more at most."""

    code = "unreadable"
    ends_request = True
    #: Credits that the answer says it cost; None where it does not, though it may have been billed all the same.
    cost: float | None = None
    #: The answer as it came, until it is kept (restyle/job/parked/unreadable.py).
    reply: Reply | None = None
    #: Whether no further call is made for the job: it was paid for often enough.
    is_last = False

    def __init__(self, message: str | None = None, http_status: int | None = None, *, kind: str = "") -> None:
        super().__init__(message, http_status)
        #: What it was instead, in a few words: answers of one kind are the API's habit rather than an accident.
        self.kind = kind


class RequestFailed(TransientError):
    """The API's queue took the request and could not make the picture; not billed, one retry."""

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


class WebUnavailable(TransientError):
    """A web server fails, cannot be reached, or asks for patience; costs no attempt of a job."""

    code = "web_unavailable"

    def __init__(
        self, message: str | None = None, http_status: int | None = None, *, wait: float | None = None
    ) -> None:
        super().__init__(message, http_status)
        #: Seconds for which the server asks to be left alone.
        self.wait = wait


class StoreUnavailable(TransientError):
    """S3 is throttling, failing or out of reach; costs no attempt."""

    code = "store_unavailable"


class ClockSkewed(TransientError):
    """This machine's clock is too far from S3's: its own fault, and it stands aside until the clock is right."""

    code = "clock_skewed"


class StateUnavailable(TransientError):
    """Redis is out of reach, or it answers and refuses; costs no attempt."""

    code = "state_unavailable"

    def __init__(self, message: str | None = None, *, refusal: str = "", advice: str = "") -> None:
        super().__init__(message)
        #: The code that Redis answered with, such as MISCONF; empty where it did not answer.
        self.refusal = refusal
        #: What a person does about it.
        self.next = advice


class RunUnreadable(RestyleError):
    """What is written down of one run cannot be read."""

    code = "run_unreadable"


class RateLimited(RestyleError):
    """The API's rate limit is reached (429); the fleet waits."""

    code = "rate_limited"

    def __init__(self, message: str | None = None, wait: float | None = None) -> None:
        super().__init__(message)
        #: Seconds until the limit resets, taken from the answer's own clock; None where it did not say.
        self.wait = wait


class ObjectRefused(RestyleError):
    """S3 refuses this object: its metadata, its size, its key, its encryption, or its bucket."""

    code = "not_stored"


class ObjectExists(ObjectRefused):
    """There is an object already, where one was to be created."""

    code = "exists"


class BucketRefused(ObjectRefused):
    """S3 refuses all of a bucket, as far as can be known: it is missing, or we may not use it."""


class FleetError(RestyleError):
    """True for every job alike: the whole fleet stops until a person has looked."""

    code = "fleet"
    #: The suspension's reason (protocol: `no_credits`, `unauthorized`, `misconfigured`).
    reason = "misconfigured"
    #: Which of the reason's causes it is, where the API's words tell (restyle/segmind/wording.py): advice goes by it.
    cause = ""

    def __init__(self, message: str | None = None, http_status: int | None = None, cause: str = "") -> None:
        super().__init__(message, http_status)
        self.cause = cause or self.cause


class OutOfCredits(FleetError):
    """The account has not enough credits for another call (402, 406)."""

    code = reason = "no_credits"


class Unauthorized(FleetError):
    """The API key is missing, wrong or not allowed to use this model (401, 403)."""

    code = reason = "unauthorized"


class Misconfigured(FleetError):
    """The API's address, verb or model is wrong (404, 405, 410, 3xx)."""

    code = reason = "misconfigured"


class StoreAccessDenied(FleetError):
    """S3 refuses our credentials, or all of the workspace's bucket."""

    code = "store_access_denied"
    cause = "store"
