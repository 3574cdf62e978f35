"""Costs that the API tells: which can be true, and what counts in place of those that cannot."""

from __future__ import annotations

import math

import pytest

from restyle.coordination.budgets import Budgets
from restyle.job import costs
from restyle.models import Params
from restyle.segmind.responses import MOST_STORED, Answer, read_answer
from tests.support import pictures

BUDGETS = Budgets(price=0.02)
ONE = Params(prompt="p")


@pytest.mark.parametrize("cost", [None, 0.0, 0.0001, 0.02, 0.05, 1.99])
def test_what_can_be_true_is_believed(cost: float | None) -> None:
    """Up to a hundred times the expected price; no cost at all is none that is doubted."""
    answer = Answer((b"",), 1.0, cost=cost)
    assert costs.judged(answer, ONE, BUDGETS) is answer


@pytest.mark.parametrize("cost", [-5.0, -1e-9, math.nan, math.inf, -math.inf, 2.01, 1e9, 1e300])
def test_what_cannot_be_true_is_not(cost: float) -> None:
    """The configured price counts, and the outcome says so."""
    answer = costs.judged(Answer((b"",), 1.0, cost=cost), ONE, BUDGETS)
    assert answer.cost is None
    assert f"{cost:g}" in costs.doubt(answer.disbelieved)


def test_a_larger_call_may_cost_more() -> None:
    """Four samples of a hundred steps are thirteen times as much; a ceiling above the price counts as expected."""
    large = Params(prompt="p", samples=4, num_inference_steps=90)
    assert costs.believed(20, large, BUDGETS) == 20
    assert costs.believed(20, ONE, Budgets(price=0.02, ceiling=1)) == 20
    assert costs.believed(1, ONE, Budgets(price=0)) == 1


@pytest.mark.parametrize(
    ("told", "left"), [("7.5", 7.5), ("-3", 0.0), ("nan", None), ("inf", None), ("1e30", None), ("many", None)]
)
def test_what_is_left_is_a_number_from_nothing_up(told: str, left: float | None) -> None:
    """An overdrawn account has nothing left; what is no number tells nothing."""
    headers = {"content-type": "image/jpeg", "x-remaining-credits": told}
    assert read_answer(200, headers, pictures.encode(pictures.photo()), 1.0).remaining_credits == left


def test_what_is_stored_of_headers_is_short_and_printable() -> None:
    """S3 refuses more with an object, and a terminal might obey it."""
    headers = {"x-request-id": "r\x1b[2J-ü-" + "9" * 3000, "x-seed-value": "9" * 3000, "x-cost": "9" * 3000}
    answer = read_answer(200, headers, pictures.encode(pictures.photo()), 1.0)
    assert answer.request_id
    assert len(answer.request_id) == MOST_STORED
    assert answer.request_id.isascii()
    assert answer.request_id.isprintable()
    assert answer.seed is None
    assert costs.judged(answer, ONE, BUDGETS).cost is None
