"""Words of Redis as values: whoever can write there can write anything, so each is read with bounds or passed over."""

from __future__ import annotations

import json
import re
from math import isfinite

#: Characters of a JSON value that anybody of ours writes there, but for what is parked.
MOST = 50_000
#: Workers that are looked at; of more than that, which no fleet has, any.
MOST_WORKERS = 5_000
#: Seconds for which a heartbeat or a lock stands at most; the scripts know it too (prelude.lua).
MOST_TTL = 600
_NUMBER = re.compile(r"[0-9]{1,9}")


def read_object(text: str | None) -> dict[str, object] | None:
    """A JSON object; None where it is none."""
    value = read_json(text)
    return value if isinstance(value, dict) else None


def read_json(text: str | None) -> object | None:
    """A JSON value; None where it is none, or too long."""
    if text is None or len(text) > MOST:
        return None
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value


def read_number(text: str | None) -> float | None:
    """A finite number; None where it is none."""
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if isfinite(number) else None


def read_place(text: str | None) -> dict[str, object] | None:
    """Where a job stands in its run; None where it is no such place."""
    place = read_object(text) or {}
    numbers = (str(place.get(name, "")) for name in ("shard", "index"))
    return place if isinstance(place.get("run"), str) and all(map(_NUMBER.fullmatch, numbers)) else None
