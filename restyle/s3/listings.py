"""Listings of objects below a prefix, page by page."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import suppress
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from restyle.errors import StoreAccessDenied, StoreUnavailable
from restyle.keys import split_uri
from restyle.s3.errors import translated
from restyle.s3.replies import Dated, Glance, Listed

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ListObjectsV2OutputTypeDef

T = TypeVar("T")

#: Most objects of a glance.
MOST_GLANCED = 10_000


class Listings(ABC):
    """What a store can list."""

    @abstractmethod
    def patiently(self, ask: Callable[[], T]) -> T:
        """Calls `ask`; where this store has a patience, again and again while S3 is in trouble."""

    @abstractmethod
    def _client(self, bucket: str) -> S3Client:
        """boto3's client of a bucket."""

    def list(self, prefix_uri: str, *, after: str = "") -> Iterator[Listed]:
        """Every object below a prefix, page by page; those behind a key alone where one is given."""
        bucket, _ = split_uri(prefix_uri)
        for page in self._pages(prefix_uri, StartAfter=split_uri(after)[1] if after else ""):
            for entry in page.get("Contents", ()):
                uri, etag = f"s3://{bucket}/{entry['Key']}", entry.get("ETag", "").strip('"')
                yield Listed(uri, etag, entry["Size"], entry.get("StorageClass", ""))

    def glance(self, prefix_uri: str) -> Glance:
        """The few objects below a prefix, with the times that S3 gives them; one request.

        Raises:
            StoreAccessDenied: there are more than ten thousand.
        """
        return self.patiently(partial(self._glance, prefix_uri))

    def _glance(self, prefix_uri: str) -> Glance:
        bucket, prefix = split_uri(prefix_uri)
        objects: list[Dated] = []
        at = None
        with translated(prefix_uri):
            for page in self._client(bucket).get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
                with suppress(KeyError, ValueError):
                    at = parsedate_to_datetime(page["ResponseMetadata"]["HTTPHeaders"]["date"]).timestamp()
                for entry in page.get("Contents", ()):
                    uri, etag = f"s3://{bucket}/{entry['Key']}", entry.get("ETag", "").strip('"')
                    written = entry["LastModified"].timestamp() if "LastModified" in entry else None
                    objects.append(Dated(uri, etag, entry["Size"], written))
                if len(objects) > MOST_GLANCED:
                    raise StoreAccessDenied(f"{prefix_uri}: has too many objects; remove what does not belong there")
        return Glance(at, tuple(objects))

    def folders(self, prefix_uri: str) -> Iterator[str]:
        """The names of the folders straight below a prefix, which ends in `/`; what is in them is not listed."""
        _, prefix = split_uri(prefix_uri)
        for page in self._pages(prefix_uri, Delimiter="/"):
            for entry in page.get("CommonPrefixes", ()):
                yield entry["Prefix"][len(prefix) :].rstrip("/")

    def _pages(self, prefix_uri: str, **parameters: Any) -> Iterator[ListObjectsV2OutputTypeDef]:
        """The pages of a listing, each asked for until it is there."""
        bucket, prefix = split_uri(prefix_uri)

        def ask() -> ListObjectsV2OutputTypeDef:
            with translated(prefix_uri):
                return self._client(bucket).list_objects_v2(Bucket=bucket, Prefix=prefix, **parameters)

        tokens, last = set[str](), None
        while True:
            page = self.patiently(ask)
            yield page
            following = page.get("NextContinuationToken", "")
            if not page.get("IsTruncated", bool(following)):
                return
            names = [one.get("Key") for one in page.get("Contents", ())] or [
                one.get("Prefix") for one in page.get("CommonPrefixes", ())
            ]
            if not following or following in tokens or (names and names[-1] == last):
                raise StoreUnavailable(f"{prefix_uri}: S3 breaks off its listing, or repeats it without an end")
            tokens.add(following)
            last = names[-1] if names else last
            parameters["ContinuationToken"] = following
