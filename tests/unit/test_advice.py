"""Advice that works as typed: the run's id is in it, or what else its command needs."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest

from restyle.coordination.advice import _AFTER, after_failure, next_step
from restyle.coordination.suspensions import _NEXT, Suspension
from restyle.errors import JobError, Misconfigured, RestyleError, StoreAccessDenied, TransientError
from tests.support.advice import RUN, UNKNOWN, Advice, UsageError, advices, commands, parse

#: Where advice stands before it is known which run it is for.
TABLES = ("restyle/coordination/suspensions.py", "apps/dashboard/pages/phrases.py")


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


def test_a_run_that_waits_for_credits() -> None:
    """It goes on by itself, unless the API speaks of something else than the balance."""
    told = next_step(standing("no_credits", "fleet"), RUN, waits=True)
    assert "by itself" in told
    assert told.endswith(f"restyle resume {RUN}")
    of_plan = replace(standing("no_credits", "fleet"), cause="plan")
    assert next_step(of_plan, RUN, waits=True) == next_step(of_plan, RUN)


def test_the_budget_of_a_day_is_not_the_runs() -> None:
    """A larger budget of the run would not help: it goes on by itself, or with another setting."""
    told = next_step(standing("budget", until=1e12), RUN)
    assert "--budget" not in told
    assert "RESTYLE_DAILY_BUDGET" in told
    assert next_step(standing("budget"), RUN, budget=2.5).endswith(f"restyle resume {RUN} --budget 5")


# -- the command line takes each of them --------------------------------------------------------------------


def test_there_is_advice_to_look_at() -> None:
    """The texts of the code are searched, and a command in one is seen to its end."""
    assert len(advices()) > 60
    text = "type: restyle retry 2026-a --error api_timeout, or `restyle runs`; restyle has restyle plan a.csv."
    assert list(commands(text)) == [
        (("retry", "2026-a", "--error", "api_timeout"), False), (("runs",), True), (("plan", "a.csv"), False),
    ]  # fmt: skip


def why_wrong(advice: Advice) -> str:
    """What the command line says against a command; empty: nothing."""
    if advice.place.startswith(TABLES):
        return ""  # `next_step` completes these; see below
    if UNKNOWN in " ".join(advice.words):
        return "tests/support/advice.py does not know what is put in there: add it to VALUES"
    if not advice.is_help and {"RUN", "CREDITS"} & {*advice.words}:
        return "it is known which run is meant, and what it may spend: say it"
    try:
        parse(advice.words)
    except (UsageError, KeyError) as error:
        if advice.is_name and type(error).__name__ == "MissingParameter":
            return ""
        return f"{type(error).__name__}: {getattr(error, 'message', error)}"
    return ""


def test_the_command_line_takes_what_the_code_tells_people_to_type() -> None:
    """The command is there, its options are, and no argument is missing; what only the reader knows stands in it."""
    assert {str(advice): why for advice in advices() if (why := why_wrong(advice))} == {}


@pytest.mark.parametrize("entry", [*_NEXT, "unheard_of"])
def test_the_command_line_takes_what_is_told_of_each_suspension(entry: str) -> None:
    """Of a run's own with its id; of the fleet's without, on both sides of the workspace."""
    reason, _, cause = entry.partition("/")
    of_run = next_step(replace(standing(reason), cause=cause), RUN, budget=5)
    told = [of_run]
    if reason not in {"budget", "deadline", "awaiting_approval", "failing", "suspect"}:  # these are a run's own
        fleets = replace(standing(reason, "fleet"), cause=cause)
        told += [next_step(fleets), next_step(fleets, sandbox=True), next_step(fleets, RUN)]
    for text in told:
        typed = [words for words, _ in commands(text)]
        assert typed or reason == "outage"
        for words in typed:
            parse(words)


def test_what_s3_refuses_is_no_matter_of_the_apis_address() -> None:
    """Access that S3 denies suspends as a wrong address does, and what helps is another thing."""
    denied = StoreAccessDenied("s3://shop: S3 refuses access (AccessDenied)")
    of_store = replace(standing(denied.reason, "fleet"), cause=denied.cause)
    assert next_step(of_store).startswith("have S3 let the workers in again")
    assert "RESTYLE_API_URL" in next_step(replace(of_store, cause=Misconfigured().cause))


def leaves(error: type[RestyleError]) -> list[type[RestyleError]]:
    """An error's kinds, and theirs."""
    return [error, *(leaf for kind in error.__subclasses__() for leaf in leaves(kind))]


@pytest.mark.parametrize(
    "code", sorted({error.code for kind in (JobError, TransientError) for error in leaves(kind)} | {*_AFTER, "bug"})
)
def test_the_command_line_takes_what_is_told_of_each_failure(code: str) -> None:
    """What cannot succeed as it was planned is not told to be tried again so."""
    told = after_failure(code, RUN)
    typed = [words for words, _ in commands(told)]
    for words in typed:
        parse(words)
    assert bool(typed) == (code not in {"input_not_found", "input_refused", "invalid_image", "request_rejected"})
