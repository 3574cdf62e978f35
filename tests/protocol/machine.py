"""The state machine: one rule a move, and spells of work and of loss, in which moves come as often as in life."""

from __future__ import annotations

from collections.abc import Callable

import redis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from restyle.coordination.runs.progress import failed
from tests.protocol.invariants import Checked
from tests.protocol.places import (
    ENDINGS,
    FLAG,
    PICK,
    PLACES,
    PLANS,
    RUN,
    SHARDS,
    SKIPPED,
    THEN,
    a_run,
    some,
)
from tests.support.timelapse import Timelapse

#: What happens every day, as often as it stands here.
USUAL = [
    *["take"] * 8, *["claim"] * 4, *["succeed"] * 3, *["failed"] * 3, *["doubted"] * 2, "spoiled", "rejected", "skip",
    "park", "store parked", "tell again", "let go", "let go again", *["close"] * 2, "open", "fed", "beat",
    "make up a beat", "late beat", "lapse", "die", "start", "leave", "time passes", *["free the dead"] * 2, "loosen",
    *["probe"] * 2, "snapshot", "refused", *["resume"] * 2, *["submit"] * 4, "resolve doubts", "request failed",
    "request lost", "unreachable", "find a record", "agree",
]  # fmt: skip
#: What happens around a loss.
BUSY = [
    *["take"] * 3, "succeed", "doubted", "let go", "submit", "start", "late beat", "make up a beat", "park",
]  # fmt: skip
AFTER = [*BUSY, "take", "take", "take", "beat", "beat", "recall", "recall", "hold passes", "claim", "claim", "loosen"]


class Protocol(Checked, RuleBasedStateMachine):
    """Workers, a dispatcher and a person, in any order."""

    def __init__(self, state: Timelapse, raw: redis.Redis) -> None:
        super().__init__(state, raw)
        for run in PLANS:
            self.progress.register(a_run(run))
            self.open((run, 0))
        self.start()
        self.start()

    @rule(
        calm=st.booleans(), moves=st.lists(st.tuples(st.sampled_from(USUAL), PICK, FLAG, FLAG), min_size=6, max_size=24)
    )
    def work(self, calm: bool, moves: list[tuple[str, int, bool, bool]]) -> None:
        """For a while workers do what they are for, and now and then one of them dies."""
        if calm:
            self.mend_all()
        for move, pick, one, other in moves:
            if move == "take":
                self.take(pick, some(self.pending() or PLACES, pick), on=one or other)
            else:
                self.step(move, pick, one, other)

    @rule(
        lost=st.lists(st.tuples(st.sampled_from(BUSY), PICK, FLAG, FLAG), max_size=6),
        after=st.lists(st.tuples(st.sampled_from(AFTER), PICK, FLAG, FLAG), min_size=2, max_size=16),
    )
    def forget(self, lost: list[tuple[str, int, bool, bool]], after: list[tuple[str, int, bool, bool]]) -> None:
        """What happens is lost, and all goes on."""
        self.take_snapshot()
        for moves in (lost, after):
            for move, pick, one, other in moves:
                if move == "take":
                    self.take(pick, some(self.pending() or PLACES, pick), on=one or other)
                else:
                    self.step(move, pick, one, other)
            self.fall_back()

    @rule(pick=PICK)
    def loosen_one(self, pick: int) -> None:
        """A lease of somebody, or none."""
        self.loosen(some([lease.place for lease in self.leases.values()] or PLACES, pick))

    @rule(pick=PICK)
    def probe_one(self, pick: int) -> None:
        """With a job that may be taken, or any."""
        self.probe(some(self.pending() or PLACES, pick))

    @rule(run=RUN, sure=st.sampled_from([True, False, False, False]))
    def perhaps_cancel(self, run: str, sure: bool) -> None:
        """Seldom, since nothing comes after it."""
        if sure:
            self.cancel(run)

    # So that they come as often as all other moves together.
    work_2 = work_3 = work_4 = work_5 = work_6 = work_7 = work_8 = work
    forget_2 = forget_3 = forget_4 = forget_5 = forget_6 = forget_7 = forget_8 = forget

    def step(self, move: str, pick: int, one: bool, other: bool) -> None:
        """One step, by its name; where there is nothing that it could happen to, nothing happens."""
        if move in ENDINGS:
            self.fail(pick, move, again=one, then=some(THEN, pick))
            return
        place, run, at = some(PLACES, pick), some(sorted(PLANS), pick), some(SHARDS, pick)
        steps: dict[str, Callable[[], None]] = {
            "take": lambda: self.take(pick, place, on=one),
            "claim": lambda: self.claim(pick, stale=one and other, again=one and not other),
            "submit": lambda: self.submit(pick),
            "resolve doubts": lambda: self.resolve_doubts(pick, found=one),
            "succeed": lambda: self.succeed(pick),
            "park": lambda: self.park(pick),
            "store parked": lambda: self.store_parked(pick),
            "find a record": lambda: self.find_a_record(pick),
            "agree": lambda: self.agree(run),
            "skip": lambda: self.end_without_a_call(pick, SKIPPED if one else failed("invalid_image", "no picture")),
            "tell again": lambda: self.tell_again(pick),
            "let go": lambda: self.release_job(pick, restore_attempts=one),
            "let go again": lambda: self.part_again(pick),
            "start": self.start,
            "beat": lambda: self.beat(pick),
            "make up a beat": lambda: self.make_up_a_beat(pick),
            "late beat": lambda: self.late_beat(pick),
            "lapse": lambda: self.lapse(pick),
            "die": lambda: self.die(pick),
            "leave": lambda: self.leave(pick, word=one, beat=other),
            "time passes": self.time_passes,
            "open": lambda: self.open(at),
            "fed": lambda: self.fed(at),
            "close": lambda: self.close(at),
            "free the dead": lambda: self.free_the_dead(pick, None if one else pick % 3, comes_back=other),
            "loosen": lambda: self.loosen_one(pick),
            "probe": lambda: self.probe_one(pick),
            "redis loses everything": self.redis_loses_everything,
            "restore": lambda: self.restore(run),
            "resume": self.resume,
            "snapshot": self.take_snapshot,
            "fall back": self.fall_back,
            "recall": self.recall,
            "hold passes": lambda: self.hold_passes(10),
            "hold is over": self.hold_is_over,
        }
        steps[move]()

    def mend_all(self) -> None:
        """All is well again: workers live, nothing is suspended, and what may be open is."""
        for run in PLANS:
            self.restore(run)
            self.resume_run(run, frozenset())
        self.resume()
        for worker in sorted(self.processes):
            self.beat_now(worker)
        self.recall()
        self.hold_is_over()
        while len(self.processes) < 2:
            self.start()
        for at in SHARDS:
            self.open(at)
