"""What the fleet shares about schedules: how far they were looked at, firings that wait, how the last one went.

A firing is kept from its claim until it is closed: its run exists, or will not. Nothing is lost by the death of a
beat or of a worker in between. Only its run's id is here, and that is a hint: what fires lies in S3
(producers/scheduling/fired.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from uuid import uuid4

from pydantic import Field, ValidationError

from restyle.coordination.redis.client import State
from restyle.coordination.redis.hints import MOST_TTL
from restyle.run_ids import is_run_id
from restyle.value import UtcTime, Value

#: Seconds for which a claim is remembered; after that run.json alone says that the run exists.
REMEMBER_CLAIM = 35 * 86400
#: Seconds for which the right to plan a run stands, unless it is renewed.
PLANNING = 120.0
#: Firings that are looked at in one go; of more than that, which nobody's schedules make, any.
MOST = 100


class Ending(StrEnum):
    """How a firing ended."""

    STARTED = "started"
    SKIPPED = "skipped"
    MISSED = "missed"
    NOT_STARTED = "not_started"


class FiringEnd(Value):
    """A firing that is over: kept in Redis, and as `schedules/<name>.json` in S3."""

    schedule: str
    run_id: str
    at: UtcTime
    ending: Ending
    detail: str = Field("", max_length=2000)
    settled: UtcTime


class Firings:
    """The shared ledger of schedules."""

    def __init__(self, state: State) -> None:
        self.state = state

    # -- the beat's side -----------------------------------------------------------------------------------

    def looked(self) -> dict[str, datetime]:
        """Up to when each schedule was looked at; what cannot be read is passed over."""
        looked = {}
        for name, text in self.state.ask("HGETALL", self._key("looked")).items():
            with suppress(ValueError, OverflowError, OSError):
                looked[name] = datetime.fromtimestamp(float(text), UTC)
        return looked

    def look(self, names: Iterable[str], until: datetime) -> None:
        """Notes that everything up to this moment has been fired."""
        if pairs := [part for name in names for part in (name, f"{until.timestamp():.6f}")]:
            self.state.ask("HSET", self._key("looked"), *pairs)

    def fire(self, run_id: str) -> bool:
        """Claims a firing that lies in S3, and keeps it until it is closed; False where it was claimed before."""
        return bool(self.state.run("fire", run=run_id, seconds=REMEMBER_CLAIM))

    # -- the workers' side ---------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """What is on the list of firings that are not closed, whoever put it there."""
        return sorted(self.state.ask("HRANDFIELD", self.state.key("firings"), MOST))

    def waiting(self) -> list[str]:
        """The run ids of the firings that are not closed, oldest first."""
        return [name for name in self.names() if is_run_id(name)]

    def is_waiting(self, run_id: str) -> bool:
        """Whether a firing is not closed."""
        return bool(self.state.ask("HEXISTS", self.state.key("firings"), run_id))

    def unknown(self, run_ids: Sequence[str]) -> list[str]:
        """Those of some firings that are not on the list."""
        if not run_ids:
            return []
        texts = self.state.ask("HMGET", self.state.key("firings"), *run_ids)
        return [run_id for run_id, text in zip(run_ids, texts, strict=True) if text is None]

    def drop(self, name: str) -> None:
        """Takes off the list what is no firing."""
        self.state.ask("HDEL", self.state.key("firings"), name)

    def hand_out(self, run_id: str, every: float) -> bool:
        """Whether to queue the planning of a run now: not within so many seconds of the last time."""
        return bool(self.state.run("once", what="handed", which=run_id, most=max(1, round(every * 1000))))

    def planner(self, run_id: str) -> str | None:
        """The worker that plans a run."""
        key = self.state.key("planner", run_id)
        worker, left = self.state.ask_all(("HGET", key, "worker"), ("PTTL", key))
        return str(worker) if worker is not None and 0 <= left <= MOST_TTL * 1000 else None

    def take(self, run_id: str, worker: str) -> str | None:
        """Takes the right to plan a run and answers with its token; None where it is another's, or over."""
        token = uuid4().hex
        return token if self.renew(run_id, worker, token) else None

    def renew(self, run_id: str, worker: str, token: str) -> bool:
        """Keeps the right to plan a run for a while more; False where it is another's."""
        return bool(self.state.run("take_plan", run=run_id, worker=worker, token=token, ttl=round(PLANNING * 1000)))

    def mine(self, run_id: str, token: str) -> bool:
        """Whether the right to plan a run is still this token's."""
        return bool(self.state.ask("HGET", self.state.key("planner", run_id), "token") == token)

    def leave(self, run_id: str, token: str) -> None:
        """Gives the right to plan a run back."""
        self.state.run("leave_plan", run=run_id, token=token)

    def close(self, end: FiringEnd) -> bool:
        """Closes a firing and keeps how it ended; False where it was closed before."""
        # Kept first: cut off in between, it is closed again to the same effect.
        self.state.ask("HSET", self._key("last"), end.schedule, end.model_dump_json())
        return bool(self.state.ask("HDEL", self.state.key("firings"), end.run_id))

    def last(self) -> dict[str, FiringEnd]:
        """How the last firing of each schedule ended; what cannot be read is passed over."""
        last = {}
        for name, text in self.state.ask("HGETALL", self._key("last")).items():
            with suppress(ValidationError):
                last[name] = FiringEnd.model_validate_json(text)
        return last

    def _key(self, part: str) -> str:
        return self.state.key("schedules", part)
