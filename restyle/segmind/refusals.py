"""What the API's refusals mean: whose fault each is, what stops for it, and what is told. Pure.

whose fault                                                         what stops             what wakes it
the account's: 402, an unclear 406; words of money, plan, limits    fleet: no_credits      a person
the key's: 401, 403                                                 fleet: unauthorized    a person
the settings' or network's: 3xx, 404, 405, 410, ...; of headers     fleet: misconfigured   a person
this request's: words of its parameters or picture; 400, 413, 422   this job               nothing: it has failed
the API's: 5xx, 408                                                 many in a row: outage  its first good answer
the rate's: 429                                                     fleet: held            time, or a person

Stop is the default, since a stop loses nothing: words (restyle/segmind/wording.py) only take blame off the fleet where
they are clear. What words cannot tell, evidence does: restyle/coordination/lua/answered.lua.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

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
from restyle.http.rate_limits import reset_wait
from restyle.reply import quoted
from restyle.segmind.wording import Blame, blame

#: Bytes of a refusal that are read as JSON; one that echoes a picture is larger than one would think.
_MOST_JSON = 4_000_000
#: Characters of each text in it, how many of them, and how deep they may lie.
_LONGEST, _MOST_TEXTS, _DEEPEST = 500, 40, 6

_WORDS_OF = {
    "balance": "the balance does not suffice",
    "limit": "a{period} limit of the account is reached",
    "team_limit": "the team's{period} limit is reached",
    "plan": "the plan or subscription does not allow it",
    "payment": "a payment is wanting",
    "account": "the account may not do this",
}
#: Statuses that are about how requests come, which is the same for all of them.
_OF_ALL = frozenset({404, 405, 407, 410, 411, 412, 415, 416, 417, 421, 426, 428, 431, 505})


def read_error(status: int, headers: Mapping[str, str], body: bytes, api_key: str = "") -> RestyleError:
    """The error that a status other than 200 stands for."""
    told = read_refusal(body)
    text = quoted(told.text, api_key)
    said = f"the API answers {status}" + (f": {text}" if text else "")
    if status == 429:
        return RateLimited(said, reset_wait(headers))
    if 300 <= status < 400:
        return Misconfigured(f"{said} (a redirect, which is not followed since the key would go along)", status)
    if status == 408:
        return ApiTimeout(said, status)
    if 400 <= status < 500:
        return _refused(status, said, blame(told.text, told.fields))
    return ApiUnavailable(said, status) if status >= 500 else MalformedResponse(said, status)


def _refused(status: int, said: str, found: Blame) -> RestyleError:
    """The error of a 4xx, by its words where they count under this status."""
    money = found.whose == "account" and found.cause != "account"
    if status == 401 or (status == 403 and not money and found.whose != "job"):
        return Unauthorized(said, status)
    if status in _OF_ALL - {415} or (found.whose == "header" and status != 402):
        return Misconfigured(said, status, "header" if found.whose == "header" else "")
    if status == 402 or found.whose == "account" or (status == 406 and found.whose != "job"):
        return OutOfCredits(_first(found, said), status, found.cause if found.whose == "account" else "")
    if status == 415 and found.whose != "job":
        return Misconfigured(said, status, "header")
    return RequestRejected(said, status)


def _first(found: Blame, said: str) -> str:
    """What the API says, behind which of the account's causes it is."""
    told = _WORDS_OF.get(found.cause, "")
    period = f" {found.period}" if found.period else ""
    return f"{told.format(period=period)}: {said}" if told else said


# -- reading its words -------------------------------------------------------------------------------------


class Refusal(NamedTuple):
    """A refusal's words, and the names of the fields that it says them of."""

    text: str
    fields: str


#: Names under which an error says what it says; what lies under others may be an echo of the request.
_SAYING = (
    "error", "message", "msg", "detail", "details", "error_description", "description", "error_message", "errors",
    "reason", "title", "code", "error_code", "type",
)  # fmt: skip
#: Names under which it says of what; and names of neither that are no fields of the request.
_NAMING = ("loc", "param", "parameter", "field", "path", "pointer", "source")
_NEITHER = frozenset({
    "input", "request", "body", "params", "data", "ctx", "url", "headers", "status", "status_code", "request_id", "id",
    "success", "ok", "timestamp", "trace_id", "instance", "documentation_url", "help", "value", "received",
})  # fmt: skip


def read_refusal(body: bytes) -> Refusal:
    """What a refusal says, as JSON in any usual form, HTML or plain text."""
    text = body[:_MOST_JSON].decode("utf-8", "replace")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return Refusal(_shortened(_without_tags(text[: 40 * _LONGEST])), "")
    texts, fields = list[str](), list[str]()
    for is_field, part in _parts(found, 0):
        (fields if is_field else texts).append(part)
        if len(texts) + len(fields) >= _MOST_TEXTS:
            break
    named = " ".join(dict.fromkeys(fields))
    said = "; ".join(dict.fromkeys(texts))
    return Refusal(f"{named}: {said}" if named and said else said or named, named)


def api_message(body: bytes) -> str:
    """The API's own words in an error's body."""
    return read_refusal(body).text


def _parts(found: Any, depth: int) -> Iterator[tuple[bool, str]]:
    """The texts of an error, each with whether it is the name of a field."""
    if depth > _DEEPEST:
        return
    if isinstance(found, str):
        yield False, _shortened(found)
    elif isinstance(found, list):
        for item in found[:_MOST_TEXTS]:
            yield from _parts(item, depth + 1)
    elif isinstance(found, dict):
        yield from _parts_of_object(found, depth)


def _parts_of_object(found: dict[str, Any], depth: int) -> Iterator[tuple[bool, str]]:
    saying = [name for name in _SAYING if found.get(name)]
    for name in _NAMING:
        where = found.get(name)
        where = where if isinstance(where, list) else [where]
        yield from ((True, _shortened(part)) for part in where if isinstance(part, str) and part != "body")
    for name in saying:
        yield from _parts(found[name], depth + 1)
    if not saying:
        # {"seed": ["is no integer"]}: each key is a field, unless the object is an echo of the request.
        for name, value in list(found.items())[:_MOST_TEXTS]:
            if isinstance(value, list | dict) and name not in _NEITHER and name not in _NAMING:
                yield True, _shortened(name)
                yield from _parts(value, depth + 1)


def _shortened(text: str) -> str:
    """A text of bounded length, without what is no words: a picture in base64."""
    return re.sub(r"\S{120,}", "…", text)[:_LONGEST]


def _without_tags(text: str) -> str:
    text = re.sub(r"(?is)<(script|style)\b.*?(</\1>|$)", " ", text)
    return re.sub(r"<[^>]*>", " ", text)
