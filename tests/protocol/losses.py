"""Redis loses everything, or falls back to what it was; and what puts it right."""

from __future__ import annotations

import copy

from hypothesis.stateful import rule

from restyle.coordination.runs.registry import Earlier
from restyle.models import (
    OutcomeKind,
)
from tests.protocol.people import Spoken
from tests.protocol.places import (
    DONE,
    PLACES,
    PLANS,
    RUN,
    a_run,
)


class Losing(Spoken):
    """Adds losses."""

    @rule()
    def redis_loses_everything(self) -> None:
        """Redis comes back empty; the processes know nothing of it."""
        self.state.flush()
        for ledger in self.ledgers.values():
            ledger.forget()
        for lost in (self.alive, self.known, self.leases, self.lists, self.done, self.parked, self.suspended):
            lost.clear()
        self.requests.clear()
        self.server = self.snapshot = None
        # Of one whose worker died before anything was written down, nobody knows any more.
        self.paid = {
            (job, run) for job, run in self.paid if job in self.ledgers[run].noted | self.ledgers[run].requested
        }
        self.epoch, self.streak, self.failing, self.probing, self.held_back = 0, 0, set(), None, False
        self.lost, self.unreachable, self.good_began, self.alike = 0, 0, 0, (0, set())
        for evidence in (self.refused, self.refusers, self.failed_at, self.allowed, self.stopped_alike):
            evidence.clear()
        # Of a call whose worker is dead as well nobody knows.
        in_hand = {hand.token for process in self.processes.values() for hand in process.hands.values()}
        for tokens in self.out.values():
            tokens.intersection_update(in_hand)
            self.forgotten |= tokens
        for process in self.processes.values():
            for hand in process.hands.values():
                hand.lapsed = True

    @rule(run=RUN)
    def restore(self, run: str) -> None:
        """`resume RUN`: the run is rebuilt from S3, one heartbeat later."""
        ledger = self.ledgers[run]
        if not ledger.known:
            assert self.progress.totals(run) is None
            ledger.recalled = ledger.noted | ledger.requested
            for worker, process in self.processes.items():
                process.late = None
                self.beat_now(worker)
            ledger.cursor = max(ledger.opened, default=-1) + 1
            ledger.open = ledger.opened - ledger.closed
            ledger.marked = set(ledger.open)
            ledger.suspended = ({"operator"} if ledger.word else set()) | (ledger.suspended & {"awaiting_approval"})
            done = {place for place in ledger.recorded if place.shard in ledger.open}
            ledger.ended |= dict.fromkeys(done, OutcomeKind.SUCCEEDED)
            ledger.calls.update(done)
            ledger.counted |= done
            ledger.credits = round(0.02 * ledger.total(OutcomeKind.SUCCEEDED), 6)
            self.has_forgotten()
        shards = {shard: self.fields(run, shard) for shard in ledger.open}
        earlier = Earlier(word=self.word(run), doubts=ledger.recalled, shards=shards)
        read = a_run(run, ledger.status)
        assert self.progress.restore(read, self.told(run), sorted(ledger.closed), earlier) == (not ledger.known)
        ledger.known = True

    def fields(self, run: str, shard: int) -> dict[str, str]:
        """A shard that was open, as its records tell it."""
        done = [place for place in self.ledgers[run].recorded if (place.run, place.shard) == (run, shard)]
        fields = {"size": str(len(PLANS[run][shard])), "n": str(len(done))}
        for place in done:
            outcome = DONE.outcome.model_dump_json()
            fields |= {f"o:{place.index}": outcome, f"c:{place.index}": "1", f"f:{place.index}": "1"}
        return fields

    def has_forgotten(self) -> None:
        """A run is rebuilt: the server may not know of calls that are out."""
        self.recognise(0)
        assert self.server
        if self.server.age < 600:
            self.server.holds, self.server.least = True, 600

    #: What the model says of keys of Redis, beside what a run's ledger has in S3.
    REMEMBERED = (
        "alive", "known", "lists", "leases", "done", "parked", "requests", "suspended", "epoch", "held_back", "streak",
        "failing", "probing", "server", "lost", "unreachable", "good_began", "failed_at", "refused", "refusers",
        "alike", "tries", "suspects", "allowed", "stopped_alike",
    )  # fmt: skip

    @rule()
    def take_snapshot(self) -> None:
        """What Redis has now reaches its disk, or a replica."""
        keys = [key for key in self.raw.scan_iter() if not key.startswith(b"timelapse:")]
        dumped = {key: (max(self.raw.pttl(key), 0), self.raw.dump(key)) for key in keys}
        remembered = {name: copy.deepcopy(getattr(self, name)) for name in self.REMEMBERED}
        self.snapshot = (dumped, remembered | {"ledgers": copy.deepcopy(self.ledgers)})

    @rule()
    def fall_back(self) -> None:
        """Another process goes on with what was on disk; the workers know nothing of it."""
        if not self.snapshot:
            return
        (dumped, remembered), self.snapshot = self.snapshot, None
        self.state.flush()
        for key, (ttl, text) in dumped.items():
            self.raw.restore(key, ttl, text, replace=True)
        for name in self.REMEMBERED:
            setattr(self, name, remembered[name])
        if self.server:
            self.raw.hset(self.state.key("server"), "id", "another")
            self.server.is_other = True
        for run, ledger in remembered["ledgers"].items():
            # The notes and the records are in S3, where nothing is lost.
            for name in ("noted", "requested", "recorded", "opened", "word"):
                setattr(ledger, name, getattr(self.ledgers[run], name))
            self.ledgers[run] = ledger
        in_hand = {
            (job, hand.place.run): hand.token
            for process in self.processes.values()
            for job, hand in process.hands.items()
        }
        # Of a call whose worker is dead, and whose lease is lost, nobody knows.
        leased = {lease.token for lease in self.leases.values()}
        for tokens in self.out.values():
            tokens.intersection_update({*in_hand.values(), *leased})
            self.forgotten |= tokens - leased
        known = {(job, lease.place.run) for job, lease in self.leases.items() if lease.calling} | in_hand.keys()
        self.paid = {
            (job, run)
            for job, run in self.paid
            if (job, run) in known or job in self.ledgers[run].noted | self.ledgers[run].requested
        }

    @rule()
    def recall(self) -> None:
        """The dispatcher reads the notes of doubts and requests that S3 has, and tells of those that Redis lacks."""
        if not self.server or not self.server.holds or self.server.recalled:
            return
        for run, ledger in self.ledgers.items():
            if not ledger.known:
                continue
            counted = {place.job for place in PLACES if place.run == run and self.counts(place)}
            jobs = (ledger.noted | (ledger.requested - self.requests.keys())) - counted
            self.progress.doubt(run, jobs)
            ledger.recalled |= jobs
        key = self.state.key("server")
        self.state.ask("HSET", key, "recalled", self.state.ask("HGET", key, "incarnation"))
        self.server.recalled = True

    def hold_passes(self, age: int) -> None:
        """Time passes since the loss was recognised."""
        if self.server and self.server.holds and self.server.age < age:
            since = (self.state.now - age) * 1000
            self.state.ask("HSET", self.state.key("server"), "since", f"{since:.0f}")
            self.server.age = age

    @rule()
    def hold_is_over(self) -> None:
        """A heartbeat's whole time: who has said nothing counts as dead, and nobody knows of what it called."""
        server = self.server
        if not server or not server.holds:
            return
        self.hold_passes(1000)
        for worker in sorted(self.processes.keys() - server.beaten):
            self.state.ask("DEL", self.state.key("worker", worker))
            self.alive.discard(worker)
            for job, hand in self.processes[worker].hands.items():
                hand.lapsed = True
                self.out[job] -= {hand.token} & self.forgotten
