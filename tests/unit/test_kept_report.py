"""What lies in S3 beside a run's report and is damaged: the report is written all the same."""

from __future__ import annotations

import json

import pytest

from reports.report import write_report
from restyle.keys import Workspace
from tests.support.in_memory import MemoryStore
from tests.support.reports import a_run, failed, job_of

WORKSPACE = Workspace("s3://shop/team")


@pytest.mark.parametrize(
    "changes", [b'{"since": "2026', b"[]", b"\xff\xfe", b"[" * 100_000], ids=["cut", "another", "no text", "deep"]
)
def test_what_changed_is_left_out_where_it_cannot_be_read(changes: bytes) -> None:
    """A run is not kept from its end by an object that somebody has cut off."""
    run, store = a_run(WORKSPACE, 1), MemoryStore()
    store.put(WORKSPACE.run(run.run_id, "diff.json"), changes, content_type="application/json")
    rows = [(job_of(WORKSPACE, "mug", "oak"), failed())]
    links = write_report(run, lambda: iter(rows), workspace=WORKSPACE, store=store, snapshot={})
    report = json.loads(store.get(links.json).data)
    assert (report["failed"], "diff" in report) == (1, False)
