"""What people did to a run or to the fleet, by whom and when: a short list each in Redis, newest first.

A convenience for readers, no truth: nothing is decided by it, and a Redis that was lost takes it along.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import ValidationError

from restyle.coordination.redis.client import State
from restyle.models import utc_now
from restyle.value import UtcTime, Value

#: Events that are kept of one run, and of the fleet.
KEEP = 100
#: Seconds for which they are kept after the last one.
REMEMBER = 90 * 86400
#: Characters of one.
MOST = 2_000


class Event(Value):
    """One line of a run's log."""

    at: UtcTime
    what: str
    by: str
    detail: str = ""


def note(state: State, run_id: str | None, what: str, by: str, detail: str = "") -> None:
    """Writes an event down: of a run, or with None of the fleet."""
    key = _key(state, run_id)
    text = Event(at=utc_now(), what=what, by=by, detail=detail[:500]).model_dump_json()
    state.ask_all(("LPUSH", key, text), ("LTRIM", key, 0, KEEP - 1), ("EXPIRE", key, REMEMBER))


def events(state: State, run_id: str | None) -> list[Event]:
    """The events of a run, or with None of the fleet; newest first."""
    return read_events(state.ask(*ask_events(state, run_id)))


def ask_events(state: State, run_id: str | None) -> tuple[str, str, int, int]:
    """The command that asks for them, to be sent along with others."""
    return ("LRANGE", _key(state, run_id), 0, KEEP - 1)


def read_events(texts: Iterable[str]) -> list[Event]:
    """What that command answers, as values."""
    return [event for text in texts if (event := _read(text))]


def _read(text: str) -> Event | None:
    """An event; None where it is none, which hides no other."""
    try:
        return Event.model_validate_json(text[:MOST])
    except ValidationError:
        return None


def _key(state: State, run_id: str | None) -> str:
    return state.key("events") if run_id is None else state.key("run", run_id, "events")
