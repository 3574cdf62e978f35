"""What a fleet's commands make of a closed terminal, a Redis that stays away, and a folder of somebody's own files."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.acceptance.conftest import FleetOf
from tests.support.catalog import write_catalog
from tests.support.sandbox import SandboxServer
from tests.support.servers import running_valkey
from tests.support.wait import wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.long]


@pytest.mark.parametrize("plain", [False, True])
def test_a_hang_up_drains_a_worker(fleet: FleetOf, sandbox: SandboxServer, plain: bool) -> None:
    """SIGHUP twice, as a shell sends it, and SIGTERM beside it: calls in flight end and are stored; exit 0."""
    write_catalog(fleet.command.folder, 12)
    sandbox.control(latency=2.0)
    here = fleet.with_settings(RESTYLE_CONCURRENCY="4", RESTYLE_PROCESSES="1" if plain else "2")
    run_id = here.submit()
    with here.worker(plain=plain) as worker:
        wait_until(lambda: sandbox.counters()["in_flight"] >= 2, timeout=60, description="calls in flight")
        for number in (signal.SIGHUP, signal.SIGHUP, signal.SIGTERM):
            worker.send_signal(number)
            time.sleep(0.2)  # three signals, not one
        assert worker.wait(30) == 0
    assert 2 <= sandbox.charged <= 8
    assert here.status(run_id)["succeeded"] == sandbox.charged
    sandbox.control(latency=0.02)
    with here.worker():
        here.finished(run_id, within=60)
    assert (sandbox.charged, sandbox.paid_twice) == (12, {})


def test_a_command_does_not_wait_for_ever_for_a_redis(fleet: FleetOf, tmp_path: Path) -> None:
    """One that follows a run says after a few seconds that Redis is away, and ends in time with what to do."""
    write_catalog(fleet.command.folder, 2)
    with running_valkey(tmp_path / "valkey") as valkey:
        here = fleet.with_settings(RESTYLE_REDIS_URL=valkey.url)
        run_id = here.submit()
        with here.command.started("watch", run_id, "--max-outage", "6", "--json") as process:
            assert process.stdout is not None
            process.stdout.readline()
            valkey.kill()
            began = time.monotonic()
            _, err = process.communicate(timeout=40)
    assert 5 < time.monotonic() - began < 30
    assert process.returncode == 69, err
    assert err.count("waiting for it to come back") == 1
    assert f"restyle watch {run_id}" in err


#: Modules of ours by names that somebody's own files have too, and what Celery's own command finds before it is ours.
OURS, BEFORE = ("apps", "config", "producers", "restyle", "tasks"), ("celery", "json", "queue", "typing", "workers")


@pytest.mark.parametrize("plain", [False, True])
def test_a_worker_starts_beside_files_of_its_modules_names(fleet: FleetOf, sandbox: SandboxServer, plain: bool) -> None:
    """`restyle worker` takes no module of the current folder, and Celery's own command none in the place of ours."""
    write_catalog(fleet.command.folder, 1)
    for name in OURS if plain else OURS + BEFORE:
        (fleet.command.folder / f"{name}.py").write_text("raise SystemExit('shadowed')\n")
    run_id = fleet.submit()
    with fleet.worker(plain=plain):
        fleet.finished(run_id, within=60)
    assert sandbox.charged == 1
