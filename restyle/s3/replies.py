"""Reads S3's answers: the head of an object, and its body, whole or an error."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast
from urllib.parse import unquote

from restyle.errors import StoreUnavailable
from restyle.s3.errors import translated

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef, HeadObjectOutputTypeDef


#: Statuses by which S3 refuses, for any of many reasons.
_REFUSED = frozenset({400, 403})


@dataclass(frozen=True)
class Head:
    """An object's size, type, ETag (without its quotes) and metadata (keys in lower case)."""

    etag: str
    bytes: int
    content_type: str
    metadata: dict[str, str]


@dataclass(frozen=True)
class Stored(Head):
    """An object with its content."""

    data: bytes

    @classmethod
    def of(cls, head: Head, data: bytes) -> Stored:
        """What a head and a content make."""
        return cls(head.etag, len(data), head.content_type, head.metadata, data)


class Listed(NamedTuple):
    """An object in a listing: a million of them are made in a night."""

    uri: str
    etag: str
    bytes: int
    storage_class: str = ""
    """Empty where S3 does not say."""


class Dated(NamedTuple):
    """The same with the time of its writing: Unix seconds by S3's clock; None where it gives none."""

    uri: str
    etag: str
    bytes: int
    written: float | None


@dataclass(frozen=True)
class Glance:
    """A few objects as they stood at one moment (`at`: Unix seconds by S3's clock; None where it gives none)."""

    at: float | None
    objects: tuple[Dated, ...]


class Missing(Exception):
    """S3 says that there is no such key."""


class TooLarge(Exception):
    """The object is larger than the caller's limit; its argument is the size in bytes."""


class Body(Protocol):
    """The body of an answer to boto3."""

    def read(self, amt: int | None = None) -> bytes:
        """So many bytes of it, or all."""

    def close(self) -> None:
        """Releases the connection."""


class Stream(io.RawIOBase):
    """The body of an answer to boto3, whose errors are ours."""

    def __init__(self, body: Body, uri: str) -> None:
        self._body = body
        self._uri = uri

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """The next bytes; none only where all have come."""
        with translated(self._uri):
            piece = self._body.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        """Releases the connection."""
        if not self.closed:
            self._body.close()
            super().close()


def whole(answer: GetObjectOutputTypeDef, uri: str) -> Body:
    """The body of an answer with status 200: any other success (206: a part alone) is not the object.

    Raises:
        StoreUnavailable: the status is another.
    """
    status = answer["ResponseMetadata"]["HTTPStatusCode"]
    if status != 200:
        answer["Body"].close()
        raise StoreUnavailable(f"{uri}: S3 answers {status} instead of the object")
    return answer["Body"]


def read(answer: GetObjectOutputTypeDef, uri: str, max_bytes: int | None, admit: Callable[[int], None] | None) -> bytes:
    """The body of boto3's answer. `admit` gets its size: before it is read, or after where the answer has none.

    Raises:
        TooLarge: it has more than `max_bytes`.
    """
    body, data = whole(answer, uri), None
    size = cast("int | None", answer.get("ContentLength"))  # which some servers leave out
    if size is None:
        data = body.read(None if max_bytes is None else max_bytes + 1)
        size = len(data)
    if max_bytes is not None and size > max_bytes:
        body.close()
        raise TooLarge(size)
    if admit:
        admit(size)
    return body.read() if data is None else data


def head_of(answer: GetObjectOutputTypeDef | HeadObjectOutputTypeDef) -> Head:
    """The head in an answer to boto3. rclone's server capitalises metadata keys and quotes no ETag."""
    return Head(
        answer.get("ETag", "").strip('"'), answer.get("ContentLength", 0), answer.get("ContentType", ""),
        plain(answer.get("Metadata", {})),
    )  # fmt: skip


def described_by(client: S3Client, bucket: str, key: str) -> Head:
    """What boto3 says of an object.

    Where HEAD is refused, a byte of it is asked for: an answer to HEAD has no code, and by 400 or 403 alone a session
    that has ended, or a clock that is wrong, would be a fault of this object.
    """
    refused = client.exceptions.ClientError
    try:
        return head_of(client.head_object(Bucket=bucket, Key=key))
    except refused as error:
        if _status(error) in _REFUSED:
            try:
                client.get_object(Bucket=bucket, Key=key, Range="bytes=0-0")["Body"].close()
            except refused as explained:
                if _status(explained) in _REFUSED:
                    raise
        raise


def _status(error: Exception) -> int:
    return int(getattr(error, "response", {}).get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def plain(metadata: dict[str, str]) -> dict[str, str]:
    """Metadata as it was before it was quoted for headers."""
    return {name.lower(): unquote(value) for name, value in metadata.items()}
