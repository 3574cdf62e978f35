"""The watchdog: a worker whose loop or consumption really stops drains and ends; nothing is paid twice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.conftest import FleetOf
from tests.support.catalog import write_catalog
from tests.support.sandbox import SandboxServer
from tests.support.servers import die_with_parent
from workers.watchdog import EXIT

pytestmark = pytest.mark.acceptance
ROOT = Path(__file__).parents[2]


@pytest.mark.long
@pytest.mark.parametrize(
    ("fault", "told"),
    [("consumption", "the taking of messages"), ("loop", "Celery's loop")],
)
def test_a_worker_that_stops_working_ends_itself(fleet: FleetOf, sandbox: SandboxServer, fault: str, told: str) -> None:
    """It ends with a call in flight that is stored first, and says what has stopped; the next worker does the rest."""
    write_catalog(fleet.command.folder, 20)
    quick = fleet.with_settings(RESTYLE_WATCHDOG_SECONDS="4", RESTYLE_CONCURRENCY="1")
    sandbox.control(latency=0.4)
    run_id = quick.submit()
    log = fleet.command.folder / "stuck.log"
    env = {**quick.command.environment, "STUCK": fault, "PYTHONPATH": str(ROOT)}
    with log.open("w") as written:
        process = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "tests.support.stuck", "worker"], cwd=fleet.command.folder, env=env,
            stdin=subprocess.DEVNULL, stdout=written, stderr=written,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - it only asks to end with this process
        )  # fmt: skip
        try:
            assert process.wait(40) == EXIT
        finally:
            process.kill()
    assert told in log.read_text()
    assert 0 < sandbox.charged < 20
    assert len(list(fleet.store.list(fleet.workspace.under("records") + "/"))) == sandbox.charged
    assert (sandbox.paid_twice, sandbox.calls) == ({}, sandbox.charged)
    if fault == "consumption":
        return
    sandbox.control(latency=0.02)
    with fleet.worker():
        fleet.command("watch", run_id)
    assert (sandbox.charged, sandbox.paid_twice) == (20, {})
