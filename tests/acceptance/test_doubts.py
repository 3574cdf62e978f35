"""Calls whose answer was lost: written down, summed, and called again or left to a person as the setting says."""

from __future__ import annotations

import csv
import io
import json

import pytest

from tests.acceptance.conftest import FleetOf
from tests.support.catalog import write_catalog
from tests.support.sandbox import SandboxServer

pytestmark = pytest.mark.acceptance


@pytest.mark.long
@pytest.mark.parametrize(("policy", "succeeded", "calls"), [("retry", 4, 5), ("hold", 3, 4)])
def test_a_timeout_is_in_doubt(fleet: FleetOf, sandbox: SandboxServer, policy: str, succeeded: int, calls: int) -> None:
    """`retry` calls once more, `hold` never; record, report and totals tell, and credits can be reconciled."""
    ids = write_catalog(fleet.command.folder, 4)
    sandbox.script("timeout", 200, prompt_contains=ids[0])
    fleet = fleet.with_settings(RESTYLE_API_TIMEOUT="1.5", RESTYLE_IN_DOUBT=policy)
    with fleet.workers(1):
        run_id = fleet.submit()
        done = fleet.finished(run_id, within=60)
    assert (done["succeeded"], done["failed"], done["in_doubt"], sandbox.calls) == (succeeded, 4 - succeeded, 1, calls)
    report = json.loads(fleet.store.get(fleet.workspace.run(run_id, "report.json")).data)
    assert report["in_doubt"] == 1
    account = report["credits"]["account"]
    assert account["spent"] == pytest.approx(sandbox.counters()["charged_credits"])
    assert report["credits"]["counted"] == pytest.approx(account["spent"])
    text = fleet.store.get(fleet.workspace.run(run_id, "report.csv")).data.decode()
    row = next(row for row in csv.DictReader(io.StringIO(text)) if row["id"] == ids[0])
    assert row["in_doubt"] == "1"
    if policy == "hold":
        assert (row["outcome"], row["error"]) == ("failed", "in_doubt")
    assert len(list(fleet.store.list(fleet.workspace.run(run_id, "doubt") + "/"))) == 1
