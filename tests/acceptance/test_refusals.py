"""Refusals whose words are new: what concerns all stops the fleet at the first, a row that is poisoned does so once."""

from __future__ import annotations

from typing import Any

import pytest

from tests.acceptance.conftest import Alone, FleetOf
from tests.support.catalog import write_catalog
from tests.support.sandbox import SandboxServer

pytestmark = pytest.mark.acceptance

RUN = ("run", "manifest.csv", "--prompt", "photo of {id}", "--yes", "--json")
CONCURRENCY = 4


@pytest.fixture
def few(fleet: FleetOf) -> FleetOf:
    """A fleet with few calls in flight."""
    return fleet.with_settings(RESTYLE_CONCURRENCY=str(CONCURRENCY))


@pytest.mark.long
@pytest.mark.parametrize(
    ("words", "reason", "told"),
    [
        ("406: insufficient wallet amount, minimum value 1", "no_credits", "top up"),
        ("406: Team spend limit reached for this month", "no_credits", "team"),
        ("406: subscription inactive", "no_credits", "plan"),
        ("400: Invalid content type", "misconfigured", "proxy"),
        ("422: Ihr Guthaben ist aufgebraucht", "no_credits", "top up"),
        ("406: E-17", "no_credits", "credits, plan and limits"),
    ],
)
def test_what_concerns_all_stops_the_fleet_at_the_first(
    few: FleetOf, sandbox: SandboxServer, words: str, reason: str, told: str
) -> None:
    """No job fails, no more calls are made than were in flight, and status says which it is and what helps."""
    write_catalog(few.command.folder, 30)
    status, _, text = words.partition(": ")
    sandbox.control(rates={status if status != "422" else "400": 1.0}, messages={status: text, "400": text})
    with few.workers(1):
        now = few.command(*RUN, expect=3).json
    assert (now["failed"], now["pending"], now["suspension"]["reason"]) == (0, 30, reason)
    assert text in now["suspension"]["detail"]
    assert told in now["suspension"]["next"]
    assert sandbox.calls <= CONCURRENCY


@pytest.mark.long
@pytest.mark.parametrize("words", ["406: E-17", "406: Not enough credits"])
@pytest.mark.parametrize("place", [0, 11], ids=["first", "last"])
def test_a_poisoned_row_stops_the_fleet_once(few: FleetOf, sandbox: SandboxServer, words: str, place: int) -> None:
    """Refused again after others did well it fails alone, wherever it stands, with one call in flight at a time too."""
    ids = write_catalog(few.command.folder, 12)
    sandbox.script(*[words] * 5, prompt_contains=ids[place])
    sandbox.control(latency=0.1)
    alone = few.with_settings(RESTYLE_CONCURRENCY="1")
    with alone.workers(1):
        stopped = alone.command(*RUN, expect=3).json
        assert (stopped["failed"], stopped["suspension"]["reason"]) == (0, "no_credits")
        done = alone.command("resume", stopped["run_id"], "--json", expect=1).json
    assert (done["succeeded"], done["failed"], done["pending"]) == (11, 1, 0)
    assert sandbox.counters()["by_status"]["406"] == 2
    assert (sandbox.charged, sandbox.paid_twice) == (11, {})
    (row,) = few.command("report", stopped["run_id"], "--status", "failed").out.splitlines()[1:]
    assert "request_rejected" in row
    assert words.partition(": ")[2] in row


@pytest.mark.long
@pytest.mark.parametrize("headers", [False, True])
def test_no_job_fails_for_a_top_up_that_is_too_small(few: FleetOf, sandbox: SandboxServer, headers: bool) -> None:
    """Jobs that are refused again while others are paid for are not taken for poisoned: the money is out again."""
    write_catalog(few.command.folder, 30)
    sandbox.control(balance=5 * 0.02, latency=0.2, headers=headers)
    with few.workers(2):
        now = few.command(*RUN, expect=3).json
        for paid in (5, 12, 20):
            assert (now["succeeded"], now["failed"], now["pending"]) == (paid, 0, 30 - paid)
            sandbox.control(top_up={5: 7, 12: 8, 20: 10}[paid] * 0.02)
            now = few.command("resume", now["run_id"], "--json", expect=0 if paid == 20 else 3).json
    assert (now["succeeded"], now["failed"], now["pending"]) == (30, 0, 0)
    assert (sandbox.charged, sandbox.paid_twice) == (30, {})


@pytest.mark.long
def test_refusals_one_after_the_other_stop_the_fleet(alone: Alone, sandbox: SandboxServer) -> None:
    """Whatever they say: three jobs refused alike, and none done well between, are no single job's fault."""
    write_catalog(alone.folder, 30)
    sandbox.control(rates={"400": 1.0}, messages={"400": "image: cannot be decoded"})
    now = alone.command(*RUN, "--concurrency", "1", expect=3).json
    assert (now["failed"], now["pending"], now["suspension"]["reason"]) == (2, 28, "refused")
    assert "cannot be decoded" in now["suspension"]["detail"]
    assert sandbox.calls == 3
    sandbox.control(rates={})
    done: dict[str, Any] = alone.command("resume", now["run_id"], "--json", expect=1).json
    assert (done["succeeded"], done["failed"]) == (28, 2)
