"""S3 servers that answer as no real one does when it is asked to: what is believed, by whom, and for how long."""

from __future__ import annotations

import hashlib
import re
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from mmap import mmap
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, TypeVar

import pytest

from restyle.errors import (
    BucketRefused,
    ClockSkewed,
    InputNotFound,
    ObjectRefused,
    RestyleError,
    StoreAccessDenied,
    StoreUnavailable,
)
from restyle.s3.store import Endpoint, Store
from tests.support.scripted import Answer, Request, Scripted, answer, refusal, scripted

T = TypeVar("T")

MISSING = refusal("404 Not Found", "NoSuchKey")
ETAG = '"d41d8cd98f00b204e9800998ecf8427e-1"'
ROOT = "s3://restyle-local/"


@contextmanager
def opened(make: Answer, *, seconds: float = 2) -> Iterator[tuple[Scripted, Store]]:
    """A server, and a door to it that has learned the way of obstore by a key that is missing."""
    learned: list[Request] = []

    def first(request: Request) -> bytes | None:
        if not learned:
            learned.append(request)
            return MISSING
        return make(request)

    with scripted(first) as server:
        store = Store(embedded=Endpoint(server.url, "key", "secret"), seconds=seconds)
        assert store.find(f"{ROOT}nothing") is None
        server.heard.clear()
        yield server, store
        store.close()


def beside(ask: Callable[..., T], *args: Any, **named: Any) -> T:
    """Calls something beside the main thread, where obstore is asked first."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(ask, *args, **named).result()


def agents(server: Scripted) -> list[str]:
    """Who asked, in order."""
    return [request.header("user-agent").partition("/")[0] for request in server.heard]


def test_a_request_is_for_the_very_key() -> None:
    """To the last slash and dot, by whichever client: nothing on the way takes it for another key."""
    with opened(lambda _: answer("200 OK", b"x", etag=ETAG)) as (server, store):
        for key in ("/lead", "a//b", "trailing/", "a/../b", "./a", "..", "a b+%2F", "Ü?#[]", "nl\nx"):
            beside(store.get, f"{ROOT}{key}")
            store.get(f"{ROOT}{key}")
            first, second = server.heard[-2:]
            assert first.target == second.target
        assert {"restyle", "botocore"} == set(agents(server))


def test_who_asks() -> None:
    """For objects obstore does; boto3 in the main thread, where Ctrl-C must be heard, and for the rest."""
    good = answer("200 OK", b"x", etag=ETAG)
    with opened(lambda _: good) as (server, store):
        beside(lambda: (store.get(f"{ROOT}a"), store.head(f"{ROOT}a"), store.put(f"{ROOT}a", b"x", content_type="x/y")))
        store.get(f"{ROOT}a")
        assert agents(server) == ["restyle", "restyle", "restyle", "botocore"]


def test_a_page_that_a_gateway_leads_to_is_no_object() -> None:
    """Neither is it read for one, nor is a picture stored that was led away: obstore follows, and is not believed."""
    leading = [b""]
    page = answer("200 OK", b"<html>Log in", etag='"5f3c-61a"', last_modified="Mon, 30 Nov 2026 07:00:00 GMT")

    def make(request: Request) -> bytes:
        return page if request.target == "/login" else leading[0]

    with opened(make) as (server, store):
        for status in ("301 Moved Permanently", "302 Found", "307 Temporary Redirect"):
            for place in ("/login", f"http://localhost:{server.port}/login"):
                leading[0] = answer(status, location=place)
                for ask in (
                    lambda: store.get(f"{ROOT}a"),
                    lambda: store.head(f"{ROOT}a"),
                    lambda: store.put(f"{ROOT}a", b"paid for", content_type="image/jpeg"),
                ):
                    with pytest.raises(RestyleError):
                        beside(ask)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/html", b"<html><h1>404 Not Found</h1>"), ("text/plain", b"404 page not found\n"),
        ("text/plain", b"default backend - 404"), ("application/json", b'{"message": "no Route matched"}'),
        ("application/xhtml+xml", b"<html><h1>404 Not Found</h1></html>"),
    ],
)  # fmt: skip
def test_a_404_that_s3_did_not_write_is_no_word_on_a_key(kind: str, body: bytes) -> None:
    """Of a gateway that has lost its S3: what is done would count as missing, and be paid for again."""
    page = answer("404 Not Found", body, content_type=kind)
    with opened(lambda _: page) as (_server, store):
        asks: list[Callable[[], object]] = [
            lambda: store.get(f"{ROOT}a"), lambda: store.find(f"{ROOT}a"), lambda: list(store.list(ROOT)),
            lambda: store.put(f"{ROOT}a", b"x", content_type="x/y"),
        ]  # fmt: skip
        for ask in asks:
            with pytest.raises(StoreUnavailable, match="a gateway before S3 answers 404 with a page of its own"):
                beside(ask)
    with opened(lambda _: answer("404 Not Found")) as (_server, store):
        assert (beside(store.find, f"{ROOT}a"), beside(store.head, f"{ROOT}a")) == (None, None)
    with opened(lambda request: page if request.verb != "HEAD" else page.partition(b"\r\n\r\n")[0] + b"\r\n\r\n") as (
        _server, store,
    ):  # fmt: skip
        assert (store.head(f"{ROOT}a"), beside(store.head, f"{ROOT}a")) == (None, None)


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("200 OK", b"content-length: 99\r\nconnection: close\r\n\r\nhalf of it"),
        ("200 OK", b"transfer-encoding: chunked\r\n\r\n5\r\nhalf \r\n"),
        ("200 OK", b"content-length: 99\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
        ("206 Partial Content", b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
        ("204 No Content", b"\r\n"),
    ],
    ids=["too short", "a chunk is missing", "chunks do not make its length", "a part", "nothing"],
)
def test_less_than_all_is_an_error(status: str, told: bytes) -> None:
    """Never is a part of an object taken for the whole, nor a success for an object."""
    made = f"HTTP/1.1 {status}\r\netag: {ETAG}\r\n".encode() + told
    with opened(lambda _: made, seconds=0.3) as (_server, store):
        for ask in (beside, lambda get, uri: get(uri)):
            with pytest.raises(StoreUnavailable):
                ask(store.get, f"{ROOT}a")
            with pytest.raises(StoreUnavailable), store.open(f"{ROOT}a") as stream:
                stream.read()


def test_a_body_in_chunks_is_whole() -> None:
    """Some gateways do not tell how long it is: it is read all the same, up to what may be."""
    chunks = b"HTTP/1.1 200 OK\r\netag: %s\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" % ETAG.encode()
    admitted: list[int] = []
    with opened(lambda _: chunks) as (_server, store):
        assert beside(store.get, f"{ROOT}a", max_bytes=5, admit=admitted.append).data == b"hello"
        assert admitted == [5]
        with pytest.raises(RestyleError, match="at most"):
            beside(store.get, f"{ROOT}a", max_bytes=4)


def test_what_obstore_cannot_do_is_left_to_boto3_for_a_while() -> None:
    """A server whose answers are no good for obstore is not asked everything twice."""
    with opened(lambda _: answer("200 OK", b"x", etag='"of-another-form"')) as (server, store):
        for _ in range(20):
            assert beside(store.get, f"{ROOT}a").data == b"x"
        assert len(server.by("restyle")) == 5
        assert len(server.by("botocore")) == 20


def test_silence_ends_in_time() -> None:
    """After obstore's try and boto3's three, with their pauses."""
    begun = time.monotonic()
    with opened(lambda _: b"", seconds=0.2) as (server, store), pytest.raises(StoreUnavailable):
        beside(store.get, f"{ROOT}a")
    assert agents(server) == ["restyle", "botocore", "botocore", "botocore"]
    assert time.monotonic() - begun < 8


def test_requests_follow_boto3_to_another_region() -> None:
    """What S3 tells boto3 of a bucket's region, obstore signs for from then on."""

    def make(request: Request) -> bytes:
        if "/eu-central-1/s3/" in request.header("authorization"):
            return answer("200 OK", b"x", etag=ETAG)
        told = b"<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-central-1</Region></Error>"
        return answer("400 Bad Request", told)

    with opened(make) as (server, store):
        for _ in range(3):
            assert beside(store.get, f"{ROOT}a").data == b"x"
        assert agents(server) == ["restyle", *["botocore"] * 2, "restyle", "restyle"]


def test_metadata_that_is_no_ascii_is_read() -> None:
    """Somebody else's, of an input: obstore does not take it, and boto3 does."""
    with opened(lambda _: answer("200 OK", b"x", etag=ETAG, x_amz_meta_name="grün")) as (_server, store):
        assert beside(store.get, f"{ROOT}a").data == b"x"


@pytest.mark.parametrize("content_type", ["image/jpeg\r\nx-evil: 1", "bild/jpüg"])
def test_what_is_no_header_does_no_harm(content_type: str) -> None:
    """It ends in an error of ours or in a plain request, and not in a panic."""
    with opened(lambda _: answer("200 OK", etag=ETAG)) as (server, store):
        with suppress(RestyleError, ValueError):
            beside(store.put, f"{ROOT}a", b"x", content_type=content_type)
        assert not any(request.header("x-evil") for request in server.heard)


REFUSALS: list[tuple[str, str, type[RestyleError]]] = [
    ("403 Forbidden", "InvalidAccessKeyId", StoreAccessDenied),
    ("403 Forbidden", "SignatureDoesNotMatch", StoreAccessDenied),
    ("400 Bad Request", "ExpiredToken", StoreAccessDenied),
    ("403 Forbidden", "RequestTimeTooSkewed", ClockSkewed),
    ("403 Forbidden", "AccessDenied", BucketRefused),
    ("404 Not Found", "NoSuchBucket", BucketRefused),
    ("400 Bad Request", "MetadataTooLarge", ObjectRefused),
    ("400 Bad Request", "EntityTooLarge", ObjectRefused),
    ("400 Bad Request", "KeyTooLongError", ObjectRefused),
    ("400 Bad Request", "InvalidTag", ObjectRefused),
    ("400 Bad Request", "KMS.NotFoundException", ObjectRefused),
    ("403 Forbidden", "InvalidObjectState", ObjectRefused),
    ("503 Slow Down", "SlowDown", StoreUnavailable),
    ("404 Not Found", "NoSuchKey", InputNotFound),
]


def test_a_refusal_is_sorted_by_whom_it_concerns() -> None:
    """Everybody, this machine, a bucket, one object, or nobody for long; and each names what it was about."""
    told = [b""]
    with opened(lambda _: told[0]) as (_server, store):
        for status, code, kind in REFUSALS:
            told[0] = refusal(status, code)
            with pytest.raises(RestyleError) as refused:
                beside(store.put, f"{ROOT}a", b"x", content_type="x/y")
            assert type(refused.value) is kind, code
            assert refused.value.uri == f"{ROOT}a"
            assert f"{ROOT}a" in refused.value.message


def test_a_request_is_as_s3_wants_it() -> None:
    """Signed with its body's digest, and without what not every server knows: checksums, and asking before sending."""
    with opened(lambda _: answer("200 OK", etag=ETAG)) as (server, store), TemporaryFile() as file:
        beside(store.put, f"{ROOT}a", b"a picture", content_type="image/jpeg", metadata={"run_id": "1 %"})
        file.write(b"a report")
        file.flush()
        with mmap(file.fileno(), 0) as mapped:
            beside(store.put, f"{ROOT}a", mapped, content_type="text/csv", metadata={"run_id": "1 %"})
        assert agents(server) == ["restyle", "botocore"]
        for request, body in zip(server.heard, (b"a picture", b"a report"), strict=True):
            assert request.body == body
            assert request.header("x-amz-content-sha256") == hashlib.sha256(body).hexdigest()
            assert request.header("x-amz-meta-run_id") == "1 %25"
            assert not re.search("checksum|expect|x-amz-acl|content-encoding", request.head)


UNDIGESTED = b"Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock"


def test_a_bucket_that_locks_its_objects_gets_their_digests() -> None:
    """As AWS asks for them, of several at the same time too; from then on at the first request, by boto3 alone."""

    def make(request: Request) -> bytes:
        if request.header("content-md5"):
            return answer("200 OK", etag=ETAG)
        body = b"<Error><Code>InvalidRequest</Code><Message>" + UNDIGESTED + b"</Message></Error>"
        return answer("400 Bad Request", body)

    with opened(make) as (server, store):
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: store.put(f"{ROOT}{number}", b"x", content_type="x/y"), range(8)))
        server.heard.clear()
        beside(store.put, f"{ROOT}a", b"a picture", content_type="image/jpeg")
        assert agents(server) == ["botocore"]
        digest = hashlib.md5(b"a picture", usedforsecurity=False).digest()
        assert server.heard[0].header("content-md5") == b64encode(digest).decode().lower()


@pytest.mark.parametrize(
    ("made", "heeds"),
    [
        (refusal("412 Precondition Failed", "PreconditionFailed"), True),
        (answer("200 OK", etag=ETAG), False),
        (refusal("501 Not Implemented", "NotImplemented"), False),
    ],
    ids=["heeded", "ignored", "refused"],
)
def test_whether_conditions_are_heeded(made: bytes, *, heeds: bool) -> None:
    """Is asked of the server; one that refuses a condition gets the object without it."""

    def make(request: Request) -> bytes:
        is_asked = request.header("if-none-match") or request.header("if-match")
        return made if is_asked else answer("200 OK", etag=ETAG)

    with opened(make) as (_server, store):
        assert store.heeds_conditions(f"{ROOT}a", b"x", content_type="x/y") is heeds


def test_a_bucket_may_be_part_of_the_hosts_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As at AWS: obstore goes where botocore went. Of the endpoint 0.0.1 the bucket 127 has the host 127.0.0.1."""
    (tmp_path / "config").write_text("[default]\ns3 =\n  addressing_style = virtual\n")
    with scripted(lambda _: answer("200 OK", b"x", etag=ETAG)) as server:
        for name, value in {
            "CONFIG_FILE": str(tmp_path / "config"), "ENDPOINT_URL_S3": f"http://0.0.1:{server.port}",
            "ACCESS_KEY_ID": "key", "SECRET_ACCESS_KEY": "secret",
        }.items():  # fmt: skip
            monkeypatch.setenv(f"AWS_{name}", value)
        store = Store()
        assert [beside(store.get, "s3://127/a b").data for _ in range(2)] == [b"x", b"x"]
        assert agents(server) == ["botocore", "restyle"]
        assert {request.target for request in server.heard} == {"/a%20b"}
        assert {request.header("host") for request in server.heard} == {f"127.0.0.1:{server.port}"}
