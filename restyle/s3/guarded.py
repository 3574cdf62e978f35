"""Writes that replace nothing of anybody else's, as far as the S3 server can be asked for that.

Servers without conditional writes (rclone's) take them as any other, so nothing may rest on them: they close the
milliseconds between a look and a write where they exist. `restyle doctor` tells whether they do.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from base64 import b64encode
from typing import Any

from restyle.errors import InputNotFound, ObjectExists, ObjectRefused
from restyle.keys import split_uri
from restyle.s3.errors import translated
from restyle.s3.listings import Listings
from restyle.s3.replies import Head, Stored
from restyle.telemetry import metrics


class Guarded(Listings):
    """What a store writes only where nobody else has."""

    def __init__(self) -> None:
        self._locked: set[str] = set()
        """Buckets that lock objects by default: S3 takes one there only with its digest."""

    @abstractmethod
    def head(self, uri: str) -> Head | None:
        """An object's head; None where there is no such object."""

    @abstractmethod
    def find(self, uri: str) -> Stored | None:
        """An object with its content; None where there is none."""

    @abstractmethod
    def put(self, uri: str, data: bytes, *, content_type: str) -> str:
        """Writes a whole object and returns its ETag."""

    @metrics.s3("create")
    def create(self, uri: str, data: bytes, *, content_type: str) -> bool:
        """Writes an object where there is none; False where there is one.

        Of two at once the second replaces the first where the server knows no `If-None-Match: *`.
        """
        return self.head(uri) is None and self._write_if(uri, data, content_type, {"IfNoneMatch": "*"})

    @metrics.s3("replace")
    def replace(self, uri: str, data: bytes, *, etag: str, content_type: str) -> bool:
        """Writes an object in the place of the one with this ETag; False where another lies there by now, or none.

        One that is written between the look and this is replaced too where the server knows no `If-Match`.
        """
        head = self.head(uri)
        if head is None or head.etag != etag:
            return False
        if self._write_if(uri, data, content_type, {"IfMatch": f'"{etag}"'}):
            return True
        # Where an answer was lost and the request was sent again, what lies there is this.
        stored = self.find(uri)
        return stored is not None and stored.data == data

    def heeds_conditions(self, uri: str, data: bytes, *, content_type: str) -> bool:
        """Whether S3 leaves an object that lies there as it is where a condition of a write does not hold.

        A server that ignores conditions, or refuses them, writes `data` there.
        """
        conditions = ({"IfNoneMatch": "*"}, {"IfMatch": f'"{"0" * 32}"'})
        return not any(self._write_if(uri, data, content_type, condition) for condition in conditions)

    def _write_if(self, uri: str, data: bytes, content_type: str, condition: dict[str, str]) -> bool:
        """Writes under a condition; whether it held, or the server knows none."""
        bucket, key = split_uri(uri)
        request: Any = {"Bucket": bucket, "Key": key, "Body": data, "ContentType": content_type, **condition}

        def ask() -> None:
            self._put_object(uri, request)

        try:
            self.patiently(ask)
        except (ObjectExists, InputNotFound):
            return False
        except ObjectRefused:
            self.put(uri, data, content_type=content_type)
        return True

    def _put_object(self, uri: str, request: Any) -> str:
        """Writes an object by boto3; its ETag.

        A bucket that asks for an object's digest gets it from then on. No other does: not every server knows it, and it
        costs a look at every byte.
        """
        bucket = request["Bucket"]
        has_digest = bucket in self._locked
        if has_digest:
            digest = hashlib.md5(request["Body"], usedforsecurity=False).digest()
            request = {**request, "ContentMD5": b64encode(digest).decode()}
        try:
            with translated(uri):
                return self._client(bucket).put_object(**request).get("ETag", "").strip('"')
        except ObjectRefused as error:
            if has_digest or "Content-MD5" not in error.message:
                raise
        self._locked.add(bucket)
        return self._put_object(uri, request)
