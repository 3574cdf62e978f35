"""Every report is a manifest: a slice and the whole are accepted, and resolve to the same jobs."""

from __future__ import annotations

import csv

import pytest

from tests.acceptance.conftest import Alone
from tests.support.catalog import write_pictures, write_rows, write_variants
from tests.support.sandbox import SandboxServer

pytestmark = pytest.mark.acceptance


@pytest.mark.long
def test_a_report_resolves_to_the_same_jobs(alone: Alone, sandbox: SandboxServer) -> None:
    """Braces in prompts, ids like formulas, random seeds: the report skips every job, a slice redoes its failures."""
    write_pictures(alone.folder / "images", ["a", "b", "c"])
    ids = ["=1+1", "-dash", "@home"]
    rows = [
        {"id": name, "image": f"images/{file}.jpg", "title": "-{mug}", "seed": seed, "strength": strength}
        for name, file, seed, strength in zip(ids, "abc", ("-1", "7", ""), ("0.3", "", "0.9"), strict=True)
    ]
    write_rows(alone.folder / "manifest.csv", rows)
    write_variants(
        alone.folder, [{"name": "plain", "prompt": "{title} {{braces}}"}, {"name": "wool", "prompt": "wool"}]
    )
    sandbox.script(400, prompt_contains="wool")
    run = alone.command("run", "manifest.csv", "--variants", "variants.json", "--yes", "--json", expect=1).json
    assert (run["succeeded"], run["failed"]) == (5, 1)
    records = alone.records()
    whole = alone.bucket / "runs" / run["run_id"] / "report.csv"

    failed = alone.command("report", run["run_id"], "--status", "failed").out
    (alone.folder / "failed.csv").write_text(failed, newline="")
    plan = alone.command("plan", "failed.csv", "--json").json
    assert (plan["jobs"], plan["uploads"], plan["invalid"]) == (1, 0, 0)
    again = alone.command("run", "failed.csv", "--yes", "--json").json
    assert (again["succeeded"], sandbox.charged) == (1, 6)

    copied = alone.folder / "report.csv"
    copied.write_bytes(whole.read_bytes())
    everything = alone.command("run", "report.csv", "--yes", "--json").json
    assert (everything["skipped"], everything["planned"], sandbox.charged) == (6, 6, 6)
    from_s3 = alone.command("plan", f"s3://restyle-local/runs/{run['run_id']}/report.csv", "--json").json
    assert from_s3["jobs"] == 6
    assert {key: value["params"] for key, value in alone.records().items() if key in records} == {
        key: value["params"] for key, value in records.items()
    }
    with copied.open(newline="") as file:
        prompts = {row["prompt"] for row in csv.DictReader(file)}
    assert prompts == {"'-{{mug}} {{braces}}", "wool"}
