"""What runs have cost, as `restyle costs` sums it up from S3: it agrees with what the API charged."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
from typing import Any

import pytest

from tests.acceptance.conftest import FleetOf
from tests.support.catalog import write_catalog
from tests.support.sandbox import SandboxServer
from tests.support.wait import wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.long]


def summed(fleet: FleetOf, by: str, *options: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The costs by their group, and the total."""
    told = fleet.command("costs", "--by", by, "--json", *options).json
    return {cost.pop(by): cost for cost in told["costs"]}, told["total"]


def test_the_sums_are_what_the_api_charged(fleet: FleetOf, sandbox: SandboxServer) -> None:
    """Three runs, a worker that is killed in its calls, and a retry: what may have been billed stands apart."""
    sandbox.control(price=1.5, latency=0.4)
    fleet = fleet.with_settings(RESTYLE_PRICE="1.5", RESTYLE_CONCURRENCY="3", RESTYLE_MAX_ATTEMPTS="1")
    write_catalog(fleet.command.folder, 12)
    sandbox.script(500, prompt_contains="oak item-001")
    first = fleet.submit("oak {id}", "--name", "oak", "--label", "team=home", "--limit", "4")
    with fleet.worker():
        assert fleet.finished(first, within=60)["failed"] == 1
    killed = fleet.submit(
        "sea {id}", "--label", "team=shop", "--label", "kind=new", "--new", "--overwrite", "--new-seed"
    )
    sandbox.control(latency=2.5)
    with fleet.worker() as worker:
        wait_until(lambda: fleet.status(killed)["succeeded"] >= 3 and fleet.calling(), timeout=60, description="calls")
        os.kill(worker.pid, signal.SIGSTOP)
        in_flight = len(fleet.calling())
        os.kill(worker.pid, signal.SIGKILL)
    sandbox.control(latency=0.2)
    with fleet.worker():
        done = fleet.finished(killed, within=90)
        (advice,) = {line.partition("restyle ")[2] for line in fleet.command("status", first).out.splitlines()
                     if "next (api_unavailable)" in line}  # fmt: skip
        again = fleet.command(*advice.split(), "--detach").out.strip()
        assert fleet.finished(again, within=60)["succeeded"] == 1
    charged = sandbox.charged * 1.5
    runs, total = summed(fleet, "run")
    assert in_flight > 0
    assert (total["pictures"], total["credits"]) == (16, 16 * 1.5)
    # Each killed call is counted once: as a picture that was found, or in doubt at the price that was set aside.
    assert done["in_doubt"] * 1.5 == pytest.approx(total["in_doubt"])
    assert total["credits"] <= charged <= total["credits"] + total["in_doubt"]
    assert runs[f"{first} oak"]["credits"] == 4.5
    assert runs[f"{again} oak"]["credits"] == 1.5
    assert runs[killed] == {
        "pictures": 12,
        "credits": 18.0,
        "in_doubt": total["in_doubt"],
        "dollars": 18 + total["in_doubt"],
    }
    # The bill has every call, those of the killed worker beside the ones that came after.
    bill = json.loads(fleet.command("reconcile", "--json").out)
    assert bill["billed"] == {"requests": sandbox.charged, "credits": charged}
    assert bill["recorded"] == {"calls": 16, "credits": 24.0}
    assert [finding["kind"] for finding in bill["findings"]] == ["billed_beside_the_record"] * (sandbox.charged - 16)
    for by in ("day", "month", "schedule", "variant"):
        groups, same = summed(fleet, by)
        assert same == total
        assert sum(cost["credits"] + cost["in_doubt"] for cost in groups.values()) == pytest.approx(
            total["credits"] + total["in_doubt"]
        )
    labels, same = summed(fleet, "label")
    assert same == total
    assert labels["team=home"]["credits"] == 6
    assert labels["team=shop"] == labels["kind=new"] == runs[killed]
    rows = list(
        csv.DictReader(io.StringIO(fleet.command("costs", "--by", "label", "--csv", "--label", "team=home").out))
    )
    assert rows == [{"label": "team=home", "pictures": "4", "credits": "6.0", "in_doubt": "0.0", "dollars": "6.0"}]
    assert summed(fleet, "day", "--since", "2999-01-01")[1]["credits"] == 0
    assert "write it like 2026-01-31" in fleet.command("costs", "--since", "31.1.2026", expect=2).err
