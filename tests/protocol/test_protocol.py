"""The protocol against a model: hypothesis drives a fleet on a real Valkey; every step is predicted and checked."""

from __future__ import annotations

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from tests.protocol.machine import Protocol
from tests.protocol.steps import DECIDED, FOUND, Step
from tests.support.timelapse import Timelapse


def play(state: Timelapse, raw: redis.Redis, *, examples: int, seed: int | None = None) -> None:
    """Draws so many stories; with a seed, others than usual."""

    def begin() -> RuleBasedStateMachine:
        return Protocol(state, raw)

    test = settings(
        max_examples=examples, stateful_step_count=25, deadline=None, derandomize=seed is None, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    run_state_machine_as_test(begin, settings=test)  # type: ignore[arg-type] # any factory will do


@pytest.mark.timeout(600)
def test_the_protocol_is_its_model(state: Timelapse, raw: redis.Redis) -> None:
    """In whatever order workers, dispatcher, person, API and Redis act, die or forget, every key is as predicted."""
    play(state, raw, examples=40)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_the_protocol_is_its_model_for_long(state: Timelapse, raw: redis.Redis) -> None:
    """The same, over many more stories, and others each time."""
    play(state, raw, examples=400, seed=0)


def walk(protocol: Protocol, state: Timelapse, steps: list[Step]) -> None:
    """One step after the other, each of which must find something that it can happen to."""
    for step in steps:
        before = state.asked
        protocol.step(*step)
        assert state.asked > before or step[0] in {"make up a beat", "snapshot"}, f"{step} did nothing"
        protocol.the_ledgers_are_true()
        protocol.the_leases_are_true()
        protocol.a_call_that_is_out_is_known()
        protocol.the_suspensions_are_true()


@pytest.mark.parametrize("decided", DECIDED)
def test_evidence_decides(state: Timelapse, raw: redis.Redis, decided: str) -> None:
    """Each rule that goes by what happened, in a sequence that comes to it."""
    protocol = Protocol(state, raw)
    steps, event = DECIDED[decided]
    walk(protocol, state, steps)
    assert event in protocol.met


@pytest.mark.parametrize("found", FOUND)
def test_what_once_went_wrong_goes_right(state: Timelapse, raw: redis.Redis, found: str) -> None:
    """Each sequence in which a script once broke the model, step by step."""
    walk(Protocol(state, raw), state, FOUND[found])
