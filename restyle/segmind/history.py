"""The account's request history: how its pages and rows are read, and which requests were billed. Pure.

Contract: Segmind's Python SDK (generations.py). The API documents the form of a row, but not that of a page.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from restyle.fingerprint import digest
from restyle.models import Params

#: Links to pictures of one request that are kept: the API makes four at most.
_MOST_LINKS = 4
_NUMBERS = {name for name, field in Params.model_fields.items() if field.annotation in {int, float}}


class CannotTell(Exception):
    """The history does not show whether a request was made: unreadable, or other jobs send the same parameters."""


@dataclass(frozen=True)
class Billed:
    """A request that was made and billed."""

    request_id: str
    submitted: datetime
    credits: float | None
    """What it cost; None where the history does not tell."""
    params: str
    """`params_digest` of what was sent."""
    links: tuple[str, ...]
    """To its pictures, which the API keeps for some days."""


def read_billed(rows: Iterable[Mapping[str, object]]) -> dict[str, Billed]:
    """The billed requests by their ids, of the history's rows: one row a picture, in any order.

    Raises:
        CannotTell: a row does not tell when its request was made.
    """
    billed: dict[str, Billed] = {}
    for row in rows:
        credits = figure(row, "credits_deduction")
        if str(row.get("model_status", "")).upper() != "COMPLETED" or credits == 0:
            continue
        request_id, link = str(row["request_id"]), row.get("generation_url")
        known = billed.get(request_id)
        links = known.links if known else ()
        if isinstance(link, str) and link not in links:
            links = (*links, link)[:_MOST_LINKS]
        billed[request_id] = Billed(request_id, read_time(row), credits, _sent(row), links)
    return billed


def params_digest(params: Mapping[str, object]) -> str:
    """What stands for the parameters of a request, whether numbers are written as such or as text."""
    return digest([[name, _plain(name, params.get(name))] for name in sorted(Params.model_fields)])


def _sent(row: Mapping[str, object]) -> str:
    """`params_digest` of a row; empty where it does not tell what was sent."""
    sent = row.get("request_body")
    if isinstance(sent, str):
        sent = read_object(sent.encode())
    return params_digest(sent) if isinstance(sent, dict) else ""


def _plain(name: str, value: object) -> str:
    if name in _NUMBERS:
        try:
            return f"{float(str(value)):.6f}"
        except ValueError:
            return ""
    return str(value).lower() if isinstance(value, bool) else str(value or "")


# -- pages and rows ----------------------------------------------------------------------------------------


def read_json(body: bytes) -> object:
    """A body's JSON; None where it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def read_object(body: bytes) -> dict[str, object]:
    """A body's JSON object; empty where the body is not one."""
    value = read_json(body)
    return value if isinstance(value, dict) else {}


def figure(fields: Mapping[str, object], name: str) -> float | None:
    """A number of a row or an answer, not below zero; None where there is none that can be believed."""
    value = fields.get(name)
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else None
    except ValueError:
        return None
    return number if number is not None and 0 <= number < 1e12 else None


def row_list(page: Mapping[str, object]) -> list[dict[str, object]]:
    """The rows of a page, under whatever name: the API documents the form of a row, but not that of the page."""
    lists = [value for value in page.values() if isinstance(value, list)]
    if len(lists) != 1 or not all(isinstance(row, dict) for row in lists[0]):
        raise CannotTell("the history's page cannot be read")
    return lists[0]


def read_time(row: Mapping[str, object]) -> datetime:
    """When a request of the history was submitted.

    Raises:
        CannotTell: the row does not say.
    """
    for name in ("model_created", "created_at", "created"):
        try:
            created = datetime.fromisoformat(str(row[name]))
        except (KeyError, ValueError):
            continue
        return created if created.tzinfo else created.replace(tzinfo=UTC)
    raise CannotTell("the history does not tell when its requests were made")


def asks_for(row: Mapping[str, object], image: bytes, params: Params) -> bool | None:
    """Whether a row is of this request; None where its parameters are the same and the row has no picture."""
    sent = row.get("request_body")
    if isinstance(sent, str):
        sent = read_object(sent.encode())
    if not isinstance(sent, dict):
        raise CannotTell("the history does not show what was requested")
    expected = {"negative_prompt": "", **params.as_sent()}
    if not all(_equal(sent.get(name, ""), value) for name, value in expected.items()):
        return False
    picture = sent.get("image")
    if not isinstance(picture, str) or len(picture) < 1000:
        return None
    return picture.rpartition(",")[2] == base64.b64encode(image).decode()


def _equal(recorded: object, sent: object) -> bool:
    if isinstance(sent, bool):
        return str(recorded).lower() == str(sent).lower()
    if isinstance(sent, int | float):
        try:
            return isinstance(recorded, int | float | str) and abs(float(recorded) - sent) < 1e-6
        except ValueError:
            return False
    return bool((recorded or "") == sent)
