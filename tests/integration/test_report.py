"""Report against a real S3 server: rows from plan and results, and the three files of a run."""

from __future__ import annotations

import base64
import csv
import gzip
import io
import json
import re
from collections.abc import Mapping
from typing import Any

from PIL import Image

from producers.runs.outcomes import Row, outcomes
from reports.report import write_report
from restyle.keys import Workspace
from restyle.models import Job, ManifestSource, Outcome, OutcomeKind, Params, Run, RunOptions, RunStatus, utc_now
from restyle.s3.store import Store


def a_run(shards: int = 1) -> Run:
    """A run that moves."""
    return Run(
        run_id="20260131T120000Z-ab12cd",
        status=RunStatus.RUNNING,
        created=utc_now(),
        manifest=ManifestSource(uri="s3://b/spring.csv", sha256="0" * 64),
        plan_digest="d",
        options=RunOptions(),
        shards=shards,
        planned=2 * shards,
    )


def a_job(workspace: Workspace, entry: str) -> Job:
    """A job with its input in the workspace."""
    image = workspace.under("in", f"{entry}.png")
    return Job(id=entry, variant="oak", image=image, params=Params(prompt="p"), output=workspace.output(entry, "oak"))


def put_lines(store: Store, uri: str, lines: list[Any]) -> None:
    """Stores JSON lines as a shard's file."""
    data = gzip.compress("\n".join(json.dumps(line) for line in lines).encode(), mtime=0)
    store.put(uri, data, content_type="application/gzip")


def put_results(store: Store, workspace: Workspace, run: Run, shard: int, rows: list[Row]) -> None:
    """Closes a shard, as the dispatcher does."""
    lines = [
        {"job": job.model_dump(mode="json"), "outcome": outcome.model_dump(mode="json") if outcome else None}
        for job, outcome in rows
    ]
    put_lines(store, workspace.results(run.run_id, shard), lines)


SUCCEEDED = Outcome(outcome=OutcomeKind.SUCCEEDED, credits=0.02, seconds=8.0)
FAILED = Outcome(outcome=OutcomeKind.FAILED, error="invalid_image", message="is damaged")


def test_rows_of_closed_and_open_shards(store: Store, workspace: Workspace) -> None:
    """A closed shard's rows come from its results, an open one's from the plan and Redis, in the plan's order."""
    run = a_run(shards=2)
    jobs = [a_job(workspace, entry) for entry in "abcd"]
    put_results(store, workspace, run, 0, [(jobs[0], SUCCEEDED), (jobs[1], None)])
    put_lines(store, workspace.shard(run.run_id, 1), [job.model_dump(mode="json") for job in jobs[2:]])
    asked: list[int] = []

    def open_outcomes(shard: int) -> Mapping[int, Outcome]:
        asked.append(shard)
        return {1: FAILED}

    rows = list(outcomes(run, workspace=workspace, store=store, open_outcomes=open_outcomes))
    assert rows == [(jobs[0], SUCCEEDED), (jobs[1], None), (jobs[2], None), (jobs[3], FAILED)]
    assert asked == [1]


def test_a_shard_that_closes_meanwhile(store: Store, workspace: Workspace) -> None:
    """A shard whose outcomes move from Redis to S3 between the two looks loses none of them."""
    run = a_run()
    job = a_job(workspace, "a")
    put_lines(store, workspace.shard(run.run_id, 0), [job.model_dump(mode="json")])

    def closing(shard: int) -> Mapping[int, Outcome]:
        put_results(store, workspace, run, shard, [(job, SUCCEEDED)])
        return {}

    assert list(outcomes(run, workspace=workspace, store=store, open_outcomes=closing)) == [(job, SUCCEEDED)]


def test_the_three_files(store: Store, workspace: Workspace) -> None:
    """A report is written as CSV, page and JSON; a lost picture leaves a placeholder and harms nothing else."""
    run, picture = a_run(), io.BytesIO()
    Image.new("RGB", (600, 400), "teal").save(picture, "PNG")
    good, lost, bad = (a_job(workspace, entry) for entry in ("good", "lost", "bad"))
    for uri in (good.image, good.output, lost.image):
        store.put(uri, picture.getvalue(), content_type="image/png")
    store.put(bad.image, b"no picture", content_type="image/png")
    rows: list[Row] = [
        (good, SUCCEEDED.model_copy(update={"outputs": (good.output,)})),
        (lost, SUCCEEDED.model_copy(update={"outputs": (lost.output,)})),
        (bad, FAILED),
    ]
    links = write_report(
        run,
        lambda: iter(rows),
        workspace=workspace,
        store=store,
        snapshot={"status": "finished", "credits_spent": 0.06},
    )
    table = store.get(links.csv).data.decode()
    assert [row["outcome"] for row in csv.DictReader(io.StringIO(table))] == ["succeeded", "succeeded", "failed"]

    page = store.get(links.html).data.decode()
    shown = [base64.b64decode(found) for found in re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)]
    assert [Image.open(io.BytesIO(small)).size for small in shown] == [(400, 267)] * 3
    assert page.count("picture not found") == 1
    assert store.get(links.html).content_type.startswith("text/html")

    summary = json.loads(store.get(links.json).data)
    assert (summary["status"], summary["credits_spent"], summary["credits"]["counted"]) == ("finished", 0.06, 0.04)
    assert summary["links"]["csv"] == links.csv == workspace.run(run.run_id, "report.csv")
