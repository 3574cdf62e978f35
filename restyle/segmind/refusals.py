"""What the API's refusals mean: whose fault each is, what stops for it, and what the message says. Pure.

whose fault                                                         what stops             what wakes it
the account's: 402, an unclear 406; words of money, plan, limits    fleet: no_credits      a person
the key's: 401, 403                                                 fleet: unauthorized    a person
the settings' or network's: 3xx, 404, 405, 410, ...; of headers     fleet: misconfigured   a person
this request's: words of its parameters or picture; 400, 413, 422   this job               nothing: it has failed
the API's: 5xx, 408                                                 many in a row: outage  its first good answer
the rate's: 429, but with words of an empty account                 fleet: held            time, or a person

The fleet stops by default, since a stop loses nothing. A refusal fails its job alone only where its words are clear
(restyle/segmind/wording.py); else the results of other jobs decide (restyle/coordination/lua/call_failed.lua).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from restyle.errors import (
    ApiTimeout,
    ApiUnavailable,
    MalformedResponse,
    Misconfigured,
    OutOfCredits,
    RateLimited,
    RequestRejected,
    RestyleError,
    Unauthorized,
)
from restyle.http.retry_after import reset_wait
from restyle.reply import quoted
from restyle.segmind.wording import Blame, blame, is_of_money

#: Bytes of a refusal that are read as JSON; one that echoes the request holds a whole picture.
_MOST_JSON = 4_000_000
#: Characters of each text in it, how many texts, and how many levels deep.
_LONGEST, _MOST_TEXTS, _DEEPEST = 500, 40, 6

_WORDS_OF = {
    "balance": "the balance does not suffice",
    "limit": "a{period} limit of the account is reached",
    "team_limit": "the team's{period} limit is reached",
    "plan": "the plan or subscription does not allow it",
    "payment": "a payment is wanting",
    "account": "the account may not do this",
}
#: Statuses about what all requests have in common (address, method, headers), so every job would get them.
_OF_ALL = frozenset({404, 405, 407, 410, 411, 412, 416, 417, 421, 426, 428, 431})
#: What a 429 is called says nothing of the account.
_NAME_OF_429 = re.compile(r"too[ _-]?many[ _-]?requests", re.IGNORECASE)


def read_error(status: int, headers: Mapping[str, str], body: bytes, api_key: str = "") -> RestyleError:
    """The error that a status other than 200 stands for."""
    refusal = read_refusal(body)
    text = quoted(refusal.text, api_key)
    message = f"the API answers {status}" + (f": {text}" if text else "")
    if status == 429 and not is_of_money(refusal.text):
        return RateLimited(message, reset_wait(headers))
    if 300 <= status < 400:
        return Misconfigured(f"{message} (a redirect, which is not followed since the key would go along)", status)
    if status == 408:
        return ApiTimeout(message, status)
    if 400 <= status < 500:
        own_words = refusal.text if status != 429 else _NAME_OF_429.sub(" ", refusal.text)
        return _refused(status, message, blame(own_words, refusal.fields))
    return ApiUnavailable(message, status) if status >= 500 else MalformedResponse(message, status)


def _refused(status: int, message: str, verdict: Blame) -> RestyleError:
    """The error of a 4xx, by its words where they count under this status."""
    money = verdict.whose == "account" and verdict.cause != "account"
    if status == 401 or (status == 403 and not money and verdict.whose != "job"):
        return Unauthorized(message, status)
    if status in _OF_ALL or (verdict.whose == "header" and status != 402):
        return Misconfigured(message, status, "header" if verdict.whose == "header" else "")
    if status in {402, 429} or verdict.whose == "account" or (status == 406 and verdict.whose != "job"):
        return OutOfCredits(_first(verdict, message), status, verdict.cause if verdict.whose == "account" else "")
    if status == 415 and verdict.whose != "job":
        return Misconfigured(message, status, "header")
    return RequestRejected(message, status)


def _first(verdict: Blame, message: str) -> str:
    """The API's message, preceded by which of the account's causes it is."""
    explanation = _WORDS_OF.get(verdict.cause, "")
    period = f" {verdict.period}" if verdict.period else ""
    return f"{explanation.format(period=period)}: {message}" if explanation else message


# -- reading its words -------------------------------------------------------------------------------------


class Refusal(NamedTuple):
    """The text of a refusal, and the names of the request's fields that it complains of."""

    text: str
    fields: str


#: Keys of a JSON error that hold its message; other keys may hold an echo of the request.
_SAYING = (
    "error", "message", "msg", "detail", "details", "error_description", "description", "error_message", "errors",
    "reason", "title", "code", "error_code", "type",
)  # fmt: skip
#: Keys that hold the name of the field at fault; and keys that are neither, and no fields of the request.
_NAMING = ("loc", "param", "parameter", "field", "path", "pointer", "source")
_NEITHER = frozenset({
    "input", "request", "body", "params", "data", "ctx", "url", "headers", "status", "status_code", "request_id", "id",
    "success", "ok", "timestamp", "trace_id", "instance", "documentation_url", "help", "value", "received",
})  # fmt: skip


def read_refusal(body: bytes) -> Refusal:
    """The text and fields of a refusal: JSON in any usual form, HTML, or plain text."""
    text = body[:_MOST_JSON].decode("utf-8", "replace")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return Refusal(_shortened(_without_tags(text[: 40 * _LONGEST])), "")
    texts, fields = list[str](), list[str]()
    for is_field, part in _parts(document, 0):
        (fields if is_field else texts).append(part)
        if len(texts) + len(fields) >= _MOST_TEXTS:
            break
    named = " ".join(dict.fromkeys(fields))
    message = "; ".join(dict.fromkeys(texts))
    return Refusal(f"{named}: {message}" if named and message else message or named, named)


def api_message(body: bytes) -> str:
    """The API's own words in an error's body."""
    return read_refusal(body).text


def _parts(value: object, depth: int) -> Iterator[tuple[bool, str]]:
    """The texts of an error, each with whether it is the name of a field."""
    if depth > _DEEPEST:
        return
    if isinstance(value, str):
        yield False, _shortened(value)
    elif isinstance(value, list):
        for item in value[:_MOST_TEXTS]:
            yield from _parts(item, depth + 1)
    elif isinstance(value, dict):
        yield from _parts_of_object(value, depth)


def _parts_of_object(fields: dict[str, object], depth: int) -> Iterator[tuple[bool, str]]:
    saying = [name for name in _SAYING if fields.get(name)]
    for name in _NAMING:
        where = fields.get(name)
        where = where if isinstance(where, list) else [where]
        yield from ((True, _shortened(part)) for part in where if isinstance(part, str) and part != "body")
    for name in saying:
        yield from _parts(fields[name], depth + 1)
    if not saying:
        # {"seed": ["is no integer"]}: each key is a field, unless the object is an echo of the request.
        for name, value in list(fields.items())[:_MOST_TEXTS]:
            if isinstance(value, list | dict) and name not in _NEITHER and name not in _NAMING:
                yield True, _shortened(name)
                yield from _parts(value, depth + 1)


def _shortened(text: str) -> str:
    """A text of bounded length; a long run without spaces, such as a picture in base64, becomes an ellipsis."""
    return re.sub(r"\S{120,}", "…", text)[:_LONGEST]


def _without_tags(text: str) -> str:
    text = re.sub(r"(?is)<(script|style)\b.*?(</\1>|$)", " ", text)
    return re.sub(r"<[^>]*>", " ", text)
