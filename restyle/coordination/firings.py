"""What the fleet shares about schedules: how far they were looked at, firings that wait, how the last one went.

A firing is kept from its claim until it is settled: its run exists, or will not. Nothing is lost by the death of a
beat or of a worker in between, and messages are only hints here too.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from uuid import uuid4

from restyle.coordination.redis.client import State
from restyle.models import UtcTime, Value, utc_now

#: Seconds for which a claim is remembered; after that run.json alone says that the run exists.
REMEMBER_CLAIM = 35 * 86400


class Ending(StrEnum):
    """How a firing ended."""

    STARTED = "started"
    SKIPPED = "skipped"
    MISSED = "missed"
    NOT_STARTED = "not_started"


class Settled(Value):
    """A firing that is over: kept in Redis, and as `schedules/<name>.json` in S3."""

    schedule: str
    run_id: str
    at: UtcTime
    ending: Ending
    detail: str = ""
    settled: UtcTime


class Firings:
    """The shared ledger of schedules; a firing is its JSON here."""

    def __init__(self, state: State) -> None:
        self.state = state

    # -- the beat's side -----------------------------------------------------------------------------------

    def looked(self) -> dict[str, datetime]:
        """Up to when each schedule was looked at."""
        found = self.state.ask("HGETALL", self._key("looked"))
        return {name: datetime.fromtimestamp(float(told), UTC) for name, told in found.items()}

    def look(self, names: Iterable[str], until: datetime) -> None:
        """Notes that everything up to this moment has been fired."""
        if pairs := [part for name in names for part in (name, f"{until.timestamp():.6f}")]:
            self.state.ask("HSET", self._key("looked"), *pairs)

    def fire(self, run_id: str, firing: str) -> bool:
        """Claims a firing and keeps it until it is settled; False where it was claimed before."""
        return bool(self.state.run("fire", run_id, firing, REMEMBER_CLAIM))

    # -- the workers' side ---------------------------------------------------------------------------------

    def waiting(self) -> dict[str, str]:
        """The firings that are not settled, by run id, oldest first."""
        return dict(sorted(self.state.ask("HGETALL", self.state.key("firings")).items()))

    def find(self, run_id: str) -> str | None:
        """A firing that is not settled."""
        found = self.state.ask("HGET", self.state.key("firings"), run_id)
        return None if found is None else str(found)

    def hand_out(self, run_id: str, every: float) -> bool:
        """Whether to queue the planning of a run now: not within so many seconds of the last time."""
        key = self.state.key("handed", run_id)
        return bool(self.state.ask("SET", key, "1", "NX", "PX", max(1, round(every * 1000))))

    def planner(self, run_id: str) -> str | None:
        """The worker that plans a run."""
        found = self.state.ask("HGET", self.state.key("planner", run_id), "worker")
        return None if found is None else str(found)

    def take(self, run_id: str, worker: str) -> str | None:
        """Takes the right to plan a run and answers with its token; None where it is another's, or over."""
        token = uuid4().hex
        return token if self.state.run("take_plan", run_id, worker, token) else None

    def mine(self, run_id: str, token: str) -> bool:
        """Whether the right to plan a run is still this token's."""
        return bool(self.state.ask("HGET", self.state.key("planner", run_id), "token") == token)

    def leave(self, run_id: str, token: str) -> None:
        """Gives the right to plan a run back."""
        self.state.run("leave_plan", run_id, token)

    def settle(self, schedule: str, run_id: str, at: datetime, ending: Ending, detail: str = "") -> Settled | None:
        """Ends a firing and keeps how; None where it was settled before."""
        settled = Settled(
            schedule=schedule, run_id=run_id, at=at, ending=ending, detail=detail[:2000], settled=utc_now()
        )
        # Kept first: cut off in between, it is settled again to the same effect.
        self.state.ask("HSET", self._key("last"), schedule, settled.model_dump_json())
        return settled if self.state.ask("HDEL", self.state.key("firings"), run_id) else None

    def last(self) -> dict[str, Settled]:
        """How the last firing of each schedule ended."""
        found = self.state.ask("HGETALL", self._key("last"))
        return {name: Settled.model_validate_json(text) for name, text in found.items()}

    def _key(self, part: str) -> str:
        return self.state.key("schedules", part)
