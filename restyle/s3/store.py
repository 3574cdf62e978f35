"""The one entry point to S3: reads and writes objects, and turns every foreign error into one of ours.

The embedded stack's bucket, `restyle-local`, is reached by its endpoint alone; every other bucket by boto3's own chain
(environment, profiles, roles, AWS_ENDPOINT_URL_S3).
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from mmap import mmap
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from restyle.errors import InputNotFound, InvalidImage, ObjectRefused
from restyle.keys import split_uri
from restyle.outputs import Storing
from restyle.s3.errors import missing, translated
from restyle.s3.guarded import Guarded
from restyle.s3.objects import Objects
from restyle.s3.parameters import headers, held, quoted
from restyle.s3.replies import (
    Dated,
    Glance,
    Head,
    Listed,
    Missing,
    Stored,
    Stream,
    TooLarge,
    described_by,
    head_of,
    read,
    whole,
)
from restyle.s3.rewritten import read_whole
from restyle.s3.throttling import Patience
from restyle.telemetry import metrics

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["EMBEDDED_BUCKET", "Dated", "Endpoint", "Glance", "Head", "Listed", "Store", "Stored"]

T = TypeVar("T")

EMBEDDED_BUCKET = "restyle-local"
#: Bytes that a stream reads ahead.
_BLOCK = 16 * 1024


@dataclass(frozen=True)
class Endpoint:
    """Where the embedded S3 server listens, and its credentials."""

    url: str
    access_key: str
    secret_key: str


class Store(Guarded):
    """S3 by URI. Safe to share among threads; the clients are made at their first use.

    Objects are read and written by obstore (`objects.py`) and, where that gives no clear answer, by boto3; boto3 does
    everything else.
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
            patience: repeats requests while S3 is in trouble; without it, errors are raised after boto3's few tries.
            seconds: how long S3 may be silent.
        """
        super().__init__()
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
            max_bytes: the largest size that is read.
            admit: gets the size before a byte is read; may wait until there is memory for it.

        Raises:
            InputNotFound: there is no such object.
            InvalidImage: it is larger than `max_bytes`.
        """
        bucket, key = split_uri(uri)

        def ask() -> Stored:
            client, objects = self._ways(bucket)
            if stored := objects.get(bucket, key, max_bytes=max_bytes, admit=admit):
                return stored
            with translated(uri):
                answer = client.get_object(Bucket=bucket, Key=key)
                data = read(answer, uri, max_bytes, admit)
                return Stored.of(head_of(answer), data)

        try:
            if self._embedded and bucket == EMBEDDED_BUCKET and admit is None:
                return self.patiently(partial(read_whole, uri, ask))
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
        """An object's head; None where there is no such object."""
        bucket, key = split_uri(uri)

        def ask() -> Head:
            client, objects = self._ways(bucket)
            if described := objects.head(bucket, key):
                return described
            with translated(uri):
                return described_by(client, bucket, key)

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
        """Writes a whole object and returns its ETag; `storing` has its storage class, encryption, headers, tags."""
        bucket, key = split_uri(uri)
        names = quoted(metadata)
        extra: Any = {**held(storing), **headers(storing)}

        def ask() -> str:
            _, objects = self._ways(bucket)
            # A file may be unmapped as soon as this returns, when obstore may still hold it.
            if isinstance(data, bytes) and not extra and bucket not in self._locked:
                etag = objects.put(bucket, key, data, content_type=content_type, metadata=names)
                if etag:
                    return etag
            fixed = {"Bucket": bucket, "Key": key, "Body": data, "ContentType": content_type, "Metadata": names}
            return self._put_object(uri, {**fixed, **extra})

        return self.patiently(ask)

    @metrics.s3("copy")
    def copy(
        self, source: str, target: str, storing: Storing | None = None, *,
        content_type: str = "", metadata: Mapping[str, str] | None = None,
    ) -> str:  # fmt: skip
        """Copies an object, between the embedded bucket and another by way of this machine; returns the copy's ETag.

        A copy keeps the headers and tags of its source; its storage class and encryption are those of `storing`. With
        `metadata` it has these in the place of its source's, `content_type`, and headers and tags as `storing` says.
        """
        source_bucket, source_key = split_uri(source)
        bucket, key = split_uri(target)
        if self._embedded and (bucket == EMBEDDED_BUCKET) != (source_bucket == EMBEDDED_BUCKET):
            stored = self.get(source)
            values = stored.metadata if metadata is None else metadata
            return self.put(target, stored.data, content_type=stored.content_type, metadata=values, storing=storing)
        extra: Any = held(storing)
        if metadata is not None:
            extra |= {"MetadataDirective": "REPLACE", "Metadata": quoted(metadata), "ContentType": content_type}
            extra |= headers(storing) | ({"TaggingDirective": "REPLACE"} if storing and storing.tags else {})

        def ask() -> str:
            with translated(source):
                answer = self._client(bucket).copy_object(
                    Bucket=bucket, Key=key, CopySource={"Bucket": source_bucket, "Key": source_key}, **extra
                )
            return answer.get("CopyObjectResult", {}).get("ETag", "").strip('"')

        try:
            return self.patiently(ask)
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

    def open(self, uri: str) -> BinaryIO:
        """An object as a stream, which raises an error of ours where S3 breaks off.

        Raises:
            InputNotFound: there is no such object.
        """
        bucket, key = split_uri(uri)

        def ask() -> BinaryIO:
            with translated(uri):
                answer = self._client(bucket).get_object(Bucket=bucket, Key=key)
                return io.BufferedReader(Stream(whole(answer, uri), uri), _BLOCK)

        return self.patiently(ask)

    def signed_url(self, uri: str, *, seconds: int) -> str:
        """A link to an object that needs no credentials for a while."""
        bucket, key = split_uri(uri)
        return self._client(bucket).generate_presigned_url(
            "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=seconds
        )

    def make_ready(self, uri: str) -> None:
        """Makes the client for a URI's bucket now rather than at its first use; connects to nobody yet.

        Raises:
            ConfigurationError: AWS's own settings are wrong.
        """
        self._ways(split_uri(uri)[0])

    def patiently(self, ask: Callable[[], T]) -> T:
        """Calls `ask`; where this store has a patience, again and again while S3 is in trouble."""
        return self._patience.sit_out(ask) if self._patience else ask()

    def close(self) -> None:
        """Closes the connections."""
        with self._lock:
            for client, objects in self._clients.values():
                client.close()
                objects.close()
            self._clients.clear()

    def _client(self, bucket: str) -> S3Client:
        return self._ways(bucket)[0]

    def _ways(self, bucket: str) -> tuple[S3Client, Objects]:
        """The two clients of a bucket: boto3's and obstore's."""
        embedded = self._embedded is not None and bucket == EMBEDDED_BUCKET
        with self._lock:
            if embedded not in self._clients:
                self._clients[embedded] = self._connect(self._embedded if embedded else None)
            return self._clients[embedded]

    def _connect(self, endpoint: Endpoint | None) -> tuple[S3Client, Objects]:
        # Imported at first use: botocore takes a fifth of a second that many a command need not wait for.
        from restyle.s3.client import open_client

        opened = open_client(endpoint, connections=self._connections, seconds=self._seconds)
        return opened.client, Objects(opened, connections=self._connections, seconds=self._seconds)
