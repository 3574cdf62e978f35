"""A job's way to its call: taken, claimed, submitted."""

from __future__ import annotations

import time

import pytest
from hypothesis.stateful import rule

from restyle.coordination.claim_types import Claim, Dropped
from restyle.coordination.runs.progress import Ended, failed
from restyle.errors import (
    RequestRejected,
)
from restyle.models import (
    RunStatus,
)
from tests.protocol.evidence import Concluding
from tests.protocol.kept import Hand, Lease
from tests.protocol.places import (
    FLAG,
    LIMITS,
    MADE_FROM,
    PICK,
    PLACE,
    PLANS,
    Place,
    some,
)


class Claiming(Concluding):
    """Adds what a worker does before its call brings anything."""

    @rule(pick=PICK, place=PLACE, on=FLAG)
    def take(self, pick: int, place: Place, on: bool) -> None:
        """A worker gets a message, of any job at any time; and mostly claims at once."""
        if not self.processes:
            return
        worker = some(sorted(self.processes), pick)
        process, token = self.processes[worker], f"t{next(self.numbers)}"
        if place.job in process.hands:
            why: str | None = "held"
        else:
            why = self.barred(worker, place, token)
            if why in {"suspended", "heartbeat"}:
                self.mark_for_enqueue(place)
        if why:
            with pytest.raises(Dropped, match=why):
                process.fleet.take(place.message, token)
            return
        process.fleet.take(place.message, token)
        self.lists[worker][place.job] = place
        hand = process.hands[place.job] = Hand(place, token, known=self.records[place.job])
        self.said = [said for said in self.said if (said[0], said[1].job) != (worker, place.job)]
        if on:
            self.ask(worker, hand, stale=False)

    @rule(pick=PICK, stale=FLAG, again=FLAG)
    def claim(self, pick: int, stale: bool, again: bool) -> None:
        """A worker asks for the right to call; again, where the first answer was lost."""
        if not self.hands():
            return
        worker, hand = some(self.hands(), pick)
        self.ask(worker, hand, stale=stale)
        if again and hand.claim is not None:
            self.out[hand.place.job].discard(hand.token)
            hand.looked = True
            self.ask(worker, hand, stale=False)

    def ask(self, worker: str, hand: Hand, *, stale: bool) -> None:
        """One claim, as predicted."""
        process, place = self.processes[worker], hand.place
        expected = self.verdict(worker, hand, stale, process.fleet._count)
        looked_at = time.monotonic() - (2 * LIMITS.look_up_age if stale else 0)

        def claim_it() -> Claim:
            made_from = MADE_FROM[place.run]
            return process.fleet.claim(
                place.message, hand.token, looked=hand.looked, looked_at=looked_at, made_from=made_from
            )

        if expected == "refused":
            self.met.add("refused alone")
            with pytest.raises(RequestRejected):
                claim_it()
            self.tell(worker, hand, failed("request_rejected", "406"))
            return
        if expected not in {"go", "submitted", "look", "parked", "wait"}:
            with pytest.raises(Dropped, match=expected):
                claim_it()
            del process.hands[place.job]
            return
        claim = claim_it()
        assert claim.verdict == expected
        hand.lapsed = hand.lapsed and claim.verdict == "wait"
        if claim.verdict in {"go", "submitted"}:
            self.granted(worker, hand, claim)
        if claim.verdict == "look":
            hand.looked = True
        hand.parked = claim.verdict == "parked"

    def verdict(self, worker: str, hand: Hand, stale: bool, seen: int) -> str:
        """What a claim is answered."""
        place, job, ledger = hand.place, hand.place.job, self.ledgers[hand.place.run]
        why = self.barred(worker, place, hand.token) or (None if job in self.lists[worker] else "heartbeat")
        if why:
            self.release(job, hand.token)
            self.unlist(worker, job, hand.token)
            if why in {"suspended", "heartbeat"}:
                self.mark_for_enqueue(place)
            return why
        self.recognise(seen)
        if self.waits():
            return "wait"
        unsure = stale or ledger.calls[place] + ledger.doubted(place) > 0 or job in self.done
        lease = Lease(place, worker, hand.token)
        if job in self.parked:
            verdict = "parked"
        elif unsure and (stale or not hand.looked):
            verdict = "look"
        elif self.requests.get(job) == MADE_FROM[place.run]:
            verdict, lease.calling = "submitted", True
        elif told := self.questioned(place):
            self.release(job, hand.token)
            return told
        elif self.held_back:
            self.release(job, hand.token)
            return "wait"
        else:
            verdict, lease.calling = "go", True
            if self.requests.pop(job, None):
                # Another run wants another picture: what was asked for is given up.
                self.paid -= {(job, run) for run in PLANS if run != place.run}
        lease.began = next(self.events)
        assert self.server
        self.server.counter += 1
        lease.number = hand.number = self.server.counter
        self.leases[job] = lease
        return verdict

    def questioned(self, place: Place) -> str:
        """What a claim is answered for a job that was refused with a word against all; empty: as any other."""
        evidence = self.refused.get(place.job)
        if evidence is None:
            return ""
        if self.good_began <= evidence.at and self.has_others(place.run):
            return "wait"
        return "refused" if evidence.times >= 2 else ""

    def granted(self, worker: str, hand: Hand, claim: Claim) -> None:
        """A call is out: judged by what must never be, whatever the keys say."""
        place, ledger = hand.place, self.ledgers[hand.place.run]
        assert not self.out[place.job], "two calls for one job"
        assert worker in self.alive
        assert place not in ledger.ended
        assert place.shard in ledger.open - ledger.closed
        assert self.passes(place)
        assert not ledger.suspended
        assert ledger.status is RunStatus.RUNNING
        assert (claim.epoch, claim.calls, claim.doubts) == (
            str(self.epoch), ledger.calls[place], ledger.doubted(place),
        )  # fmt: skip
        self.out[place.job].add(hand.token)
        hand.claim, hand.submitted = claim, claim.verdict == "submitted"
        if hand.submitted:
            assert claim.request == f"a request for {MADE_FROM[place.run]}"
        else:
            is_paid = (place.job, place.run) in self.paid
            assert not is_paid or claim.doubts, "a request is paid for, and nobody is told to look for it"

    @rule(pick=PICK)
    def submit(self, pick: int) -> None:
        """The API's queue accepts the request of a call, and its id is noted."""
        calling = [(worker, hand) for worker, hand in self.hands(calling=True) if not hand.submitted]
        if calling:
            self.note_request(*some(calling, pick))

    def note_request(self, worker: str, hand: Hand) -> None:
        """Writes down a request, in Redis and in S3."""
        place, lease = hand.place, self.leases.get(hand.place.job)
        made_from = MADE_FROM[place.run]
        mine = lease.token == hand.token if lease else place.job not in self.requests
        told = f"a request for {made_from}"
        assert self.processes[worker].fleet.submitted(place.message, hand.token, made_from, told) == mine
        hand.submitted = True
        self.ledgers[place.run].requested.add(place.job)
        if mine:
            self.requests[place.job] = made_from
            self.paid.add((place.job, place.run))

    @rule(pick=PICK, found=FLAG)
    def resolve_doubts(self, pick: int, *, found: bool) -> None:
        """A job's lost calls are looked up: a request is found, or there is none; then the job is claimed again."""
        doubtful = [(worker, hand) for worker, hand in self.hands(calling=True) if hand.claim and hand.claim.doubts]
        if not doubtful:
            return
        worker, hand = some(doubtful, pick)
        place, fleet = hand.place, self.processes[worker].fleet
        ledger, lease = self.ledgers[place.run], self.leases.get(place.job)
        found = found or hand.submitted
        if found and not hand.submitted:
            self.note_request(worker, hand)
        mine = lease is not None and lease.token == hand.token
        assert self.state.run("resolve_doubts", **fleet.held_job(place.message, hand.token), is_queued=found) == mine
        if mine:
            if found and self.is_open(place):
                ledger.calls[place] -= ledger.doubts[place]
            ledger.doubts.pop(place, None)
            ledger.recalled.discard(place.job)
            ledger.noted.discard(place.job)
        if mine and not found:
            self.paid.discard((place.job, place.run))

    def tell(self, worker: str, hand: Hand, ended: Ended) -> None:
        """Reports, as predicted."""
        fleet, place = self.processes[worker].fleet, hand.place
        expected = self.reported(worker, place, hand.token, ended)
        assert self.progress.report(fleet, place.message, hand.token, ended) == expected
        del self.processes[worker].hands[place.job]
        self.said.append((worker, place, hand.token, ended))
