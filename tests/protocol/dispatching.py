"""What the dispatcher does: opens, closes, frees, probes."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from restyle.coordination.runs.progress import failed
from restyle.models import (
    RunStatus,
)
from tests.protocol.places import (
    DEATHS,
    FLAG,
    PICK,
    PLACES,
    PLANS,
    SHARD,
    Place,
    some,
)
from tests.protocol.workers import Living


class Dispatching(Living):
    """Adds the dispatcher."""

    @rule(at=SHARD)
    def open(self, at: tuple[str, int]) -> None:
        """Opens a shard, where that may be."""
        (run, shard), ledger = at, self.ledgers[at[0]]
        may = ledger.known and ledger.status is RunStatus.RUNNING and not self.suspended | ledger.suspended
        may = may and shard not in ledger.open | ledger.closed
        gaps = set(range(ledger.cursor)) - ledger.open - ledger.closed if ledger.known else set()
        assert set(self.progress.gaps(run, ledger.cursor if ledger.known else 0)) == gaps
        assert self.progress.open_shard(run, shard, len(PLANS[run][shard])) == may
        if may:
            ledger.opened.add(shard)
            ledger.open.add(shard)
            ledger.marked.add(shard)
            ledger.cursor = max(ledger.cursor, shard + 1)

    @rule(at=SHARD)
    def fed(self, at: tuple[str, int]) -> None:
        """A shard's pending jobs are on the queue."""
        self.progress.fed(*at)
        self.ledgers[at[0]].marked.discard(at[1])

    @rule(at=SHARD)
    def close(self, at: tuple[str, int]) -> None:
        """Closes a shard that has all outcomes, or of a cancelled run one whose calls have ended."""
        (run, shard), ledger = at, self.ledgers[at[0]]
        places = [place for place in PLACES if (place.run, place.shard) == at]
        living = {job for worker in self.alive for job in self.lists[worker]}
        ended = all(place in ledger.ended for place in places)
        if shard in ledger.open and not ended:
            cancelled = ledger.status is RunStatus.CANCELLED
            ended = cancelled and not any(place.job in living for place in places)
        may = shard in ledger.open and ended
        if may:
            told = self.progress.outcomes(run, shard)
            assert {index: (found.outcome, found.attempts, found.in_doubt) for index, found in told.items()} == {
                place.index: (ledger.ended[place], ledger.calls[place], ledger.doubts[place])
                for place in places
                if place in ledger.ended
            }
            ledger.open.discard(shard)
            ledger.marked.discard(shard)
            ledger.closed.add(shard)
        if may or shard not in ledger.open:
            assert self.progress.close_shard(run, shard) == may
            assert not self.progress.close_shard(run, shard)

    @rule(pick=PICK, cut_off=st.none() | st.integers(0, 2), comes_back=FLAG)
    def free_the_dead(self, pick: int, cut_off: int | None, comes_back: bool) -> None:
        """Frees what a dead worker held; perhaps it was not dead after all, perhaps the dispatcher dies at it."""
        if not self.known - self.alive:
            return
        worker = some(sorted(self.known - self.alive), pick)
        held = self.dispatcher.jobs_of(worker)
        assert held.keys() == self.lists[worker].keys()
        for number, (job, told) in enumerate(held.items()):
            if number == cut_off:
                break
            self.free(worker, job, told)
        if comes_back and worker in self.processes:
            self.beat_now(worker)
        if cut_off is None:
            self.dispatcher.bury(worker)
            if worker not in self.alive:
                self.known.discard(worker)
                self.lists[worker].clear()

    @rule(pick=PICK)
    def free_the_living(self, pick: int) -> None:
        """A worker that came back in time loses nothing."""
        if not self.alive:
            return
        worker = some(sorted(self.alive), pick)
        for job, told in self.dispatcher.jobs_of(worker).items():
            self.free(worker, job, told)

    def free(self, worker: str, job: str, told: dict[str, Any]) -> None:
        """Frees one job as the dispatcher does, doubt first."""
        place = Place(str(told["run"]), int(told["shard"]), int(told["index"]))
        assert place == self.lists[worker][job]
        lease = self.leases.get(job)
        calls = worker not in self.alive and lease and lease.worker == worker and lease.calling
        if calls and job not in self.requests:
            self.ledgers[place.run].noted.add(job)
        expected = self.freed(worker, place)
        assert self.dispatcher.free(worker, told, job) == expected
        calling, doubts, deaths = expected
        if (calling and doubts >= 2) or (not calling and deaths >= DEATHS):
            lost = failed("in_doubt", "its worker died")
            first = self.reported("", place, "", lost)
            assert self.progress.report(self.dispatcher, place.message, "", lost) == first

    def loosen(self, place: Place) -> None:
        """Frees a lease that its holder cannot know of."""
        self.dispatcher.loosen(place.job)
        lease = self.leases.get(place.job)
        if not lease:
            return
        unknown = lease.worker not in self.known | self.alive
        if unknown or (lease.worker in self.alive and place.job not in self.lists[lease.worker]):
            assert lease.token not in self.out[place.job], "a call is out"
            del self.leases[place.job]

    def probe(self, place: Place) -> None:
        """Lets one job through an outage."""
        may = self.suspended == {"outage"} and self.probing is None
        assert self.dispatcher.probe(place.job) == may
        if may:
            self.probing = place.job
