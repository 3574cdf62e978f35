"""What stands still until a person has looked, in S3: `suspended.json` of a run or of the workspace, while it does.

A person's suspension is there before it is in Redis. One by a brake, or by answers that nobody can read, is written
down once Redis has it. Redis goes by its own; one that forgets lifts none.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from pydantic import Field, ValidationError

from restyle.coordination.redis.client import State
from restyle.coordination.runs.brakes import FAILING, SUSPECT
from restyle.coordination.runs.registry import Standing, Word
from restyle.coordination.suspensions import Suspension
from restyle.keys import Workspace
from restyle.models import utc_now
from restyle.s3.store import Store
from restyle.value import UtcTime, Value

#: Why a run stops by itself until a person has looked: else a Redis that forgets would have it go on paying.
STOPPED = frozenset({FAILING, SUSPECT, "unreadable"})


class Suspended(Value):
    """`suspended.json`."""

    reason: str
    detail: str = ""
    by: str = ""
    since: UtcTime = Field(default_factory=utc_now)
    server: str = ""
    """Of the fleet's: the Redis that knows of it, and the number of resumes that this Redis had seen by then."""
    epoch: int = 0

    def is_over(self, server: str, epoch: int) -> bool:
        """Whether the fleet was resumed since, by the same Redis, from another workspace of the account."""
        return bool(self.server) and self.server == server and epoch > self.epoch

    @property
    def word(self) -> Word:
        """As it is written to Redis."""
        return Word(self.reason, self.detail, self.by, round(self.since.timestamp() * 1000))


def put_suspension(run_id: str | None, suspended: Suspended, store: Store, workspace: Workspace) -> None:
    """Writes down a suspension of a run, or with None of the fleet."""
    store.put(workspace.suspension(run_id), suspended.model_dump_json().encode(), content_type="application/json")


def remove_suspension(run_id: str | None, store: Store, workspace: Workspace) -> None:
    """Lets it go on, as far as S3 says; one that is not suspended is fine."""
    store.delete(workspace.suspension(run_id))


def read_suspension(run_id: str | None, store: Store, workspace: Workspace) -> Suspended | None:
    """The suspension that stands in S3; one that cannot be read stands all the same."""
    stored = store.find(workspace.suspension(run_id))
    if stored is None:
        return None
    try:
        return Suspended.read(stored.data)
    except ValidationError:
        why = f"{workspace.suspension(run_id)} cannot be read"
        return Suspended(reason="operator", detail=why, since=datetime.fromtimestamp(0, UTC))


def keep_suspended(store: Store, workspace: Workspace, state: State) -> bool:
    """Brings a person's suspension of the fleet in Redis in line with S3; True where that changed anything."""
    standing = Standing(state)
    server, epoch, entry = standing.server(), standing.epoch(), standing.entry()
    suspended = read_suspension(None, store, workspace)
    stands = suspended is not None and not suspended.is_over(server, epoch)
    return standing.agree(epoch, entry, suspended.word if suspended and stands else None)


def stopped_by_itself(standing: Iterable[Suspension]) -> Suspended | None:
    """The suspension of a run that Redis alone has and that waits for a person; None: there is none."""
    for one in standing:
        if one.reason in STOPPED and not one.is_stored:
            return Suspended(
                reason=one.reason, detail=one.detail, by=one.by, since=datetime.fromtimestamp(one.since, UTC)
            )
    return None
