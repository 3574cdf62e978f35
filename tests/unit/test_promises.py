"""What `make test` shows of each promise with real commands and servers, however much moves to `make acceptance`."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
#: One test of each promise that every change runs. The others of its kind are marked `long`.
SHOWN = {
    "a first run, and the same again": "acceptance/test_first_run.py::test_every_image_is_restyled_once",
    "an empty balance": "acceptance/test_stop_as_one.py::test_an_empty_balance_stops_every_worker_of_a_fleet",
    "kill -9": "acceptance/test_kills.py::test_kill_9_at_random_moments",
    "a death at any write": "integration/test_reuse.py::test_a_death_at_any_write_of_a_paid_answer",
    "SIGTERM": "acceptance/test_kills.py::test_sigterm_under_load",
    "Ctrl-C": "acceptance/test_interrupt.py::test_ctrl_c_ends_cleanly_and_resume_pays_for_the_rest",
    "a second that Redis lost": "acceptance/test_forgetting.py::test_claims_of_a_lost_second_are_paid_once",
    "a Redis that is empty": "acceptance/test_hostile_redis.py::test_a_run_whose_keys_are_erased_goes_on_by_itself",
    "budgets after a loss": "integration/test_limits_after_a_loss.py::test_a_days_budget_outlives_redis",
    "an S3 that takes nothing": "acceptance/test_s3_faults.py::test_answers_that_s3_does_not_take_are_paid_once",
    "an outage of the API": "acceptance/test_outages.py::test_an_outage_is_sat_out",
    "an answer that is lost": "acceptance/test_faults.py::test_a_lost_answer_is_called_again_once_and_then_parked",
    "all of it at random": "acceptance/test_chaos.py::test_the_invariants_hold_whatever_comes",
    "one command twice": "acceptance/test_beside.py::test_the_same_command_at_the_same_moment",
    "another holder": "integration/test_holding.py::test_a_silent_holder_is_followed_and_does_not_fight",
    "a night": "acceptance/test_nightly.py::test_a_night_pays_for_what_is_new",
    "a run by the pages": "acceptance/test_run_by_pages.py::test_from_nothing_to_a_redone_picture",
}


def is_long(mark: ast.expr) -> bool:
    """Whether a decorator marks a test as long."""
    return ast.unparse(mark).startswith("pytest.mark.long")


@pytest.mark.parametrize("promise", SHOWN)
def test_each_promise_is_shown_by_every_make_test(promise: str) -> None:
    """Its test is there, and at least one case of it is not long."""
    name, _, test = SHOWN[promise].partition("::")
    module = ast.parse((TESTS / name).read_text(encoding="utf-8"))
    marks = [
        node for node in module.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"
    ]
    assert not any("mark.long" in ast.unparse(node) for node in marks)
    (function,) = (node for node in module.body if isinstance(node, ast.FunctionDef) and node.name == test)
    assert not any(is_long(mark) for mark in function.decorator_list)
