"""What the fleet shares of inputs on the web: which are to be fetched, by whom, and how each host is to be treated.

All of it may be forgotten: what an address stands for in a run is decided in S3 (restyle/web/inputs.py). A ticket names
no address, only the place of a job in its plan, so nobody who writes to Redis has a worker ask for one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from restyle.coordination.redis.client import State
from restyle.coordination.redis.hints import read_number
from restyle.run_ids import is_run_id

#: Seconds for which a worker has a ticket until it says again that it is at it.
LEASE = 30.0
#: Tickets that are ordered, and endings that are read, in one go.
BATCH = 500
#: Seconds ahead beyond which a host counts as held: its entries wait, and others are opened in their place.
HELD = 5.0
#: Of a host's failures in a row, those that make it one that fails for all, and how many addresses are among them.
MOST_FAILURES, LEAST_ADDRESSES = 10, 5
#: Characters of an address's name that stand for it within a shard.
_MARK = 16
_ID = re.compile(r"(?P<run>[^:]{1,100})\.(?P<shard>\d{1,9})\.(?P<index>\d{1,9})")
#: What of a host's name stands in keys as it is.
_ODD = re.compile(r"[^A-Za-z0-9.-]")


@dataclass(frozen=True)
class TicketPlace:
    """A job of a plan whose input is to be fetched."""

    run_id: str
    shard: int
    index: int

    @property
    def id(self) -> str:
        """As Redis has it."""
        return f"{self.run_id}.{self.shard}.{self.index}"


@dataclass(frozen=True)
class Ticket:
    """The right to fetch the input of a job, and what is known of its host."""

    host: str
    place: TicketPlace
    tries: int
    failures: int
    """Of the host, in a row."""
    since: float
    """When they began, by Redis's clock."""
    failing: int
    """How many addresses were among them."""

    @property
    def is_down(self) -> bool:
        """Whether its host fails for all, as far as was seen before this try."""
        return _is_down(self.failures, self.failing)


Ending = Literal["decided", "dropped", "again"]
HostWas = Literal["good", "bad", ""]


def host_name(host: str) -> str:
    """A host as it stands in keys; two that are alike there share what they may be asked."""
    return _ODD.sub("_", host)[:128]


def short_name(name: str) -> str:
    """What stands for an address, by its name, within a shard."""
    return name[:_MARK]


@dataclass(frozen=True)
class HostPace:
    """How a host is treated by the whole fleet."""

    in_flight: int
    per_minute: int


class Fetches:
    """The shared list of inputs to fetch."""

    def __init__(self, state: State) -> None:
        self.state = state

    # -- the dispatcher's side -----------------------------------------------------------------------------

    def order(self, run_id: str, shard: int, places: Iterable[tuple[int, str]]) -> None:
        """Asks for the inputs of jobs at these places and hosts to be fetched; once, however often this is called."""
        pairs = list(places)
        for start in range(0, len(pairs), BATCH):
            parts: list[str | int] = [part for pair in pairs[start : start + BATCH] for part in pair]
            self.state.run("fetch_order", run=run_id, shard=shard, inputs=parts)

    def ready(self, run_id: str, shard: int) -> set[str]:
        """The marks of the addresses of a shard that are decided."""
        return set(self.state.ask("SMEMBERS", self._ready(run_id, shard)))

    def not_ready(self, run_id: str, shard: int, mark: str) -> None:
        """Takes back that an address is decided: S3 does not say so."""
        self.state.ask("SREM", self._ready(run_id, shard), mark)

    def forget(self, run_id: str, shard: int) -> None:
        """Forgets what was decided of a shard that is closed."""
        self.state.ask("DEL", self._ready(run_id, shard))

    def fetched(self) -> list[TicketPlace]:
        """The places that were decided since the last time, some of many."""
        popped = self.state.ask("RPOP", self.state.key("web", "fetched"), BATCH) or ()
        return [place for text in popped if (place := read_place_of(str(text)))]

    def held(self) -> set[str]:
        """The hosts that are left alone for a while."""
        least = f"{(self.state.clock() + HELD) * 1000:.0f}"
        return set(self.state.ask("ZRANGEBYSCORE", self.state.key("web", "hosts"), least, "+inf", "LIMIT", 0, 10_000))

    def down(self) -> list[str]:
        """The hosts among them that fail for all."""
        held = sorted(self.held())[:100]
        counts = self.state.ask_all(
            *(("HGET", self.state.key("web", "host", host), "failures") for host in held),
            *(("SCARD", self.state.key("web", "failing", host)) for host in held),
        )
        pairs = zip(held, counts[: len(held)], counts[len(held) :], strict=True)
        return [host for host, failures, failing in pairs if _is_down(int(read_number(failures) or 0), failing)]

    # -- the workers' side ---------------------------------------------------------------------------------

    def take(self, pace: HostPace, *, busy: Collection[str] = ()) -> Ticket | float:
        """The next input to fetch; or the seconds after which to ask again.

        Args:
            pace: how a host is treated.
            busy: hosts that this worker asks for as much as it may, whatever Redis has forgotten.
        """
        answer = self.state.run(
            "fetch_take",
            most=pace.in_flight,
            pace=round(60_000 / pace.per_minute),
            lease=round(LEASE * 1000),
            busy_hosts=list(busy),
        )
        if len(answer) == 1:
            return float(answer[0]) / 1000
        host, text, tries, failures, since, failing = answer
        place = read_place_of(str(text))
        if place is None:
            return 0.0
        return Ticket(str(host), place, int(tries), int(failures), float(since) / 1000, int(failing))

    def renew(self, tickets: Sequence[Ticket]) -> None:
        """Says that this worker is still at these."""
        until = f"{(self.state.clock() + LEASE) * 1000:.0f}"
        if tickets:
            self.state.ask_all(
                *(("ZADD", self.state.key("web", "flight", one.host), "XX", until, one.place.id) for one in tickets)
            )

    def end(
        self,
        ticket: Ticket,
        ending: Ending,
        *,
        mark: str = "",
        counts: bool = False,
        host_was: HostWas = "",
        wait: float = 0,
    ) -> None:
        """Says how a fetch went.

        Args:
            ticket: which one.
            ending: what follows.
            mark: of the address, where it is decided.
            counts: whether the try counts.
            host_was: what it tells of the host.
            wait: seconds for which the host is left alone.
        """
        self.state.run(
            "fetch_end",
            host=ticket.host,
            id=ticket.place.id,
            ending=ending,
            mark=mark,
            counts=counts,
            host_was=host_was,
            wait=round(wait * 1000),
        )

    def _ready(self, run_id: str, shard: int) -> str:
        return self.state.key("web", "ready", f"{run_id}.{shard}")


def _is_down(failures: int, failing: int) -> bool:
    return failures >= MOST_FAILURES and failing >= LEAST_ADDRESSES


def read_place_of(text: str) -> TicketPlace | None:
    """The place that a ticket names; None where it is none."""
    match = _ID.fullmatch(text)
    if match is None or not is_run_id(match["run"]):
        return None
    return TicketPlace(match["run"], int(match["shard"]), int(match["index"]))
