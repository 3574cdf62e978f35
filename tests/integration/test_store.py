"""The door to S3 against a real server: both clients answer alike, in success and in failure."""

from __future__ import annotations

import gc
import json
import mmap
import secrets
import sys
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest

from apps.stack.servers import free_port, s3_answers
from restyle.errors import (
    BucketRefused,
    ClockSkewed,
    ConfigurationError,
    InputNotFound,
    InvalidImage,
    ObjectRefused,
    RestyleError,
    StoreAccessDenied,
    StoreUnavailable,
)
from restyle.s3.store import EMBEDDED_BUCKET, Endpoint, Store
from tests.support.chosen import S3_SERVER
from tests.support.refusing_s3 import refusing
from tests.support.servers import S3, running_s3

T = TypeVar("T")


class By(Protocol):
    """Calls something where its requests go by one client."""

    def __call__(self, ask: Callable[..., T], /, *args: Any, **named: Any) -> T: ...


URI = f"s3://{EMBEDDED_BUCKET}/both/clients of Ü+ä'(1)~.jpg"
TOLD = {"fingerprint": "f" * 32, "cost": "0.02", "word": "grün, 50 %"}
#: Keys that one client or the other might take for another key.
KEYS = [
    "a b+c%20d%2Fe", "Ü/ä/日本", "trailing/", "q?x=1&y#z", "~!$&'()*,;=:@", "%2e%2e/a", "é" * 100, "back\\slash",
    "tab\tx", "dot./x", 'q"<>|`{}[]^',
]  # fmt: skip


@pytest.fixture(params=["boto3", "obstore"])
def by(request: pytest.FixtureRequest) -> Iterator[By]:
    """Has requests go by boto3, as in the main thread; or by obstore, as in any other."""
    with ThreadPoolExecutor(1) as pool:

        def call(ask: Callable[..., T], /, *args: Any, **named: Any) -> T:
            return ask(*args, **named) if request.param == "boto3" else pool.submit(ask, *args, **named).result()

        yield call


@pytest.fixture
def store(s3: S3) -> Store:
    """A door that has learned the way of obstore: by the first request, which boto3 makes."""
    store = s3.store
    assert store.find(f"s3://{EMBEDDED_BUCKET}/nothing") is None
    assert goes_by_obstore(store), "the way was not learned"
    return store


def goes_by_obstore(store: Store, bucket: str = EMBEDDED_BUCKET) -> bool:
    """Whether a bucket's objects go by obstore, and none that went by it brought an error."""
    route = store._ways(bucket)[1]._routes.get(bucket)
    return route is not None and not route.errors


def test_both_clients_tell_the_same(s3: S3, store: Store) -> None:
    """Content, ETag, type and metadata are the same whichever client writes and reads an object."""
    data = bytes(range(256)) * 9000
    with ThreadPoolExecutor(1) as pool:
        etag = pool.submit(lambda: store.put(URI, data, content_type="image/jpeg", metadata=TOLD)).result()
        plain = store.get(URI), store.head(URI)
        assert pool.submit(lambda: (store.get(URI), store.head(URI))).result() == plain
    assert plain == (s3.store.get(URI), s3.store.head(URI))
    assert (plain[0].data, plain[0].etag, plain[0].content_type) == (data, etag, "image/jpeg")
    assert TOLD.items() <= plain[0].metadata.items()
    assert s3.store.put(URI, data, content_type="image/jpeg") == etag
    assert goes_by_obstore(store)


def test_a_key_is_taken_to_the_letter(store: Store, by: By) -> None:
    """Whatever characters it has: what one client wrote the other finds there, each under its own key."""
    root = f"s3://{EMBEDDED_BUCKET}/{secrets.token_hex(4)}"
    for key in KEYS:
        by(store.put, f"{root}/{key}", key.encode(), content_type="text/plain")
    assert {store.get(f"{root}/{key}").data.decode() for key in KEYS} == set(KEYS)
    for key in KEYS:
        store.put(f"{root}/{key}", key.encode() * 2, content_type="text/plain")
    assert {by(store.get, f"{root}/{key}").data.decode() for key in KEYS} == {key * 2 for key in KEYS}
    assert {one.uri.removeprefix(f"{root}/") for one in store.list(root)} >= set(KEYS) - {"trailing/"}
    assert goes_by_obstore(store)


@pytest.mark.parametrize(
    ("server", "is_replaced"), [("knows it", False), ("refuses it", True), ("lost an answer", True)]
)
def test_replaced_is_what_was_seen(s3: S3, server: str, is_replaced: bool) -> None:
    """What another writes between look and write stays where the server knows If-Match; one's own is no other."""
    uri = f"s3://{EMBEDDED_BUCKET}/{secrets.token_hex(4)}"
    conditions: list[str] = []

    def refuse(method: str, _path: str, headers: Any) -> tuple[int, str] | None:
        condition = headers.get("if-match", "").strip('"') if method == "PUT" else ""
        if not condition:
            return None
        conditions.append(condition)
        if len(conditions) == 1:
            s3.store.put(uri, b"ours" if server == "lost an answer" else b"theirs", content_type="text/plain")
        if server == "lost an answer" and len(conditions) == 1:
            return 503, "SlowDown"
        if server == "refuses it":
            return 501, "NotImplemented"
        return 412, "PreconditionFailed"

    with refusing(s3.port) as gateway:
        gateway.refuse = refuse
        store = Store(embedded=Endpoint(gateway.url, s3.access_key, s3.secret_key))
        etag = s3.store.put(uri, b"first", content_type="text/plain")
        assert not store.replace(uri, b"ours", etag="0" * 32, content_type="text/plain")
        assert not conditions
        assert store.replace(uri, b"ours", etag=etag, content_type="text/plain") is is_replaced
        assert s3.store.get(uri).data == (b"ours" if is_replaced else b"theirs")
        assert conditions[0] == etag
        store.close()


def test_making_ready_connects_to_nobody() -> None:
    """A worker opens its door at its start, whether S3 is there or not."""
    store = Store(embedded=Endpoint("http://127.0.0.1:1", "key", "secret"))
    store.make_ready(URI)
    with pytest.raises(StoreUnavailable):
        store.head(URI)
    store.close()


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"])
def test_a_password_in_the_address_of_s3_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """S3 gets it by no means, and every error would repeat it, to logs and to who is notified."""
    monkeypatch.setenv(name, "http://me:geheim@127.0.0.1:9")
    with pytest.raises(ConfigurationError, match="has a user or a password in it") as caught:
        Store().head("s3://shop/a.jpg")
    assert "geheim" not in f"{caught.value} {caught.value.__cause__} {caught.value.__context__}"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("AWS_PROFILE", "nobody", "profile .nobody. could not be found"),
        ("AWS_ENDPOINT_URL_S3", "somewhere", "Invalid endpoint: somewhere"),
        ("AWS_ENDPOINT_URL_S3", "me:geheim@somewhere", r"Invalid endpoint: \*\*\*@somewhere"),
        ("AWS_DEFAULT_REGION", "no region!", "region_name 'no region!'"),
    ],
)
def test_settings_of_aws_that_are_wrong_are_told(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    """In a sentence that names them, before anything is asked of S3."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=f"S3 cannot be opened: .*{said}.*AWS_ variables"):
        Store().make_ready(URI)


def test_a_file_is_written_whole(store: Store, by: By, tmp_path: Path) -> None:
    """What is mapped into memory is never half sent, and may be unmapped at once."""
    path = tmp_path / "report.csv"
    path.write_bytes(b"id,outcome\n" * 10_000)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        by(store.put, URI, mapped, content_type="text/csv")
    assert store.get(URI).data == path.read_bytes()


def test_empty_and_missing_objects(store: Store, by: By) -> None:
    """An empty object is one; a missing one is told as such, with where it was looked for."""
    uri = f"s3://{EMBEDDED_BUCKET}/empty"
    by(store.put, uri, b"", content_type="text/plain")
    assert by(store.get, uri).data == b""
    assert by(store.head, f"s3://{EMBEDDED_BUCKET}/missing") is None
    with pytest.raises(InputNotFound, match="there is no such object") as missing:
        by(store.get, f"s3://{EMBEDDED_BUCKET}/missing")
    assert missing.value.uri == f"s3://{EMBEDDED_BUCKET}/missing"


def test_a_missing_bucket_is_no_missing_object(s3: S3, by: By, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused for whoever asks, and told with its place."""
    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)
    store = Store()
    for ask in (store.get, store.find, store.delete, store.open, lambda uri: list(store.list(uri))):
        with pytest.raises(BucketRefused, match="there is no such bucket") as refused:
            by(ask, "s3://no-such-bucket/a")
        assert refused.value.uri == "s3://no-such-bucket/a"
    with pytest.raises(BucketRefused, match="there is no such bucket"):
        by(store.put, "s3://no-such-bucket/a", b"x", content_type="x/y")


def test_of_a_copy_the_bucket_is_named_that_is_refused(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    """The source's where that cannot be looked at, else the target's."""
    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)
    store = Store()
    store.put("s3://shop/here", b"x", content_type="x/y")
    for source, target, guilty in (
        ("s3://shop/here", "s3://no-such-bucket/a", "s3://no-such-bucket/a"),
        ("s3://no-such-bucket/a", "s3://shop/there", "s3://no-such-bucket/a"),
    ):
        with pytest.raises(RestyleError) as refused:
            store.copy(source, target)
        assert refused.value.uri == guilty


def test_an_object_that_is_too_large_is_not_read(store: Store, by: By) -> None:
    """Its size is known before its bytes are taken."""
    admitted: list[int] = []
    store.put(URI, b"x" * 2000, content_type="image/jpeg")
    with pytest.raises(InvalidImage, match="at most"):
        by(store.get, URI, max_bytes=1999, admit=admitted.append)
    assert admitted == []
    assert len(by(store.get, URI, max_bytes=2000, admit=admitted.append).data) == 2000
    assert admitted == [2000]


def test_credentials_that_are_refused_are_told(s3: S3, by: By) -> None:
    """A key that is refused is no missing object, whichever client asks: it concerns every job."""
    store = Store(embedded=Endpoint(s3.endpoint.url, s3.access_key, "not-the-secret-of-it"))
    for _ in range(2):
        with pytest.raises(StoreAccessDenied, match="refuses access"):
            by(store.get, URI)
        with pytest.raises(StoreAccessDenied, match="refuses access"):
            by(store.put, URI, b"x", content_type="image/jpeg")


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "ExpiredToken", StoreAccessDenied), (403, "RequestTimeTooSkewed", ClockSkewed),
        (403, "InvalidAccessKeyId", StoreAccessDenied), (403, "AccessDenied", BucketRefused),
        (400, "KeyTooLongError", ObjectRefused),
    ],
)  # fmt: skip
def test_a_refused_head_is_told_with_its_code(s3: S3, by: By, status: int, code: str, kind: type[RestyleError]) -> None:
    """Answers to HEAD have none: a session that has ended was taken for one object's fault."""
    uri = s3.workspace.under("a.jpg")
    s3.store.put(uri, b"picture", content_type="image/jpeg")
    with refusing(s3.port) as gateway:
        store = Store(embedded=Endpoint(gateway.url, s3.access_key, s3.secret_key))
        assert by(store.head, uri)
        gateway.refuse = lambda _method, path, _headers: (status, code) if "a.jpg" in path else None
        with pytest.raises(kind) as caught:
            by(store.head, uri)
        assert type(caught.value) is kind
        gateway.refuse = lambda method, _path, _headers: (status, code) if method == "HEAD" else None
        with pytest.raises(RestyleError):
            by(store.head, uri)
        store.close()


def test_an_object_that_is_refused_is_told_with_what_s3_says(s3: S3, by: By) -> None:
    """Its key, say: that is no matter of the bucket, nor of the credentials."""
    with pytest.raises(ObjectRefused, match="Object name") as refused:
        by(s3.store.put, f"s3://{EMBEDDED_BUCKET}/a/../b", b"x", content_type="x/y")
    assert type(refused.value) is ObjectRefused
    assert refused.value.uri == f"s3://{EMBEDDED_BUCKET}/a/../b"


def test_a_server_that_is_gone_and_comes_back(tmp_path: Path, by: By) -> None:
    """A broken connection is one of ours while S3 is away, and nothing to notice once it is back."""
    with running_s3(tmp_path) as server:
        store = server.store
        for _ in range(2):
            by(store.put, URI, b"before", content_type="image/jpeg")
        server.kill()
        with pytest.raises(StoreUnavailable):
            by(store.get, URI)
        with pytest.raises(StoreUnavailable):
            by(store.put, URI, b"never", content_type="image/jpeg")
        server.start()
        assert by(store.get, URI).data == b"before"


def test_credentials_that_expire_are_renewed(tmp_path: Path, by: By, monkeypatch: pytest.MonkeyPatch) -> None:
    """What S3 refuses since the keys have changed is asked again with the new ones, as botocore renews them."""
    given, log = tmp_path / "given.json", tmp_path / "asked"
    script = f"open({str(log)!r}, 'a').write('x'); print(open({str(given)!r}).read())"
    (tmp_path / "ask.py").write_text(script)
    (tmp_path / "config").write_text(f"[default]\ncredential_process = {sys.executable} {tmp_path / 'ask.py'}\n")

    def give(server: S3) -> None:
        soon = datetime.now(UTC) + timedelta(minutes=1)  # botocore asks again in the last ten minutes
        told = {
            "Version": 1, "AccessKeyId": server.access_key, "SecretAccessKey": server.secret_key,
            "Expiration": soon.isoformat(),
        }  # fmt: skip
        given.write_text(json.dumps(told))

    with running_s3(tmp_path / "s3") as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.endpoint.url)
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        give(server)
        store = Store()
        for _ in range(2):
            by(store.put, URI, b"mine", content_type="image/jpeg")
        assert log.read_text()
        server.kill()
        server.access_key, server.secret_key = secrets.token_hex(8), secrets.token_hex(16)
        server.start()
        with pytest.raises(StoreAccessDenied):
            by(store.get, URI)
        give(server)
        assert by(store.get, URI).data == b"mine"


class Held:
    """Something large that the caller of a request has at hand."""


def test_a_missing_object_keeps_nothing_of_its_caller(store: Store, by: By) -> None:
    """No error stays in its own frames, with which those of the job would stay, and its picture, until a collection."""

    def ask(uri: str) -> weakref.ref[Held]:
        held = Held()
        assert store.find(uri) is None
        return weakref.ref(held)

    by(ask, f"s3://{EMBEDDED_BUCKET}/missing")  # what is made at its first use
    gc.disable()
    try:
        assert by(ask, f"s3://{EMBEDDED_BUCKET}/missing")() is None
    finally:
        gc.enable()


def test_the_embedded_server_is_known_by_its_credentials(s3: S3) -> None:
    """Another folder's may have taken the port that was free a moment ago: then one on another port is started."""
    assert s3_answers(s3.endpoint)
    if S3_SERVER.name == "rclone":
        assert not s3_answers(replace(s3.endpoint, secret_key="another folder's"))
        assert not s3_answers(replace(s3.endpoint, access_key="another"))
    assert not s3_answers(replace(s3.endpoint, url=f"http://127.0.0.1:{free_port()}"))
