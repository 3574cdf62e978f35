"""A fleet on an external Valkey and S3: workers of both kinds, that come and go, and numbers that agree."""

from __future__ import annotations

import csv
import io
import json
import signal
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.acceptance.conftest import FleetOf
from tests.support.catalog import write_catalog
from tests.support.certificates import write_localhost
from tests.support.sandbox import SandboxServer
from tests.support.tls import tls_before
from tests.support.wait import wait_until

pytestmark = pytest.mark.acceptance

COUNTS = ("planned", "succeeded", "skipped", "failed", "pending", "attempts", "in_doubt")


@pytest.mark.long
def test_workers_come_and_go_and_every_view_agrees(fleet: FleetOf, sandbox: SandboxServer) -> None:
    """Submit prints a run id; one of two workers leaves and another comes; status, watch and report say the same."""
    ids = write_catalog(fleet.command.folder, 60)
    sandbox.control(latency=0.3)
    sandbox.script(400, prompt_contains=ids[0])
    with fleet.worker() as first, fleet.worker(plain=True):
        fleet.wait_for_workers(2)
        run_id = fleet.command("submit", "manifest.csv", "--prompt", "photo of {id}", "--yes").out.strip()
        wait_until(lambda: sandbox.charged >= 5, timeout=40, description="the first calls")
        first.send_signal(signal.SIGTERM)
        assert first.wait(20) == 0
        with fleet.worker(plain=True):
            lines = fleet.command("watch", run_id, "--json", expect=1).out.splitlines()
        last = json.loads(lines[-1])
        now = fleet.command("status", run_id, "--json").json
        report = json.loads(fleet.store.get(fleet.workspace.run(run_id, "report.json")).data)
    assert [now[name] for name in COUNTS] == [last[name] for name in COUNTS] == [report[name] for name in COUNTS]
    assert (now["status"], now["succeeded"], now["failed"], now["pending"]) == ("finished", 59, 1, 0)
    rows = list(csv.DictReader(io.StringIO(fleet.store.get(fleet.workspace.run(run_id, "report.csv")).data.decode())))
    assert [row["id"] for row in rows] == ids
    assert sum(row["outcome"] == "succeeded" for row in rows) == 59
    assert (sandbox.charged, sandbox.paid_twice) == (59, {})
    assert [run["run_id"] for run in fleet.command("runs", "--json").json["runs"]] == [run_id]
    assert "59 succeeded" in fleet.command("status", run_id).out


@pytest.mark.long
def test_a_run_without_workers_waits_for_one(fleet: FleetOf, sandbox: SandboxServer) -> None:
    """What was submitted before any worker started is done by the first one; cancel ends what is left."""
    write_catalog(fleet.command.folder, 10)
    run_id = fleet.command("submit", "manifest.csv", "--prompt", "photo of {id}", "--yes").out.strip()
    with fleet.worker():
        fleet.command("watch", run_id)
    assert sandbox.charged == 10
    later = fleet.command(
        "submit", "manifest.csv", "--prompt", "drawing of {id}", "--yes", "--json"
    ).json["run_id"]  # fmt: skip
    assert fleet.command("cancel", later, "--json").json["status"] == "cancelled"
    fleet.command("status", later, "--exit-code", expect=5)


@pytest.mark.long
def test_redis_is_reached_over_tls(fleet: FleetOf, redis_url: str, sandbox: SandboxServer, tmp_path: Path) -> None:
    """As hosted ones are: commands, both kinds of workers and Celery trust the certificate named in the address."""
    write_catalog(fleet.command.folder, 10)
    certificate, key = write_localhost(tmp_path)
    place = urlsplit(redis_url)
    with tls_before(place.port or 0, certificate, key) as port:
        address = f"rediss://localhost:{port}{place.path}"
        stranger = fleet.with_settings(RESTYLE_REDIS_URL=address).command("status", expect=None)
        secure = fleet.with_settings(RESTYLE_REDIS_URL=f"{address}?ssl_ca_certs={certificate}")
        with secure.worker(), secure.worker(plain=True):
            secure.wait_for_workers(2)
            done = secure.finished(secure.submit(), within=60)
    assert stranger.code != 0
    assert "certificate verify failed" in stranger.err
    assert (done["succeeded"], sandbox.charged) == (10, 10)


def test_doctor_knows_what_is_wrong(fleet: FleetOf, sandbox: SandboxServer) -> None:
    """Redis, S3, key and clock are checked without spending; a wrong one is named with what to do."""
    assert fleet.command("doctor").code == 0
    broken = {**fleet.command.env, "RESTYLE_REDIS_URL": "redis://127.0.0.1:1/0"}
    done = type(fleet.command)(fleet.command.folder, broken)("doctor", expect=None)
    assert done.code != 0
    assert "Redis" in done.out + done.err
    assert sandbox.charged == 0


def test_config_masks_secrets(fleet: FleetOf, sandbox: SandboxServer) -> None:
    """`config` prints each value with its source, and no secret."""
    shown = fleet.command("config").out
    assert "environment" in shown
    assert sandbox.api_key not in shown
