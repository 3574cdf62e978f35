"""S3 gone as paid answers come back: each is kept and stored later, without another call."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import FleetOf
from tests.support.catalog import write_catalog
from tests.support.clock import Clock
from tests.support.proxy import Proxy, running_proxy
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3, running_s3
from tests.support.wait import wait_until

pytestmark = pytest.mark.acceptance

CALLS = 32


@pytest.fixture
def proxy(s3: S3) -> Iterator[Proxy]:
    """What stands between the worker and S3."""
    with running_proxy(s3.port) as found:
        yield found


def cut_while_calls_are_out(sandbox: SandboxServer, proxy: Proxy) -> None:
    """S3 goes away while 32 calls are in flight, and all of them come back to a closed door."""
    wait_until(lambda: sandbox.counters()["in_flight"] == CALLS, timeout=40, description="32 calls in flight")
    proxy.cut()
    wait_until(lambda: sandbox.charged == CALLS, timeout=60, description="32 paid answers")


@pytest.mark.parametrize("seconds", [8, pytest.param(60, marks=pytest.mark.long)])
@pytest.mark.parametrize(
    "killed", [pytest.param(False, marks=pytest.mark.long), True], ids=["worker lives", "worker killed"]
)
def test_answers_that_s3_does_not_take_are_paid_once(
    fleet: FleetOf, sandbox: SandboxServer, proxy: Proxy, seconds: int, killed: bool
) -> None:
    """Kept while S3 is away, stored when it is back, by the next worker where theirs was killed meanwhile."""
    jobs = CALLS if killed else CALLS + 8
    write_catalog(fleet.command.folder, jobs)
    sandbox.control(latency=6)
    fleet = fleet.with_settings(RESTYLE_CONCURRENCY=str(CALLS))
    cut_off = fleet.with_settings(AWS_ENDPOINT_URL_S3=f"http://127.0.0.1:{proxy.port}")
    with cut_off.worker() as first:
        run_id = fleet.submit()
        cut_while_calls_are_out(sandbox, proxy)
        away = Clock(seconds)
        if killed:
            wait_until(lambda: kept(fleet) == CALLS, timeout=40, description="32 kept answers")
            kill(first)
        away.wait()
        sandbox.control(latency=0.1)
        proxy.mend()
        with fleet.worker():
            done = fleet.finished(run_id, within=90)
    assert (done["succeeded"], done["failed"]) == (jobs, 0)
    assert (sandbox.charged, sandbox.paid_twice) == (jobs, {})
    assert kept(fleet) == 0


@pytest.mark.long
def test_a_workspace_that_s3_refuses_stops_the_fleet(fleet: FleetOf, sandbox: SandboxServer, tmp_path: Path) -> None:
    """It concerns every job, and none fails for it; a bucket of one input that is missing is that job's alone."""
    with running_s3(tmp_path / "server") as server:
        own = fleet.with_settings(**server.env, RESTYLE_WORKSPACE="s3://shop/team")
        write_catalog(own.command.folder, 4)
        with (own.command.folder / "manifest.csv").open("a") as manifest:
            manifest.write("elsewhere,s3://no-such-bucket/a.jpg\n")
        run_id = own.submit()
        bucket, aside = tmp_path / "server" / "shop", tmp_path / "aside"
        bucket.rename(aside)
        with own.worker() as worker:
            log = next(own.command.folder.glob("worker-*.log"))
            wait_until(lambda: "store_access_denied" in log.read_text(), timeout=40, description="a word of the worker")
            aside.rename(bucket)  # which the server sees when it looks anew
            wait_until(
                lambda: own.command("status", run_id, expect=None).code == 0, timeout=60, description="S3 is back"
            )
            now = own.status(run_id)
            assert (now["suspension"]["reason"], now["succeeded"], sandbox.charged) == ("misconfigured", 0, 0)
            assert now["failed"] <= 1  # the one whose own bucket is missing
            assert "there is no such bucket" in now["suspension"]["detail"]
            own.command("resume", run_id, "--detach")
            wait_until(lambda: own.status(run_id)["status"] == "finished", timeout=60, description="the run's end")
            done = own.status(run_id)
            assert worker.poll() is None
    assert (done["succeeded"], done["failed"], sandbox.charged) == (4, 1, 4)
    assert "s3://no-such-bucket/a.jpg: missing, or reading it is not allowed" in log.read_text()


def kept(fleet: FleetOf) -> int:
    """How many answers Redis keeps."""
    from restyle.coordination.redis.client import State

    state = State(fleet.address, namespace="", account="")
    try:
        # Not KEYS, which no user of deploy/redis/users.acl may ask.
        return sum(1 for _ in state.redis.scan_iter(f"{fleet.workspace.namespace}kept:*"))
    finally:
        state.close()


def kill(process: subprocess.Popen[str]) -> None:
    """Kill -9."""
    process.kill()
    process.wait()
