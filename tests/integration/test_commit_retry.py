"""A paid answer on its way to S3 while S3, Redis or this worker's heartbeat are away: stored, and paid for once."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from restyle.coordination.redis.client import State
from restyle.coordination.rotation import Trouble
from restyle.coordination.runs.progress import failed
from restyle.job.parked import in_redis
from restyle.job.records import put_record
from restyle.models import Message, Run, utc_now
from tasks.image import restyle_image
from tests.support.bench import Bench, running_bench
from tests.support.proxy import Proxy, running_proxy
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3, Valkey, running_valkey
from tests.support.wait import wait_until
from workers.background.spooler import Spooler

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Valkey]:
    """A Valkey that a test may hurt."""
    with running_valkey(tmp_path / "valkey") as server:
        yield server


@pytest.fixture
def s3_proxy(s3: S3) -> Iterator[Proxy]:
    """What stands between the worker and S3."""
    with running_proxy(s3.port) as found:
        yield found


@pytest.fixture
def bench(own: Valkey, s3: S3, s3_proxy: Proxy, sandbox: SandboxServer, tmp_path: Path) -> Iterator[Bench]:
    """A worker whose heartbeat lasts half a second, and nobody to beat for it."""
    at = f"http://127.0.0.1:{s3_proxy.port}"
    with running_bench(
        s3, own.url, sandbox, local_s3_endpoint=at, heartbeat_ttl=0.5, home=str(tmp_path / "home")
    ) as found:
        yield found


def a_run(bench: Bench, name: str = "a", **asked: Any) -> tuple[Run, dict[str, Any]]:
    """A run of one job, and its message."""
    run = bench.begin(bench.plan(f"id,image\n{name},{bench.put(name)}\n", **asked))
    (message,) = bench.messages(run)
    return run, message


@contextmanager
def working(bench: Bench, message: dict[str, Any]) -> Iterator[threading.Thread]:
    """A job that is in its call; it has ended by the end."""
    bench.resources.tools.fleet.heartbeat({})
    worker = threading.Thread(target=restyle_image, args=(bench.resources, message))
    worker.start()
    yield worker
    worker.join(30)
    assert not worker.is_alive()


def how(bench: Bench, run: Run) -> list[str]:
    """How the jobs of a run ended."""
    return [outcome.error or outcome.outcome.value for _, outcome in bench.rows(run)() if outcome]


REFUSALS = {
    "full": (["CONFIG", "SET", "maxmemory", "1"], ["CONFIG", "SET", "maxmemory", "0"]),
    "no replicas": (["CONFIG", "SET", "min-replicas-to-write", "1"], ["CONFIG", "SET", "min-replicas-to-write", "0"]),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_what_neither_s3_nor_redis_takes_lies_on_disk(
    bench: Bench, own: Valkey, sandbox: SandboxServer, s3_proxy: Proxy, refusal: str
) -> None:
    """S3 is away as the answer comes, and Redis takes no write: it is on disk at once, and stored later."""
    run, message = a_run(bench)
    spool = bench.resources.tools.spool
    control = State(own.url, namespace="", account="")
    sandbox.control(latency=0.3)
    with working(bench, message):
        wait_until(lambda: sandbox.counters()["in_flight"], timeout=10, description="the call")
        s3_proxy.cut()
        control.ask(*REFUSALS[refusal][0])
        wait_until(spool.waiting, timeout=15, description="the answer on disk")
        control.ask(*REFUSALS[refusal][1])
        s3_proxy.mend()
    control.close()
    assert (how(bench, run), spool.waiting()) == (["succeeded"], [])
    assert sandbox.charged == 1


def test_what_lies_on_disk_is_handed_on(
    bench: Bench, own: Valkey, sandbox: SandboxServer, s3_proxy: Proxy, tmp_path: Path
) -> None:
    """A worker left it there; the next one parks it, and the job is done without a call. What is done needs nobody."""
    run, message = a_run(bench)
    control = State(own.url, namespace="", account="")
    sandbox.control(latency=0.3)
    with working(bench, message):
        wait_until(lambda: sandbox.counters()["in_flight"], timeout=10, description="the call")
        s3_proxy.cut()
        control.ask("CONFIG", "SET", "maxmemory", "1")
        (path,) = wait_until(bench.resources.tools.spool.waiting, timeout=15, description="the answer on disk")
        text = path.read_bytes()
        bench.resources.tools.stopping.set()
    assert path.read_bytes() == text
    s3_proxy.mend()
    control.ask("CONFIG", "SET", "maxmemory", "0")
    control.ask("DEL", bench.resources.state.key("lease", message["job_id"]))
    bench.resources.tools.stopping.clear()
    Spooler(bench.resources).hand_on()
    assert not path.exists()
    bench.work(run)
    assert (how(bench, run), sandbox.charged) == (["succeeded"], 1)
    path.write_bytes(text)
    path.chmod(0o600)
    Spooler(bench.resources).hand_on()
    assert (path.exists(), control.ask("KEYS", "*kept:*")) == (False, [])
    control.close()


@pytest.mark.parametrize("ending", [pytest.param("drain", marks=pytest.mark.long), "death"])
def test_what_lies_on_disk_alone_is_called_by_nobody(
    bench: Bench, own: Valkey, sandbox: SandboxServer, s3_proxy: Proxy, ending: str
) -> None:
    """Redis is full as the worker ends: others leave its job alone until a worker of that machine hands it on."""
    run, message = a_run(bench, budget=0.5)
    here, control = bench.resources, State(own.url, namespace="", account="")
    fleet = here.tools.fleet
    sandbox.control(latency=0.3)
    with working(bench, message):
        wait_until(lambda: sandbox.counters()["in_flight"], timeout=10, description="the call")
        s3_proxy.cut()
        control.ask("CONFIG", "SET", "maxmemory", "1")
        (path,) = wait_until(here.tools.spool.waiting, timeout=15, description="the answer on disk")
        wait_until(lambda: in_redis.spooled(here.state), timeout=5, description="the word that it lies there")
        if ending == "death":
            wait_until(lambda: fleet.workers()[fleet.worker] is None, timeout=5, description="a heartbeat run out")
            ((job_id, place),) = fleet.jobs_of(fleet.worker).items()
            assert fleet.free(fleet.worker, place, job_id)[:2] == (False, 0)
        text = path.read_bytes()
        here.tools.stopping.set()
    control.ask("CONFIG", "SET", "maxmemory", "0")
    s3_proxy.mend()
    here.tools.stopping.clear()
    assert path.read_bytes() == text
    assert in_redis.spooled(here.state) == [(run.run_id, fleet.worker)]
    bench.work(run)
    assert (how(bench, run), sandbox.charged) == ([], 1)
    assert float(here.state.ask("HGET", here.state.key("run", run.run_id), "lost")) > 0, "it counts as spent"
    job = message["job"]
    record = here.workspace.record(job["id"], job["variant"])
    here.store.put(record, b"somebody's", content_type="text/plain")  # what cannot be read counts as no record
    Spooler(here).hand_on()
    bench.work(run)
    assert (how(bench, run), sandbox.charged, in_redis.spooled(here.state)) == (["succeeded"], 1, [])
    lost, reserved = here.state.ask("HMGET", here.state.key("run", run.run_id), "lost", "reserved")
    assert (float(lost), float(reserved), control.ask("KEYS", "*spooled*")) == (0, 0, [])
    totals = here.progress.totals(run.run_id)
    assert totals is not None
    assert (totals.in_doubt, totals.attempts) == (0, 1)
    control.close()


def test_a_worker_taken_for_dead_stores_what_it_has_paid_for(bench: Bench, sandbox: SandboxServer) -> None:
    """Its job was left to a person as in doubt meanwhile: the picture is stored all the same, and found by a retry."""
    run, message = a_run(bench)
    sandbox.control(latency=1.5)
    here = bench.resources
    fleet = here.tools.fleet
    with working(bench, message):
        wait_until(lambda: sandbox.counters()["in_flight"], timeout=10, description="the call")
        wait_until(lambda: fleet.workers()[fleet.worker] is None, timeout=5, description="a heartbeat that has run out")
        ((job_id, place),) = fleet.jobs_of(fleet.worker).items()
        assert fleet.free(fleet.worker, place, job_id)[0]
        here.progress.report(fleet, Message.model_validate(message), "", failed("in_doubt", "its worker died"))
    assert how(bench, run) == ["in_doubt"]
    again, _ = a_run(bench)
    bench.work(again)
    assert (how(bench, again), sandbox.charged) == (["skipped"], 1)


def test_what_another_has_done_meanwhile_stays(bench: Bench, sandbox: SandboxServer) -> None:
    """A worker that was taken for dead comes late: a record that has come since stays, and only the cost counts."""
    first, _ = a_run(bench)
    bench.work(first)
    newer = bench.record("a").model_copy(update={"run_id": "20300101T000000Z-abcdef", "worker": "another"})
    newer = newer.model_copy(update={"timestamps": newer.timestamps.model_copy(update={"called": utc_now()})})
    run, message = a_run(bench, prompt="another")
    sandbox.control(latency=1.2)
    with working(bench, message):
        wait_until(lambda: sandbox.counters()["in_flight"], timeout=10, description="the call")
        put_record(newer, bench.resources.tools)
    assert bench.record("a") == newer
    totals = bench.resources.progress.totals(run.run_id)
    assert totals is not None
    assert (totals.pending, totals.credits, sandbox.charged) == (1, 0.02, 2)


def test_a_fault_of_ours_throws_no_picture_away(bench: Bench, sandbox: SandboxServer) -> None:
    """Whatever goes wrong as it is stored: it is set aside, and the others go on."""
    run, message = a_run(bench)
    (job,) = bench.lines(run, 0)
    strange = job.model_copy(update={"output": "no address"})
    here = bench.resources
    uri = here.workspace.shard(run.run_id, 0)
    here.store.put(uri, gzip.compress(strange.model_dump_json().encode()), content_type="application/gzip")
    with working(bench, {**message, "job": strange.model_dump(mode="json")}):
        pass
    assert how(bench, run) == ["not_stored"]
    (outcome,) = [outcome for _, outcome in bench.rows(run)() if outcome]
    assert "ValueError" in outcome.message
    assert (sandbox.charged, here.tools.fleet.suspensions(), here.tools.unsaved.is_set()) == (1, [], True)


def test_an_answer_that_is_left_to_others_keeps_its_process_from_no_call(
    bench: Bench, sandbox: SandboxServer, s3_proxy: Proxy
) -> None:
    """A worker stood aside with an answer that S3 did not take; once back, it waited for that answer for good."""
    run, message = a_run(bench)
    tools = bench.resources.tools
    sandbox.control(latency=0.5)
    with working(bench, message):
        wait_until(lambda: sandbox.counters()["in_flight"], timeout=10, description="the call")
        s3_proxy.cut()
        wait_until(lambda: not tools.unsaved.is_set(), timeout=30, description="S3 missed")
        tools.rotation.leave(Trouble("s3", "S3 is away", 0.0))
    s3_proxy.mend()
    tools.rotation.come_back()
    assert tools.unsaved.is_set()
    bench.work(run)
    assert (how(bench, run), sandbox.charged) == (["succeeded"], 1)
