"""The door to S3 against a real server: the short way answers as the long one does, in success and in failure."""

from __future__ import annotations

import json
import mmap
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from restyle.errors import (
    BucketRefused,
    ConfigurationError,
    InputNotFound,
    InvalidImage,
    StoreAccessDenied,
    StoreUnavailable,
)
from restyle.store import EMBEDDED_BUCKET, Endpoint, Store
from tests.support.servers import S3, running_s3

URI = f"s3://{EMBEDDED_BUCKET}/short/ways to Ü+ä'(1)~.jpg"
TOLD = {"fingerprint": "f" * 32, "cost": "0.02", "word": "grün, 50 %"}


@pytest.fixture
def store(s3: S3) -> Store:
    """A door that has learned the short way: by the first request, which takes the long one."""
    store = s3.store
    assert store.find(f"s3://{EMBEDDED_BUCKET}/nothing") is None
    assert store._ways(EMBEDDED_BUCKET)[1]._routes, "the short way was not learned"
    return store


def test_both_ways_tell_the_same(s3: S3, store: Store) -> None:
    """Content, ETag, type and metadata are the same whichever way an object is written and read."""
    data = bytes(range(256)) * 900
    etag = store.put(URI, data, content_type="image/jpeg", metadata=TOLD)
    shortly = store.get(URI)
    at_length = s3.store.get(URI)  # the first request of another door
    assert shortly == at_length
    assert (shortly.data, shortly.etag, shortly.content_type) == (data, etag, "image/jpeg")
    assert TOLD.items() <= shortly.metadata.items()
    assert store.head(URI) == s3.store.head(URI)
    assert s3.store.put(URI, data, content_type="image/jpeg") == etag


def test_making_ready_connects_to_nobody() -> None:
    """A worker opens its door at its start, whether S3 is there or not."""
    store = Store(embedded=Endpoint("http://127.0.0.1:1", "key", "secret"))
    store.make_ready(URI)
    with pytest.raises(StoreUnavailable):
        store.head(URI)
    store.close()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("AWS_PROFILE", "nobody", "profile .nobody. could not be found"),
        ("AWS_ENDPOINT_URL_S3", "somewhere", "Invalid endpoint: somewhere"),
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


def test_a_file_is_written_whole(store: Store, tmp_path: Path) -> None:
    """What is mapped into memory is never half sent."""
    path = tmp_path / "report.csv"
    path.write_bytes(b"id,outcome\n" * 10_000)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        store.put(URI, mapped, content_type="text/csv")
    assert store.get(URI).data == path.read_bytes()


def test_empty_and_missing_objects(store: Store) -> None:
    """An empty object is one; a missing one is told as such, and a missing bucket by its name."""
    uri = f"s3://{EMBEDDED_BUCKET}/empty"
    store.put(uri, b"", content_type="text/plain")
    assert store.get(uri).data == b""
    assert store.head(f"s3://{EMBEDDED_BUCKET}/missing") is None
    with pytest.raises(InputNotFound, match="there is no such object"):
        store.get(f"s3://{EMBEDDED_BUCKET}/missing")


def test_a_missing_bucket_is_no_missing_object(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the bucket is gone, the short way leaves the word to the long one."""
    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)
    store = Store()
    for _ in range(2):
        with pytest.raises(BucketRefused, match="there is no such bucket"):
            store.get("s3://no-such-bucket/a")
    assert store._ways("no-such-bucket")[1]._routes


def test_an_object_that_is_too_large_is_not_read(store: Store) -> None:
    """Its size is known before its bytes are taken."""
    store.put(URI, b"x" * 2000, content_type="image/jpeg")
    with pytest.raises(InvalidImage, match="at most"):
        store.get(URI, max_bytes=1999)
    assert len(store.get(URI, max_bytes=2000).data) == 2000


def test_a_refusal_is_told_by_the_long_way(s3: S3) -> None:
    """A key that is refused is no missing object, whichever way was taken."""
    store = Store(embedded=Endpoint(s3.endpoint.url, s3.access_key, "not-the-secret-of-it"))
    for _ in range(2):
        with pytest.raises(StoreAccessDenied, match="refuses our credentials"):
            store.get(URI)
        with pytest.raises(StoreAccessDenied, match="refuses our credentials"):
            store.put(URI, b"x", content_type="image/jpeg")


def test_a_server_that_is_gone_and_comes_back(tmp_path: Path) -> None:
    """A broken connection is one of ours while S3 is away, and nothing to notice once it is back."""
    with running_s3(tmp_path) as server:
        store = server.store
        for _ in range(2):
            store.put(URI, b"before", content_type="image/jpeg")
        server.kill()
        with pytest.raises(StoreUnavailable):
            store.get(URI)
        with pytest.raises(StoreUnavailable):
            store.put(URI, b"never", content_type="image/jpeg")
        server.start()
        assert store.get(URI).data == b"before"


def test_credentials_that_expire_are_renewed(s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request is signed with the credentials as they are then, as botocore renews them."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.endpoint.url)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    given = tmp_path / "given.json"
    log = tmp_path / "asked"
    script = f"open({str(log)!r}, 'a').write('x'); print(open({str(given)!r}).read())"
    (tmp_path / "ask.py").write_text(script)
    (tmp_path / "config").write_text(f"[default]\ncredential_process = {sys.executable} {tmp_path / 'ask.py'}\n")

    def give(secret: str) -> None:
        soon = datetime.now(UTC) + timedelta(minutes=1)  # botocore asks again in the last ten minutes
        told = {"Version": 1, "AccessKeyId": s3.access_key, "SecretAccessKey": secret, "Expiration": soon.isoformat()}
        given.write_text(json.dumps(told))

    give(s3.secret_key)
    store = Store()
    for _ in range(2):
        store.put(URI, b"mine", content_type="image/jpeg")
    asked = len(log.read_text())
    assert store.get(URI).data == b"mine"
    assert len(log.read_text()) > asked
    give("another-secret-than-it-was")
    with pytest.raises(StoreAccessDenied):
        store.get(URI)
