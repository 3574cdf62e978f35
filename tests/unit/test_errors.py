"""Every answer of the API and of S3 lands on one leaf of the error tree, and every leaf has a consequence."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from botocore import exceptions as foreign
from hypothesis import given, settings
from hypothesis import strategies as st
from urllib3.exceptions import IncompleteRead, ReadTimeoutError

from restyle import errors
from restyle.coordination.claim_types import Storm
from restyle.errors import (
    ApiTimeout,
    ApiUnavailable,
    BucketRefused,
    ClockSkewed,
    FleetError,
    InputNotFound,
    MalformedResponse,
    ManifestError,
    Misconfigured,
    ObjectRefused,
    OutOfCredits,
    RateLimited,
    RequestRejected,
    RestyleError,
    StoreAccessDenied,
    StoreUnavailable,
    TransientError,
    Unauthorized,
)
from restyle.keys import Workspace
from restyle.problems import Problem
from restyle.retries import Fail, Policy, Release, Retry, decide
from restyle.s3 import errors as refusals
from restyle.segmind.responses import Answer, read_answer

KEY = "SG_0123456789abcdef"
URI = "s3://bucket/key"


def family(kind: type[RestyleError]) -> Iterator[type[RestyleError]]:
    """A class and all below it, in the order of the source."""
    yield kind
    for below in kind.__subclasses__():
        yield from family(below)


TREE = [kind for kind in family(RestyleError) if kind.__module__ == errors.__name__]
LEAVES = [kind for kind in TREE if not kind.__subclasses__()]


def one_of(kind: type[RestyleError]) -> RestyleError:
    """An error of this class."""
    return ManifestError([Problem("m.csv", 2, "image", "is empty")]) if kind is ManifestError else kind()


# -- the tree ----------------------------------------------------------------------------------------------


def test_the_families_in_the_docstring_are_those_of_the_classes() -> None:
    """What the module draws is what it defines: every family, in the same order."""
    drawn = re.findall(r"^[├└]── ([A-Z]\w+) {2,}\S", errors.__doc__ or "", re.MULTILINE)
    assert drawn == [kind.__name__ for kind in TREE if kind.__base__ is RestyleError]


def test_the_module_defines_no_error_outside_the_tree() -> None:
    """Every exception class of the module is a RestyleError."""
    defined = [found for found in vars(errors).values() if isinstance(found, type)]
    assert {kind for kind in defined if issubclass(kind, BaseException)} == set(TREE)


def test_every_leaf_has_a_code_of_its_own_and_a_sentence() -> None:
    """Outcomes, reports and logs can tell the errors apart, and one raised without words still says something."""
    codes = [kind.code for kind in LEAVES]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z_]+", code) for code in codes)
    assert all(one_of(kind).message for kind in LEAVES)


@pytest.mark.parametrize("kind", [kind for kind in LEAVES if issubclass(kind, FleetError)])
def test_every_fleet_error_names_a_suspension(kind: type[FleetError]) -> None:
    """The reason is one of those that the protocol knows, so that a person is told what to do about it."""
    assert kind.reason in {"no_credits", "unauthorized", "misconfigured"}


# -- the API's answers -------------------------------------------------------------------------------------

BODIES = {
    "none": b"",
    "json": b'{"error": "something is wrong"}',
    "credits": b'{"error": "Not enough credits, the value must be topped up"}',
    "blame": b'{"error": "Unsupported content type"}',
    "nested": b'{"detail": [{"loc": ["image"], "msg": "must be a string"}]}',
    "html": b"<html><body>502 Bad Gateway</body></html>",
    "text": b"nope",
    "deep": b"[" * 50_000,
    "bytes": bytes(range(256)),
    "key": f'{{"message": "unknown key {KEY}"}}'.encode(),
}

#: Which of them are about all requests, or about one; words count less than some statuses.
MONEY, HEADER, OWN = {"credits"}, {"blame", "html"}, {"nested"}
OF_ALL = {404, 405, 407, 410, 411, 412, 416, 417, 421, 426, 428, 431}


def meant(status: int, body: str) -> type[RestyleError]:
    """The leaf that the table of restyle/segmind/refusals.py gives for a status and a body."""
    own: dict[int, type[RestyleError]] = {
        429: OutOfCredits if body in MONEY else RateLimited, 402: OutOfCredits, 408: ApiTimeout, 401: Unauthorized,
        **dict.fromkeys(OF_ALL, Misconfigured),
    }  # fmt: skip
    by_hundreds = {1: MalformedResponse, 2: MalformedResponse, 3: Misconfigured, 5: ApiUnavailable}
    if found := own.get(status) or by_hundreds.get(status // 100):
        return found
    if status == 403 and body not in MONEY | OWN:
        return Unauthorized
    if body in HEADER or (status == 415 and body not in MONEY | OWN):
        return Misconfigured
    return OutOfCredits if body in MONEY or (status == 406 and body not in OWN) else RequestRejected


@pytest.mark.parametrize("body", BODIES)
def test_every_status_is_one_leaf(body: str) -> None:
    """100 to 599, whatever the body: one leaf by the table, with the status and without the key."""
    for status in range(100, 600):
        with pytest.raises(RestyleError) as caught:
            read_answer(status, {"content-type": "application/json"}, BODIES[body], 1.0, api_key=KEY)
        error = caught.value
        assert type(error) is meant(status, body), f"{status} with {body}"
        assert type(error) in LEAVES
        assert str(status) in error.message
        assert KEY not in error.message
        assert error.http_status == (None if isinstance(error, RateLimited) else status)
        assert not getattr(error, "in_doubt", False), "an answer came: nothing is in doubt"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("image/jpeg", b""),
        ("image/jpeg", b"not a picture"),
        ("text/html", b"<!DOCTYPE html><title>Login</title>"),
        ("application/json", b'{"image": "abc'),
        ("application/json", b"[]"),
        ("application/json", b"null"),
        ("application/json", b'{"error": "soon"}'),
        ("application/json", b'{"image": "https://cdn.example/1.jpg"}'),
        ("application/json", b'{"images": [{"url": "https://cdn.example/1.jpg"}]}'),
        ("application/json", b'{"image": 7}'),
        ("application/json", b'{"image": "no base64 at all!"}'),
        ("application/json", '{"image": "ü"}'.encode()),
        ("application/json", b"[" * 50_000),
        ("application/json", b"\xff\xfe\xfa"),
    ],
)
def test_a_200_without_a_picture_is_malformed(content_type: str, body: bytes) -> None:
    """A paid-looking answer with nothing in it is a failed call, never a crash and never a picture."""
    with pytest.raises(MalformedResponse) as caught:
        read_answer(200, {"content-type": content_type}, body, 1.0)
    assert caught.value.http_status == 200


def test_what_the_api_says_in_place_of_a_picture_is_quoted() -> None:
    """Under a 200 too: a person learns that the account is empty, and not only that there is no picture."""
    body = json.dumps({"error": {"message": f"Insufficient credits for {KEY}"}}).encode()
    with pytest.raises(MalformedResponse) as caught:
        read_answer(200, {}, body, 1.0, api_key=KEY)
    assert caught.value.message.endswith("JSON that holds no picture (error): Insufficient credits for ***")
    assert caught.value.kind == "JSON: error"


HEADERS = st.dictionaries(
    st.sampled_from(
        ["content-type", "date", "retry-after", "x-cost", "x-rate-limit-reset-at-utc", "x-remaining-credits",
         "x-request-id", "x-seed-value"]
    ),
    st.one_of(
        st.text(max_size=30),
        st.floats().map(str),
        st.integers().map(str),
        st.datetimes().map(str),
        st.datetimes().map(lambda at: at.strftime("%a, %d %b %Y %H:%M:%S GMT")),
    ),
)  # fmt: skip
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda below: st.lists(below) | st.dictionaries(st.sampled_from(["error", "image", "images", "detail"]), below),
    max_leaves=5,
)


@settings(max_examples=30)
@given(st.integers(100, 599), HEADERS, st.one_of(st.binary(), DOCUMENTS.map(lambda found: json.dumps(found).encode())))
def test_no_answer_raises_anything_foreign(status: int, headers: dict[str, str], body: bytes) -> None:
    """Whatever headers and bytes come: an answer with pictures in it, or one leaf."""
    found: Answer | RestyleError
    try:
        found = read_answer(status, headers, body, 1.0)
    except RestyleError as error:
        found = error
    if isinstance(found, Answer):
        assert 200 <= status < 300
        assert found.images
        return
    assert type(found) in LEAVES
    wait = found.wait if isinstance(found, RateLimited) else None
    assert wait is None or wait >= 0, "a wait that can be slept"


# -- S3's answers ------------------------------------------------------------------------------------------


def client_error(code: str, status: int) -> foreign.ClientError:
    """What boto3 raises for an error answer."""
    told: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return foreign.ClientError(told, "GetObject")


CODES: dict[str, type[RestyleError]] = {
    **dict.fromkeys(refusals._MISSING, InputNotFound),
    **dict.fromkeys(refusals._CREDENTIALS, StoreAccessDenied),
    **dict.fromkeys(refusals._BUCKET, BucketRefused),
    **dict.fromkeys(refusals._OBJECT, ObjectRefused),
    **dict.fromkeys(refusals._SKEWED, ClockSkewed),
    **dict.fromkeys(refusals._PASSING, StoreUnavailable),
}
#: Statuses that the codes of a kind come with.
STATUSES: dict[type[RestyleError], tuple[int, ...]] = {
    InputNotFound: (0, 404),
    StoreAccessDenied: (0, 400, 401, 403),
    BucketRefused: (0, 301, 400, 403, 404, 405),
    ObjectRefused: (0, 400, 403, 501),
    ClockSkewed: (0, 403),
    StoreUnavailable: (0, 400, 500, 503),
}


def test_a_code_of_s3_means_one_thing_only() -> None:
    """No code stands in two of the lists."""
    lists = [getattr(refusals, name) for name in vars(refusals) if re.fullmatch("_[A-Z]+", name)]
    assert len(CODES) == sum(len(codes) for codes in lists)


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_listed_code_is_one_leaf(code: str) -> None:
    """By its code, where the answer tells no status; a status that belongs to it changes nothing."""
    for status in STATUSES[CODES[code]]:
        error = refusals.translate(client_error(code, status), URI)
        assert type(error) is CODES[code], status
        assert URI in error.message
        assert error.uri == URI


def by_status(code: str, status: int) -> type[RestyleError]:
    """The leaf of an answer of S3 whose code nobody has heard of."""
    named = {401: StoreAccessDenied, 403: BucketRefused, 404: InputNotFound, 408: StoreUnavailable,
             412: errors.ObjectExists}  # fmt: skip
    if kind := {**named, 407: StoreUnavailable, 429: StoreUnavailable}.get(status):
        return kind
    if status >= 500:
        return StoreUnavailable
    if not code and not status:
        return StoreAccessDenied
    return BucketRefused if 300 <= status < 400 else ObjectRefused


@pytest.mark.parametrize("code", ["", "Unheard", "XMinioServerNotInitialized"])
def test_an_unknown_code_goes_by_its_status(code: str) -> None:
    """100 to 599: what may pass is tried again, and what will not is taken for this object's, or its bucket's."""
    for status in (0, *range(100, 600)):
        error = refusals.translate(client_error(code, status), URI)
        assert type(error) is by_status(code, status), f"{status} {code}"


def test_an_error_answer_without_fields_is_a_leaf_too() -> None:
    """Some S3 servers answer errors without a body."""
    assert type(refusals.translate(foreign.ClientError({}, "GetObject"), URI)) is StoreAccessDenied


@pytest.mark.parametrize(
    ("uri", "kind", "storing", "becomes"),
    [
        ("s3://ours/teams/a", BucketRefused, False, StoreAccessDenied),
        ("s3://ours/teams/a", ObjectRefused, False, StoreAccessDenied),
        ("s3://ours/teams/a", BucketRefused, True, StoreAccessDenied),
        ("s3://ours/teams/a", ObjectRefused, True, ObjectRefused),
        ("s3://elsewhere/a", BucketRefused, False, BucketRefused),
        ("s3://elsewhere/a", BucketRefused, True, BucketRefused),
        ("", ObjectRefused, False, ObjectRefused),
        ("s3://ours/teams/a", StoreUnavailable, False, StoreUnavailable),
    ],
)
def test_what_the_workspaces_bucket_refuses_is_refused_to_all(
    uri: str, kind: type[RestyleError], storing: bool, becomes: type[RestyleError]
) -> None:
    """But for one object of a job's own that is being stored, and for other buckets: that is the job's alone."""
    error = kind("S3 refuses")
    error.uri = uri
    counted = refusals.as_for_all(error, Workspace("s3://ours/teams"), storing=storing)
    assert type(counted) is becomes
    assert (counted.uri, counted.message) == (uri, "S3 refuses")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (foreign.NoCredentialsError(), StoreAccessDenied),
        (foreign.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"), StoreAccessDenied),
        (foreign.CredentialRetrievalError(provider="sso", error_msg="expired"), StoreAccessDenied),
        (foreign.SSOTokenLoadError(error_msg="expired"), StoreAccessDenied),
        (foreign.ParamValidationError(report="Invalid bucket name"), BucketRefused),
        (foreign.ParamValidationError(report="Invalid length for parameter Key"), ObjectRefused),
        (foreign.UnsupportedS3ArnError(arn="arn:aws:s3", msg="Invalid ARN"), BucketRefused),
        (foreign.ProxyConnectionError(proxy_url="http://p", error="407 Proxy Authentication"), StoreUnavailable),
        (RecursionError("redirected, and redirected"), StoreUnavailable),
        (foreign.EndpointConnectionError(endpoint_url="http://s3"), StoreUnavailable),
        (foreign.ConnectTimeoutError(endpoint_url="http://s3"), StoreUnavailable),
        (foreign.ReadTimeoutError(endpoint_url="http://s3"), StoreUnavailable),
        (foreign.ConnectionClosedError(endpoint_url="http://s3"), StoreUnavailable),
        (foreign.IncompleteReadError(actual_bytes=1, expected_bytes=2), StoreUnavailable),
        (foreign.ResponseStreamingError(error="reset"), StoreUnavailable),
        (foreign.BotoCoreError(), StoreUnavailable),
        (ConnectionResetError("reset"), StoreUnavailable),
        (TimeoutError("slow"), StoreUnavailable),
        (IncompleteRead(1, 2), StoreUnavailable),
        (ReadTimeoutError(None, "http://s3", "slow"), StoreUnavailable),  # type: ignore[arg-type] # no pool is needed
    ],
)
def test_every_foreign_error_on_the_way_to_s3_is_one_leaf(error: Exception, kind: type[RestyleError]) -> None:
    """Nothing of botocore, urllib3 or the socket goes past the store's door."""
    assert type(refusals.translate(error, URI)) is kind


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyError("a bug"), AssertionError(), MemoryError()])
def test_a_bug_is_not_taken_for_s3(error: Exception) -> None:
    """What did not come from S3 keeps its own name."""
    assert refusals.translate(error, URI) is None


# -- what follows ------------------------------------------------------------------------------------------

STORMS = [
    Storm(used, doubts, running) for used, doubts, running in itertools.product((0, 1, 5, 9), (0, 1, 2), (False, True))
]


@pytest.mark.parametrize("kind", LEAVES)
def test_every_leaf_has_a_consequence(kind: type[RestyleError]) -> None:
    """However many attempts, doubts and waits, in a storm or not, held or not: one decision that can be carried out."""
    error = one_of(kind)
    policies = [Policy(in_doubt="retry"), Policy(in_doubt="hold"), Policy(max_attempts=1)]
    for storm, waits, policy, in_doubt in itertools.product(STORMS, (0, 1, 30), policies, (False, True)):
        if isinstance(error, TransientError):
            error.in_doubt = in_doubt
        decision = decide(error, storm=storm, waits=waits, policy=policy)
        match decision:
            case Retry(after):
                assert 0 <= after <= policy.backoff_max
            case Fail(code):
                assert code in {kind.code, "in_doubt"}
                assert not isinstance(error, FleetError | RateLimited), "no job fails for what is true of every job"
            case Release(restore_attempts):
                own = isinstance(error, FleetError | errors.ClockSkewed)
                assert own or restore_attempts or storm.stopped, "no job circles for ever"
