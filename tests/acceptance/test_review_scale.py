"""The review room of a run of a million jobs: pages, search and memory of the dashboard's own process."""

from __future__ import annotations

import gzip
import http.client
import re
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from restyle.models import Job, ManifestSource, Outcome, OutcomeKind, Params, Run, RunOptions, RunStatus, utc_now
from tests.acceptance.conftest import FleetOf
from tests.acceptance.test_dashboard import dashboard
from tests.support.command import processes_with
from tests.support.reports import file_of
from tests.support.servers import S3
from tests.support.wait import wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]

JOBS, SHARD = 1_000_000, 500
VARIANTS = ("oak", "sea", "snow", "studio")
#: The bars: seconds of the list of runs, of a page, of a search by id; megabytes of the dashboard's process.
LIST, PAGE, SEARCH, MEMORY = 0.5, 1.0, 1.0, 250


def make_run(fleet: FleetOf, s3: S3) -> str:
    """A run that has ended, one in 97 of whose jobs failed; written as files, which is sooner done."""
    workspace = fleet.workspace
    run = Run(
        run_id="20260131T120000Z-ab12cd", status=RunStatus.FINISHED, created=utc_now(), finished=utc_now(),
        manifest=ManifestSource(uri="s3://shop/c.csv", sha256="0"), plan_digest="d", options=RunOptions(),
        shards=JOBS // SHARD, planned=JOBS, by="anna@shop",
    )  # fmt: skip
    job = Job(
        id="@ID@", variant="@V@", image=workspace.under("in", "@ID@.jpg"), output=workspace.output("@ID@", "@V@"),
        params=Params(prompt="photo of @ID@ on an oak table, soft light", seed=7), meta={"title": "Stoneware mug @ID@"},
    )  # fmt: skip
    good = Outcome(outcome=OutcomeKind.SUCCEEDED, credits=0.02, seconds=7.5, outputs=(job.output,), ended=utc_now(),
                   fingerprint="a" * 32, etag="b" * 32, stored=("c" * 32, "1000 " + "d" * 32))  # fmt: skip
    bad = Outcome(outcome=OutcomeKind.FAILED, error="request_rejected", message="422: the prompt is not allowed")
    lines = [f'{{"job":{job.model_dump_json()},"outcome":{one.model_dump_json()}}}' for one in (good, bad)]
    for shard in range(run.shards):
        text = "\n".join(
            lines[number % 97 == 0].replace("@ID@", f"sku-{number // 4:07d}").replace("@V@", VARIANTS[number % 4])
            for number in range(shard * SHARD, (shard + 1) * SHARD)
        )
        place = file_of(s3, workspace.results(run.run_id, shard))
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(gzip.compress(text.encode(), 1))
    fleet.store.put(workspace.run(run.run_id), run.model_dump_json().encode(), content_type="application/json")
    return run.run_id


def timed(url: str, path: str) -> tuple[float, str]:
    """The seconds of an answer, and its text."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    begun = time.monotonic()
    connection.request("GET", path, headers={"accept": "text/html"})
    answer = connection.getresponse()
    text = answer.read().decode()
    assert answer.status == 200, text
    connection.close()
    return time.monotonic() - begun, text


def test_a_million_jobs(fleet: FleetOf, s3: S3, capsys: pytest.CaptureFixture[str]) -> None:
    """While it is read the pages say how far; then each page, each filter and each search is there at once."""
    run_id = make_run(fleet, s3)
    with dashboard(fleet.command) as url:
        (process,) = [pid for pid in processes_with(str(fleet.command.folder))
                      if b"dashboard" in Path(f"/proc/{pid}/cmdline").read_bytes()]  # fmt: skip
        begun = time.monotonic()
        jobs = f"/runs/{run_id}/jobs"
        assert "are read so far" in timed(url, jobs)[1]

        def is_whole() -> bool:
            time.sleep(1)  # each look costs the dashboard what it reads by
            return "are read so far" not in timed(url, jobs)[1]

        wait_until(is_whole, timeout=900, description="the index")
        indexed = time.monotonic() - begun
        asked = {
            "runs": "/", "first": jobs, "last": f"{jobs}?page=20000", "id": f"{jobs}?q=sku-0123456",
            "none": f"{jobs}?q=sku-9999999", "prompt": f"{jobs}?q=oak+table&page=3", "failed": f"{jobs}?outcome=failed",
            "variant": f"{jobs}?variant=snow&page=5000", "error": f"{jobs}?q=not+allowed",
        }  # fmt: skip
        took = {name: sorted(timed(url, path)[0] for _ in range(3))[1] for name, path in asked.items()}
        assert len(re.findall('class="job"', timed(url, asked["id"])[1])) == 4
        status = Path(f"/proc/{process}/status").read_text()
    peak = int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024  # type: ignore[index] # every process has it
    with capsys.disabled():
        print(f"\nread in {indexed:.0f} s; peak {peak:.0f} MB; " + ", ".join(f"{k} {v:.3f}" for k, v in took.items()))  # noqa: T201 - what a long proof is run for
    assert took["runs"] < LIST
    assert took["id"] < SEARCH
    assert max(took.values()) < PAGE
    assert peak < MEMORY
