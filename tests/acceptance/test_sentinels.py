"""A fleet whose Redis is found by sentinels: the primary killed in mid-run is followed by its replica, by itself."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import FleetOf
from tests.acceptance.test_redis_refuses import is_well, under_way
from tests.support.catalog import write_catalog
from tests.support.sandbox import SandboxServer
from tests.support.sentinels import PASSWORD, SENTINEL_PASSWORD, Watched, watched

pytestmark = [pytest.mark.acceptance, pytest.mark.long]


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Watched]:
    """A primary, a replica, three sentinels."""
    with watched(tmp_path / "watched") as servers:
        yield servers


@pytest.mark.timeout(300)
@pytest.mark.parametrize("behind", [0, 1])
def test_a_failover_needs_no_hand(fleet: FleetOf, servers: Watched, sandbox: SandboxServer, behind: float) -> None:
    """No worker ends, every job is done; what is paid for again is at most what began in the second that was lost."""
    jobs, slots = 80, 2 * 4
    write_catalog(fleet.command.folder, jobs)
    sandbox.control(latency=0.7)
    led = fleet.with_settings(**servers.env, RESTYLE_SHARD_JOBS="10", RESTYLE_CONCURRENCY="4")
    led.command("doctor")
    with led.workers(2) as workers:
        run_id = led.submit()
        under_way(sandbox, 20)
        servers.fail_over(behind=behind)
        done = led.finished(run_id, within=120)
        led.wait_for_workers(2)
        is_well(workers, led.command.folder)
        logs = "".join(path.read_text() for path in led.command.folder.glob("worker-*.log"))
    sys.stderr.write(f"{behind} s behind: {sandbox.charged} paid for {jobs}, {done['in_doubt']} in doubt\n")
    assert (done["succeeded"], done["failed"]) == (jobs, 0)
    assert sandbox.charged <= jobs + (2 * slots if behind else slots)
    assert sandbox.charged - jobs <= done["in_doubt"], "what is paid for again is in doubt, never silent"
    assert not [secret for secret in (PASSWORD, "of%3Bservers", SENTINEL_PASSWORD) if secret in logs]
