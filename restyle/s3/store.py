"""The door to S3: objects in and out, and every foreign error as one of ours.

Bucket `restyle-local` is the embedded stack's and is reached by its endpoint alone; every other bucket by boto3's
own chain (environment, profiles, roles, AWS_ENDPOINT_URL_S3).
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import partial
from mmap import mmap
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, cast
from urllib.parse import quote, urlencode

from restyle.errors import InputNotFound, InvalidImage, ObjectRefused, StoreAccessDenied, StoreUnavailable
from restyle.keys import split_uri
from restyle.outputs import Storing
from restyle.s3.errors import missing, translated
from restyle.s3.objects import Objects
from restyle.s3.replies import Head, Missing, Stored, Stream, TooLarge, read, told, whole
from restyle.s3.throttling import Patience
from restyle.telemetry import metrics

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["EMBEDDED_BUCKET", "Endpoint", "Head", "Listed", "Store", "Stored"]

T = TypeVar("T")

EMBEDDED_BUCKET = "restyle-local"
#: Bytes that a stream reads ahead.
_BLOCK = 16 * 1024
#: Objects that are looked through at a glance.
MOST_GLANCED = 10_000


@dataclass(frozen=True)
class Endpoint:
    """Where the embedded S3 server listens, and its credentials."""

    url: str
    access_key: str
    secret_key: str


@dataclass(frozen=True)
class Listed:
    """An object in a listing."""

    uri: str
    etag: str
    bytes: int
    storage_class: str = field(default="", kw_only=True)
    """Empty where S3 does not say."""


@dataclass(frozen=True)
class Dated(Listed):
    """An object in a listing, with when it was written: Unix seconds by S3's clock; None where it does not say."""

    written: float | None


@dataclass(frozen=True)
class Glance:
    """A few objects as they stood at one moment, which S3's own clock tells; None where it does not."""

    at: float | None
    objects: tuple[Dated, ...]


class Store:
    """S3 by URI. Safe to share among threads; the clients are made at their first use.

    Objects are asked for by obstore (`objects.py`) and, where that is not answered plainly, by boto3; the rest is
    boto3's.
    """

    def __init__(
        self,
        *,
        embedded: Endpoint | None = None,
        connections: int = 16,
        patience: Patience | None = None,
        seconds: float = 30,
    ) -> None:
        """Connects to nobody yet.

        Args:
            embedded: the embedded S3 server, where there is one.
            connections: requests at a time that need not wait for one another.
            patience: sits out an S3 in trouble; without, each error is raised after boto3's few tries.
            seconds: for which S3 may be silent.
        """
        self._embedded = embedded
        self._connections = connections
        self._patience = patience
        self._seconds = seconds
        self._clients: dict[bool, tuple[S3Client, Objects]] = {}
        self._lock = threading.Lock()

    @metrics.s3("get")
    def get(self, uri: str, *, max_bytes: int | None = None, admit: Callable[[int], None] | None = None) -> Stored:
        """An object with its content.

        Args:
            uri: where it lies.
            max_bytes: more than that is not read.
            admit: told the size before a byte is read; may wait until there is room for it.

        Raises:
            InputNotFound: there is no such object.
            InvalidImage: it is larger than `max_bytes`.
        """
        bucket, key = split_uri(uri)

        def ask() -> Stored:
            client, objects = self._ways(bucket)
            if found := objects.get(bucket, key, max_bytes=max_bytes, admit=admit):
                return found
            with translated(uri):
                answer: Any = client.get_object(Bucket=bucket, Key=key)
                data = read(answer, uri, max_bytes, admit)
                return Stored(**told(answer, len(data)), data=data)

        try:
            return self.patiently(ask)
        except Missing:
            raise missing(uri) from None
        except TooLarge as error:
            size, most = error.args[0] / 1e6, (max_bytes or 0) / 1e6
            raise InvalidImage(f"{uri}: is {size:,.0f} MB; at most {most:,.0f} MB can be sent") from None

    def find(self, uri: str) -> Stored | None:
        """An object with its content; None where there is none."""
        try:
            return self.get(uri)
        except InputNotFound:
            return None

    @metrics.s3("head")
    def head(self, uri: str) -> Head | None:
        """What S3 says of an object; None where there is none."""
        bucket, key = split_uri(uri)

        def ask() -> Head:
            client, objects = self._ways(bucket)
            if found := objects.head(bucket, key):
                return found
            with translated(uri):
                return Head(**told(client.head_object(Bucket=bucket, Key=key)))

        try:
            return self.patiently(ask)
        except (Missing, InputNotFound):
            return None

    @metrics.s3("put")
    def put(
        self,
        uri: str,
        data: bytes | mmap,
        *,
        content_type: str,
        metadata: Mapping[str, str] = {},
        storing: Storing | None = None,
    ) -> str:
        """Writes an object whole, held as S3 is told to, and answers with its ETag."""
        bucket, key = split_uri(uri)
        headers = {name: quote(value, safe=" !#$&'()*+,-./:;<=>?@[]^_`{|}~") for name, value in metadata.items()}
        asked: Any = {**_held(storing), **_headers(storing)}

        def ask() -> str:
            client, objects = self._ways(bucket)
            # A file may be unmapped as soon as this returns, when obstore may still hold it.
            if isinstance(data, bytes) and not asked:
                etag = objects.put(bucket, key, data, content_type=content_type, metadata=headers)
                if etag:
                    return etag
            with translated(uri):
                answer = client.put_object(
                    Bucket=bucket,
                    Key=key,
                    Body=cast("bytes", data),
                    ContentType=content_type,
                    Metadata=headers,
                    **asked,
                )
            return answer.get("ETag", "").strip('"')

        return self.patiently(ask)

    @metrics.s3("copy")
    def copy(self, source: str, target: str, storing: Storing | None = None) -> None:
        """Copies an object with its metadata; between the embedded bucket and another by way of this machine.

        A copy keeps the headers and tags of its source, and is held in S3 as it is told here.
        """
        source_bucket, source_key = split_uri(source)
        bucket, key = split_uri(target)
        if self._is_embedded(bucket) != self._is_embedded(source_bucket):
            found = self.get(source)
            self.put(target, found.data, content_type=found.content_type, metadata=found.metadata, storing=storing)
            return

        def ask() -> None:
            with translated(source):
                self._client(bucket).copy_object(
                    Bucket=bucket, Key=key, CopySource={"Bucket": source_bucket, "Key": source_key}, **_held(storing)
                )

        try:
            self.patiently(ask)
        except ObjectRefused as error:
            # S3 does not say which of the two it refuses: the source, unless that may be looked at.
            error.uri = target if self.head(source) else source
            raise

    @metrics.s3("delete")
    def delete(self, uri: str) -> None:
        """Removes an object; one that is missing is fine."""
        bucket, key = split_uri(uri)

        def ask() -> None:
            with translated(uri):
                self._client(bucket).delete_object(Bucket=bucket, Key=key)

        try:
            self.patiently(ask)
        except InputNotFound:
            return

    def list(self, prefix_uri: str, *, after: str = "") -> Iterator[Listed]:
        """Every object below a prefix, page by page; those behind a key alone where one is given."""
        bucket, _ = split_uri(prefix_uri)
        for page in self._pages(prefix_uri, StartAfter=split_uri(after)[1] if after else ""):
            for entry in page.get("Contents", ()):
                yield Listed(
                    f"s3://{bucket}/{entry['Key']}", entry["ETag"].strip('"'), entry["Size"],
                    storage_class=entry.get("StorageClass", ""),
                )  # fmt: skip

    def glance(self, prefix_uri: str) -> Glance:
        """The few objects below a prefix, with the times that S3 gives them; one request.

        Raises:
            StoreAccessDenied: they are more than ten thousand, so that nobody can tell what is among them.
        """
        return self.patiently(partial(self._glance, prefix_uri))

    def _glance(self, prefix_uri: str) -> Glance:
        bucket, prefix = split_uri(prefix_uri)
        found: list[Dated] = []
        at = None
        with translated(prefix_uri):
            for page in self._client(bucket).get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
                with suppress(KeyError, ValueError):
                    at = parsedate_to_datetime(page["ResponseMetadata"]["HTTPHeaders"]["date"]).timestamp()
                for entry in page.get("Contents", ()):
                    uri, etag = f"s3://{bucket}/{entry['Key']}", entry.get("ETag", "").strip('"')
                    written = entry["LastModified"].timestamp() if "LastModified" in entry else None
                    found.append(Dated(uri, etag, entry["Size"], written))
                if len(found) > MOST_GLANCED:
                    raise StoreAccessDenied(f"{prefix_uri}: has too many objects; remove what does not belong there")
        return Glance(at, tuple(found))

    def folders(self, prefix_uri: str) -> Iterator[str]:
        """The names of the folders straight below a prefix, which ends in `/`; what is in them is not listed."""
        _, prefix = split_uri(prefix_uri)
        for page in self._pages(prefix_uri, Delimiter="/"):
            for entry in page.get("CommonPrefixes", ()):
                yield entry["Prefix"][len(prefix) :].rstrip("/")

    def open(self, uri: str) -> BinaryIO:
        """An object as a stream, which ends in an error of ours where S3 breaks off.

        Raises:
            InputNotFound: there is no such object.
        """
        bucket, key = split_uri(uri)

        def ask() -> BinaryIO:
            with translated(uri):
                answer: Any = self._client(bucket).get_object(Bucket=bucket, Key=key)
                return io.BufferedReader(Stream(whole(answer, uri), uri), _BLOCK)

        return self.patiently(ask)

    def signed_url(self, uri: str, *, seconds: int = 3600) -> str:
        """A link to an object that needs no credentials for a while."""
        bucket, key = split_uri(uri)
        return self._client(bucket).generate_presigned_url(
            "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=seconds
        )

    def make_ready(self, uri: str) -> None:
        """Makes the client for a place now rather than at its first use; connects to nobody yet.

        Raises:
            ConfigurationError: AWS's own settings are wrong.
        """
        self._ways(split_uri(uri)[0])

    def patiently(self, ask: Callable[[], T]) -> T:
        """Does what asks S3, again and again while S3 is in trouble, where this store has the patience for it."""
        return self._patience.sit_out(ask) if self._patience else ask()

    def close(self) -> None:
        """Closes the connections."""
        with self._lock:
            for client, objects in self._clients.values():
                client.close()
                objects.close()
            self._clients.clear()

    def _pages(self, prefix_uri: str, **asked: Any) -> Iterator[Any]:
        """The pages of a listing, each asked for until it is there."""
        bucket, prefix = split_uri(prefix_uri)

        def ask() -> Any:
            with translated(prefix_uri):
                return self._client(bucket).list_objects_v2(Bucket=bucket, Prefix=prefix, **asked)

        while True:
            page = self.patiently(ask)
            yield page
            if not page.get("IsTruncated"):
                return
            following = page.get("NextContinuationToken")
            if not following or following == asked.get("ContinuationToken"):
                raise StoreUnavailable(f"{prefix_uri}: S3 breaks off its listing")
            asked["ContinuationToken"] = following

    def _is_embedded(self, bucket: str) -> bool:
        return self._embedded is not None and bucket == EMBEDDED_BUCKET

    def _client(self, bucket: str) -> S3Client:
        return self._ways(bucket)[0]

    def _ways(self, bucket: str) -> tuple[S3Client, Objects]:
        """boto3's way to a bucket and obstore's."""
        embedded = self._is_embedded(bucket)
        with self._lock:
            if embedded not in self._clients:
                self._clients[embedded] = self._connect(self._embedded if embedded else None)
            return self._clients[embedded]

    def _connect(self, endpoint: Endpoint | None) -> tuple[S3Client, Objects]:
        # Imported at first use: botocore takes a fifth of a second that many a command need not wait for.
        from restyle.s3.client import open_client

        opened = open_client(endpoint, connections=self._connections, seconds=self._seconds)
        return opened.client, Objects(opened, connections=self._connections, seconds=self._seconds)


def _held(storing: Storing | None) -> Any:
    """How S3 is to hold an object, as boto3 takes it; no more than was asked for, since not every server knows it."""
    asked: dict[str, str] = {}
    if storing and storing.storage_class:
        asked["StorageClass"] = storing.storage_class
    if storing and storing.sse_kms_key:
        asked |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": storing.sse_kms_key}
    return asked


def _headers(storing: Storing | None) -> Any:
    """What a new object says of itself, as boto3 takes it."""
    if storing is None:
        return {}
    asked = {
        "CacheControl": storing.cache_control,
        "ContentDisposition": storing.content_disposition,
        "Tagging": urlencode(storing.tags),
    }
    return {name: value for name, value in asked.items() if value}
