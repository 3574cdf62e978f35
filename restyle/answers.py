"""What the API's answers mean: pure, of both its doors. docs/formats.md says what the API's page leaves open."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from restyle.errors import (
    ApiTimeout,
    ApiUnavailable,
    FleetError,
    JobError,
    MalformedResponse,
    Misconfigured,
    OutOfCredits,
    RateLimited,
    RequestRejected,
    RestyleError,
    TransientError,
    Unauthorized,
)

#: The answer's header by which the sandbox says that it is one.
SANDBOX_HEADER = "x-restyle-sandbox"
_PICTURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF")


@dataclass(frozen=True)
class Answer:
    """What a paid call brought; every figure is None where the API did not tell it."""

    images: tuple[bytes, ...]
    seconds: float
    request_id: str | None = None
    cost: float | None = None
    remaining_credits: float | None = None
    seed: int | None = None
    sandbox: bool = False


def read_answer(status: int, headers: Mapping[str, str], body: bytes, seconds: float, *, api_key: str = "") -> Answer:
    """What an answer means.

    Raises:
        RestyleError: every status but a 200 with pictures in it.
    """
    if status != 200:
        raise read_error(status, headers, body, api_key)
    cost = _number(headers.get("x-cost"))
    try:
        images = read_images(headers.get("content-type", ""), body)
    except MalformedResponse as error:
        error.cost = cost
        raise
    return Answer(
        images=images,
        seconds=seconds,
        request_id=headers.get("x-request-id"),
        cost=cost,
        remaining_credits=_number(headers.get("x-remaining-credits")),
        seed=_whole(headers.get("x-seed-value")),
        sandbox=headers.get(SANDBOX_HEADER) is not None,
    )


def read_images(content_type: str, body: bytes) -> tuple[bytes, ...]:
    """The pictures of a 200: by its content type, then by its first bytes.

    Raises:
        MalformedResponse: there are none.
    """
    if body.startswith(_PICTURES):
        return (body,)
    if not body:
        raise MalformedResponse("the API answered 200 with an empty body", 200)
    start = body[:64].lstrip().lower()
    if "json" in content_type or start.startswith((b"{", b"[")):
        return _images_in_json(body)
    if start.startswith((b"<!doctype", b"<html")):
        raise MalformedResponse("the API answered 200 with an HTML page", 200)
    raise MalformedResponse(f"the API answered 200 with {len(body):,} bytes that are no picture", 200)


def _images_in_json(body: bytes) -> tuple[bytes, ...]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise MalformedResponse("the API answered 200 with JSON that breaks off", 200) from None
    if not isinstance(found, dict):
        raise MalformedResponse("the API answered 200 with JSON that holds no picture", 200)
    return tuple(item if isinstance(item, bytes) else _refuse_link() for item in pictures_or_links(found))


def pictures_or_links(found: dict[str, Any]) -> list[bytes | str]:
    """What a JSON answer holds: pictures, or the addresses where they lie.

    Raises:
        MalformedResponse: neither.
    """
    for name in ("image", "images", "output"):
        given = found.get(name)
        if given:
            return [_picture_or_link(item) for item in (given if isinstance(given, list) else [given])]
    raise MalformedResponse("the API answered 200 with JSON that holds no picture", 200)


def _refuse_link() -> bytes:
    raise MalformedResponse("the API answered 200 with a link instead of a picture", 200)


def _picture_or_link(item: Any) -> bytes | str:
    if isinstance(item, dict):
        item = item.get("url")
    if not isinstance(item, str):
        raise MalformedResponse("the API answered 200 with JSON that holds no picture", 200)
    if item.startswith(("http://", "https://")):
        return item
    text = item.partition(",")[2] if item.startswith("data:") else item
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedResponse("the API answered 200 with base64 that cannot be decoded", 200) from None


def read_error(status: int, headers: Mapping[str, str], body: bytes, api_key: str = "") -> RestyleError:
    """The error that a status other than 200 stands for."""
    told = quoted(api_message(body), api_key)
    said = f"the API answers {status}" + (f": {told}" if told else "")
    if status == 429:
        return RateLimited(said, reset_wait(headers))
    if status == 406 and blames_request(told):
        return RequestRejected(said, status)
    if 300 <= status < 400:
        said += " (a redirect, which is not followed since the key would go along)"
    return _kind(status)(said, status)


def _kind(status: int) -> type[FleetError | JobError | TransientError]:
    """The class of an error by its status alone."""
    named = _NAMED.get(status)
    if named is not None:
        return named
    if 300 <= status < 400:
        return Misconfigured
    if 400 <= status < 500:
        return RequestRejected
    return ApiUnavailable if status >= 500 else MalformedResponse


_NAMED: dict[int, type[FleetError | JobError | TransientError]] = {
    401: Unauthorized,
    402: OutOfCredits,
    403: Unauthorized,
    404: Misconfigured,
    405: Misconfigured,
    406: OutOfCredits,
    408: ApiTimeout,
    410: Misconfigured,
}


def blames_request(told: str) -> bool:
    """Whether the text of a 406 clearly blames this request; anything else counts as the credits (design 6)."""
    text = told.lower()
    if any(word in text for word in ("credit", "balance", "spend", "limit", "fund", "top up")):
        return False
    return any(word in text for word in ("content type", "content-type", "parameter", "value", "must be", "invalid"))


def reset_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds until a rate limit resets, by the answer's own clock; None where it does not say."""
    now = _date(headers.get("date")) or datetime.now(UTC)
    after = headers.get("retry-after")
    if after:
        seconds = _number(after)
        at = None if seconds is not None else _date(after)
        if seconds is not None or at is not None:
            return max(0.0, seconds if seconds is not None else (at - now).total_seconds() if at else 0.0)
    at = _date(headers.get("x-rate-limit-reset-at-utc"))
    return max(0.0, (at - now).total_seconds()) if at else None


def api_message(body: bytes) -> str:
    """The API's own words in an error's body."""
    text = body[:20_000].decode("utf-8", "replace")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return re.sub(r"<[^>]*>", " ", text)
    if isinstance(found, dict):
        for name in ("error", "error_description", "detail", "message"):
            if found.get(name):
                return str(found[name])
    return str(found) if found else ""


def quoted(text: str, api_key: str = "") -> str:
    """Somebody else's words as one line of ours: short, printable, and without the key."""
    if api_key:
        text = text.replace(api_key, "***")
    text = re.sub(r"SG_[0-9A-Za-z]{8,}", "SG_***", text)
    text = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return text if len(text) <= 300 else text[:299] + "…"


def _number(text: str | None) -> float | None:
    try:
        found = float(text) if text else None
    except ValueError:
        return None
    return found if found is not None and abs(found) < 1e12 else None


def _whole(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch(r"-?\d{1,18}", text.strip()) else None


def _date(text: str | None) -> datetime | None:
    """A time from a header: HTTP's form, ISO 8601, or Unix seconds; without a zone it is UTC."""
    if not text:
        return None
    seconds = _number(text)
    if seconds is not None and seconds > 1e9:
        return datetime.fromtimestamp(seconds / 1000 if seconds > 1e11 else seconds, UTC)
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            found = read(text.strip())
        except ValueError:
            continue
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    return None
