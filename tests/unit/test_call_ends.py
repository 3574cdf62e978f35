"""How a call's end is told to the fleet, and what counts as one recipe."""

from __future__ import annotations

import pytest

from restyle import errors
from restyle.coordination.call_ends import CallEnd, call_end, recipe
from restyle.errors import MalformedResponse, RestyleError
from restyle.models import Job, Params

SPOILED = MalformedResponse("half a picture", 200)
SPOILED.cost = 0.02


@pytest.mark.parametrize(
    ("error", "alone", "end"),
    [
        (None, False, CallEnd("unsent")),
        (errors.RateLimited("429", 3.0), False, CallEnd("limited", wait=3.0)),
        (
            errors.OutOfCredits("406", 406, "plan"),
            False,
            CallEnd("refused", reason="no_credits", cause="plan", status=406),
        ),
        (errors.Unauthorized("403", 403), False, CallEnd("refused", reason="unauthorized", status=403)),
        (errors.RequestRejected("400", 400), False, CallEnd("rejected", status=400)),
        (errors.ResultGone("gone", 404), False, CallEnd("rejected")),
        (errors.ApiUnavailable("no such host"), False, CallEnd("unreachable")),
        (errors.ApiUnavailable("no such host"), True, CallEnd("unsent")),
        (errors.ApiUnavailable("500", 500), True, CallEnd("failed")),
        (errors.ApiTimeout("lost", in_doubt=True), False, CallEnd("failed", in_doubt=True, is_lost=True)),
        (MalformedResponse("nothing", 200), False, CallEnd("failed", is_lost=True)),
        (SPOILED, False, CallEnd("failed", cost=0.02)),
    ],
)
def test_each_error_of_a_call_is_one_end(error: RestyleError | None, alone: bool, end: CallEnd) -> None:
    """As restyle/coordination/lua/call_failed.lua has them."""
    assert call_end(error, alone=alone) == end


def a_job(variant: str = "oak", **params: object) -> Job:
    """A job with these parameters."""
    given = {"prompt": "a mug", **params}
    return Job(
        id="mug", variant=variant, image="s3://b/mug.jpg", params=Params.model_validate(given), output="s3://b/o"
    )


def test_a_recipe_is_all_but_picture_prompt_and_seed() -> None:
    """What a row has of its own makes no recipe; a parameter or a variant does."""
    same = recipe("run-1", a_job())
    assert recipe("run-1", a_job(seed=7, prompt="a bowl", negative_prompt="blur")) == same
    assert recipe("run-1", a_job(strength=0.9)) != same
    assert recipe("run-1", a_job(scheduler="DDIM")) != same
    assert recipe("run-1", a_job("sea")) != same
    assert recipe("run-2", a_job()) != same, "its prompts may be others"
