"""One ticket: the input of a planned job is fetched from the web, and what its address stands for is decided.

The plan in S3 says which address it is; a ticket only names the job's place in it.
"""

from __future__ import annotations

import random
import threading
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from producers.dispatch.plans import read_plan
from producers.dispatch.web_inputs import read_addresses
from restyle.coordination.claim_types import Dropped
from restyle.coordination.fetches import MOST_FAILURES, Fetches, Ticket, TicketPlace, short_name
from restyle.errors import InputNotFound, InputUnreachable, RestyleError, StateUnavailable, WebUnavailable
from restyle.models import Job, Run
from restyle.telemetry import metrics
from restyle.web.address import Address, LostAddress
from tasks.resources import Resources

log = structlog.get_logger("restyle.fetch")

#: Shards whose jobs are kept in memory.
_REMEMBERED = 16


@dataclass(frozen=True)
class HostPatience:
    """How long a web server is asked that does not answer well; seconds."""

    tries: int = 5
    """Of one address, while others of its host do well."""
    first: float = 1.0
    most: float = 60.0
    probe_first: float = 5.0
    probe_most: float = 300.0
    whole: float = 3600.0
    """After which a host that fails for all is asked no more, and its inputs count as unreachable."""

    def wait(self, ticket: Ticket) -> float:
        """Seconds for which its host is left alone after a failure of this ticket."""
        if ticket.is_down:
            longest, doubled = self.probe_most, self.probe_first * 2.0 ** min(20, ticket.failures - MOST_FAILURES)
        else:
            longest, doubled = self.most, self.first * 2.0 ** min(20, ticket.failures)
        return random.uniform(0.5, 1.0) * min(longest, doubled)


@dataclass
class FetchPlans:
    """The planned jobs of shards, and their addresses; each read once while it is remembered. Safe among threads."""

    resources: Resources
    _shards: OrderedDict[tuple[str, int], tuple[list[bytes], dict[str, str]]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def address(self, place: TicketPlace) -> Address | LostAddress | None:
        """The address of a planned job's input; None where there is no such job, or its input lies in S3."""
        lines, secrets = self._shard(place.run_id, place.shard)
        job = Job.model_validate_json(lines[place.index]) if place.index < len(lines) else None
        if job is None or not job.web:
            return None
        address = Address(secrets.get(job.web, job.image))
        if address.name == job.web:
            return address
        with self._lock:  # somebody may put it back, so it is looked for again for the next job
            self._shards.pop((place.run_id, place.shard), None)
        return LostAddress(job.web, job.image, self.resources.workspace.addresses(place.run_id, place.shard))

    def _shard(self, run_id: str, shard: int) -> tuple[list[bytes], dict[str, str]]:
        here = self.resources
        with self._lock:
            if (run_id, shard) not in self._shards:
                lines = read_plan(here.store, here.workspace, run_id, shard)
                secrets = dict(read_addresses(here.store, here.workspace, run_id, shard))
                self._shards[run_id, shard] = lines, secrets
                if len(self._shards) > _REMEMBERED:
                    self._shards.popitem(last=False)
            self._shards.move_to_end((run_id, shard))
            return self._shards[run_id, shard]


@dataclass
class FetchTask:
    """What a worker does with tickets."""

    resources: Resources
    fetches: Fetches
    patience: HostPatience
    plans: FetchPlans = field(init=False)

    def __post_init__(self) -> None:
        self.plans = FetchPlans(self.resources)

    def work(self, ticket: Ticket) -> None:
        """Fetches, decides and says so; whatever goes wrong is this ticket's, and somebody has it again."""
        place = ticket.place
        with structlog.contextvars.bound_contextvars(run=place.run_id, shard=place.shard, host=ticket.host):
            try:
                self._work(ticket)
            except StateUnavailable as error:
                log.debug(
                    "a fetch could not be reported", reason=error.message
                )  # its lease ends, and it is taken again
            except Exception:
                log.exception("bug")
                self._after_a_bug(ticket)

    def _work(self, ticket: Ticket) -> None:
        try:
            address, run = self.plans.address(ticket.place), self.resources.run(ticket.place.run_id)
        except (InputNotFound, Dropped):
            self.fetches.end(ticket, "dropped")
            return
        except RestyleError as error:
            self._stranded(ticket, error)
            return
        if address is None:
            self.fetches.end(ticket, "dropped")
        elif isinstance(address, Address) and self._waited_enough(ticket, run):
            reason = f"{address.host} has not answered well for {self.patience.whole / 60:.0f} min"
            self._give_up(ticket, address, InputUnreachable(reason))
        else:
            self._fetch(ticket, address, run)

    def _fetch(self, ticket: Ticket, address: Address | LostAddress, run: Run) -> None:
        try:
            pin, how = self.resources.web_inputs.pin(run.run_id, address, run.options.refetch, retry_of=run.retry_of)
        except WebUnavailable as error:
            assert isinstance(address, Address), "one that is lost is asked of nobody"
            self._failed(ticket, address, error)
        except RestyleError as error:
            self._stranded(ticket, error)
        else:
            metrics.WEB_INPUTS.labels(how).inc()
            if pin.error:
                log.warning("no picture", address=address.shown, error=pin.error, reason=pin.message)
            is_asked = how not in {"pinned", "known"} and isinstance(address, Address)
            self.fetches.end(ticket, "decided", mark=short_name(address.name), host_was="good" if is_asked else "")

    def _waited_enough(self, ticket: Ticket, run: Run) -> bool:
        """Whether a host that fails for all has had its time; a run that came later gives it another."""
        since = max(ticket.since, run.created.timestamp())
        is_down = ticket.is_down or ticket.failures >= MOST_FAILURES
        return is_down and self.fetches.state.clock() - since >= self.patience.whole

    def _failed(self, ticket: Ticket, address: Address, error: WebUnavailable) -> None:
        """After a failure of the server: again in a while, or never in this run."""
        metrics.WEB_INPUTS.labels(error.code).inc()
        if error.wait is not None:
            # It asks for patience: neither it nor the address is at fault.
            # A host that asks for patience for ever is given up as one that fails for all.
            self.fetches.end(ticket, "again", host_was="bad", wait=max(error.wait, self.patience.first))
            return
        is_down = ticket.is_down
        is_last = not is_down and ticket.tries + 1 >= self.patience.tries
        log.warning("not fetched", address=address.shown, reason=error.message, tries=ticket.tries + 1, last=is_last)
        if is_last:
            reason = f"{error.message}; it was asked {ticket.tries + 1} times"
            self._give_up(ticket, address, InputUnreachable(reason, error.http_status))
        else:
            self.fetches.end(ticket, "again", counts=not is_down, host_was="bad", wait=self.patience.wait(ticket))

    def _give_up(self, ticket: Ticket, address: Address, error: InputUnreachable) -> None:
        try:
            self.resources.web_inputs.fail(ticket.place.run_id, address, error)
        except RestyleError as trouble:
            self._stranded(ticket, trouble)
        else:
            self.fetches.end(ticket, "decided", mark=short_name(address.name))

    def _stranded(self, ticket: Ticket, error: RestyleError) -> None:
        """After a failure that is not the server's: S3 is away, mostly."""
        self.resources.tools.rotation.failed(error)
        log.warning("not kept", reason=error.message)
        self._again(ticket)

    def _after_a_bug(self, ticket: Ticket) -> None:
        """After a fault of ours: tried again soon, and once an hour from the patience's number of tries on."""
        wait = self.patience.wait(ticket) if ticket.tries < self.patience.tries else self.patience.whole
        with suppress(StateUnavailable):  # then its lease ends
            self.fetches.end(ticket, "again", counts=True, wait=wait)

    def _again(self, ticket: Ticket) -> None:
        try:
            self.fetches.end(ticket, "again", wait=self.patience.first)
        except StateUnavailable:
            return  # its lease ends
