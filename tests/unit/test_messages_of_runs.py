"""What a notification says of a run: its links lead where its report lies, wherever that is."""

from __future__ import annotations

import pytest

from producers.runs.snapshot import Snapshot
from reports.messages import summed
from restyle.models import RunStatus
from tests.support.reports import NOON


@pytest.mark.parametrize("root", ["s3://shop/team", "s3://feed.csv/weekly.csv/team"])
def test_links_of_a_report(root: str) -> None:
    """A bucket or a prefix may be named as a file is."""
    now = Snapshot(
        run_id="20260131T120000Z-ab12cd", status=RunStatus.FINISHED, planned=1, succeeded=1, skipped=0, failed=0,
        pending=0, invalid=0, suspect=0, in_doubt=0, attempts=1, credits_spent=1, credits_left=None, suspension=None,
        report=f"{root}/report.csv", outputs=f"{root}/outputs", created=NOON, finished=NOON, workers=1, in_flight=0,
        last_error="",
    )  # fmt: skip
    links = summed(now, "finished", [])["links"]
    assert links == {"outputs": now.outputs} | {kind: f"{root}/report.{kind}" for kind in ("csv", "json", "html")}
