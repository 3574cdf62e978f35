"""What a person has said holds, whatever is cut off, lost or broken beside it: counted at the sandbox."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from restyle.coordination.redis.client import State
from tests.acceptance.conftest import FleetOf
from tests.support.catalog import write_catalog
from tests.support.proxy import Proxy, running_proxy
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3, Valkey, running_valkey
from tests.support.wait import wait_until

pytestmark = pytest.mark.acceptance


@pytest.fixture
def proxy(s3: S3) -> Iterator[Proxy]:
    """A person's way to S3."""
    with running_proxy(s3.port) as found:
        yield found


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[Valkey]:
    """A Valkey that a test may hurt."""
    with running_valkey(tmp_path / "valkey") as server:
        yield server


def by(fleet: FleetOf, proxy: Proxy) -> FleetOf:
    """The same fleet, seen by a person whose way to S3 can be cut."""
    return fleet.with_settings(AWS_ENDPOINT_URL_S3=f"http://127.0.0.1:{proxy.port}")


@pytest.mark.long
def test_a_cancel_that_was_cut_off(fleet: FleetOf, proxy: Proxy, sandbox: SandboxServer) -> None:
    """S3 has it, the answer was lost, exit 69: the run ends all the same, and nobody is told 'already' before."""
    write_catalog(fleet.command.folder, 60)
    sandbox.control(latency=1)
    fleet = fleet.with_settings(RESTYLE_CONCURRENCY="2", RESTYLE_SHARD_JOBS="10")
    with fleet.workers(1):
        run_id = fleet.submit()
        wait_until(lambda: sandbox.charged >= 2, timeout=60, description="2 calls")
        proxy.once(b"PUT ", proxy.cut, when="after")
        by(fleet, proxy).command("cancel", run_id, expect=69)
        again = fleet.command("cancel", run_id, expect=None)
        assert again.code == 0 or "cancelled already" in again.err
        wait_until(lambda: fleet.status(run_id)["report"], timeout=20, description="its report")
        assert fleet.status(run_id)["status"] == "cancelled"
        assert sandbox.calls < 40


@pytest.mark.long
def test_a_submit_that_is_refused_never_runs(fleet: FleetOf, proxy: Proxy, sandbox: SandboxServer) -> None:
    """It shares a job with a suspended run and S3 is slow: 'Nothing was spent' is true, and nothing of it is left."""
    write_catalog(fleet.command.folder, 30)
    sandbox.control(latency=0.1)
    with fleet.workers(1):
        run_id = fleet.submit("photo of {id}", "--limit", "1")
        fleet.finished(run_id, within=60)
        fleet.command("suspend")
        standing = fleet.submit("second {id}", "--limit", "20")
        fleet.command("suspend", standing)
        fleet.command("resume")
        spent = sandbox.calls
        proxy.delay = 0.5
        words = ("submit", "manifest.csv", "--prompt", "third {id}", "--yes")
        refused = by(fleet, proxy).command(*words, expect=2)
        assert standing in refused.err
        assert "Nothing was spent" in refused.err
        assert sandbox.calls == spent
        assert {found["run_id"] for found in fleet.command("runs", "--json").json["runs"]} == {run_id, standing}
        assert set(fleet.store.folders(fleet.workspace.under("runs") + "/")) == {run_id, standing}
        fleet.command("resume", standing, "--detach")
        fleet.finished(standing, within=60)


@pytest.mark.long
def test_a_submit_of_redis_lost_second(fleet: FleetOf, own_valkey: Valkey, sandbox: SandboxServer) -> None:
    """Valkey falls back to before a submit that was acknowledged: the run is done without a hand laid on."""
    write_catalog(fleet.command.folder, 12)
    sandbox.control(latency=0.1)
    fleet = fleet.with_settings(RESTYLE_REDIS_URL=own_valkey.url)
    with fleet.workers(1):
        log = next((own_valkey.folder / "appendonlydir").glob("*.incr.aof"))
        before = log.stat().st_size
        fleet.command("suspend")
        run_id = fleet.submit()
        own_valkey.kill()
        shutil.copy(log, log.with_suffix(".lost"))
        with log.open("r+b") as file:
            file.truncate(before)
        log.with_suffix(".lost").unlink()
        own_valkey.start()
        fleet.command("resume")
        done = fleet.finished(run_id, within=40)
    assert (done["succeeded"], sandbox.charged, sandbox.paid_twice) == (12, 12, {})


@pytest.mark.long
def test_one_broken_run_costs_the_others_nothing(fleet: FleetOf, sandbox: SandboxServer) -> None:
    """Its plan is gone, or what Redis has of it is nonsense: another run ends, and status says why this one stands."""
    write_catalog(fleet.command.folder, 30)
    fleet = fleet.with_settings(RESTYLE_SHARD_JOBS="5", RESTYLE_WINDOW_JOBS="5")
    state = State(fleet.command.env["RESTYLE_REDIS_URL"], namespace=fleet.workspace.namespace, account="")
    (fleet.command.folder / "ids").write_text("\n".join(f"item-{number:03d}" for number in range(10)))
    (fleet.command.folder / "more").write_text("\n".join(f"item-{number:03d}" for number in range(10, 20)))
    (fleet.command.folder / "rest").write_text("\n".join(f"item-{number:03d}" for number in range(20, 30)))
    fleet.command("suspend")
    gone, wrong = fleet.submit("gone {id}", "--only-ids", "ids"), fleet.submit("wrong {id}", "--only-ids", "more")
    for shard in (0, 1):
        fleet.store.delete(fleet.workspace.shard(gone, shard))
    state.ask("HSET", state.key("run", wrong), "status", "nonsense")
    with fleet.workers(1):
        fine = fleet.submit("fine {id}", "--only-ids", "rest")
        fleet.command("resume")
        assert fleet.finished(fine, within=60)["succeeded"] == 10
        told = fleet.command("status")
        for run_id in (gone, wrong):
            assert run_id in told.out
        assert told.out.count("cannot be moved") == 2
        fleet.command("resume", wrong, "--detach")
        assert fleet.finished(wrong, within=60)["succeeded"] == 10
        fleet.command("cancel", gone)
    state.close()
    assert (sandbox.charged, sandbox.paid_twice) == (20, {})


@pytest.mark.long
def test_advice_works_as_it_is_typed(fleet: FleetOf, sandbox: SandboxServer) -> None:
    """What status and resume say of a run that stands still is typed, word for word, and the run goes on."""
    write_catalog(fleet.command.folder, 12)
    sandbox.control(price=1, latency=0.05)
    fleet = fleet.with_settings(RESTYLE_PRICE="1", RESTYLE_SHARD_JOBS="5")
    with fleet.workers(1):
        words = ("--sample", "3", "--then-ask", "--budget", "5")
        run_id = fleet.submit("photo of {id}", *words)

        def advice(reason: str) -> list[str]:
            """What to type, as printed."""
            wait_until(
                lambda: (fleet.status(run_id)["suspension"] or {}).get("reason") == reason,
                timeout=30, description=reason,
            )  # fmt: skip
            told = re.search(r"restyle (\w+ [^()\n]+)", fleet.status(run_id)["suspension"]["next"])
            assert told, fleet.status(run_id)["suspension"]
            return told[1].split()

        fleet.command(*advice("awaiting_approval"), "--detach")
        fleet.command(*advice("budget"), "--detach")
        assert sandbox.charged <= 10
        advice("budget")
        fleet.command("suspend")
        fleet.command("suspend", run_id)
        told = fleet.command("resume")
        assert f"restyle resume {run_id}" in told.err, told
        assert f"restyle resume {run_id} --budget 99" in fleet.command("resume", "--budget", "99", expect=2).err
        fleet.command("resume", run_id, "--budget", "99", "--detach")
        assert fleet.finished(run_id, within=40)["succeeded"] == 12
    assert (sandbox.charged, sandbox.paid_twice) == (12, {})
