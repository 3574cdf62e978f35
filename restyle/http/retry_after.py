"""How long the headers of a 429 say to wait; never more than 15 minutes. Pure.

The rate limit itself is kept in Redis: restyle/coordination/lua/claim.lua.

RFC 9110 section 10.2.3 (Retry-After: seconds or a date), draft-ietf-httpapi-ratelimit-headers (RateLimit-Reset:
seconds), and what APIs send beside them: `x-rate-limit-reset-at-utc` (Segmind), epochs in any unit, durations
like `1m30s`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

#: Longest wait that is believed, in seconds: after 15 minutes one call tries again, whatever the API answers.
MOST = 900.0

#: Headers that may give the time.
_NAMES = (
    "retry-after", "x-rate-limit-reset-at-utc", "ratelimit-reset", "x-ratelimit-reset", "x-rate-limit-reset",
    "x-ratelimit-reset-after", "x-ratelimit-reset-requests",
)  # fmt: skip
#: Unix times of this century, from 2001 on, begin here in each unit: seconds to nanoseconds.
_EPOCH = 1e9
_UNITS = (1.0, 1e3, 1e6, 1e9)
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?")
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|h|m|s))+")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
#: Characters of a header that are read.
_LONGEST = 1000


def reset_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds until a rate limit resets, by the answer's own clock; None where no header gives it.

    Where headers disagree, the longest of those up to `MOST` counts; 0 for a time that is past.
    """
    now = moment(headers.get("date")) or datetime.now(UTC)
    waits = [wait for name in _NAMES for wait in _waits(headers.get(name), now)]
    believed = [wait for wait in waits if wait <= MOST]
    if believed:
        return max(0.0, *believed)
    return MOST if waits else None


def moment(text: str | None) -> datetime | None:
    """A time from a header, in HTTP's form or ISO 8601; without a zone it is UTC. None where it is none."""
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            time = read((text or "")[:_LONGEST].strip())
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
        return time if time.tzinfo else time.replace(tzinfo=UTC)
    return None


def _waits(text: str | None, now: datetime) -> Iterator[float]:
    """The seconds that a header gives; where it is a list, those of each part."""
    text = (text or "")[:_LONGEST].strip()
    whole = _wait(text, now)
    waits = [whole] if whole is not None else [_wait(part.strip(), now) for part in text.split(",")]
    yield from (wait for wait in waits if wait is not None)


def _wait(text: str, now: datetime) -> float | None:
    if _NUMBER.fullmatch(text):
        return _of_number(float(text), now)
    if _DURATION.fullmatch(text.lower()):
        parts = re.findall(r"(\d+(?:\.\d+)?)(ms|h|m|s)", text.lower())
        return sum(float(count) * _SECONDS[unit] for count, unit in parts)
    at = moment(text) if text else None
    try:
        return (at - now).total_seconds() if at else None
    except OverflowError:
        return None


def _of_number(value: float, now: datetime) -> float:
    """Seconds from now; a number that is a Unix time of this century, in any unit, is read as such."""
    for unit in _UNITS:
        if _EPOCH <= value / unit < 4.2 * _EPOCH:
            return value / unit - now.timestamp()
    return value
