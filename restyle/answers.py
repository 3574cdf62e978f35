"""What the API's good answers hold: pure, of both its doors. What refusals mean: restyle/meanings.py.

docs/formats.md says what the API's page leaves open.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from restyle.errors import MalformedResponse
from restyle.meanings import api_message, quoted, read_error

__all__ = ["SANDBOX_HEADER", "Answer", "api_message", "pictures_or_links", "quoted", "read_answer", "read_error"]

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
    #: Seconds that the API says it was at work.
    generation: float | None = None


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
        generation=_number(headers.get("x-generation-time")),
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


def _number(text: str | None) -> float | None:
    try:
        found = float(text) if text else None
    except ValueError:
        return None
    return found if found is not None and abs(found) < 1e12 else None


def _whole(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch(r"-?\d{1,18}", text.strip()) else None
