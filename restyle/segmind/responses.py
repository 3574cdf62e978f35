"""Reads the API's successful answers, in both its modes. Pure. What refusals mean: restyle/segmind/refusals.py.

docs/formats.md says what the API's page leaves open.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from restyle.errors import MalformedResponse
from restyle.reply import Reply, quoted
from restyle.segmind.refusals import api_message, read_error
from restyle.segmind.unpacking import unpack

__all__ = ["SANDBOX_HEADER", "Answer", "Reply", "api_message", "read_answer", "read_error"]

#: The answer's header by which the sandbox says that it is one.
SANDBOX_HEADER = "x-restyle-sandbox"
#: Characters of a header that are stored: S3 takes 2 kB of metadata with an object, for all values.
MOST_STORED = 200
#: Bytes of an answer without a picture in which words of the API are looked for.
MOST_WORDS = 100_000


@dataclass(frozen=True)
class Answer:
    """The result of a paid call; each figure is None where the API did not give it."""

    images: tuple[bytes, ...]
    seconds: float
    request_id: str | None = None
    cost: float | None = None
    remaining_credits: float | None = None
    seed: int | None = None
    sandbox: bool = False
    reply: Reply | None = field(default=None, repr=False, compare=False)
    """The reply as it came, kept until its pictures are verified."""
    disbelieved: str = ""
    """The cost that the API gave, where that cannot be true (restyle/job/costs.py); else empty."""
    #: Seconds that the API says it worked on the request.
    generation: float | None = None


def read_answer(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    seconds: float,
    *,
    api_key: str = "",
    fetch: Callable[[str], bytes] | None = None,
) -> Answer:
    """The result in an answer. Pictures that it only links to are fetched with `fetch`, where it is given.

    Raises:
        RestyleError: every status but one of 200 to 299 with pictures in it.
    """
    if not 200 <= status < 300:
        raise read_error(status, headers, body, api_key)
    cost, reply = read_cost(headers.get("x-cost")), Reply(status, headers, body, seconds)
    try:
        images = read_images(reply, fetch)
    except MalformedResponse as error:
        error.http_status, error.cost, error.reply = status, cost, reply
        quote_words(error, reply, api_key)
        raise
    return Answer(
        images=images,
        seconds=seconds,
        request_id=stored_text(headers.get("x-request-id")),
        cost=cost,
        remaining_credits=read_credits(headers.get("x-remaining-credits")),
        seed=_whole(headers.get("x-seed-value")),
        sandbox=headers.get(SANDBOX_HEADER) is not None,
        reply=reply,
        generation=_number(headers.get("x-generation-time")),
    )


def quote_words(error: MalformedResponse, reply: Reply, api_key: str) -> None:
    """Adds the API's own words, such as that an account is empty, to the error of JSON that holds no picture."""
    words = api_message(reply.body) if error.kind.startswith("JSON: ") and len(reply.body) <= MOST_WORDS else ""
    if words:
        error.args = (f"{error.message}: {quoted(words, api_key)}",)


def read_images(reply: Reply, fetch: Callable[[str], bytes] | None) -> tuple[bytes, ...]:
    """The pictures of a successful answer, in whatever form it has them.

    Raises:
        MalformedResponse: there are none, or only links that may not or cannot be followed.
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
    """A text from outside as it can be stored anywhere, in headers too: printable ASCII, at most 200 characters."""
    if not text:
        return None
    return "".join(char if " " <= char <= "~" else "?" for char in text[:MOST_STORED]).strip() or None


def read_cost(text: str | None) -> float | None:
    """The cost that an answer gives, in credits, however odd (restyle/job/costs.py judges it); None without one."""
    try:
        return float(text) if text else None
    except ValueError:
        return None


def read_credits(text: str | None) -> float | None:
    """The account's remaining credits by a header, never below zero; None where it gives none."""
    credit = _number(text)
    return None if credit is None else max(0.0, credit)


def _number(text: str | None) -> float | None:
    try:
        number = float(text) if text else None
    except ValueError:
        return None
    return number if number is not None and abs(number) < 1e12 else None


def _whole(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch(r"-?\d{1,18}", text.strip()) else None
