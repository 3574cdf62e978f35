"""The Redis users of deploy/redis/users.acl: each kind of process does its work with its own keys, and no more."""

from __future__ import annotations

import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from restyle.coordination.redis import server as redis_server
from restyle.coordination.redis.client import State
from restyle.coordination.runs.progress import Progress
from restyle.keys import Workspace
from tests.acceptance.conftest import FleetOf
from tests.acceptance.test_nightly import put, schedule
from tests.integration.test_dashboard_starts import catalog, confirmed, post
from tests.support.catalog import write_catalog
from tests.support.chosen import ROLES, write_users
from tests.support.command import Command
from tests.support.dashboard import running_dashboard
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3, Valkey, running_valkey
from tests.support.shown import Place, environment
from tests.support.wait import wait_until

pytestmark = pytest.mark.acceptance


@dataclass(frozen=True)
class Guarded:
    """A Valkey with the users of the file, and one of the test's own that may do everything."""

    server: Valkey
    passwords: dict[str, str]

    def url(self, role: str) -> str:
        """The address for a kind of process."""
        return f"redis://{role}:{self.passwords[role]}@127.0.0.1:{self.server.port}/0"

    def client(self, role: str) -> redis.Redis:
        """A bare client of this user."""
        return redis.Redis.from_url(self.url(role), decode_responses=True)

    @property
    def refused(self) -> list[str]:
        """What was refused to whom."""
        return [
            f"{entry['username']}: {entry['context']} {entry['object']}" for entry in self.client("admin").acl_log()
        ]


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    """The file as it is shipped, but for its secrets."""
    users = tmp_path / "users.acl"
    passwords = write_users(users)
    with running_valkey(tmp_path / "valkey", "--aclfile", str(users)) as server:
        yield Guarded(server, passwords)


@pytest.fixture
def fleet(tmp_path: Path, guarded: Guarded, s3: S3, sandbox: SandboxServer) -> FleetOf:
    """Commands as the submitter."""
    env = {
        "RESTYLE_REDIS_URL": guarded.url("submitter"), "RESTYLE_WORKSPACE": s3.workspace.uri,
        "RESTYLE_API_URL": sandbox.url, "RESTYLE_API_KEY": sandbox.api_key, **s3.env,
    }  # fmt: skip
    folder = tmp_path / "commands"
    folder.mkdir()
    return FleetOf(Command(folder, env), s3.store, Workspace(env["RESTYLE_WORKSPACE"]))


@pytest.mark.long
def test_a_whole_run_under_the_users(
    fleet: FleetOf, guarded: Guarded, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Submit, suspend, resume, cancel, status, a schedule, a beat and a page: nothing is refused to any of them."""
    write_catalog(fleet.command.folder, 5)
    command, images = fleet.command, fleet.workspace.under("in") + "/"
    put(fleet, images, ("x", "y"))
    schedule(command, images, cron="* * * * *", catch_up=True)
    worker = fleet.with_settings(RESTYLE_REDIS_URL=guarded.url("worker"))
    with worker.worker():
        worker.wait_for_workers(1)
        command("suspend")
        first = fleet.submit()
        command("resume")
        assert fleet.finished(first, within=90)["succeeded"] == 5
        assert command("schedules", "run", "nightly").out
        with beating(fleet.with_settings(RESTYLE_REDIS_URL=guarded.url("beat"))) as beat:
            wait_until(
                lambda: "nightly" in (guarded.client("admin").hgetall(f"{fleet.workspace.namespace}schedules:looked")),
                timeout=30, description="the beat's look",
            )  # fmt: skip
            assert beat.poll() is None
        command("runs", "--json")
        for name, value in {**command.env, "RESTYLE_REDIS_URL": guarded.url("dashboard")}.items():
            monkeypatch.setenv(name, value)
        with running_dashboard() as page, urllib.request.urlopen(f"{page.url}/runs/{first}") as answer:
            assert first in answer.read().decode()
    assert guarded.refused == []
    assert sandbox.charged == 7


def test_a_dashboard_that_acts(guarded: Guarded, s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the submitter it starts, steers, marks and fires, and nothing is refused; as the dashboard's user it looks."""
    workspace = s3.workspace
    toml = '[[schedule]]\nname = "nightly"\ncron = "15 2 * * *"\ntime_zone = "UTC"\nmanifest = "s3://shop/c.csv"\n'
    Path("restyle.toml").write_text(f'{toml}prompt = "photo"\n')
    for name, value in environment(guarded.url("submitter"), s3, workspace).items():
        monkeypatch.setenv(name, value)
    state = State(guarded.url("admin"), namespace=workspace.namespace, account="")
    with running_dashboard() as served:
        place = Place(served, s3.store, workspace, Progress(state))
        form = confirmed(post(place, {"manifest": catalog(place, 2), "prompts": "photo of {id}"}))
        assert place.ask("/new/start", form).status == 303
        path, token = f"/runs/{form['run_id']}", {"form_token": form["form_token"]}
        for act in ("suspend", "resume", "marks", "marks/withdraw", "cancel", "retry"):
            more = {"place": "0", "mark": "keep", "status": "pending"}
            answer = place.ask(f"{path}/{act}", token | more)
            assert answer.status == 303, (act, answer.text)
        for page in ("/fleet/api/suspend", "/fleet/api/resume", "/schedules/nightly/fire"):
            assert place.ask(page, token).status == 303, page
        for page in ("/", "/fleet", "/schedules", path, f"{path}/jobs"):
            assert place.ask(page).status == 200, page
    assert guarded.refused == []
    run = place.add_run()
    monkeypatch.setenv("RESTYLE_REDIS_URL", guarded.url("dashboard"))
    with running_dashboard() as served:
        place = Place(served, s3.store, workspace, Progress(state))
        path = f"/runs/{run.run_id}/suspend"
        answer = place.ask(path, {"form_token": place.ask(path).form_token})
        assert (answer.status, "deploy/redis/users.acl" in answer.text) == (403, True), answer.text
        assert place.ask(f"/runs/{run.run_id}").status == 200
    assert place.progress.suspensions(run.run_id) == []
    state.close()


@contextmanager
def beating(fleet: FleetOf) -> Iterator[subprocess.Popen[bytes]]:
    """`restyle beat` beside the test."""
    process = subprocess.Popen(
        fleet.command.argv("beat"), cwd=fleet.command.folder, env=fleet.command.environment,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


@pytest.mark.parametrize("role", ROLES)
def test_a_user_may_no_more_than_its_work(guarded: Guarded, role: str) -> None:
    """No other keys, no server's commands nor its passwords, and of what holds calls only a worker may write."""
    client = guarded.client(role)
    for words in (("FLUSHALL",), ("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "GET", "masterauth"),
                  ("KEYS", "*"), ("SET", "other", "x"),
                  ("GET", "other"), ("ACL", "LIST"), ("SHUTDOWN",), ("MONITOR",), ("DUMP", "restyle:0:x")):  # fmt: skip
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.execute_command(*words)  # type: ignore[no-untyped-call] # redis has no types here
    for key in ("restyle:0:lease:x", "restyle:0:kept:x", "restyle:0:done:x", "restyle:0:notices", "restyle:0:worker:w"):
        if role == "worker":
            client.delete(key)
            continue
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.delete(key)
    if role in ("beat", "dashboard"):
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.lpush("restyle:0:queue:jobs", "x")
    # What a start has to know of the server is told by INFO.
    state = State(guarded.url(role), namespace="restyle:0:", account="")
    assert redis_server.check(state) == ""
    state.close()
