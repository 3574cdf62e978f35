"""What holds after each step."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis.stateful import invariant

from tests.protocol.losses import Losing
from tests.protocol.places import (
    PLACES,
    PLANS,
)


class Checked(Losing):
    """Adds what must be true of Redis, and of the truth that no key tells."""

    @invariant()
    def the_ledgers_are_true(self) -> None:
        """Totals add up and equal the model's; no shard is open and closed; outcomes stay."""
        for run, ledger in self.ledgers.items():
            totals = self.progress.totals(run)
            assert (totals is not None) == ledger.known
            opened = {shard.shard: shard for shard in self.progress.open_shards(run)}
            assert opened.keys() == ledger.open
            assert {number for number, shard in opened.items() if shard.fed == 0} == ledger.marked
            if totals is None:
                continue
            plain = replace(totals, last_error="", credits_before=None, credits_after=None)
            assert plain == self.told(run)
            assert totals.pending >= 0
            assert totals.succeeded + totals.skipped + totals.failed + totals.pending == totals.planned
            assert not ledger.open & ledger.closed
            for number, shard in opened.items():
                outcomes = self.progress.outcomes(run, number)
                wanted = {place.index: kind for place, kind in ledger.ended.items() if place.shard == number}
                assert {index: found.outcome for index, found in outcomes.items()} == wanted
                assert shard.ended == len(wanted)

    @invariant()
    def the_leases_are_true(self) -> None:
        """At most one lease a job, held by who took it; and each worker's list is what the model says."""
        names = sorted({place.job for place in PLACES})
        leases = self.state.ask_all(*(("HGETALL", self.state.key("lease", job)) for job in names))
        for job, found in zip(names, leases, strict=True):
            lease = self.leases.get(job)
            assert bool(found) == (lease is not None)
            if lease:
                told = (found["run"], int(found["shard"]), int(found["index"]), found["worker"], found["token"])
                assert told == (lease.place.run, lease.place.shard, lease.place.index, lease.worker, lease.token)
                assert ("calling" in found) == lease.calling
        aside = {run: sum(float(at.get("reserved", 0)) for at in leases if at and at["run"] == run) for run in PLANS}
        reserved = [float(self.state.ask("HGET", self.state.key("run", run), "reserved") or 0) for run in PLANS]
        assert reserved == pytest.approx(list(aside.values()), abs=1e-6), "credits set aside are those of the leases"
        workers = self.dispatcher.workers()
        assert workers.keys() == self.known
        assert {worker for worker, beat in workers.items() if beat is not None} == self.alive
        lists = self.state.ask_all(*(("HKEYS", self.state.key("worker", worker, "jobs")) for worker in workers))
        for worker, held in zip(workers, lists, strict=True):
            assert set(held) == self.lists[worker].keys()

    @invariant()
    def a_call_that_is_out_is_known(self) -> None:
        """Of no job are two calls out; and where a worker that has beaten is calling, its lease stands."""
        beaten = self.server.beaten if self.server and not self.server.is_other else set()
        for job, tokens in self.out.items():
            assert len(tokens) <= 1
            for worker in self.alive & self.processes.keys() & beaten:
                hand = self.processes[worker].hands.get(job)
                if hand and hand.claim and hand.token in tokens:
                    assert self.leases[job].token == hand.token

    @invariant()
    def the_server_is_known(self) -> None:
        """What it remembers of itself is what the model says."""
        found = self.state.ask("HGETALL", self.state.key("server"))
        assert bool(found) == (self.server is not None)
        if self.server:
            assert (int(found["counter"]), found["open"] == "0") == (self.server.counter, self.server.holds)

    @invariant()
    def the_suspensions_are_true(self) -> None:
        """The reasons that stand are those of the model."""
        assert {found.reason for found in self.dispatcher.suspensions()} == self.suspended
        for run, ledger in self.ledgers.items():
            assert {found.reason for found in self.progress.suspensions(run)} == ledger.suspended
