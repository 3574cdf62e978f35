"""One worker of two loses its way to S3, to the API, or the time: it stands aside, and the other one finishes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from apps.stack.servers import free_port
from restyle.coordination.claim_types import Limits
from restyle.coordination.fleet import Fleet
from restyle.coordination.redis.client import State
from tests.acceptance.conftest import FleetOf
from tests.acceptance.test_s3_faults import kept
from tests.support.catalog import write_catalog
from tests.support.proxy import Proxy, running_proxy
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3
from tests.support.wait import wait_until

pytestmark = pytest.mark.acceptance


@pytest.fixture
def to_s3(s3: S3) -> Iterator[Proxy]:
    """What stands between the sick worker and S3."""
    with running_proxy(s3.port) as found:
        yield found


def heartbeats(fleet: FleetOf) -> list[dict[str, Any]]:
    """What living workers say of themselves."""
    state = State(fleet.command.env["RESTYLE_REDIS_URL"], namespace=fleet.workspace.namespace, account="")
    try:
        return [beat for beat in Fleet(state, Limits()).workers().values() if beat is not None]
    finally:
        state.close()


def aside(fleet: FleetOf) -> list[str]:
    """Why workers are out of rotation."""
    return [beat["out"] for beat in heartbeats(fleet) if beat.get("out")]


def taken(fleet: FleetOf) -> int:
    """Jobs in the hands of workers that stand aside."""
    return sum(beat["taken"] for beat in heartbeats(fleet) if beat.get("out"))


def wait_for_workers(fleet: FleetOf, count: int) -> None:
    """Waits until so many live."""
    wait_until(lambda: len(heartbeats(fleet)) == count, timeout=30, description=f"{count} living workers")


@pytest.mark.long
def test_a_worker_that_alone_loses_s3_stands_aside(fleet: FleetOf, sandbox: SandboxServer, to_s3: Proxy) -> None:
    """Its paid answers are stored by the other one, its jobs done there; it says so, and comes back by itself."""
    write_catalog(fleet.command.folder, 40)
    sandbox.control(latency=1.5)
    fleet = fleet.with_settings(RESTYLE_CONCURRENCY="4")
    sick = fleet.with_settings(AWS_ENDPOINT_URL_S3=f"http://127.0.0.1:{to_s3.port}")
    with sick.worker():
        wait_for_workers(fleet, 1)
        run_id = fleet.submit()
        wait_until(lambda: sandbox.counters()["in_flight"] == 4, timeout=30, description="calls of the sick worker")
        to_s3.cut()
        with fleet.worker():
            wait_until(lambda: aside(fleet), timeout=20, description="the worker to stand aside")
            assert "S3" in aside(fleet)[0]
            assert "is out of rotation" in fleet.command("status").out
            sandbox.control(latency=0.1)
            wait_until(lambda: taken(fleet) == 0, timeout=10, description="its jobs to be handed back")
            done = fleet.finished(run_id, within=60)
            assert (done["succeeded"], done["failed"]) == (40, 0)
            assert (sandbox.charged, sandbox.paid_twice) == (40, {})
            assert kept(fleet) == 0
            to_s3.mend()
            wait_until(lambda: not aside(fleet), timeout=20, description="the worker to be back")


@pytest.mark.long
def test_a_worker_that_alone_loses_the_api_stands_aside(fleet: FleetOf, sandbox: SandboxServer) -> None:
    """Its proxy is gone: what never left it costs no attempt and fails nothing, and there is no outage."""
    write_catalog(fleet.command.folder, 60)
    sandbox.control(latency=0.3)
    fleet = fleet.with_settings(RESTYLE_CONCURRENCY="4", RESTYLE_MAX_ATTEMPTS="2", NO_PROXY="")
    sick = fleet.with_settings(HTTP_PROXY=f"http://127.0.0.1:{free_port()}", NO_PROXY=f"127.0.0.1:{s3_port(fleet)}")
    with sick.worker(), fleet.worker():
        wait_for_workers(fleet, 2)
        run_id = fleet.submit()
        wait_until(lambda: aside(fleet), timeout=20, description="the worker to stand aside")
        assert "API" in aside(fleet)[0]
        done = fleet.finished(run_id, within=60)
        assert (done["succeeded"], done["failed"], done["attempts"], done["in_doubt"]) == (60, 0, 60, 0)
        assert (sandbox.charged, sandbox.paid_twice) == (60, {})
        assert "suspended" not in fleet.command("status").out


def s3_port(fleet: FleetOf) -> str:
    """Where S3 listens, which is reached without a proxy."""
    return fleet.command.env["AWS_ENDPOINT_URL_S3"].rpartition(":")[2]


@pytest.mark.long
def test_few_jobs_sit_out_an_api_that_nobody_reaches(fleet: FleetOf, sandbox: SandboxServer) -> None:
    """Three jobs and no way to the API: an outage, no attempt spent, and done once there is a way."""
    write_catalog(fleet.command.folder, 3)
    away = fleet.with_settings(
        HTTP_PROXY=f"http://127.0.0.1:{free_port()}", NO_PROXY=f"127.0.0.1:{s3_port(fleet)}", RESTYLE_MAX_ATTEMPTS="2"
    )
    with away.worker():
        wait_for_workers(fleet, 1)
        run_id = fleet.submit()
        wait_until(lambda: reason(fleet, run_id) == "outage", timeout=30, description="the outage")
        assert aside(fleet) == []
        with fleet.worker():
            done = fleet.finished(run_id, within=60)
    assert (done["succeeded"], done["failed"], done["attempts"]) == (3, 0, 3)


def reason(fleet: FleetOf, run_id: str) -> str:
    """Why a run stands still."""
    note = fleet.status(run_id)["suspension"]
    return str(note["reason"]) if note else ""
