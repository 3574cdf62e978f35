"""The rate limit where lines jitter and clocks jump: minutes of calls on a real Valkey, by the test's own clock."""

from __future__ import annotations

import heapq
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from restyle.coordination.claim_types import Limits
from restyle.coordination.fleet import Fleet
from restyle.coordination.runs.progress import Ended, Progress
from restyle.models import Outcome, OutcomeKind
from tests.acceptance.test_rate import busiest
from tests.integration.test_fleet import RUN, WORKSPACE, a_message, a_run
from tests.support.timelapse import Timelapse

LIMIT = 300
#: What pacing leaves of the limit, of which all but a fiftieth is to be used.
PACED = 0.975 * 0.98


@pytest.fixture
def state(redis_url: str) -> Iterator[Timelapse]:
    """A Valkey whose scripts go by the test's clock."""
    state = Timelapse(redis_url, namespace=WORKSPACE.namespace, account="account")
    yield state
    state.close()


@dataclass
class Line:
    """A fleet that calls as fast as it may, over a line that delays what it carries."""

    state: Timelapse
    #: Seconds from a claim, made at this time, until the call arrives; and seconds for which the API works on it.
    delay: Callable[[float], float]
    work: Callable[[], float]
    tells_its_time: bool = True
    #: The number of its first job.
    first: int = 0
    arrived: list[float] = field(default_factory=list)

    def run(self, seconds: float) -> None:
        """Calls for so long."""
        progress, begun = Progress(self.state), self.state.now
        progress.register(a_run(planned=100_000))
        progress.open_shard(RUN, 0, 100_000)
        fleet = Fleet(self.state, Limits(max_rpm=LIMIT), worker="w1")
        fleet.heartbeat({})
        index, answers, poll = self.first, list[tuple[float, int, float]](), begun
        fleet.take(a_message(index), str(index))
        while self.state.now < begun + seconds:
            if answers and answers[0][0] <= poll:
                at, done, lag = heapq.heappop(answers)
                self.state.set(max(at, self.state.now))
                outcome = Outcome(outcome=OutcomeKind.SUCCEEDED, credits=0.02, seconds=1)
                ended = Ended(outcome, calls=1, wrote_record=True, call_succeeded=True, lag=lag)
                progress.report(fleet, a_message(done), str(done), ended)
                continue
            self.state.set(max(poll, self.state.now))
            now = self.state.now
            claim = fleet.claim(a_message(index), str(index), looked=True, looked_at=time.monotonic())
            if claim.verdict == "wait":
                poll = now + min(claim.wait, 1.0) + random.uniform(0, 0.02)
                continue
            assert claim.verdict == "go"
            arrival, work = now + self.delay(now - begun), self.work()
            self.arrived.append(arrival)
            heapq.heappush(answers, (arrival + work, index, arrival - now + (0.0 if self.tells_its_time else work)))
            index += 1
            fleet.take(a_message(index), str(index))
        self.arrived.sort()

    @property
    def used(self) -> float:
        """Which share of the limit was used."""
        return (len(self.arrived) - 1) / (self.arrived[-1] - self.arrived[0]) * 60 / LIMIT


def stalls(*begins: float, seconds: float = 4.5) -> Callable[[float], float]:
    """A line that carries nothing for a while, and then all of it at once."""

    def delay(now: float) -> float:
        until = next((begin + seconds for begin in begins if begin <= now < begin + seconds), now)
        return until - now + random.uniform(0.001, 0.01)

    return delay


@pytest.mark.parametrize(
    "delay",
    [
        pytest.param(lambda _: 0.005, id="steady"),
        pytest.param(lambda _: random.uniform(0, 0.6), id="jitter", marks=pytest.mark.long),
    ],
)
def test_the_limit_is_kept_and_used(state: Timelapse, delay: Callable[[float], float]) -> None:
    """Over a line that is as it usually is: never more than the limit in a minute, and hardly fewer."""
    random.seed(1)
    line = Line(state, delay, lambda: 0.2)
    line.run(150)
    assert busiest(line.arrived, 60) <= LIMIT
    assert line.used >= PACED


@pytest.mark.parametrize(
    "tells_its_time",
    [
        pytest.param(True, id="the API tells its time"),
        pytest.param(False, id="it does not", marks=pytest.mark.long),
    ],
)
def test_a_line_that_stalls_does_not_exceed_the_limit(state: Timelapse, tells_its_time: bool) -> None:
    """Calls that were held up arrive together: those that follow make room, and make up for nothing twice."""
    random.seed(2)
    line = Line(state, stalls(30, 110, seconds=4.5), lambda: random.uniform(0.2, 0.4), tells_its_time)
    line.run(200)
    assert busiest(line.arrived, 60) <= LIMIT
    assert line.used >= PACED - 2 * 4.5 / 200


@pytest.mark.long
def test_slow_answers_are_not_taken_for_a_slow_line(state: Timelapse) -> None:
    """An API whose own times vary widely costs nothing, whether or not it tells them."""
    random.seed(3)
    for tells_its_time in (True, False):
        state.flush()
        line = Line(state, lambda _: 0.01, lambda: random.uniform(4, 16), tells_its_time)
        line.run(150)
        assert busiest(line.arrived, 60) <= LIMIT
        assert line.used >= PACED


def test_a_clock_that_is_set_back_stops_nobody(state: Timelapse) -> None:
    """Ten minutes back, in the middle of a run at its limit: the next call is a slot away, and so all that follow."""
    random.seed(4)
    line = Line(state, lambda _: 0.005, lambda: 0.2)
    line.run(10)
    calls = len(line.arrived)
    state.go(-600)
    again = Line(state, line.delay, line.work, first=1000)
    again.run(20)
    assert len(again.arrived) >= 0.95 * LIMIT / 3
    assert calls >= 0.9 * LIMIT / 6
