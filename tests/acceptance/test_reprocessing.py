"""A second night pays for what changed alone, and docs/guides/reprocessing.md does what it says, as it is written."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from restyle.coordination.redis.client import State
from restyle.coordination.runs.progress import Progress
from tests.acceptance.conftest import FleetOf
from tests.support.catalog import VARIANTS, picture, write_catalog, write_rows, write_variants
from tests.support.pages import Page, typed, with_browser
from tests.support.sandbox import SandboxServer

pytestmark = pytest.mark.acceptance


def at(line: str, fleet: FleetOf, run_id: str) -> str:
    """Types a line of the guide into a shell; answers with what it prints."""
    return typed(fleet.command, line.replace("RUN", run_id).replace("s3://bucket/prefix", fleet.workspace.uri)).out


def changes(fleet: FleetOf, *args: str) -> dict[str, Any]:
    """What `plan --diff` says, in jobs of each kind."""
    found = fleet.command("plan", *args, "--diff", "--json").json
    assert not found["at_most"]
    kinds = {name: kind["jobs"] for name, kind in found["diff"].items() if isinstance(kind, dict) and kind["jobs"]}
    return {**kinds, "calls": found["calls"]}


@pytest.mark.long
def test_the_second_night_pays_for_what_changed(fleet: FleetOf, sandbox: SandboxServer) -> None:
    """10 new, 5 replaced and 3 deleted pictures of a prefix: 15 to pay, 3 removed; a new prompt: its variant alone."""
    shop = fleet.workspace.under("shop/")

    def put(number: int, content: str) -> None:
        fleet.store.put(f"{shop}{number:02}.jpg", picture(content), content_type="image/jpeg")

    for number in range(30):
        put(number, f"first {number}")
    write_variants(fleet.command.folder, VARIANTS[:1])
    manifest = (shop, "--variants", "variants.json")
    with fleet.workers(1):
        fleet.command("run", *manifest, "--yes")
        assert sandbox.calls == 30
        for number in range(30, 40):
            put(number, f"first {number}")
        for number in range(5):
            put(number, f"second {number}")
        for number in range(5, 8):
            fleet.store.delete(f"{shop}{number:02}.jpg")
        told = {"new": 10, "input_changed": 5, "unchanged": 22, "removed": 3, "calls": 15}
        assert changes(fleet, *manifest) == told
        done = fleet.command("run", *manifest, "--yes", "--json").json
        assert (done["succeeded"], done["skipped"], sandbox.calls) == (15, 22, 45)

        write_variants(fleet.command.folder, [{**VARIANTS[0], "prompt": "{id} on pine"}, VARIANTS[1]])
        assert changes(fleet, *manifest) == {"recipe_changed": 37, "new": 37, "calls": 74}
    assert (sandbox.calls, sandbox.paid_twice) == (45, {})


def prune_by_the_guide(fleet: FleetOf, run_id: str, page: Page) -> None:
    """Old runs go, but not the last one of a manifest."""
    listed, looked, pruned = page.commands("Old runs")
    assert run_id in at(listed, fleet, run_id)
    at(looked, fleet, run_id)
    at(pruned, fleet, run_id)
    removed = fleet.command("prune", "--older-than", "0h", "--yes", "--json").json
    assert run_id not in removed["runs"]  # the last one of catalog.csv
    assert len(removed["runs"]) >= 2
    told = fleet.command("retry", removed["runs"][0], "--status", "succeeded", "--yes", expect=2)
    assert "was pruned" in told.err


def mark_by_the_guide(fleet: FleetOf, run_id: str, page: Page) -> None:
    """What is marked in the report is made again, and nothing else."""
    opened, planned, run = page.commands("By eye")
    at(opened, fleet, run_id)
    assert (fleet.command.folder / "opened").read_text().strip().endswith("report.html")
    report = fleet.store.get(fleet.workspace.run(run_id, "report.csv")).data.decode()
    rows = list(csv.DictReader(io.StringIO(report)))
    marks = [{**row, "mark": "redo" if number == 1 else "keep"} for number, row in enumerate(rows)]
    write_rows(fleet.command.folder / f"marks-{run_id}.csv", marks)
    at(planned, fleet, run_id)
    at(run, fleet, run_id)


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.page(
    "docs/guides/reprocessing.md",
    "What would it cost?", "Failed jobs", "Some pictures, otherwise", "By eye", "Old runs",
)  # fmt: skip
def test_the_guide(fleet: FleetOf, sandbox: SandboxServer, page: Page) -> None:
    """Each command does what the page says of it, and costs no more."""
    folder = fleet.command.folder
    write_catalog(folder, 4)
    (folder / "manifest.csv").rename(folder / "catalog.csv")
    (folder / "variants.json").rename(folder / "styles.json")
    (folder / "ids.txt").write_text("item-001\nitem-002\n")
    sandbox.script(500, prompt_contains="item-000")
    sandbox.script(400, prompt_contains="item-003")
    fleet = FleetOf(with_browser(fleet.command, RESTYLE_MAX_ATTEMPTS="1"), fleet.store, fleet.workspace)
    run = ("run", "catalog.csv", "--variants", "styles.json", "--yes", "--json")
    with fleet.workers(1):
        first = fleet.command(*run, expect=1).json
        run_id, paid = first["run_id"], 6
        assert (first["succeeded"], first["failed"], sandbox.charged) == (6, 2, paid)

        plain, as_json = (at(line, fleet, run_id) for line in page.commands("What would it cost?"))
        assert plain == ""
        kinds = json.loads(as_json)["diff"]
        assert (kinds["unchanged"]["jobs"], kinds["new"]["jobs"], kinds["removed"]["jobs"]) == (6, 2, 0)
        assert sandbox.charged == paid

        one_error, both, report, again = page.commands("Failed jobs")
        at(one_error, fleet, run_id)
        assert sandbox.charged == paid + 1
        at(both, fleet, run_id)
        assert sandbox.charged == paid + 2
        at(report, fleet, run_id)
        at(again, fleet, run_id)
        assert sandbox.charged == paid + 2

        some, piped, softer, other_seed = page.commands("Some pictures, otherwise")
        at(some, fleet, run_id)
        at(piped, fleet, run_id)
        assert (sandbox.charged, sandbox.paid_twice) == (paid + 2, {})
        at(softer, fleet, run_id)
        assert sandbox.charged == paid + 6 - 2  # one of the variants has that strength already
        at(other_seed, fleet, run_id)
        assert sandbox.charged == paid + 6 - 2 + 4
        mark_by_the_guide(fleet, run_id, page)
        assert sandbox.charged == paid + 6 - 2 + 4 + 1
        prune_by_the_guide(fleet, run_id, page)


def status(progress: Progress, run_id: str) -> str:
    """How a run stands; read here, since a command takes a second."""
    totals = progress.totals(run_id)
    assert totals is not None
    return totals.status.value


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.page("docs/guides/reprocessing.md", "Stopping a run")
def test_stopping_by_the_guide(fleet: FleetOf, page: Page) -> None:
    """A run is suspended, gone on with, and another one ended."""
    write_catalog(fleet.command.folder, 2)
    suspend, resume, cancel = page.commands("Stopping a run")
    state = State(fleet.command.env["RESTYLE_REDIS_URL"], namespace=fleet.workspace.namespace, account="")
    progress = Progress(state)
    other = fleet.submit("{id} in felt")
    at(cancel, fleet, other)
    assert status(progress, other) == "cancelled"
    going = fleet.submit("{id} in wool")
    at(suspend, fleet, going)
    assert [suspension.reason for suspension in progress.suspensions(going)] == ["operator"]
    with fleet.worker():
        at(resume, fleet, going)
    assert status(progress, going) == "finished"
    state.close()
