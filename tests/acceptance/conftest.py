"""Fixtures of the acceptance tests: the real command, alone and as a fleet, and a sandbox that stands for the API."""

from __future__ import annotations

import json
import secrets
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import redis

from config.connections import open_state
from config.settings import Settings
from producers.runs.snapshot import read_run, snapshot
from restyle.coordination.claim_types import Limits
from restyle.coordination.fleet import Fleet
from restyle.coordination.redis.address import RedisAddress
from restyle.coordination.redis.client import State
from restyle.coordination.runs.progress import Progress
from restyle.errors import StateUnavailable, StoreUnavailable
from restyle.keys import Workspace
from restyle.models import RunStatus
from restyle.s3.store import EMBEDDED_BUCKET, Store
from tests.support.chosen import access_in
from tests.support.command import Command, processes_with
from tests.support.pages import Page
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3, Valkey, running_valkey
from tests.support.wait import wait_until


@dataclass(frozen=True)
class Alone:
    """`restyle` with the embedded stack, calling a sandbox as if it were the API."""

    command: Command
    folder: Path

    @property
    def bucket(self) -> Path:
        """What the embedded S3 holds."""
        return self.folder / ".restyle" / "s3" / EMBEDDED_BUCKET

    def records(self, under: str = "") -> dict[str, dict[str, Any]]:
        """Every record by its key, without suffix."""
        root = self.bucket / under / "records"
        return {
            path.relative_to(root).with_suffix("").as_posix(): json.loads(path.read_text())
            for path in root.rglob("*.json")
        }

    def outputs(self, under: str = "") -> dict[str, bytes]:
        """Every output by its key."""
        root = self.bucket / under / "outputs"
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def alone(tmp_path: Path, sandbox: SandboxServer) -> Iterator[Alone]:
    """The embedded stack in a folder of its own; whatever it left running fails the test."""
    env = {"RESTYLE_API_URL": sandbox.url, "RESTYLE_API_KEY": sandbox.api_key}
    yield Alone(Command(tmp_path, env), tmp_path)
    left = processes_with(str(tmp_path))
    Command(tmp_path, env)("stop", expect=None)
    assert not left, f"processes left behind: {left}"


@pytest.fixture
def page(request: pytest.FixtureRequest) -> Iterator[Page]:
    """The commands of the page that the test's mark names; it must ask for all of them."""
    (mark,) = request.node.iter_markers("page")
    found = Page(*mark.args)
    yield found
    assert not found.left, "the mark names sections that the test did not type"


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[Valkey]:
    """A Valkey that a test may hurt; it is reached as the shared one is, but by sentinels."""
    with running_valkey(tmp_path / "valkey", access=access_in(tmp_path / "access")) as server:
        yield server


@dataclass(frozen=True)
class FleetOf:
    """A Valkey, an S3 workspace and the settings that a fleet on them has."""

    command: Command
    store: Store
    workspace: Workspace

    @property
    def address(self) -> RedisAddress:
        """Where its Redis is."""
        env = self.command.env
        return RedisAddress(
            env["RESTYLE_REDIS_URL"],
            master=env.get("RESTYLE_REDIS_SENTINEL_MASTER", "mymaster"),
            sentinel_password=env.get("RESTYLE_REDIS_SENTINEL_PASSWORD", ""),
        )

    def with_settings(self, **settings: str) -> FleetOf:
        """The same fleet with other settings, by their names in the environment."""
        return replace(self, command=replace(self.command, env={**self.command.env, **settings}))

    def as_installed(self, programs: Path) -> FleetOf:
        """The same fleet by the restyle that is installed there."""
        return replace(self, command=replace(self.command, programs=programs))

    def submit(self, prompt: str = "photo of {id}", *options: str) -> str:
        """Submits `manifest.csv` and answers with the run's id."""
        return self.command("submit", "manifest.csv", "--prompt", prompt, "--yes", *options).out.strip()

    def status(self, run_id: str) -> dict[str, Any]:
        """A run as it stands."""
        return self.command("status", run_id, "--json").json

    @contextmanager
    def state(self) -> Iterator[State]:
        """The fleet's Redis, as this process sees it: a look takes a millisecond, and a command a second of CPU."""
        prefix = "RESTYLE_"
        given = {name.removeprefix(prefix).lower(): value for name, value in self.command.environment.items()
                 if name.startswith(prefix) and value}  # fmt: skip
        state = open_state(Settings.model_validate(given), "")
        try:
            yield state
        finally:
            state.close()

    def finished(self, run_id: str, *, within: float) -> dict[str, Any]:
        """Waits for the end of a run; the ledger adds up at every look. Answers with what `status` then tells."""
        store = self.store

        def look(state: State) -> bool:
            try:
                run = read_run(run_id, store=store, workspace=self.workspace)
                now = snapshot(
                    run, store=store, workspace=self.workspace, progress=Progress(state), fleet=Fleet(state, Limits())
                )
            except (StateUnavailable, StoreUnavailable):
                return False
            assert now.succeeded + now.skipped + now.failed + now.pending == now.planned, now
            return now.status is RunStatus.FINISHED

        with self.state() as state:
            wait_until(lambda: look(state), timeout=within, description=f"the end of {run_id}")
        return self.status(run_id)

    @contextmanager
    def worker(self, *, plain: bool = False) -> Iterator[subprocess.Popen[str]]:
        """A worker process; plain is Celery's own command."""
        argv = self.command.argv("worker")
        if plain:
            argv = [str(self.command.programs / "python"), "-m", "celery", "-A", "workers.main", "worker"]
        log = (self.command.folder / f"worker-{secrets.token_hex(3)}.log").open("w")
        process = subprocess.Popen(
            argv, cwd=self.command.folder, env=self.command.environment, text=True, stdin=subprocess.DEVNULL,
            stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            log.close()

    @contextmanager
    def workers(self, count: int) -> Iterator[list[subprocess.Popen[str]]]:
        """Several workers that have all said that they live."""
        with ExitStack() as stack:
            started = [stack.enter_context(self.worker()) for _ in range(count)]
            self.wait_for_workers(count)
            yield started

    def calling(self, pid: int | None = None) -> list[str]:
        """The jobs claimed for a call and not yet stored, of one process or of all: only these may be paid twice.

        Stop the process first, so that the answer still holds when it is killed.
        """
        state = State(self.address, namespace=self.workspace.namespace, account="")
        prefix = state.key("lease", "")
        try:
            leases = {name: state.ask("HGETALL", name) for name in state.redis.scan_iter(f"{prefix}*", 1000)}
        except (StateUnavailable, redis.ConnectionError):
            return []
        finally:
            state.close()
        return [
            name.removeprefix(prefix)
            for name, lease in leases.items()
            if lease.get("calling") and (pid is None or f"-{pid}-" in lease.get("worker", ""))
        ]

    def wait_for_workers(self, count: int) -> None:
        """Waits until so many workers live."""
        with self.state() as state:
            seen = Fleet(state, Limits())
            wait_until(
                lambda: sum(beat is not None for beat in seen.workers().values()) == count,
                timeout=30,
                description=f"{count} living workers",
            )


@pytest.fixture
def fleet(tmp_path: Path, valkey: Valkey, redis_url: str, s3: S3, sandbox: SandboxServer) -> FleetOf:
    """An external Valkey and S3, and no worker yet."""
    workspace = s3.workspace
    env = {
        **valkey.env,
        "RESTYLE_WORKSPACE": workspace.uri,
        "RESTYLE_API_URL": sandbox.url,
        "RESTYLE_API_KEY": sandbox.api_key,
        **s3.env,
    }
    return FleetOf(Command(tmp_path, env), s3.store, workspace)
