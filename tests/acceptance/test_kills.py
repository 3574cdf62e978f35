"""Workers killed at the worst moments: nothing is paid twice but the calls in flight, and nobody lays a hand on it."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Literal

import pytest

from restyle.coordination.redis.scripts import texts
from restyle.models import utc_now
from restyle.record import Record
from tests.acceptance.conftest import FleetOf
from tests.support.catalog import write_catalog
from tests.support.command import UNHURRIED
from tests.support.proxy import Proxy, running_proxy
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3, Valkey
from tests.support.supervised import supervised
from tests.support.wait import wait_until

pytestmark = pytest.mark.acceptance


@pytest.fixture
def s3_proxy(s3: S3) -> Iterator[Proxy]:
    """What stands between the workers of a test and S3."""
    with running_proxy(s3.port) as proxy:
        yield proxy


@pytest.fixture
def redis_proxy(valkey: Valkey) -> Iterator[Proxy]:
    """What stands between the workers of a test and Valkey."""
    with running_proxy(valkey.port) as proxy:
        yield proxy


def through(fleet: FleetOf, *, s3_proxy: Proxy | None = None, redis_proxy: Proxy | None = None) -> FleetOf:
    """The fleet whose workers go through these proxies."""
    settings = {}
    if s3_proxy:
        settings["AWS_ENDPOINT_URL_S3"] = f"http://127.0.0.1:{s3_proxy.port}"
    if redis_proxy:
        settings["RESTYLE_REDIS_URL"] = f"redis://127.0.0.1:{redis_proxy.port}/0"
    return fleet.with_settings(**settings)


def kill(process: subprocess.Popen[str]) -> None:
    """Kill -9, and wait until it is gone: not a byte more comes from it."""
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.long
@pytest.mark.parametrize("options", [(), ("--overwrite", "--new-seed")], ids=["plain", "overwrite"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("folder", ["records", "results"])
def test_killed_around_the_record(
    fleet: FleetOf, sandbox: SandboxServer, s3_proxy: Proxy, folder: str, when: Literal["before", "after"],
    options: tuple[str, ...],
) -> None:  # fmt: skip
    """Between output and record, the record is written from what is there, or from the index; after it, it counts."""
    write_catalog(fleet.command.folder, 1)
    run_id = fleet.submit("photo of {id}", *options)
    put = f"PUT /{fleet.workspace.uri.removeprefix('s3://')}/{folder}/".encode()
    victims: list[subprocess.Popen[str]] = []
    s3_proxy.once(put, lambda: kill(victims[0]), when=when)
    with through(fleet, s3_proxy=s3_proxy).worker() as first:
        victims.append(first)
        wait_until(lambda: first.poll() is not None, timeout=60, description="the kill")
    with fleet.worker():
        done = fleet.finished(run_id, within=60)
    assert (done["succeeded"], done["failed"], sandbox.calls, sandbox.charged) == (1, 0, 1, 1)
    (record,) = fleet.store.list(fleet.workspace.under("records") + "/")
    assert Record.model_validate_json(fleet.store.get(record.uri).data).run_id == run_id
    assert fleet.command("audit", "--json").json["findings"] == []


STEPS: dict[str, tuple[bytes, Literal["before", "after"]]] = {
    "results before": (b"/results/000", "before"),
    "results after": (b"/results/000", "after"),
    "close before": (b"close_shard", "before"),
    "close after": (b"close_shard", "after"),
    "open before": (b"open_shard", "before"),
    "open after": (b"open_shard", "after"),
    "publish": (b"LPUSH", "before"),
    "report before": (b"PUT /report.csv", "before"),
    "run.json before": (b"PUT /run.json", "before"),
}


def script_sha(name: str) -> bytes:
    """What stands for a script in a command."""
    return hashlib.sha1(texts()[name].encode(), usedforsecurity=False).hexdigest().encode()


@pytest.mark.long
@pytest.mark.parametrize("step", STEPS)
def test_the_dispatcher_killed_between_two_steps(
    fleet: FleetOf, sandbox: SandboxServer, s3_proxy: Proxy, redis_proxy: Proxy, step: str
) -> None:
    """Whatever it was doing, the next one takes over and the run finishes, each job paid for once."""
    write_catalog(fleet.command.folder, 24)
    fleet = fleet.with_settings(RESTYLE_SHARD_JOBS="4", RESTYLE_WINDOW_JOBS="8")
    run_id = fleet.submit()
    pattern, when = STEPS[step]
    root = fleet.workspace.uri.removeprefix("s3://")
    proxy = redis_proxy
    if pattern.startswith(b"PUT"):
        proxy, pattern = s3_proxy, f"PUT /{root}/runs/{run_id}".encode() + pattern.removeprefix(b"PUT ")
    elif pattern.startswith(b"/"):
        proxy, pattern = s3_proxy, f"PUT /{root}/runs/{run_id}".encode() + pattern
    elif pattern.islower():
        pattern = script_sha(pattern.decode())
    victims: list[subprocess.Popen[str]] = []
    proxy.once(pattern, lambda: kill(victims[0]), when=when)
    with through(fleet, s3_proxy=s3_proxy, redis_proxy=redis_proxy).worker() as first:
        victims.append(first)
        wait_until(lambda: first.poll() is not None, timeout=60, description=f"the kill at {step}")
    began = time.monotonic()
    with fleet.worker():
        done = fleet.finished(run_id, within=60)
    assert time.monotonic() - began < 60
    assert (done["succeeded"], done["failed"]) == (24, 0)
    assert sandbox.charged <= 24 + 8, "jobs, and the calls in flight at the kill"
    report = fleet.store.get(fleet.workspace.run(run_id, "report.csv")).data.decode()
    assert report.count("succeeded") == 24


def outputs(fleet: FleetOf) -> int:
    """How many outputs lie in the workspace."""
    return sum(1 for _ in fleet.store.list(fleet.workspace.under("outputs") + "/"))


@pytest.mark.parametrize(
    ("jobs", "kills"), [(30, 2), *(pytest.param(*more, marks=pytest.mark.long) for more in ((60, 3), (300, 10)))]
)
def test_kill_9_at_random_moments(fleet: FleetOf, sandbox: SandboxServer, jobs: int, kills: int) -> None:
    """Supervised workers are killed again and again; the run finishes by itself, paid calls <= jobs + in flight."""
    write_catalog(fleet.command.folder, jobs)
    sandbox.control(latency=0.5)
    fleet = fleet.with_settings(RESTYLE_CONCURRENCY="2", RESTYLE_SHARD_JOBS="50", **(UNHURRIED if kills > 3 else {}))
    killed: list[tuple[datetime, list[str]]] = []
    with supervised(fleet.command, 2) as workers:
        run_id = fleet.submit()
        for number in range(kills):
            goal = sandbox.charged + jobs // (3 * kills)
            wait_until(partial(has_paid, sandbox, goal), timeout=60, description=f"work after kill {number}")
            time.sleep(random.uniform(0, 0.5))  # so that the kill comes at any moment of a call
            process = workers[number % 2].freeze()
            killed.append((utc_now(), fleet.calling(process.pid)))
            workers[number % 2].kill()
        done = fleet.finished(run_id, within=180)
    in_flight = sum(len(jobs) for _, jobs in killed)
    assert (done["succeeded"], done["failed"], done["pending"]) == (jobs, 0, 0)
    assert outputs(fleet) == jobs
    records = records_of(fleet)
    assert len(records) == jobs
    assert sandbox.charged <= jobs + in_flight
    assert sum(count - 1 for count in sandbox.paid_twice.values()) <= in_flight
    late = [records[job_id].timestamps.called - at for at, job_ids in killed for job_id in job_ids]
    assert max(late, default=timedelta()) <= timedelta(seconds=60), "recovery after each kill"
    sys.stdout.write(f"{jobs} jobs, {kills} kills, {in_flight} calls in flight at them: {sandbox.charged} paid calls, ")
    sys.stdout.write(f"recovery within {max(late, default=timedelta()).total_seconds():.1f} s\n")


def records_of(fleet: FleetOf) -> dict[str, Record]:
    """Every record of the workspace by its job's id."""
    listed = fleet.store.list(fleet.workspace.under("records") + "/")
    found = [Record.model_validate_json(fleet.store.get(entry.uri).data) for entry in listed]
    return {record.job_id: record for record in found}


def has_paid(sandbox: SandboxServer, calls: int) -> bool:
    """Whether so many calls have been billed."""
    return sandbox.charged >= calls


def test_sigterm_under_load(fleet: FleetOf, sandbox: SandboxServer) -> None:
    """A drained worker loses no call and repeats none, exits 0, and its jobs go on elsewhere at once."""
    write_catalog(fleet.command.folder, 40)
    sandbox.control(latency=0.6)
    with fleet.worker() as first:
        run_id = fleet.submit()
        wait_until(lambda: sandbox.counters()["in_flight"] >= 4, timeout=60, description="calls in flight")
        with fleet.worker():
            fleet.wait_for_workers(2)
            first.send_signal(signal.SIGTERM)
            assert first.wait(15) == 0
            done = fleet.finished(run_id, within=60)
    assert (done["succeeded"], done["failed"], done["in_doubt"]) == (40, 0, 0)
    assert (sandbox.charged, sandbox.calls, sandbox.paid_twice) == (40, 40, {})


@pytest.mark.long
def test_a_second_sigterm_leaves_at_once(fleet: FleetOf, sandbox: SandboxServer) -> None:
    """The calls in flight are counted as in doubt, called once more, and the run finishes."""
    write_catalog(fleet.command.folder, 6)
    sandbox.control(latency=30)
    fleet = fleet.with_settings(RESTYLE_CONCURRENCY="2")
    with fleet.worker() as first:
        run_id = fleet.submit()
        wait_until(lambda: sandbox.counters()["in_flight"] == 2, timeout=60, description="2 calls in flight")
        first.send_signal(signal.SIGTERM)
        wait_until(
            lambda: any(beat["draining"] for beat in fleet.command("status", "--json").json["workers"].values()),
            timeout=40,
            description="the drain",
        )
        first.send_signal(signal.SIGTERM)
        assert first.wait(10) != 0
    sandbox.control(latency=0.1)
    with fleet.worker():
        done = fleet.finished(run_id, within=60)
    assert (done["succeeded"], done["in_doubt"]) == (6, 2)
    assert [path.uri for path in fleet.store.list(fleet.workspace.run(run_id, "doubt") + "/")]
