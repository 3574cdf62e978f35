"""What the API's answers mean: pure, of both its doors. docs/formats.md says what the API's page leaves open."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

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
from restyle.unpacking import unpack

#: The answer's header by which the sandbox says that it is one.
SANDBOX_HEADER = "x-restyle-sandbox"
#: Characters of a header that is stored: S3 takes 2 kB with an object, for all that is said of it.
MOST_STORED = 200


class Reply(NamedTuple):
    """What came back, however it is to be read."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    #: How long it took.
    seconds: float


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
    reply: Reply | None = field(default=None, repr=False, compare=False)
    """As it came, until its pictures are verified."""
    disbelieved: str = ""
    """The cost that it told, where that cannot be true (restyle/costs.py)."""


def read_answer(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    seconds: float,
    *,
    api_key: str = "",
    fetch: Callable[[str], bytes] | None = None,
) -> Answer:
    """What an answer means; with `fetch`, pictures that it only links to are got by that.

    Raises:
        RestyleError: every status but one of 200 to 299 with pictures in it.
    """
    if not 200 <= status < 300:
        raise read_error(status, headers, body, api_key)
    cost, reply = cost_told(headers.get("x-cost")), Reply(status, headers, body, seconds)
    try:
        images = read_images(reply, fetch)
    except MalformedResponse as error:
        error.http_status, error.cost, error.reply = status, cost, reply
        raise
    return Answer(
        images=images,
        seconds=seconds,
        request_id=stored_text(headers.get("x-request-id")),
        cost=cost,
        remaining_credits=credits_told(headers.get("x-remaining-credits")),
        seed=_whole(headers.get("x-seed-value")),
        sandbox=headers.get(SANDBOX_HEADER) is not None,
        reply=reply,
    )


def read_images(reply: Reply, fetch: Callable[[str], bytes] | None = None) -> tuple[bytes, ...]:
    """The pictures of a good answer, whatever form it has them in.

    Raises:
        MalformedResponse: there are none, or only links that are not, or cannot be, followed.
    """
    try:
        items = unpack(reply.headers.get("content-type", ""), reply.body)
    except MalformedResponse as error:
        raise MalformedResponse(f"the API answers {reply.status} with {error.message}", kind=error.kind) from None
    images = []
    for item in items:
        if isinstance(item, str) and fetch is None:
            raise MalformedResponse(f"the API answers {reply.status} with a link in place of a picture", kind="a link")
        images.append(fetch(item) if isinstance(item, str) and fetch else item)
    return tuple(image for image in images if isinstance(image, bytes))


def stored_text(text: str | None) -> str | None:
    """Somebody else's words as they can be stored anywhere, in headers too: printable ASCII, 200 characters."""
    if not text:
        return None
    return "".join(char if " " <= char <= "~" else "?" for char in text[:MOST_STORED]).strip() or None


def cost_told(text: str | None) -> float | None:
    """Credits as an answer tells them, however odd; None where it tells none. restyle/costs.py judges them."""
    try:
        return float(text) if text else None
    except ValueError:
        return None


def credits_told(text: str | None) -> float | None:
    """What is left on the account by a header, never less than nothing; None where it does not tell."""
    found = _number(text)
    return None if found is None else max(0.0, found)


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
