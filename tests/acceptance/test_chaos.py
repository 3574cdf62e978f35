"""The chaos suite: random faults over one run, from a printed seed; the invariants hold whatever comes.

`make chaos` runs it over 1,000 jobs with the seeds in CHAOS_SEEDS (default: a new one); a slice runs in every test.
"""

from __future__ import annotations

import csv
import io
import os
import random
import sys
import time
from pathlib import Path

import pytest

from restyle import images
from tests.acceptance.chaos import Chaos, as_it_is
from tests.acceptance.conftest import FleetOf
from tests.support.catalog import write_catalog
from tests.support.gateway import running_gateway
from tests.support.proxy import running_proxy
from tests.support.rollback import rolling_back
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3, running_valkey
from tests.support.supervised import supervised

pytestmark = pytest.mark.acceptance

SEEDS = [int(word) for word in os.environ.get("CHAOS_SEEDS", str(random.randrange(10**6))).split()]


@pytest.mark.parametrize(
    ("seed", "jobs", "seconds"),
    [
        (20260131, 40, 6),
        pytest.param(20260131, 120, 20, marks=pytest.mark.long),
        *(pytest.param(seed, 1000, 150, marks=pytest.mark.long) for seed in SEEDS),
    ],
)
@pytest.mark.timeout(600)
def test_the_invariants_hold_whatever_comes(
    fleet: FleetOf, s3: S3, sandbox: SandboxServer, tmp_path: Path, seed: int, jobs: int, seconds: int
) -> None:
    """The run finishes; each output is there and decodes; nothing is paid twice but what was excused; sums add up."""
    ids = write_catalog(fleet.command.folder, jobs)
    sandbox.control(latency=0.5)
    with (
        running_valkey(tmp_path / "valkey") as valkey,
        running_valkey(tmp_path / "other") as other,
        running_proxy(s3.port) as proxy,
        running_gateway(proxy.port, as_it_is) as gateway,
        rolling_back(valkey) as rollback,
    ):
        fleet = fleet.with_settings(
            RESTYLE_REDIS_URL=valkey.url, RESTYLE_SHARD_JOBS="50", RESTYLE_WINDOW_JOBS="150", RESTYLE_CONCURRENCY="4",
            RESTYLE_MAX_ATTEMPTS="10",
        )  # fmt: skip
        rough = fleet.with_settings(AWS_ENDPOINT_URL_S3=gateway.url)
        with supervised(rough.command, 3) as workers:
            run_id = fleet.submit()
            chaos = Chaos(seed, fleet, workers, valkey, proxy, gateway, rollback, sandbox, run_id, other)
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                chaos.strike()
            done = fleet.finished(chaos.run_id, within=240)
        told = f"seed {seed}, {len(chaos.story)} faults: {', '.join(chaos.story)}"
        sys.stdout.write(told + "\n")
    counters = sandbox.counters()
    assert (done["pending"], done["planned"], done["skipped"]) == (0, jobs, 0), told
    text = fleet.store.get(fleet.workspace.run(chaos.run_id, "report.csv")).data.decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["id"] for row in rows] == ids, told
    failed = [row for row in rows if row["outcome"] == "failed"]
    # A job that two spoiled answers were paid for gets no third call.
    assert {row["error"] for row in failed} <= {"in_doubt", "unreadable"}, told
    assert len(failed) == done["failed"], told
    outputs = {listed.uri for listed in fleet.store.list(fleet.workspace.under("outputs") + "/")}
    for row in rows:
        if row["outcome"] == "succeeded":
            assert row["output"] in outputs, told
            images.verify(fleet.store.get(row["output"]).data)
    spare = counters["charged"] - jobs + len(failed)
    assert spare <= chaos.excused + counters["spoiled"] + counters["by_status"].get("aborted", 0), (told, counters)
