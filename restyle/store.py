"""The door to S3: objects in and out, and every foreign error as one of ours.

Bucket `restyle-local` is the embedded stack's and is reached by its endpoint alone; every other bucket by boto3's
own chain (environment, profiles, roles, AWS_ENDPOINT_URL_S3).
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from mmap import mmap
from typing import TYPE_CHECKING, Any, BinaryIO, cast
from urllib.parse import quote, unquote, urlencode

from restyle import metrics
from restyle.errors import (
    InputNotFound,
    InvalidImage,
    StoreAccessDenied,
)
from restyle.keys import split_uri
from restyle.outputs import Storing
from restyle.refusals import translated
from restyle.signed import Reply, Signed, TooLarge

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

EMBEDDED_BUCKET = "restyle-local"
#: Objects that are looked through at a glance.
MOST_GLANCED = 10_000


@dataclass(frozen=True)
class Endpoint:
    """Where the embedded S3 server listens, and its credentials."""

    url: str
    access_key: str
    secret_key: str


@dataclass(frozen=True)
class Head:
    """What S3 says of an object; the ETag without its quotes, metadata keys in lower case."""

    etag: str
    bytes: int
    content_type: str
    metadata: dict[str, str]


@dataclass(frozen=True)
class Stored(Head):
    """An object with its content."""

    data: bytes


@dataclass(frozen=True)
class Listed:
    """An object in a listing."""

    uri: str
    etag: str
    bytes: int


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
    """S3 by URI. Safe to share among threads; the clients are made at their first use."""

    def __init__(self, *, embedded: Endpoint | None = None, connections: int = 16) -> None:
        self._embedded = embedded
        self._connections = connections
        self._clients: dict[bool, tuple[S3Client, Signed]] = {}
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
        try:
            if reply := self._short(bucket).request("GET", bucket, key, max_bytes=max_bytes, admit=admit):
                return Stored(**_replied(reply, uri), data=reply.data)
            with translated(uri):
                answer = self._client(bucket).get_object(Bucket=bucket, Key=key)
                size = answer["ContentLength"]
                if max_bytes is not None and size > max_bytes:
                    answer["Body"].close()
                    raise TooLarge(size)
                if admit:
                    admit(size)
                data = answer["Body"].read()
        except TooLarge as error:
            size, most = error.args[0] / 1e6, (max_bytes or 0) / 1e6
            raise InvalidImage(f"{uri}: is {size:,.0f} MB; at most {most:,.0f} MB can be sent") from None
        return Stored(**_told(answer), data=data)

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
        try:
            if reply := self._short(bucket).request("HEAD", bucket, key):
                return Head(**_replied(reply, uri))
            with translated(uri):
                return Head(**_told(self._client(bucket).head_object(Bucket=bucket, Key=key)))
        except InputNotFound:
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
        sha256: str = "",
    ) -> str:
        """Writes an object whole, held as S3 is told to, and answers with its ETag; its SHA-256 in hex, if known."""
        bucket, key = split_uri(uri)
        told = {name: quote(value, safe=" !#$&'()*+,-./:;<=>?@[]^_`{|}~") for name, value in metadata.items()}
        asked: Any = {**_held(storing), **_headers(storing)}
        # A file goes the long way, where it is wound back for another attempt, and so does what S3 is to hold.
        if isinstance(data, bytes) and not asked:
            headers = {
                "content-type": content_type,
                "x-amz-content-sha256": sha256 or hashlib.sha256(data).hexdigest(),
                **{f"x-amz-meta-{name}": value for name, value in told.items()},
            }
            if reply := self._short(bucket).request("PUT", bucket, key, body=data, headers=headers):
                return str(_replied(reply, uri)["etag"])
        with translated(uri):
            answer = self._client(bucket).put_object(
                Bucket=bucket, Key=key, Body=cast("bytes", data), ContentType=content_type, Metadata=told, **asked
            )
        return answer.get("ETag", "").strip('"')

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
        with translated(source):
            self._client(bucket).copy_object(
                Bucket=bucket, Key=key, CopySource={"Bucket": source_bucket, "Key": source_key}, **_held(storing)
            )

    @metrics.s3("delete")
    def delete(self, uri: str) -> None:
        """Removes an object; one that is missing is fine."""
        bucket, key = split_uri(uri)
        try:
            with translated(uri):
                self._client(bucket).delete_object(Bucket=bucket, Key=key)
        except InputNotFound:
            return

    def list(self, prefix_uri: str, *, after: str = "") -> Iterator[Listed]:
        """Every object below a prefix, page by page; those behind a key alone where one is given."""
        bucket, prefix = split_uri(prefix_uri)
        begin = split_uri(after)[1] if after else ""
        with translated(prefix_uri):
            pages = (
                self._client(bucket)
                .get_paginator("list_objects_v2")
                .paginate(Bucket=bucket, Prefix=prefix, StartAfter=begin)
            )
            for page in pages:
                for entry in page.get("Contents", ()):
                    yield Listed(f"s3://{bucket}/{entry['Key']}", entry["ETag"].strip('"'), entry["Size"])

    def glance(self, prefix_uri: str) -> Glance:
        """The few objects below a prefix, with the times that S3 gives them; one request.

        Raises:
            StoreAccessDenied: they are more than ten thousand, so that nobody can tell what is among them.
        """
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
        bucket, prefix = split_uri(prefix_uri)
        with translated(prefix_uri):
            pages = (
                self._client(bucket)
                .get_paginator("list_objects_v2")
                .paginate(Bucket=bucket, Prefix=prefix, Delimiter="/")
            )
            for page in pages:
                for entry in page.get("CommonPrefixes", ()):
                    yield entry["Prefix"][len(prefix) :].rstrip("/")

    def open(self, uri: str) -> BinaryIO:
        """An object as a stream.

        Raises:
            InputNotFound: there is no such object.
        """
        bucket, key = split_uri(uri)
        with translated(uri):
            body = self._client(bucket).get_object(Bucket=bucket, Key=key)["Body"]
        return cast("BinaryIO", body)

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

    def close(self) -> None:
        """Closes the connections."""
        with self._lock:
            for client, short in self._clients.values():
                client.close()
                short.close()
            self._clients.clear()

    def _is_embedded(self, bucket: str) -> bool:
        return self._embedded is not None and bucket == EMBEDDED_BUCKET

    def _client(self, bucket: str) -> S3Client:
        return self._ways(bucket)[0]

    def _short(self, bucket: str) -> Signed:
        return self._ways(bucket)[1]

    def _ways(self, bucket: str) -> tuple[S3Client, Signed]:
        """The long way to a bucket and the short one."""
        embedded = self._is_embedded(bucket)
        with self._lock:
            if embedded not in self._clients:
                self._clients[embedded] = self._connect(self._embedded if embedded else None)
            return self._clients[embedded]

    def _connect(self, endpoint: Endpoint | None) -> tuple[S3Client, Signed]:
        # Imported at first use: botocore takes a fifth of a second that many a command need not wait for.
        from restyle.clients import open_client

        client, ca_bundle = open_client(endpoint, connections=self._connections)
        return client, Signed(client, connections=self._connections, ca_bundle=ca_bundle)


def _replied(reply: Reply, uri: str) -> dict[str, Any]:
    """The fields of a Head in an answer of the short way.

    Raises:
        InputNotFound: there is no such object.
    """
    if reply.status == 404:
        raise InputNotFound(f"{uri}: there is no such object")
    named = reply.headers
    told = {
        "ETag": named.get("etag", ""),
        "ContentLength": int(named.get("content-length", 0)),
        "ContentType": named.get("content-type", ""),
        "Metadata": {n.removeprefix("x-amz-meta-"): v for n, v in named.items() if n.startswith("x-amz-meta-")},
    }
    return _told(told)


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


def _told(answer: Any) -> dict[str, Any]:
    """The fields of a Head in an answer of boto3. rclone's server capitalises metadata keys and quotes no ETag."""
    metadata = {name.lower(): unquote(value) for name, value in answer.get("Metadata", {}).items()}
    return {
        "etag": answer.get("ETag", "").strip('"'),
        "bytes": answer.get("ContentLength", 0),
        "content_type": answer.get("ContentType", ""),
        "metadata": metadata,
    }
