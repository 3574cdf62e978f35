"""Runs that go wrong by themselves: they stop after a few calls, say so, and exit with 4."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.conftest import Alone
from tests.support.catalog import write_pictures, write_rows, write_variants
from tests.support.sandbox import SandboxServer

pytestmark = pytest.mark.acceptance

RUN = ("run", "manifest.csv", "--prompt", "photo of {id}", "--yes")


def write_catalog(folder: Path, count: int, name: Callable[[int], str] = "item-{:03d}".format) -> None:
    """A manifest of so many entries that share one picture."""
    write_pictures(folder / "images", ["one"])
    write_rows(folder / "manifest.csv", ({"id": name(number), "image": "images/one.jpg"} for number in range(count)))


def test_three_hundred_black_pictures_are_not_paid_for(alone: Alone, sandbox: SandboxServer) -> None:
    """It stops at the twentieth; what is out or being stored then ends. It says why, with examples, and what to do."""
    write_catalog(alone.folder, 300)
    sandbox.control(rates={"black": 1.0})
    done = alone.command(*RUN, "--json", expect=4)
    run = done.json
    assert 20 <= sandbox.calls <= 20 + 2 * 8
    assert "20 of the last 20 pictures of variant default look wrong, such as item-0" in done.err.replace("\n", " ")
    assert f"{run['suspect']} suspect" in done.err
    assert (run["status"], run["suspect"], run["failed"]) == ("suspended", sandbox.calls, 0)
    assert run["suspension"]["reason"] == "suspect"
    assert f"restyle resume {run['run_id']} --max-suspects 0" in run["suspension"]["next"]


@pytest.mark.long
def test_three_hundred_refused_jobs_are_not_called(alone: Alone, sandbox: SandboxServer) -> None:
    """Three of four are refused, in other words than the one before: the API does not seem to refuse all of them."""
    refused = {"bad": "400", "ill": "413", "odd": "422"}
    write_catalog(alone.folder, 300, lambda number: f"{['bad', 'ill', 'odd', 'good'][number % 4]}-{number:03d}")
    for name, status in refused.items():
        sandbox.script(*[f"{status}: prompt: not allowed"] * 75, prompt_contains=f"{name}-")
    now = alone.command(*RUN, "--concurrency", "1", "--json", expect=4).json
    assert (now["status"], now["suspension"]["reason"]) == ("suspended", "failing")
    assert "jobs of variant default failed alike: request_rejected, such as " in now["suspension"]["detail"]
    assert "prompt: not allowed" in now["suspension"]["detail"]
    assert now["failed"] >= 10
    assert 20 <= sandbox.calls <= 20 + 2


@pytest.mark.long
def test_a_person_who_resumes_meets_the_brake(alone: Alone, sandbox: SandboxServer) -> None:
    """Where every job is refused the fleet stops first, after three; who goes on and on is stopped at twenty."""
    write_catalog(alone.folder, 300)
    sandbox.control(rates={"400": 1.0})
    done = alone.command(*RUN, "--json", expect=3)
    for _ in range(5):
        now = done.json
        if now["suspension"]["reason"] != "refused":
            break
        done = alone.command("resume", now["run_id"], "--json", expect=None)
    assert (done.code, done.json["suspension"]["reason"]) == (4, "failing")
    assert sandbox.calls <= 100


@pytest.mark.long
def test_one_bad_variant_of_three_stops_alone(alone: Alone, sandbox: SandboxServer) -> None:
    """The others are done to the end; the run stands still for the rest of the bad one, and says so."""
    write_catalog(alone.folder, 100)
    write_variants(alone.folder, [{"name": name, "prompt": f"{name} {{id}}"} for name in ("bad", "oak", "sea")])
    sandbox.script(*["black"] * 100, prompt_contains="bad")
    now = alone.command("run", "manifest.csv", "--variants", "variants.json", "--yes", "--json", expect=4).json
    assert (now["succeeded"] - now["suspect"], now["pending"]) == (200, 100 - now["suspect"])
    assert 20 <= now["suspect"] <= 20 + 2 * 8
    assert [(brake["variant"], brake["reason"]) for brake in now["braked"]] == [("bad", "suspect")]
