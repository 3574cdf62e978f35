"""One workspace, two Redis: the second is told who holds it, and each job is paid for once."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.conftest import FleetOf
from tests.support.catalog import write_catalog
from tests.support.clock import Clock
from tests.support.command import Command, processes_with
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3, running_valkey
from tests.support.wait import wait_until

pytestmark = pytest.mark.acceptance

RUN = ("run", "manifest.csv", "--prompt", "photo of {id}", "--yes", "--json")


@dataclass(frozen=True)
class People:
    """Two people with an embedded stack each, and one workspace in S3."""

    anna: Command
    ben: Command


@contextmanager
def two_people(folder: Path, s3: S3, sandbox: SandboxServer, jobs: int, seconds: int) -> Iterator[People]:
    """Both with the same manifest in a folder of their own."""
    env = {
        "RESTYLE_WORKSPACE": s3.workspace.uri.replace("restyle-local", "shop"),
        "RESTYLE_API_URL": sandbox.url,
        "RESTYLE_API_KEY": sandbox.api_key,
        "RESTYLE_HOLDER_SECONDS": str(seconds),
        **s3.env,
    }
    commands = []
    for name in ("anna", "ben"):
        (folder / name).mkdir()
        write_catalog(folder / name, jobs)
        commands.append(Command(folder / name, env))
    yield People(*commands)
    for command in commands:
        command("stop", expect=None)


@pytest.mark.long
@pytest.mark.parametrize(
    ("jobs", "apart", "seconds"),
    [(24, 0, 9), (80, 0, 45), (120, 4, 45)],
)
def test_two_people_run_one_manifest(
    tmp_path: Path, s3: S3, sandbox: SandboxServer, jobs: int, apart: float, seconds: int
) -> None:
    """Started together or 4 s apart: one does all of it, the other is told who does, and nothing is paid for twice."""
    sandbox.control(latency=1.5)
    with two_people(tmp_path, s3, sandbox, jobs, seconds) as people, ExitStack() as stack:
        first = stack.enter_context(people.anna.started(*RUN))
        Clock(apart).wait()
        second = stack.enter_context(people.ben.started(*RUN))
        ended = [process.communicate(timeout=90) for process in (first, second)]
        codes = [first.returncode, second.returncode]
        assert sorted(codes) == [0, 3], ended
        refused = ended[codes.index(3)][1]
        assert "is held by" in refused
        assert "Nothing was spent" in refused
        assert (sandbox.charged, sandbox.paid_twice) == (jobs, {})
        # The clean end of the first has left the workspace free: no wait.
        again = people.ben(*RUN)
    assert "is held by" not in again.err
    assert again.json["skipped"] == jobs
    assert (sandbox.charged, sandbox.paid_twice) == (jobs, {})


@pytest.mark.long
@pytest.mark.parametrize("jobs", [40, 80])
def test_two_fleets_with_a_redis_each(fleet: FleetOf, tmp_path: Path, sandbox: SandboxServer, jobs: int) -> None:
    """Both are given the same manifest: one works, the other's command is refused, and goes on once that is done."""
    write_catalog(fleet.command.folder, jobs)
    sandbox.control(latency=2)
    with running_valkey(tmp_path / "other") as valkey:
        fleet = fleet.with_settings(RESTYLE_HOLDER_SECONDS="9", RESTYLE_CONCURRENCY="4")
        other = fleet.with_settings(RESTYLE_REDIS_URL=valkey.url)
        address = fleet.command.env["RESTYLE_REDIS_URL"].split("//")[1]
        with fleet.worker(), other.worker():
            fleet.wait_for_workers(1)
            run_id = fleet.submit()
            submit = ("submit", "manifest.csv", "--prompt", "photo of {id}", "--yes")
            refused = other.command(*submit, expect=3)
            assert f"(Redis {address}, " in refused.err
            assert "is held by" in refused.err
            assert "Nothing was spent" in refused.err
            assert "is held by" in other.command("cancel", run_id, expect=3).err
            doctor = other.command("doctor", "--json", expect=3).json["checks"]
            assert [check for check in doctor if not check["ok"] and "is held by" in check["detail"]], doctor
            held = other.command("status", "--json").json["holder"]
            assert (held["here"], held["redis"], held["state"]) == (False, address, "holder")
            done = fleet.finished(run_id, within=90)
            assert (done["succeeded"], sandbox.charged, sandbox.paid_twice) == (jobs, jobs, {})
            wait_until(
                lambda: other.command("status", "--json").json["holder"] is None, timeout=30, description="its leaving"
            )
            assert "is free" in other.command("status").out
            again = other.command(*submit, "--new").out.strip()
            assert other.finished(again, within=60)["skipped"] == jobs
    assert (sandbox.charged, sandbox.paid_twice) == (jobs, {})


def kill_all(process: subprocess.Popen[str], folder: Path) -> None:
    """Kill -9 of a command and of its whole stack, as when its machine loses power."""
    process.kill()
    for pid in processes_with(str(folder)):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.long
@pytest.mark.parametrize("seconds", [9, 45])
def test_a_killed_holder_is_followed(tmp_path: Path, s3: S3, sandbox: SandboxServer, seconds: int) -> None:
    """The same run typed by somebody else goes on; only what was called and not stored at the kill may repeat.

    The workspace is taken over after 45 s. The 15 s in which a Redis that is new to it waits for workers that know of
    claims go by meanwhile.
    """
    sandbox.control(latency=1.0)
    with two_people(tmp_path, s3, sandbox, 40, seconds) as people:
        anna, ben = people.anna, people.ben
        with anna.started(*RUN) as first:
            wait_until(lambda: sandbox.charged >= 8, timeout=60, description="work")
            kill_all(first, anna.folder)
        killed, stored = sandbox.counters(), len(records(s3, anna))
        with ben.started(*RUN) as second:
            wait_until(lambda: sandbox.calls > killed["calls"], timeout=60, description="the next call")
            out, err = second.communicate(timeout=90)
        assert second.returncode == 0, err
    assert "is held by" in err
    assert '"succeeded": 40' in out
    assert sandbox.charged <= 40 + killed["calls"] - stored, "jobs, and what was paid for and not stored at the kill"


def records(s3: S3, command: Command) -> list[Path]:
    """The records in a command's workspace, as its server's folder has them; other tests leave theirs beside it."""
    place = command.env["RESTYLE_WORKSPACE"].removeprefix("s3://")
    return list((s3.folder / place).rglob("records/**/*.json"))


def signal_all(process: subprocess.Popen[str], folder: Path, number: int) -> None:
    """A signal to a command and to its whole stack, as when its machine goes to sleep, or wakes."""
    for pid in {process.pid, *processes_with(str(folder))}:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


@pytest.mark.long
def test_a_laptop_that_slept_does_not_fight(tmp_path: Path, s3: S3, sandbox: SandboxServer) -> None:
    """Somebody else has gone on meanwhile: the sleeper begins no further call, says who, and exits 3."""
    sandbox.control(latency=1.0)
    with two_people(tmp_path, s3, sandbox, 60, 9) as people, people.anna.started(*RUN) as first:
        wait_until(lambda: sandbox.charged >= 8, timeout=60, description="work")
        signal_all(first, people.anna.folder, signal.SIGSTOP)
        with people.ben.started(*RUN) as second:
            before = sandbox.calls
            wait_until(lambda: sandbox.calls > before, timeout=60, description="the next call")
            signal_all(first, people.anna.folder, signal.SIGCONT)
            out, err = first.communicate(timeout=60)
            assert first.returncode == 3, err
            assert "Suspended (workspace_held)" in err
            assert "is held by" in err
            assert '"reason": "workspace_held"' in out
            done, err = second.communicate(timeout=120)
            assert second.returncode == 0, err
    assert '"pending": 0' in done
    assert sandbox.charged <= 60 + 8, "jobs, and the calls in flight when the lid was closed"


def on_a_terminal(command: Command, answer: str, *args: str) -> str:
    """What a command says to somebody who answers its question."""
    keyboard, terminal = pty.openpty()
    process = subprocess.Popen(
        command.argv(*args), cwd=command.folder, env=command.environment, stdin=terminal, stderr=terminal,
        stdout=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    os.close(terminal)
    text = ""
    with suppress(OSError):  # the end of the terminal
        while data := os.read(keyboard, 4096):
            text += data.decode()
            if "[y/N]" in text and answer:
                os.write(keyboard, answer.encode())
                answer = ""
    os.close(keyboard)
    assert process.wait(30) == 2
    return " ".join(text.split())


@pytest.mark.long
def test_a_take_over_pays_for_nothing_twice(tmp_path: Path, s3: S3, sandbox: SandboxServer) -> None:
    """The holder that is asked to stop lets its calls end first; its command exits 3 and says who asked."""
    sandbox.control(latency=1.0)
    with two_people(tmp_path, s3, sandbox, 160, 9) as people, people.anna.started(*RUN) as first:
        wait_until(lambda: sandbox.charged >= 8, timeout=60, description="work")
        (run,) = people.ben("runs", "--json").json["runs"]
        told = on_a_terminal(people.ben, "n\n", "resume", run["run_id"], "--take-over")
        assert "What runs there stops" in told
        assert "Take it over?" in told
        assert "stopped before anything was changed" in told
        taken = people.ben("resume", run["run_id"], "--take-over", "--json")
        _, err = first.communicate(timeout=60)
    assert first.returncode == 3, err
    assert "has taken" in err
    assert "asked to stop" in taken.err
    assert (taken.json["status"], taken.json["pending"], taken.json["failed"]) == ("finished", 0, 0)
    assert (sandbox.charged, sandbox.paid_twice) == (160, {})


@pytest.mark.long
def test_a_command_that_was_killed_leaves_the_workspace(tmp_path: Path, s3: S3, sandbox: SandboxServer) -> None:
    """Kill -9 of `run` alone: its stack stores what is in flight and leaves; the next one need not wait for silence."""
    sandbox.control(latency=1.0)
    with two_people(tmp_path, s3, sandbox, 40, 45) as people:
        with people.anna.started(*RUN) as first:
            wait_until(lambda: sandbox.charged >= 8, timeout=60, description="work")
            first.kill()
            wait_until(
                lambda: not processes_with(str(people.anna.folder)), timeout=40, description="the end of its stack"
            )
        again = people.ben(*RUN)
    assert "is held by" not in again.err
    assert again.json["pending"] == 0
    assert (sandbox.charged, sandbox.paid_twice) == (40, {})


@pytest.mark.long
def test_a_home_of_another_machine(tmp_path: Path, s3: S3, sandbox: SandboxServer) -> None:
    """A RESTYLE_HOME on a shared disk whose stack runs elsewhere: the command says so, and waits for nothing."""
    with two_people(tmp_path, s3, sandbox, 20, 45) as people:
        sandbox.control(latency=2.0)
        people.anna("run", "manifest.csv", "--prompt", "photo of {id}", "--yes", "--detach")
        found = people.anna.folder / ".restyle" / "run" / "valkey.json"
        told = json.loads(found.read_text())
        elsewhere = {**told, "host": "other-machine", "redis_url": "redis://127.0.0.1:1/0"}
        found.write_text(json.dumps(elsewhere))
        refused = people.anna("status", expect=2)
        assert "is in use on other-machine" in refused.err
        assert "RESTYLE_HOME" in refused.err
        found.write_text(json.dumps(told))
