"""`restyle worker --processes N`: processes that share the calls in flight, under one that minds them."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import urllib.request
from pathlib import Path

import pytest

from apps.stack.servers import free_port
from tests.acceptance.conftest import FleetOf
from tests.support.catalog import write_catalog
from tests.support.sandbox import SandboxServer
from tests.support.wait import wait_until

pytestmark = pytest.mark.acceptance


def children(pid: int) -> set[int]:
    """The processes straight below one."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return {int(child) for task in tasks for child in (task / "children").read_text().split()}
    except OSError:
        return set()


def living(fleet: FleetOf) -> dict[str, int]:
    """The workers that beat, each with its calls in flight at most."""
    return {name: beat["concurrency"] for name, beat in fleet.command("status", "--json").json["workers"].items()}


def two_ports() -> int:
    """A free port whose next one is free too."""
    while True:
        port = free_port()
        with contextlib.suppress(OSError, OverflowError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port + 1))
            return port


def status(url: str) -> int:
    """How a page is answered."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        code: int = answer.status
    return code


@pytest.mark.long
def test_a_dead_process_is_started_again_and_all_drain_together(fleet: FleetOf, sandbox: SandboxServer) -> None:
    """Three calls in two processes; one is killed and comes back; SIGTERM ends both, and every job is paid once."""
    write_catalog(fleet.command.folder, 12)
    port = two_ports()
    shared = fleet.with_settings(
        RESTYLE_PROCESSES="2", RESTYLE_CONCURRENCY="3", RESTYLE_HEALTH_ADDRESS=f"127.0.0.1:{port}"
    )
    with shared.worker() as worker:
        wait_until(lambda: sorted(living(shared).values()) == [1, 2], timeout=60, description="both processes")
        assert [status(f"http://127.0.0.1:{at}/healthz") for at in (port, port + 1)] == [200, 200]
        first = children(worker.pid)
        assert len(first) == 2
        os.kill(min(first), signal.SIGKILL)
        wait_until(
            lambda: len(now := children(worker.pid)) == 2 and min(first) not in now,
            timeout=20,
            description="another process in its place",
        )
        run_id = shared.submit()
        assert shared.finished(run_id, within=60)["succeeded"] == 12
        assert (sandbox.charged, sandbox.paid_twice) == (12, {})
        left = children(worker.pid)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0
        assert not [pid for pid in left if Path(f"/proc/{pid}").exists()]
