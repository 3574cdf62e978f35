"""Who holds a workspace: what each Redis says of itself in S3, and what follows from what others say. Only decisions.

A workspace belongs to one Redis at a time, its holder. Each Redis has a record of its own, `fleets/<name>.json`, which
nobody else writes: it raises that flag first and looks at the others' flags then, so that of two which come together at
least one sees the other. That needs no conditional writes, only a listing that shows what has been written, which S3
promises (docs/decisions/0027-one-holder.md). What is done about the answers is in
restyle/coordination/workspace/holding.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from urllib.parse import urlsplit

from pydantic import Field, ValidationError

from restyle.formats import SchemaVersion
from restyle.problems import printable
from restyle.value import UtcTime, Value

#: Seconds without a sign of life after which a holder counts as gone; the setting is RESTYLE_HOLDER_SECONDS.
SILENT_AFTER = 45.0
#: Seconds that a record may ask to be waited for at most, whatever it says of itself.
MOST_PATIENCE = 300.0
#: Bytes of a record above which it is not read.
MAX_BYTES = 4096
#: The highest number of a tenure; that of a record which cannot be read.
MOST_TENURES = 10**15

_NAME = re.compile(r"[0-9a-f]{16}(-[0-9a-f]{8})?")


class Standing(StrEnum):
    """What a Redis says of itself."""

    CANDIDATE = "candidate"
    """It would hold the workspace, and looks whether another one does."""
    HOLDER = "holder"
    LEAVING = "leaving"
    """It was asked to go: no new call begins, and those in flight end."""
    LEFT = "left"
    """It has nothing to do."""


class FleetRecord(Value):
    """`fleets/<name>.json`: a Redis of the workspace, and how it stands."""

    schema_version: SchemaVersion = 1
    state: Standing
    beat: str = Field(max_length=64)
    """Another one at each writing."""
    number: int = Field(0, ge=0, le=MOST_TENURES)
    """One more each time that somebody takes the workspace. The last one's record stays until the next one is there."""
    who: str = Field(max_length=300)
    """Who took the workspace: user@host."""
    since: UtcTime
    redis: str = Field(max_length=300)
    """Its address, without a password."""
    runs: int = 0
    """Unfinished runs."""
    pending: int = 0
    """Jobs without an outcome in them."""
    silent_after: float = SILENT_AFTER
    """Seconds without another writing after which it gives the workspace up."""
    version: str = Field("", max_length=64)


@dataclass(frozen=True)
class Terms:
    """How long the signs of life count, all by one setting; seconds."""

    silent_after: float = SILENT_AFTER

    @property
    def renew(self) -> float:
        """Between two writings of the holder's record: 10 s."""
        return self.silent_after / 4.5

    @property
    def lease(self) -> float:
        """How long after a writing calls may be begun: 30 s. A call begins 5 s after its claim at the latest."""
        return self.silent_after / 1.5

    @property
    def poll(self) -> float:
        """Between two looks of one that waits: 2 s."""
        return self.renew / 5


@dataclass(frozen=True)
class Rival:
    """Another Redis's record as this process has seen it."""

    name: str
    #: None where it cannot be read: a newer version's perhaps. Such a one is taken for a holder.
    record: FleetRecord | None
    #: Seconds since it was written, by S3's own times; None where S3 does not say.
    age: float | None
    #: Seconds for which this process has seen it unchanged.
    watched: float
    #: Whether this process has seen it change: somebody writes it.
    beats: bool

    @property
    def silent_after(self) -> float:
        """What it promises, within bounds."""
        promised = self.record.silent_after if self.record else SILENT_AFTER
        return min(max(promised, 1.0), MOST_PATIENCE)

    @property
    def silent_in(self) -> float:
        """Seconds until it counts as silent, where it writes nothing more; none are left where it does.

        S3's times are believed only after a look for longer than the holder leaves between two writings: the clocks of
        a cluster may differ.
        """
        limit = self.silent_after
        by_our_clock = limit - self.watched
        if self.age is None:
            return by_our_clock
        return min(by_our_clock, max(limit - self.age, 1.25 * Terms(limit).renew - self.watched))

    @property
    def is_silent(self) -> bool:
        """Whether it has given the workspace up."""
        return self.silent_in <= 0

    @property
    def number(self) -> int:
        """Its tenure's number."""
        return self.record.number if self.record else MOST_TENURES

    def outranks(self, number: int) -> bool:
        """Whether a holder of that number gives way to it.

        One of a lower number is late: it stood still, was followed, and learns that at its next look.
        """
        is_holder = self.record is None or self.record.state is Standing.HOLDER
        return is_holder and self.is_living and self.number >= number

    @property
    def looks_gone(self) -> bool:
        """Whether it has been silent for so long by S3's times; for messages, which say no more than that."""
        return self.is_silent or (self.age is not None and self.age >= self.silent_after)

    @property
    def is_living(self) -> bool:
        """Whether it stands in the way."""
        return (self.record is None or self.record.state is not Standing.LEFT) and not self.is_silent

    @property
    def holds(self) -> bool:
        """Whether it has the workspace, rather than asking for it."""
        return self.record is None or self.record.state in {Standing.HOLDER, Standing.LEAVING}


class Step(StrEnum):
    """What one that would hold the workspace does next."""

    GO_ON = "go on"
    """Nobody is in the way: raise the flag; where it is raised, the workspace is held."""
    WAIT = "wait"
    """Keep the flag raised, if it is, and look again."""
    STEP_BACK = "step back"
    """Take the flag down, and look again later."""


def next_step(rivals: Iterable[Rival], name: str, *, raised: bool) -> Step:
    """What follows from a look at the others' records; `name` is one's own flag, where it is raised.

    Of several that would hold it, the one whose name comes first waits for the others to step back.
    """
    living = [rival for rival in rivals if rival.is_living]
    if not living:
        return Step.GO_ON
    if raised and not any(rival.holds or rival.name < name for rival in living):
        return Step.WAIT
    return Step.STEP_BACK if raised else Step.WAIT


def in_the_way(rivals: Iterable[Rival]) -> Rival | None:
    """The one to tell of: a holder before a candidate."""
    living = sorted((rival for rival in rivals if rival.is_living), key=lambda rival: not rival.holds)
    return living[0] if living else None


def is_name(text: str) -> bool:
    """Whether it is the name of a record; whatever else lies among them is passed over."""
    return _NAME.fullmatch(text) is not None


def read_record(data: bytes) -> FleetRecord | None:
    """A record; None where it is none that this version understands."""
    try:
        return FleetRecord.read(data)
    except ValidationError:
        return None


def address_of(redis_url: str) -> str:
    """A Redis's address for people: without scheme and password. Of several (Sentinel), each."""
    parts = []
    for url in redis_url.split(";"):
        # Behind the last @: a password may have what looks like the end of a host.
        split = urlsplit(f"//{url.rpartition('@')[2].rpartition('://')[2]}")
        parts.append(split.netloc + split.path)
    return ";".join(parts)[:300]


# -- words -------------------------------------------------------------------------------------------------


def described(rival: Rival, now: datetime) -> str:
    """Who holds it, since when, and how far they are: `anna@laptop since 14:02 (Redis …, 12 jobs pending)`."""
    record = rival.record
    if record is None:
        return "another Redis, whose record this version cannot read"
    since = record.since.astimezone()
    clock = f"{since:%H:%M}" if since.date() == now.astimezone().date() else f"{since:%Y-%m-%d %H:%M}"
    jobs = "1 job" if record.pending == 1 else f"{record.pending:,} jobs"
    heard = "" if rival.age is None else f", last heard {max(0.0, rival.age):.0f} s ago"
    return f"{printable(record.who, 200)} since {clock} (Redis {printable(record.redis, 200)}, {jobs} pending{heard})"


def as_object(holder: tuple[Rival, bool] | None) -> dict[str, object] | None:
    """The holder for programs; None where nobody holds the workspace."""
    if holder is None:
        return None
    rival, is_here = holder
    record = rival.record.model_dump(mode="json", exclude={"schema_version", "beat"}) if rival.record else {}
    return {**record, "here": is_here, "heartbeat_age": rival.age, "gone": rival.looks_gone}


def shown(holder: tuple[Rival, bool] | None, workspace: str, now: datetime) -> str:
    """The holder in a line for people."""
    if holder is None:
        return f"{workspace} is free"
    rival, is_here = holder
    here = ", which is this one" if is_here else ""
    gone = "; it is gone, and the next command takes over" if rival.looks_gone else ""
    return f"{workspace} is held by {described(rival, now)}{here}{gone}"


def refusal(workspace: str, rival: Rival, now: datetime) -> str:
    """The sentence for one who is refused, with what to do next."""
    return (
        f"{workspace} is held by {described(rival, now)}. Two of them at work would pay for each job twice."
        " Nothing was spent. Wait until its runs have ended (`restyle status` shows the holder), or work together by"
        " one RESTYLE_REDIS_URL. To have it stopped there and go on here: restyle resume --take-over"
    )


def lost_to(workspace: str, rival: Rival, now: datetime) -> str:
    """The sentence for a fleet that worked here, and does no more."""
    return f"{workspace} is held by {described(rival, now)} by now; no call begins here"
