"""Workers come, beat, lapse, die and leave."""

from __future__ import annotations

from hypothesis.stateful import rule

from restyle.coordination.fleet import Fleet
from restyle.coordination.in_hand import JobsInHand
from tests.protocol.answers import Answering
from tests.protocol.kept import Lease, Listed, Process
from tests.protocol.places import (
    FLAG,
    LIMITS,
    MADE_FROM,
    PICK,
    some,
)


class Living(Answering):
    """Adds the life of a worker."""

    def beat_now(self, worker: str) -> None:
        """A heartbeat; to a server that has forgotten it is said again."""
        process = self.processes[worker]
        known, seen, listed = process.fleet.incarnation, process.fleet._count, process.listed()
        process.fleet.heartbeat({})
        self.beaten(worker, listed, seen, known)
        if known not in {"", process.fleet.incarnation}:
            # By then the worker has seen what the server answered to the first.
            assert self.server
            self.beaten(worker, listed, self.server.counter, process.fleet.incarnation)

    def beaten(self, worker: str, listed: dict[str, Listed], seen: int, known: str) -> None:
        """A heartbeat has reached Redis."""
        process = self.processes[worker]
        self.recognise(seen)
        server = self.server
        assert server
        if known in {"", process.fleet.incarnation}:
            server.beaten.add(worker)
        self.alive.add(worker)
        self.known.add(worker)
        jobs = {job: entry.place for job, entry in listed.items()}
        for job, place in self.lists[worker].items():
            lease = self.leases.get(job)
            if job not in jobs and lease and lease.worker == worker and lease.calling and not lease.old:
                jobs[job] = place
        self.lists[worker] = jobs
        for job, entry in listed.items():
            if entry.calling and not self.over(entry.place):
                self.put_back(worker, job, entry)
            if entry.calling and job in self.leases and self.leases[job].token != entry.token:
                # Somebody else was allowed to call since: this one was freed before.
                self.out[job].discard(entry.token)
        server.counter += 1

    def put_back(self, worker: str, job: str, entry: Listed) -> None:
        """What Redis has lost of a call, or remembers of an earlier holder, is set right."""
        lease, hand = self.leases.get(job), self.processes[worker].hands.get(job)
        if lease and lease.token != entry.token and lease.number >= entry.number:
            return
        if not lease or lease.token != entry.token:
            self.leases[job] = Lease(entry.place, worker, entry.token, calling=True, number=entry.number)
            self.forgotten.discard(entry.token)
            if hand and hand.claim and hand.token == entry.token:
                self.out[job].add(entry.token)
        if self.server and self.server.holds and entry.submitted and job not in self.requests:
            self.requests[job] = MADE_FROM[entry.place.run]

    @rule()
    def start(self) -> None:
        """A worker starts."""
        if len(self.processes) >= 3:
            return
        worker = f"w{next(self.numbers)}"
        self.processes[worker] = Process(Fleet(self.state, LIMITS, worker=worker))
        self.beat_now(worker)

    @rule(pick=PICK)
    def beat(self, pick: int) -> None:
        """A heartbeat; also of a worker that was taken for dead."""
        if not self.processes:
            return
        self.beat_now(some(sorted(self.processes), pick))

    @rule(pick=PICK)
    def make_up_a_beat(self, pick: int) -> None:
        """A heartbeat has read its worker's list, and is slow."""
        if not self.processes:
            return
        process = self.processes[some(sorted(self.processes), pick)]
        hands = JobsInHand()
        for job, holding in process.fleet.hands.snapshot().items():
            hands.add(job, holding)
        process.late = (hands, process.listed(), process.fleet._count, process.fleet.incarnation)

    @rule(pick=PICK)
    def late_beat(self, pick: int) -> None:
        """The slow heartbeat arrives, with a list of before."""
        if not any(process.late for process in self.processes.values()):
            return
        worker, process = some([(name, found) for name, found in self.processes.items() if found.late], pick)
        assert process.late
        (hands, listed, seen, known), process.late = process.late, None
        fleet = process.fleet
        now = fleet.hands, fleet._count, fleet.incarnation
        fleet.hands, fleet._count, fleet.incarnation = hands, seen, known
        fleet._heartbeat({})
        fleet.hands, fleet._count = now[0], max(now[1], fleet._count)
        self.beaten(worker, listed, seen, known)

    @rule(pick=PICK)
    def lapse(self, pick: int) -> None:
        """A living worker's heartbeat does not come through for longer than it lasts."""
        if not self.alive:
            return
        worker = some(sorted(self.alive), pick)
        self.state.ask("DEL", self.state.key("worker", worker))
        self.alive.discard(worker)
        for hand in self.processes[worker].hands.values() if worker in self.processes else ():
            hand.lapsed = True

    @rule(pick=PICK)
    def die(self, pick: int) -> None:
        """Kill -9, long enough ago."""
        if not self.processes:
            return
        worker = some(sorted(self.processes), pick)
        for job, hand in self.processes[worker].hands.items():
            # Perhaps its request had been accepted, and nobody was told of it.
            if hand.claim and not hand.parked and job in self.leases and self.leases[job].token == hand.token:
                self.paid.add((job, hand.place.run))
            # Nobody is left to tell of a claim that Redis has lost: only a durable one has a trace (0026).
            self.out[job] -= {hand.token} & self.forgotten
        del self.processes[worker]
        self.state.ask("DEL", self.state.key("worker", worker))
        self.alive.discard(worker)

    @rule(pick=PICK, word=FLAG, beat=FLAG)
    def leave(self, pick: int, word: bool, beat: bool) -> None:
        """A worker has drained; where Redis was away, without a word of what it had in hand."""
        if not self.processes:
            return
        worker = some(sorted(self.processes), pick)
        process = self.processes[worker]
        for hand in list(process.hands.values()):
            if word and hand.claim is None and not hand.parked:
                self.part(worker, hand, restore_attempts=False)
            else:
                # Its call is over, and nobody but S3 was told.
                process.fleet.hands.remove(hand.place.job, hand.token)
                self.out[hand.place.job].discard(hand.token)
        process.hands.clear()
        if beat:
            self.beat_now(worker)
        process.fleet.leave()
        self.alive.discard(worker)
        if not self.lists[worker]:
            self.known.discard(worker)
        del self.processes[worker]

    @rule()
    def time_passes(self) -> None:
        """Calls take longer than a heartbeat lasts; every living worker has beaten since."""
        for worker, process in self.processes.items():
            process.late = None
            if worker in self.alive:
                self.beat_now(worker)
        for job, lease in self.leases.items():
            if lease.calling:
                self.state.ask("HSET", self.state.key("lease", job), "calling", 1000)
                lease.old, lease.began = True, 0
