"""What follows a call: no picture, or one that is stored, parked or told of."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import rule

from restyle.coordination.runs.progress import Ended, failed
from tests.protocol.claims import Claiming
from tests.protocol.kept import Hand
from tests.protocol.places import (
    DONE,
    ENDINGS,
    FLAG,
    FOUND_RECORD,
    PICK,
    SKIPPED,
    THEN,
    Place,
    some,
)

#: A job whose input is none.
NO_PICTURE = failed("invalid_image", "no picture")


class Answering(Claiming):
    """Adds what a worker does after its call."""

    @rule(pick=PICK, ending=st.sampled_from(sorted(ENDINGS)), again=FLAG, then=st.sampled_from(THEN))
    def fail(self, pick: int, ending: str, again: bool, then: str) -> None:
        """A call brings no picture, which is told once or twice; what follows is any of what may follow."""
        if not self.hands(calling=True):
            return
        worker, hand = some(self.hands(calling=True), pick)
        fleet, place, claim = self.processes[worker].fleet, hand.place, hand.claim
        assert claim
        if ending == "spoiled" and (hand.submitted or claim.verdict == "submitted"):
            ending = "failed"  # a result of the API's queue is looked at before it is an answer
        error = ENDINGS[ending]
        kind = "failed" if ending in {"doubted", "spoiled", "request failed", "request lost"} else ending
        self.out[place.job].discard(hand.token)
        for _ in range(1 + again):
            expected = self.called(worker, kind, hand, error)
            assert fleet.call_failed(place.message, hand.token, claim, error) == expected
        if ending in {"doubted", "request lost"}:
            self.ledgers[place.run].noted.add(place.job)
        hand.claim, hand.looked, hand.submitted = None, False, False
        hand.known = self.records[place.job]
        if then == "fail":
            self.tell(worker, hand, failed("api_unavailable", "500"))
        elif then != "retry":
            self.part(worker, hand, restore_attempts=then == "give back")

    @rule(pick=PICK)
    def succeed(self, pick: int) -> None:
        """A call brings a picture, which is stored unless the job is another's by now."""
        if not self.hands(calling=True):
            return
        worker, hand = some(self.hands(calling=True), pick)
        self.store(worker, hand)

    @rule(pick=PICK)
    def park(self, pick: int) -> None:
        """A call brings a picture that S3 does not take."""
        if not self.hands(calling=True):
            return
        _, hand = some(self.hands(calling=True), pick)
        hand.parked = bool(self.state.run("park", job=hand.place.job, text="a picture", limit=100))
        self.parked |= {hand.place.job} if hand.parked else set()

    @rule(pick=PICK)
    def store_parked(self, pick: int) -> None:
        """S3 takes a parked answer."""
        if not self.hands(parked=True):
            return
        worker, hand = some(self.hands(parked=True), pick)
        assert bool(self.state.run("unpark", job=hand.place.job)) == (hand.place.job in self.parked)
        self.parked.discard(hand.place.job)
        self.store(worker, hand)

    def store(self, worker: str, hand: Hand) -> None:
        """Stores an answer and reports it; where this worker may have been taken for dead, not over a newer record."""
        fleet, place = self.processes[worker].fleet, hand.place
        self.out[place.job].discard(hand.token)
        if not hand.lapsed or self.records[place.job] == hand.known:
            self.records[place.job] += 1
            self.ledgers[place.run].recorded.add(place)
            self.tell(worker, hand, DONE)
            return
        fleet.spent(place.message, hand.token, 0.02)
        self.release(place.job, hand.token)
        self.unlist(worker, place.job, hand.token)
        self.ledgers[place.run].credits += 0.02
        del self.processes[worker].hands[place.job]

    @rule(pick=PICK)
    def find_a_record(self, pick: int) -> None:
        """A worker finds that its job has a record of this run, written by one that has not told of it."""
        found = [
            (worker, hand)
            for worker, hand in self.hands()
            if hand.place in self.ledgers[hand.place.run].recorded
        ]  # fmt: skip
        if found:
            worker, hand = some(found, pick)
            self.tell(worker, hand, FOUND_RECORD)

    @rule(pick=PICK, ended=st.sampled_from([SKIPPED, NO_PICTURE]))
    def end_without_a_call(self, pick: int, ended: Ended) -> None:
        """A record is found, or the input is no picture."""
        if not self.hands():
            return
        worker, hand = some(self.hands(), pick)
        self.tell(worker, hand, ended)

    @rule(pick=PICK)
    def tell_again(self, pick: int) -> None:
        """The answer to a report was lost: it is said again, whatever has happened since."""
        if not self.said:
            return
        worker, place, token, ended = some(self.said[::-1], pick)
        if worker in self.processes:
            expected = self.reported(worker, place, token, ended)
            assert self.progress.report(self.processes[worker].fleet, place.message, token, ended) == expected

    @rule(pick=PICK, restore_attempts=FLAG)
    def release_job(self, pick: int, restore_attempts: bool) -> None:
        """A worker parts with a job."""
        if not self.hands():
            return
        worker, hand = some(self.hands(), pick)
        self.part(worker, hand, restore_attempts=restore_attempts)

    def part(self, worker: str, hand: Hand, *, restore_attempts: bool) -> None:
        """Lets a job go."""
        self.parted(worker, hand.place, hand.token, restore_attempts=restore_attempts)
        del self.processes[worker].hands[hand.place.job]
        self.gone.append((worker, hand.place, hand.token, restore_attempts))

    @rule(pick=PICK)
    def part_again(self, pick: int) -> None:
        """The answer to that was lost: it is said again, whatever has happened since."""
        if not self.gone:
            return
        worker, place, token, restore_attempts = some(self.gone[::-1], pick)
        if worker in self.processes:
            self.parted(worker, place, token, restore_attempts=restore_attempts)

    def parted(self, worker: str, place: Place, token: str, *, restore_attempts: bool) -> None:
        """A worker parts with a job, as predicted."""
        ledger = self.ledgers[place.run]
        self.processes[worker].fleet.release(place.message, token, restore_attempts=restore_attempts)
        self.release(place.job, token)
        if not self.unlist(worker, place.job, token):
            return
        self.mark_for_enqueue(place)
        if self.probing == place.job:
            self.probing = None
        if restore_attempts and self.is_open(place):
            ledger.given_back[place] = ledger.calls[place]
