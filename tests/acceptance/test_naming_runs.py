"""Runs have names and labels: each command that takes a run takes its name, the beginning of its id, or `latest`."""

from __future__ import annotations

import pytest

from tests.acceptance.conftest import FleetOf
from tests.support.catalog import write_catalog

pytestmark = pytest.mark.acceptance


@pytest.mark.long
def test_a_run_is_moved_by_its_name_and_listed_by_its_label(fleet: FleetOf) -> None:
    """Without a worker: submitted, shown, suspended, and cancelled, never by its whole id."""
    write_catalog(fleet.command.folder, 3)
    restyle = fleet.command
    first = fleet.submit("photo of {id}", "--name", "spring", "--label", "team=home", "--limit", "1")
    named = restyle("status", "spring", "--json").json
    assert (named["run_id"], named["name"], named["labels"]) == (first, "spring", {"team": "home"})
    assert named["manifest"]["uri"].endswith("manifest.csv")
    assert named["prompt"] == "photo of item-000"
    assert f"Suspended. To go on: restyle resume {first}" in restyle("suspend", "latest").err
    assert restyle("status", first[:-2], "--json").json["status"] == "suspended"
    wide = fleet.with_settings(COLUMNS="160").command("runs", "--label", "team=home").out
    assert [word for word in (first, "spring", "manifest.csv", "photo of item-000", "0/1") if word not in wide] == []
    assert first in restyle("runs").out
    assert f"Cancelled {first}" in restyle("cancel", "spring").err
    second = fleet.submit("photo of {id}", "--name", "spring", "--limit", "1")
    assert restyle("status", "spring", "--json").json["run_id"] == second
    assert [run["run_id"] for run in restyle("runs", "--label", "team=home", "--json").json["runs"]] == [first]
    refused = restyle("status", first[:4], expect=2).err
    assert first in refused
    assert second in refused
    assert "did you mean spring?" in restyle("resume", "sprong", expect=2).err
