"""How a job ended, by its record; and what its picture cost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from restyle.job import outcomes
from restyle.models import OutcomeKind, Params
from restyle.outputs import Marks, ReusedFrom
from restyle.record import Record
from tests.support.one_job import LATER, RUN, WORKSPACE, OneJob

ORIGIN = ReusedFrom(job_id="j", run_id="r", id="cup", variant="felt", seed=1, cost=2.0)


@pytest.fixture
def record(one: OneJob) -> Record:
    """Of a job that is done."""
    one.run()
    return one.record()


def test_a_picture_that_was_called_for(one: OneJob, record: Record) -> None:
    """One call, which counts for today; its record is this run's."""
    called = replace(one.called(answer=one.api.answer(remaining_credits=7.0)), lag=0.5)
    ended = outcomes.succeeded(record, one.tools, called)
    assert (ended.calls, ended.call_succeeded, ended.wrote_record) == (1, True, True)
    assert (ended.lag, ended.credits_left, ended.record) == (0.5, 7.0, None)


def test_a_picture_that_is_only_found(one: OneJob, record: Record) -> None:
    """Its record says for which day its cost counts."""
    ended = outcomes.succeeded(record, one.tools)
    assert (ended.calls, ended.call_succeeded, ended.wrote_record) == (0, False, True)
    assert (ended.lag, ended.credits_left, ended.record) == (0.0, None, record)


def test_what_an_outcome_says(record: Record) -> None:
    """All that a report shows."""
    outcome = outcomes.outcome_of(record, 0.5)
    assert outcome.model_dump(exclude_defaults=True) == {
        "outcome": OutcomeKind.SUCCEEDED, "credits": 1.0, "seed": record.params.seed,
        "outputs": (WORKSPACE.output("mug", "felt"),), "etag": record.fingerprint.etag,
        "fingerprint": record.fingerprint.token, "seconds": 2.5, "stored": record.stored,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("cost", "samples", "steps", "credits"),
    [(0.0, 2, 60, 0.0), (0.12345678, 1, 30, 0.123457), (None, 1, 30, 0.5), (None, 2, 60, 2.0)],
)
def test_what_a_call_cost(
    one: OneJob, record: Record, cost: float | None, samples: int, steps: int, credits: float
) -> None:
    """As the API says, else by the configured price: for each sample that came, by its steps."""
    params = Params(prompt="p", samples=4, num_inference_steps=steps)
    made = record.model_copy(
        update={"api": record.api.model_copy(update={"cost": cost}), "samples_received": samples, "params": params}
    )
    assert outcomes.outcome_of(made, 0.5).credits == credits
    answer = one.api.answer(*[b"picture"] * samples, cost=cost)
    assert round(outcomes.cost_of(answer, params, 0.5), 6) == credits


def test_what_is_read_again_has_cost_nothing(one: OneJob, record: Record) -> None:
    """It was counted by the run that paid."""
    ended = outcomes.reread(record, one.tools)
    assert (ended.outcome.outcome, ended.outcome.credits, ended.record) == (OutcomeKind.SUCCEEDED, 0.0, None)


@pytest.mark.parametrize(
    ("origin", "run_id", "reused", "saved"),
    [(None, RUN, False, 0.0), (ORIGIN, RUN, True, 2.0), (ORIGIN, LATER, False, 0.0)],
)
def test_what_needed_no_call(
    record: Record, origin: ReusedFrom | None, run_id: str, saved: float, *, reused: bool
) -> None:
    """What an earlier run did, or copied, has saved nothing today."""
    ended = outcomes.skipped(record.model_copy(update={"reused_from": origin}), run_id)
    assert (ended.outcome.outcome, ended.outcome.reused, ended.outcome.saved) == (OutcomeKind.SKIPPED, reused, saved)
    assert (ended.calls, ended.call_succeeded, ended.wrote_record) == (0, False, False)
    assert ended.outcome.model_dump(exclude_defaults=True, exclude={"reused", "saved", "outcome"}) == {
        "seed": record.params.seed, "outputs": (WORKSPACE.output("mug", "felt"),), "etag": record.fingerprint.etag,
        "fingerprint": record.fingerprint.token, "stored": record.stored,
    }  # fmt: skip


SUSPECT = Marks(suspect=("black", "small"), faults=("form: it failed",))
BAD = "looks wrong: all black, smaller than what was sent"
BESIDE = "where something lies that this job has not made"
WARNINGS: list[tuple[dict[str, Any], str, str, str]] = [
    ({}, "", "", ""),
    ({"samples_expected": 2}, "", "1 of 2 samples came", ""),
    ({}, "-5", "the API reports a cost of -5 credits, which is not believed: the configured price counts", ""),
    ({"marks": SUSPECT}, "", f"{BAD}; stored without its form: it failed", BAD),
    ({"beside": ("s3://b/a",)}, "", f"put beside s3://b/a, {BESIDE}", f"put beside s3://b/a, {BESIDE}"),
    (
        {"beside": ("s3://b/a", "s3://b/b"), "marks": Marks(suspect=("flat",))},
        "",
        f"looks wrong: one flat colour; put beside s3://b/a and others, {BESIDE}",
        f"looks wrong: one flat colour; put beside s3://b/a and others, {BESIDE}",
    ),
]


@pytest.mark.parametrize(("change", "disbelieved", "warning", "skipped"), WARNINGS)
def test_what_is_to_be_said_all_the_same(
    record: Record, change: dict[str, Any], disbelieved: str, warning: str, skipped: str
) -> None:
    """Of a job that succeeded, and of one that was found done."""
    changed = record.model_copy(update=change)
    assert outcomes.outcome_of(changed, 0.5, disbelieved).warning == warning
    assert outcomes.skipped(changed, RUN).outcome.warning == skipped
    assert outcomes.outcome_of(changed, 0.5).suspect == changed.marks.suspect
    assert outcomes.skipped(changed, RUN).outcome.suspect == changed.marks.suspect


def test_a_cost_that_is_not_believed_is_said(one: OneJob, record: Record) -> None:
    """By the outcome of its own call."""
    called = one.called(answer=one.api.answer(disbelieved="1e9"))
    assert "1e9" in outcomes.succeeded(record, one.tools, called).outcome.warning
