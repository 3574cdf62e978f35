"""A Redis that answers "no": full, demoted, guarded. Nothing ends, nothing is in doubt, nothing is paid twice."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from tests.acceptance.conftest import FleetOf
from tests.support.catalog import write_catalog
from tests.support.clock import Clock
from tests.support.command import Done
from tests.support.proxy import running_proxy
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
def fragile(fleet: FleetOf, own_valkey: Valkey) -> FleetOf:
    """A fleet on it."""
    return fleet.with_settings(**own_valkey.env, RESTYLE_SHARD_JOBS="10", RESTYLE_CONCURRENCY="4")


def under_way(sandbox: SandboxServer, calls: int) -> None:
    """Waits until some jobs are paid for and calls are in flight."""
    wait_until(lambda: sandbox.charged >= calls and sandbox.counters()["in_flight"] > 0, timeout=60, description="work")


def threads(workers: list[subprocess.Popen[str]]) -> list[int]:
    """How many each process has."""
    return [len(list(Path(f"/proc/{worker.pid}/task").iterdir())) for worker in workers]


def is_well(workers: list[subprocess.Popen[str]], folder: Path, had: Sequence[int] = ()) -> None:
    """No process has ended, no thread of those it had, and none has met what it has no words for."""
    assert [worker.poll() for worker in workers] == [None] * len(workers)
    assert all(now >= before for now, before in zip(threads(workers), had, strict=False)), (threads(workers), had)
    logs = "".join(path.read_text() for path in folder.glob("worker-*.log"))
    assert "Traceback" not in logs, logs[-5000:]
    assert "EMERGENCY" not in logs, logs[-5000:]


def says(done: Done, kind: str) -> None:
    """`status` quotes Redis and says what to do, in whatever way it ended."""
    printed = " ".join((done.out + done.err).split())
    assert WORDS[kind] in printed, done
    assert "next: " in printed or kind == "auth", done
    assert done.code == (2 if kind == "auth" else 0), done


@pytest.mark.long
def test_every_short_refusal_is_sat_out(fragile: FleetOf, own_valkey: Valkey, sandbox: SandboxServer) -> None:
    """Each refusal in turn, under load: no process ends, `status` quotes Redis, paid calls = jobs, none in doubt."""
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


def log_of(fleet: FleetOf) -> str:
    """What the workers have written."""
    return "".join(path.read_text() for path in fleet.command.folder.glob("worker-*.log"))


@pytest.mark.long
def test_a_worker_that_starts_meanwhile_waits_in_words(
    fragile: FleetOf, own_valkey: Valkey, sandbox: SandboxServer
) -> None:
    """No zombie without a heart: it says what Redis says, and begins once Redis takes writes."""
    write_catalog(fragile.command.folder, 4)
    run_id = fragile.submit()
    with ExitStack() as stack:
        with refusing(own_valkey, "oom"):
            worker = stack.enter_context(fragile.worker())
            wait_until(lambda: "waiting for Redis" in log_of(fragile), timeout=20, description="words")
            assert "OOM command not allowed" in log_of(fragile)
            assert "OOM command not allowed" in fragile.command("doctor", expect=3).out
            assert worker.poll() is None
        done = fragile.finished(run_id, within=30)
        is_well([worker], fragile.command.folder)
    assert (done["succeeded"], sandbox.charged) == (4, 4)


@pytest.mark.long
@pytest.mark.parametrize(
    ("fault", "seconds"),
    [
        ("gone", 15),
        ("readonly", 15),
        ("silent", 60),
    ],
)
def test_a_worker_drains_without_redis(fragile: FleetOf, own_valkey: Valkey, fault: str, seconds: float) -> None:
    """SIGTERM ends it soon and with 0, and its last word says why it could not say goodbye."""
    with ExitStack() as stack:
        (worker,) = stack.enter_context(fragile.workers(1))
        # It lives before it reads its queue; a signal that comes between the two ends it without a goodbye.
        wait_until(lambda: " ready. " in log_of(fragile), timeout=20, description="a worker that reads its queue")
        if fault == "gone":
            own_valkey.kill()
            stack.callback(own_valkey.start)
        elif fault == "silent":
            own_valkey.freeze()
            stack.callback(own_valkey.thaw)
        else:
            stack.enter_context(refusing(own_valkey, fault))
        wait_until(lambda: "waiting for Redis" in log_of(fragile), timeout=30, description="words")
        worker.terminate()
        assert worker.wait(seconds) == 0
        assert "left without telling Redis" in log_of(fragile)


@pytest.mark.long
def test_a_worker_that_waits_for_redis_is_ended_by_a_signal(fragile: FleetOf, own_valkey: Valkey) -> None:
    """It has nothing in hand: SIGTERM ends it at once."""
    own_valkey.kill()
    with fragile.worker() as worker:
        wait_until(lambda: "waiting for Redis" in log_of(fragile), timeout=20, description="words")
        worker.terminate()
        assert worker.wait(5) == 0
    own_valkey.start()


def test_a_redis_that_forgets_keys_is_refused(fragile: FleetOf, own_valkey: Valkey) -> None:
    """`doctor` and a worker at its start say which policy it has, and what to type."""
    with redis.Redis.from_url(own_valkey.admin_url) as line:
        line.config_set("maxmemory-policy", "allkeys-lru")
    with fragile.worker() as worker:
        printed = " ".join(fragile.command("doctor", expect=3).out.split())
        assert worker.wait(20) == 1
    for text in (printed, log_of(fragile)):
        assert "allkeys-lru" in text
        assert "redis-cli CONFIG SET maxmemory-policy noeviction" in text


@pytest.mark.long
def test_a_wrong_password_at_the_start_is_a_sentence(fragile: FleetOf, own_valkey: Valkey) -> None:
    """It is for a person to mend: workers and commands end with it, and quote no password."""
    wrong = fragile.with_settings(RESTYLE_REDIS_URL=f"redis://:guess-me@127.0.0.1:{own_valkey.port}/0")
    with redis.Redis(port=own_valkey.port) as line:
        line.config_set("requirepass", "right")
    with wrong.worker() as worker:
        printed = wrong.command("status", expect=2).err
        assert worker.wait(20) == 1
    for text in (printed, log_of(wrong)):
        assert "WRONGPASS" in text
        assert "RESTYLE_REDIS_URL" in text
        assert "guess-me" not in text


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
        under_way(sandbox, 4)
        had = threads(workers)
        for number, seconds in enumerate((0.4, 3, 25)):
            under_way(sandbox, 20 * number + 4)
            with refusing(own_valkey, kind):
                spell = Clock(seconds)
                if seconds == 3 and kind != "auth":  # a password that is wrong at the start is for a person
                    workers.append(stack.enter_context(fleet.worker()))
                if seconds > 1:
                    says(fleet.command("status", expect=None), kind)
                spell.wait()
            is_well(workers, fleet.command.folder, had)
        done = fleet.finished(run_id, within=120)
        fleet.wait_for_workers(len(workers))
        is_well(workers, fleet.command.folder, had)
    assert (done["succeeded"], done["failed"], done["in_doubt"]) == (jobs, 0, 0)
    assert (sandbox.charged, sandbox.paid_twice) == (jobs, {})


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("api", ["v1", "v2"])
@pytest.mark.parametrize("kind", [*REFUSALS, "noperm", "masterdown", "busy", "clients"])
def test_calls_that_outlast_a_refusal_are_nobody_elses(
    fragile: FleetOf, own_valkey: Valkey, sandbox: SandboxServer, kind: str, api: str
) -> None:
    """A worker that could not say for three times its heartbeat's life that it lives is not taken for dead.

    It has free slots too, so that taking messages is refused while others are in hand.
    """
    jobs = 6
    write_catalog(fragile.command.folder, jobs)
    sandbox.control(latency=8.0)
    fleet = fragile.with_settings(RESTYLE_API=api)
    with fleet.workers(2) as workers:
        run_id = fleet.submit()
        wait_until(lambda: sandbox.counters()["in_flight"] >= 4, timeout=30, description="calls in flight")
        with refusing(own_valkey, kind):
            Clock(6).wait()
        done = fleet.finished(run_id, within=90)
        is_well(workers, fleet.command.folder)
    assert (done["succeeded"], done["failed"], done["in_doubt"]) == (jobs, 0, 0)
    assert (sandbox.charged, sandbox.paid_twice) == (jobs, {})


@pytest.mark.long
@pytest.mark.timeout(300)
def test_twelve_short_demotions_end_no_worker(fragile: FleetOf, own_valkey: Valkey, sandbox: SandboxServer) -> None:
    """READONLY for 0.4 s, again and again: nothing is in doubt, and paid calls = jobs."""
    jobs = 200
    write_catalog(fragile.command.folder, jobs)
    sandbox.control(latency=0.8)
    with fragile.workers(2) as workers:
        run_id = fragile.submit()
        for number in range(12):
            under_way(sandbox, 14 * number + 4)
            with refusing(own_valkey, "readonly"):
                Clock(0.4).wait()
        done = fragile.finished(run_id, within=120)
        is_well(workers, fragile.command.folder)
    assert (done["succeeded"], done["failed"], done["in_doubt"]) == (jobs, 0, 0)
    assert (sandbox.charged, sandbox.paid_twice) == (jobs, {})


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_failover_by_hand_is_followed(
    fragile: FleetOf, own_valkey: Valkey, sandbox: SandboxServer, tmp_path: Path
) -> None:
    """The address leads to the new primary, the old one lives on as its replica: workers come over by themselves."""
    jobs = 80
    write_catalog(fragile.command.folder, jobs)
    sandbox.control(latency=0.5)
    with ExitStack() as stack:
        second = stack.enter_context(running_valkey(tmp_path / "second"))
        old, new = (stack.enter_context(redis.Redis(port=server.port)) for server in (own_valkey, second))
        new.replicaof("127.0.0.1", own_valkey.port)
        address = stack.enter_context(running_proxy(own_valkey.port))
        fleet = fragile.with_settings(RESTYLE_REDIS_URL=f"redis://127.0.0.1:{address.port}/0")
        workers = stack.enter_context(fleet.workers(2))
        run_id = fleet.submit()
        under_way(sandbox, 20)
        wait_until(lambda: new.info("replication")["master_link_status"] == "up", timeout=20, description="a replica")
        old.replicaof("127.0.0.1", second.port)
        new.replicaof("NO", "ONE")
        address.target = second.port
        done = fleet.finished(run_id, within=90)
        fleet.wait_for_workers(2)
        is_well(workers, fleet.command.folder)
    assert (done["succeeded"], done["failed"], done["in_doubt"]) == (jobs, 0, 0)
    assert (sandbox.charged, sandbox.paid_twice) == (jobs, {})
