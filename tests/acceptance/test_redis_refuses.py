"""A Redis that answers "no": full, demoted, guarded. Nothing ends, nothing is in doubt, nothing is paid twice."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.acceptance.conftest import FleetOf
from tests.support.catalog import write_catalog
from tests.support.clock import Clock
from tests.support.command import Done
from tests.support.refusing import REFUSALS, refusing
from tests.support.sandbox import SandboxServer
from tests.support.servers import Valkey, running_valkey
from tests.support.wait import wait_until

pytestmark = pytest.mark.acceptance

#: What Redis says, or a part of it, in each case.
WORDS = {
    "oom": "maxmemory",
    "disk": "MISCONF Errors writing to the AOF file",
    "misconf": "MISCONF",
    "noreplicas": "NOREPLICAS Not enough good replicas to write",
    "readonly": "READONLY You can't write against a read only replica",
    "auth": "NOAUTH",
}


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[Valkey]:
    """A Valkey that a test may hurt."""
    with running_valkey(tmp_path / "valkey") as server:
        yield server


@pytest.fixture
def fragile(fleet: FleetOf, own_valkey: Valkey) -> FleetOf:
    """A fleet on it."""
    return fleet.with_settings(RESTYLE_REDIS_URL=own_valkey.url, RESTYLE_SHARD_JOBS="10", RESTYLE_CONCURRENCY="4")


def under_way(sandbox: SandboxServer, calls: int) -> None:
    """Waits until some jobs are paid for and calls are in flight."""
    wait_until(lambda: sandbox.charged >= calls and sandbox.counters()["in_flight"] > 0, timeout=60, description="work")


def is_well(workers: list[subprocess.Popen[str]], folder: Path) -> None:
    """No process has ended, and none has met what it has no words for."""
    assert [worker.poll() for worker in workers] == [None] * len(workers)
    logs = "".join(path.read_text() for path in folder.glob("worker-*.log"))
    assert "Traceback" not in logs, logs[-5000:]


def says(done: Done, kind: str) -> None:
    """`status` quotes Redis and says what to do, in whatever way it ended."""
    told = " ".join((done.out + done.err).split())
    assert WORDS[kind] in told, done
    assert "next: " in told or kind == "auth", done
    assert done.code == (2 if kind == "auth" else 0), done


def test_every_short_refusal_is_sat_out(fragile: FleetOf, own_valkey: Valkey, sandbox: SandboxServer) -> None:
    """Each refusal in turn, under load: no process ends, `status` quotes Redis, paid calls = jobs, nothing is in doubt."""
    write_catalog(fragile.command.folder, 60)
    sandbox.control(latency=0.5)
    with fragile.workers(2) as workers:
        run_id = fragile.submit()
        for number, kind in enumerate(REFUSALS):
            under_way(sandbox, 6 * number + 1)
            with refusing(own_valkey, kind):
                says(fragile.command("status", expect=None), kind)
        done = fragile.finished(run_id, within=60)
        is_well(workers, fragile.command.folder)
    assert (done["succeeded"], done["failed"], done["in_doubt"]) == (60, 0, 0)
    assert (sandbox.charged, sandbox.paid_twice) == (60, {})


@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.parametrize("api", ["v1", "v2"])
@pytest.mark.parametrize("kind", REFUSALS)
def test_a_refusal_is_sat_out(
    fragile: FleetOf, own_valkey: Valkey, sandbox: SandboxServer, kind: str, api: str
) -> None:
    """0.4 s, 3 s and 25 s of it under calls of 1 s, while a worker starts too: paid calls = jobs, all by itself."""
    jobs = 120
    write_catalog(fragile.command.folder, jobs)
    sandbox.control(latency=1.0)
    fleet = fragile.with_settings(RESTYLE_API=api)
    with ExitStack() as stack:
        workers = stack.enter_context(fleet.workers(2))
        run_id = fleet.submit()
        for number, seconds in enumerate((0.4, 3, 25)):
            under_way(sandbox, 20 * number + 4)
            with refusing(own_valkey, kind):
                spell = Clock(seconds)
                if seconds == 3 and kind != "auth":  # a password that is wrong at the start is for a person
                    workers.append(stack.enter_context(fleet.worker()))
                if seconds > 1:
                    says(fleet.command("status", expect=None), kind)
                spell.wait()
            is_well(workers, fleet.command.folder)
        done = fleet.finished(run_id, within=120)
        fleet.wait_for_workers(len(workers))
        is_well(workers, fleet.command.folder)
    assert (done["succeeded"], done["failed"], done["in_doubt"]) == (jobs, 0, 0)
    assert (sandbox.charged, sandbox.paid_twice) == (jobs, {})
