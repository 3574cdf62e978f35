"""What S3 says no with: every foreign error of botocore, urllib3 or a socket as one of ours."""

from __future__ import annotations

from typing import Any, TypeVar

from restyle.errors import (
    BucketRefused,
    InputNotFound,
    ObjectRefused,
    RestyleError,
    StoreAccessDenied,
    StoreUnavailable,
    printable,
)
from restyle.keys import split_uri

E = TypeVar("E", bound=Exception)

_MISSING = frozenset({"404", "NoSuchKey", "NotFound"})
#: Whoever we are, S3 does not believe it.
_DENIED = frozenset(
    {
        "401", "AccountProblem", "ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch",
        "RequestTimeTooSkewed",
    }
)  # fmt: skip
#: The bucket is another's, or another than it was taken for.
_BUCKET = frozenset(
    {
        "403", "AccessDenied", "AllAccessDisabled", "Forbidden", "PermanentRedirect", "AuthorizationHeaderMalformed",
        "IllegalLocationConstraintException",
    }
)  # fmt: skip
_PASSING = frozenset(
    {
        "SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "RequestTimeout", "InternalError",
        "ServiceUnavailable", "BadGateway", "TooManyRequests", "OperationAborted", "429", "408",
    }
)  # fmt: skip


class translated:  # noqa: N801 - reads as a word in `with translated(uri)`
    """Turns what botocore raises about a URI into our errors."""

    def __init__(self, uri: str) -> None:
        self._uri = uri

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, RestyleError):
            ours = translate(error, self._uri)
            if ours is not None:
                raise ours from error


def translate(error: Exception, uri: str) -> RestyleError | None:
    """The one of our errors that an error of botocore is; None for what did not come from S3 or the way there."""
    from botocore import exceptions as foreign

    if isinstance(error, foreign.ClientError):
        return _answered(error, uri)
    if isinstance(
        error, foreign.NoCredentialsError | foreign.PartialCredentialsError | foreign.CredentialRetrievalError
    ):
        return StoreAccessDenied(
            f"{uri}: no S3 credentials were found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    if isinstance(error, foreign.ParamValidationError):
        why = str(error).splitlines()[-1]
        kind = BucketRefused if "bucket" in why.lower() else ObjectRefused
        return kind(f"{uri}: S3 takes no such name: {why}", uri)
    if isinstance(error, foreign.BotoCoreError | OSError):
        return StoreUnavailable(f"{uri}: S3 cannot be reached: {error}")
    from urllib3.exceptions import HTTPError

    return StoreUnavailable(f"{uri}: S3 broke off: {error}") if isinstance(error, HTTPError) else None


def _answered(error: Any, uri: str) -> RestyleError:
    """The meaning of an error answer."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code == "NoSuchBucket":
        return BucketRefused(f"{uri}: there is no such bucket; check its name", uri)
    if code in _MISSING or status == 404:
        return InputNotFound(f"{uri}: there is no such object")
    if code in _DENIED or status == 401:
        return StoreAccessDenied(f"{uri}: S3 refuses our credentials ({code}); check the AWS_* variables")
    if code in _BUCKET or status == 403:
        return BucketRefused(f"{uri}: S3 refuses access ({code}); check the credentials and the bucket's policy", uri)
    if code in _PASSING or status >= 500 or status in {408, 429}:
        return StoreUnavailable(f"{uri}: S3 answers {status} {code}", status)
    why = printable(str(error.response.get("Error", {}).get("Message", "")), 200)
    return ObjectRefused(f"{uri}: S3 refuses ({status} {code}) {why}".rstrip(), uri)


def whose(error: E, workspace: str) -> E | StoreAccessDenied:
    """A refusal that every job would get as one of the fleet: of the workspace's bucket, and of what a run is kept in.

    What is named after a job is its own matter: its id may make a key that S3 does not take.
    """
    if not isinstance(error, ObjectRefused):
        return error
    own = isinstance(error, BucketRefused) and split_uri(error.uri)[0] == split_uri(workspace)[0]
    ours = any(error.uri.startswith(f"{workspace}/{folder}/") for folder in ("runs", "unplaced"))
    return StoreAccessDenied(error.message) if own or ours else error
