"""What a Redis knows of its hold on the workspace, and the turns by which its processes write its record in S3."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

from restyle.coordination.redis.client import State
from restyle.coordination.redis.hints import read_number, read_object
from restyle.coordination.workspace.holder import MOST_PATIENCE, MOST_TENURES, is_name
from restyle.errors import RestyleError
from restyle.models import utc_now

#: Seconds after which a process that took the turn and died with it is passed over.
TURN = 20.0
_BEAT = re.compile(r"[0-9a-f]{16}")
#: Beats that a process remembers; Redis remembers as many (fleet_turn.lua).
MOST_BEATS = 20


@dataclass(frozen=True)
class Known:
    """What this Redis knows of its hold; times in milliseconds by its clock."""

    now: float
    #: What is left of the lease.
    lease: float
    has_work: bool
    #: Unfinished runs, and how many the record tells of.
    runs: int
    noted_runs: int
    #: Of records that it may have written; and the beats that they may bear.
    names: frozenset[str]
    beats: frozenset[str]
    #: The record's name since it last took the workspace; empty: it never did.
    name: str
    #: That tenure's number.
    number: int
    #: Whether that record still says that it holds it.
    here: bool
    renewed: float
    etag: str
    who: str
    since: str
    #: Why the workspace is another's by now, as JSON.
    lost: str

    @property
    def loss(self) -> dict[str, object]:
        """Why the workspace is another's by now; empty where it is not."""
        loss = (read_object(self.lost) or {}) if self.lost else {}
        # What somebody else has written there is no reason for longer than any of ours is.
        until = min(read_number(str(loss.get("until"))) or 0.0, self.now + MOST_PATIENCE * 1000)
        return {"detail": "", "by": "", **loss, "until": until} if loss else {}


@dataclass(frozen=True)
class Turn:
    """The right of one process to write its Redis's record now."""

    token: str
    beat: str
    #: When it began, in milliseconds by Redis's clock: a lease counts from here.
    begun: float
    runs: int
    pending: int


@dataclass(frozen=True)
class Held:
    """A holder's record as it was written."""

    name: str
    etag: str
    who: str
    since: str
    number: int


class Tenure:
    """One process's view of it."""

    def __init__(self, state: State, *, machine: str) -> None:
        """A Redis that only one machine reaches is that machine's: its data on another one say nothing."""
        self._state = state
        self._machine = machine
        #: What is put back where Redis has lost it: name, whether it holds (0 or 1), number.
        self._memory: tuple[str, int, int] = ("", 0, 0)
        self._beats: tuple[str, ...] = ()

    def know(self, interest: float = 0.0) -> Known:
        """What Redis knows; where it has lost that, what this process remembers is put back first.

        Args:
            interest: seconds for which the workspace is to be held although nothing runs yet.
        """
        name, here, number = self._memory
        now, lease, work, runs, flat, names, beats = self._state.run(
            "fleet_look", interest=round(interest * 1000), name=name, here=here, number=number, beats=self._beats
        )
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        own = name if is_name(name := fields.get("name", "")) else ""
        if own and self._machine and not own.endswith(f"-{self._machine}"):
            self.end()
            own, lease, names, fields = "", 0, [], {}
        beats = filter(_BEAT.fullmatch, beats)
        self._beats = tuple(dict.fromkeys([*beats, *self._beats]))[:MOST_BEATS]
        number = _whole(fields.get("number"), below=MOST_TENURES)
        if own:
            number = max(number, self._memory[2] if own == self._memory[0] else 0)
            self._memory = (own, int(fields.get("here") == "1"), number)
        return Known(
            now=float(now),
            lease=float(lease),
            has_work=bool(work),
            runs=int(runs),
            noted_runs=_whole(fields.get("runs"), default=-1),
            names=frozenset(filter(is_name, (own, *names))),
            beats=frozenset(self._beats),
            name=own,
            number=number,
            here=fields.get("here") == "1",
            renewed=_whole(fields.get("renewed"), below=int(now) + 1),
            etag=fields.get("etag", ""),
            who=fields.get("who", ""),
            since=_moment(fields.get("since")),
            lost=fields.get("lost", ""),
        )

    @contextmanager
    def turn(self, name: str = "") -> Iterator[Turn | None]:
        """This process's turn at writing, under a new name perhaps; None where another process has it."""
        token, beat = secrets.token_hex(8), secrets.token_hex(8)
        taken = self._state.run("fleet_turn", turn=token, ttl=round(TURN * 1000), beat=beat, name=name)
        if not taken:
            yield None
            return
        self._beats = (beat, *self._beats[: MOST_BEATS - 1])
        try:
            yield Turn(token, beat, *map(int, taken))
        finally:
            with suppress(RestyleError):
                self._state.run("fleet_turn_over", turn=token)

    def has(self, turn: Turn) -> bool:
        """Whether the turn is not over yet, and passed on to another process."""
        return bool(self._state.ask("GET", self._state.key("fleet", "turn")) == turn.token)

    def note(self, turn: Turn, lease: float, record: Held, *, is_renewal: bool = False, anew: bool = False) -> bool:
        """Notes that S3 has the record as the holder's; False where that took too long.

        Args:
            turn: in which it was written.
            lease: seconds since the turn's begin for which calls may be begun.
            record: what was written.
            is_renewal: whether this Redis held the workspace all the while.
            anew: whether another Redis may have held it before.
        """
        return bool(
            self._state.run(
                "hold",
                turn=turn.token,
                begun=turn.begun,
                lease=round(lease * 1000),
                name=record.name,
                etag=record.etag,
                who=record.who,
                since=record.since,
                anew=anew,
                runs=turn.runs,
                number=record.number,
                is_renewal=is_renewal,
            )
        )

    def end(self, *, if_idle: bool = False) -> bool:
        """Ends the hold of one's own accord; False where there is something to do by now, and that was to be kept."""
        return bool(self._state.run("unhold", why="", if_idle=if_idle))

    def lose(self, why: Mapping[str, object]) -> None:
        """Ends the hold since the workspace is another's; `detail`, `by` and `since` are shown to people."""
        self._state.run("unhold", why=json.dumps(why), if_idle=False)

    def lose_interest(self) -> None:
        """Lets the workspace be left as soon as nothing else wants it."""
        self._state.ask("DEL", self._state.key("fleet", "interest"))


def _whole(text: str | None, *, below: int = 10**9, default: int = 0) -> int:
    """A number of Redis's without what follows the point; what is none that can be counts as lost."""
    number = read_number(text)
    return int(number) if number is not None and 0 <= number < below else default


def _moment(text: str | None) -> str:
    """A time in ISO's form with its zone; now for none."""
    with suppress(ValueError):
        if text and datetime.fromisoformat(text).tzinfo:
            return text
    return utc_now().isoformat()
