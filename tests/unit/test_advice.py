"""Advice that works as typed: the run's id is in it, or what else its command needs."""

from __future__ import annotations

from typing import Literal

import pytest

from restyle.coordination.advice import next_step
from restyle.coordination.suspensions import _NEXT, Suspension

RUN = "20260101T000000Z-abcdef"


def standing(reason: str, scope: Literal["fleet", "run"] = "run", until: float = 0.0) -> Suspension:
    """A suspension."""
    return Suspension(scope, reason, "", 0.0, until, "me@here")


@pytest.mark.parametrize("reason", [*_NEXT, "unheard_of"])
@pytest.mark.parametrize("scope", ["fleet", "run"])
def test_each_command_of_a_runs_advice_names_the_run(reason: str, scope: Literal["fleet", "run"]) -> None:
    """But the one that lifts a person's suspension of the whole fleet."""
    told = next_step(standing(reason, scope), RUN)
    for command in ("resume", "approve", "reject", "report", "cancel"):
        named = told.count(f"restyle {command} {RUN}") == told.count(f"restyle {command}")
        assert named or (reason, scope) == ("operator", "fleet")


def test_the_fleets_advice_names_no_run() -> None:
    """On the sandbox's side it says so."""
    assert next_step(standing("no_credits", "fleet")).endswith("type: restyle resume")
    assert next_step(standing("operator", "fleet"), sandbox=True).endswith("type: restyle resume --sandbox")
    assert next_step(standing("operator", "fleet"), RUN).endswith("type: restyle resume")


def test_the_budget_of_a_day_is_not_the_runs() -> None:
    """A larger budget of the run would not help: it goes on by itself, or with another setting."""
    told = next_step(standing("budget", until=1e12), RUN)
    assert "--budget" not in told
    assert "RESTYLE_DAILY_BUDGET" in told
    assert f"restyle resume {RUN} --budget CREDITS" in next_step(standing("budget"), RUN)
