"""Translates errors of botocore, urllib3 and sockets into ours, by whom they concern: one object, a bucket, or all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from restyle.errors import (
    BucketRefused,
    ClockSkewed,
    InputNotFound,
    ObjectExists,
    ObjectRefused,
    RestyleError,
    StoreAccessDenied,
    StoreUnavailable,
)
from restyle.keys import split_uri
from restyle.problems import printable

if TYPE_CHECKING:
    from restyle.keys import Workspace

#: S3 does not take or tell: it is out of reach, or refuses.
S3_ERRORS = (StoreUnavailable, StoreAccessDenied, ObjectRefused, ClockSkewed)
_MISSING = frozenset({"404", "NoSuchKey", "NotFound"})
#: The credentials or the account are wrong: S3 will refuse every request.
_CREDENTIALS = frozenset(
    {
        "401", "AccountProblem", "ExpiredToken", "InvalidAccessKeyId", "InvalidSecurity", "InvalidToken", "NotSignedUp",
        "SignatureDoesNotMatch", "TokenRefreshRequired",
    }
)  # fmt: skip
#: The whole bucket is refused, as far as is known: an answer to HEAD has no more than its status.
_BUCKET = frozenset(
    {
        "301", "307", "403", "AccessDenied", "AllAccessDisabled", "AuthorizationHeaderMalformed", "Forbidden",
        "IllegalLocationConstraintException", "InvalidBucketName", "MethodNotAllowed", "NoSuchBucket",
        "PermanentRedirect", "TemporaryRedirect",
    }
)  # fmt: skip
#: One object alone is refused. Any other code of a 4xx counts as one of these.
_OBJECT = frozenset(
    {
        "EntityTooLarge", "EntityTooSmall", "InvalidArgument", "InvalidEncryptionAlgorithmError", "InvalidObjectState",
        "InvalidRequest", "InvalidStorageClass", "InvalidTag", "KMS.DisabledException", "KMS.InvalidKeyUsageException",
        "KMS.KMSInvalidStateException", "KMS.NotFoundException", "KeyTooLongError", "MalformedXML", "MetadataTooLarge",
        "NotImplemented",
    }
)  # fmt: skip
_SKEWED = frozenset({"RequestTimeTooSkewed"})
_PASSING = frozenset(
    {
        "408", "429", "BadDigest", "BadGateway", "BandwidthLimitExceeded", "ConditionalRequestConflict",
        "IncompleteBody", "InternalError", "OperationAborted", "RequestLimitExceeded", "RequestThrottled",
        "RequestTimeout", "ServiceUnavailable", "SlowDown", "Throttling", "ThrottlingException", "TooManyRequests",
        "XAmzContentSHA256Mismatch",
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
            try:
                if ours is not None:
                    raise ours from error
            finally:
                # Else the error would have this frame, and this frame the error, and both all frames that called it.
                ours = None


def translate(error: Exception, uri: str) -> RestyleError | None:
    """The one of our errors that an error of botocore is; None for what did not come from S3 or the way there."""
    from botocore.exceptions import ClientError

    ours = _answered(error, uri) if isinstance(error, ClientError) else _unanswered(error, uri)
    if ours is not None:
        ours.uri = uri
    return ours


def missing(uri: str) -> InputNotFound:
    """The error that there is no such object."""
    error = InputNotFound(f"{uri}: there is no such object")
    error.uri = uri
    return error


def as_for_all(error: RestyleError, workspace: Workspace, *, storing: bool = False) -> RestyleError:
    """An error as it concerns the fleet: a refusal in the workspace's own bucket becomes one of every job's.

    Args:
        error: any.
        workspace: whose bucket holds records, plans and, mostly, outputs.
        storing: whether a job's own picture or record was being stored: S3 may refuse that one object alone.
    """
    if not isinstance(error, BucketRefused if storing else ObjectRefused):
        return error
    if not error.uri or split_uri(error.uri)[0] != workspace.bucket:
        return error
    denied = StoreAccessDenied(error.message)
    denied.uri = error.uri
    return denied


def _unanswered(error: Exception, uri: str) -> RestyleError | None:
    """Our error for one that came without an answer of S3; None where it did not come from S3."""
    from botocore import exceptions as foreign

    if isinstance(
        error, foreign.NoCredentialsError | foreign.PartialCredentialsError | foreign.CredentialRetrievalError
    ):
        return StoreAccessDenied(
            f"{uri}: no S3 credentials were found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    if isinstance(error, foreign.SSOError | foreign.TokenRetrievalError):
        return StoreAccessDenied(f"{uri}: no S3 credentials were found: {error}")
    if isinstance(
        error,
        foreign.ParamValidationError
        | foreign.InvalidDNSNameError
        | foreign.InvalidHostLabelError
        | foreign.UnsupportedS3ArnError
        | foreign.EndpointProviderError,
    ):
        why = str(error).splitlines()[-1]
        return (BucketRefused if "bucket" in why.lower() else ObjectRefused)(f"{uri}: S3 takes no such name: {why}")
    if isinstance(error, foreign.ProxyConnectionError):
        return StoreUnavailable(f"{uri}: S3 cannot be reached: {error}: {error.kwargs.get('error', '')}")
    if isinstance(error, RecursionError):
        # botocore asks where a redirected bucket lies, and again where that question is redirected.
        return StoreUnavailable(f"{uri}: S3 answers with redirects alone; does a gateway before it ask for a login?")
    if isinstance(error, foreign.BotoCoreError | OSError):
        return StoreUnavailable(f"{uri}: S3 cannot be reached: {error}")
    from urllib3.exceptions import HTTPError

    return StoreUnavailable(f"{uri}: S3 broke off: {error}") if isinstance(error, HTTPError) else None


def _answered(error: Any, uri: str) -> RestyleError:
    """Our error for an answer of S3, by its code, else by its status."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code == "NoSuchBucket":
        return BucketRefused(f"{uri}: there is no such bucket; check its name")
    if code in _MISSING or (status == 404 and code not in _BUCKET | _OBJECT | _CREDENTIALS):
        return _of_gateway(uri) if _is_page(error, code) else missing(uri)
    if code in _SKEWED:
        return ClockSkewed(f"{uri}: this machine's clock is too far from S3's ({code}); set it right")
    if code in _PASSING or (status >= 500 and code not in _OBJECT) or status in {408, 429}:
        return StoreUnavailable(f"{uri}: S3 answers {status} {code}", status)
    if status == 407:
        return StoreUnavailable(f"{uri}: the proxy before S3 asks for a password (407); see HTTPS_PROXY")
    if code in _CREDENTIALS or status == 401 or not (code or status):
        return StoreAccessDenied(f"{uri}: S3 refuses access ({code}); check the credentials and the bucket's policy")
    if code in _BUCKET or (code not in _OBJECT and (status == 403 or 300 <= status < 400)):
        return BucketRefused(f"{uri}: S3 refuses access ({code}); check the credentials and the bucket's policy")
    message = printable(str(error.response.get("Error", {}).get("Message", "")), 200)
    kind = ObjectExists if status == 412 else ObjectRefused
    return kind(f"{uri}: S3 refuses this object ({status} {code}){f': {message}' if message else ''}")


def _of_gateway(uri: str) -> StoreUnavailable:
    """The error of a gateway that answers in the place of S3."""
    return StoreUnavailable(f"{uri}: a gateway before S3 answers 404 with a page of its own")


def _is_page(error: Any, code: str) -> bool:
    """Whether a 404 has a body that S3 did not write: that of a gateway which has lost its S3, and no word on a key."""
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
    # An answer to HEAD tells the length of a body that does not come.
    return code in {"", "404"} and has_body and error.operation_name != "HeadObject"
