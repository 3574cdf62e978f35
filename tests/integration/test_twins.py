"""Jobs of one result on a real Valkey: one is called for, the others wait, and no loss of that calls a job twice."""

from __future__ import annotations

import time

import pytest

from restyle.coordination.claim_types import Claim, Dropped
from restyle.coordination.fleet import Fleet
from restyle.coordination.redis.client import State
from restyle.coordination.runs.progress import Progress
from restyle.errors import ApiUnavailable
from restyle.models import Message
from tests.integration.test_fleet import DONE, RUN, Workers, a_message, progress, state, worker
from tests.support.wait import wait_until

__all__ = ["progress", "state", "worker"]  # fixtures

#: What two jobs share.
RESULT = "f" * 64


def claim(fleet: Fleet, message: Message, token: str, *, looked_at: float | None = None) -> Claim:
    """One claim for the shared result."""
    moment = time.monotonic() if looked_at is None else looked_at
    return fleet.claim(message, token, looked=False, looked_at=moment, made_from="this", result=RESULT)


def go(fleet: Fleet, message: Message, token: str) -> None:
    """Claims for somebody who looks again as often as it is said, until the call may begin."""
    wait_until(lambda: claim(fleet, message, token).verdict == "go", timeout=5, description="the right to call")


def taken(fleet: Fleet) -> tuple[Message, Message]:
    """Two jobs in hand, of one result."""
    first, second = a_message(0), a_message(1)
    fleet.take(first, "t1")
    fleet.take(second, "t2")
    return first, second


def test_the_second_waits_and_looks_once_the_first_is_done(worker: Workers, progress: Progress) -> None:
    """Without a lease of its own; who has looked since may call, as where somebody has removed the picture."""
    fleet = worker()
    first, second = taken(fleet)
    looked_at = time.monotonic()
    assert claim(fleet, first, "t1").verdict == "go"
    for _ in range(2):
        assert claim(fleet, second, "t2", looked_at=looked_at).verdict == "wait"
    assert fleet.lease(second.job_id) == {}
    assert progress.report(fleet, first, "t1", DONE)
    assert claim(fleet, second, "t2", looked_at=looked_at).verdict == "look"
    go(fleet, second, "t2")


def test_a_call_that_fails_frees_the_result(worker: Workers) -> None:
    """Another job may have it, and then the first one waits in turn."""
    fleet = worker()
    first, second = taken(fleet)
    granted = claim(fleet, first, "t1")
    fleet.call_failed(first, "t1", granted, ApiUnavailable("500", 500))
    go(fleet, second, "t2")
    # It has been called before, so it looks first.
    assert claim(fleet, first, "t1").verdict == "look"
    looked = fleet.claim(first, "t1", looked=True, looked_at=time.monotonic(), made_from="this", result=RESULT)
    assert looked.verdict == "wait"


def test_a_dead_workers_result_is_free_with_its_job(worker: Workers, state: State) -> None:
    """Not before: its call may be out. Afterwards the other looks, since the picture may have been stored."""
    dead, living = worker("w1"), worker("w2")
    first, second = a_message(0), a_message(1)
    dead.take(first, "t1")
    living.take(second, "t2")
    looked_at = time.monotonic()
    assert claim(dead, first, "t1").verdict == "go"
    state.ask("DEL", state.key("worker", "w1"))
    assert claim(living, second, "t2", looked_at=looked_at).verdict == "wait"
    assert living.free("w1", {"run": RUN, "shard": 0, "index": 0}, first.job_id)[0]
    assert claim(living, second, "t2", looked_at=looked_at).verdict == "look"


@pytest.mark.parametrize("noted", ["request", "parked"])
def test_an_answer_that_waits_is_worth_waiting_for(worker: Workers, state: State, noted: str) -> None:
    """The API's queue has a request, or the paid answer is parked: the other waits, for ten minutes at most."""
    fleet = worker()
    first, second = taken(fleet)
    assert claim(fleet, first, "t1").verdict == "go"
    if noted == "request":
        fleet.submitted(first, "t1", "this", "{}")
    else:
        state.run("park", job=first.job_id, text="{}", limit=1000)
    fleet.release(first, "t1")
    assert claim(fleet, second, "t2").verdict == "wait"
    assert 590_000 < state.ask("PTTL", state.key("result", RESULT)) <= 600_000
    fleet.take(first, "t3")
    assert claim(fleet, first, "t3").verdict == ("submitted" if noted == "request" else "parked")
    assert claim(fleet, second, "t2").verdict == "wait"
    state.ask("DEL", state.key("result", RESULT))  # its time is over
    assert claim(fleet, second, "t2").verdict == "go"


def test_a_heartbeat_renews_and_puts_back(worker: Workers, state: State) -> None:
    """The hold on a result lives as long as the lease does that it comes with, also where Redis has lost both."""
    fleet = worker()
    first, second = taken(fleet)
    assert claim(fleet, first, "t1").verdict == "go"
    state.ask("PEXPIRE", state.key("result", RESULT), 1000)
    fleet.heartbeat({})
    assert state.ask("PTTL", state.key("result", RESULT)) > 50_000
    state.ask("DEL", state.key("result", RESULT), state.key("lease", first.job_id))
    fleet.heartbeat({})
    assert claim(fleet, second, "t2").verdict == "wait"


def test_a_lost_hold_costs_no_second_call_of_the_same_job(worker: Workers, state: State) -> None:
    """The other job may be called; the first one's lease stands, and what it brings is stored as ever."""
    fleet = worker()
    first, second = taken(fleet)
    assert claim(fleet, first, "t1").verdict == "go"
    state.ask("DEL", state.key("result", RESULT))
    assert claim(fleet, second, "t2").verdict == "go"
    other = worker("w2")
    other.take(a_message(2), "t5")
    with pytest.raises(Dropped, match="held"):
        other.take(first, "t4")
    assert claim(other, a_message(2), "t5").verdict == "wait"


@pytest.mark.parametrize("foreign", [("SET", "nonsense"), ("SET", "job:"), ("SET", "ended:x"), ("LPUSH", "x")])
def test_foreign_words_hold_nobody_up(worker: Workers, state: State, foreign: tuple[str, str]) -> None:
    """Whatever somebody puts in the place of the hold: it is removed, or passed over."""
    fleet = worker()
    _, second = taken(fleet)
    state.ask(foreign[0], state.key("result", RESULT), foreign[1])
    assert claim(fleet, second, "t2").verdict == "go"


def test_the_end_of_one_call_ends_no_hold_of_anothers(worker: Workers, state: State) -> None:
    """A hold that was lost, and taken by the other meanwhile, is the other's when the first call ends."""
    fleet = worker()
    first, second = taken(fleet)
    granted = claim(fleet, first, "t1")
    assert granted.verdict == "go"
    state.ask("SET", state.key("result", RESULT), f"job:{second.job_id}", "PX", 60_000)
    fleet.call_failed(first, "t1", granted, ApiUnavailable("500", 500))
    assert state.ask("GET", state.key("result", RESULT)) == f"job:{second.job_id}"
