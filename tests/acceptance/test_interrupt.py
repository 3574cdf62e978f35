"""Ctrl-C: clean at once, nothing left behind, nothing paid twice; and the way on."""

from __future__ import annotations

import signal
import subprocess
import time

import pytest

from tests.acceptance.conftest import Alone
from tests.support.catalog import write_catalog
from tests.support.command import processes_with
from tests.support.sandbox import SandboxServer
from tests.support.wait import wait_until

pytestmark = pytest.mark.acceptance

RUN = ("run", "manifest.csv", "--prompt", "photo of {id}", "--yes")


def some_calls(sandbox: SandboxServer) -> None:
    """Waits until calls have been paid for and others are out."""
    wait_until(
        lambda: sandbox.charged >= 3 and sandbox.counters()["in_flight"] > 0,
        timeout=60,
        description="a run that is under way",
    )


def ended(process: subprocess.Popen[str], within: float) -> tuple[int, str]:
    """Exit code and stderr of a command that has been told to stop."""
    _, err = process.communicate(timeout=within)
    return process.returncode, err


def test_ctrl_c_ends_cleanly_and_resume_pays_for_the_rest(alone: Alone, sandbox: SandboxServer) -> None:
    """Calls in flight end and are stored; 130; no process is left; status and report work; nothing is paid twice."""
    write_catalog(alone.folder, 40)
    sandbox.control(latency=0.5)
    with alone.command.started(*RUN) as process:
        some_calls(sandbox)
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        code, err = ended(process, 30)
        assert time.monotonic() - began < 10
    assert code == 130
    (run_id,) = [line.split()[-1] for line in err.splitlines() if "restyle resume" in line]
    assert processes_with(str(alone.folder)) == []
    charged = sandbox.charged
    assert charged < 40
    assert len(alone.records()) == charged

    now = alone.command("status", run_id, "--json").json
    assert (now["status"], now["succeeded"], now["suspension"]["reason"]) == ("suspended", charged, "interrupted")
    alone.command("report", run_id)
    alone.command("download", run_id, "copies")
    assert len(list((alone.folder / "copies").rglob("*.jpg"))) == charged
    assert sandbox.charged == charged

    sandbox.control(latency=0.02)
    again = alone.command(*RUN)
    assert f"{run_id} of this very plan is unfinished" in again.err
    assert (sandbox.charged, sandbox.paid_twice) == (40, {})
    assert alone.command("status", run_id, "--json").json["status"] == "finished"


#: Seconds that a call takes where nobody must wait for it, and within which a hurried command has left: on a busy
#: machine an end takes a while too.
A_CALL, AT_ONCE = 15, 10


@pytest.mark.long
def test_a_second_ctrl_c_leaves_at_once(alone: Alone, sandbox: SandboxServer) -> None:
    """No call is waited for, and only those that were in flight may be paid for twice."""
    write_catalog(alone.folder, 12)
    sandbox.control(latency=A_CALL)
    with alone.command.started(*RUN, "--concurrency", "4") as process:
        wait_until(lambda: sandbox.counters()["in_flight"] == 4, timeout=60, description="4 calls in flight")
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)  # a person's second Ctrl-C is one of its own
        process.send_signal(signal.SIGINT)
        code, err = ended(process, AT_ONCE)
    assert code == 130
    assert "Left at once" in err
    run_id = next(line.split()[-1] for line in err.splitlines() if "restyle resume" in line)
    assert processes_with(str(alone.folder)) == []
    assert sandbox.charged == 0, "no call was waited for"
    sandbox.control(latency=0.05)
    done = alone.command("resume", run_id, "--json").json
    assert (done["status"], done["succeeded"]) == ("finished", 12)
    wait_until(lambda: sandbox.counters()["in_flight"] == 0, timeout=60, description="abandoned calls to end")
    assert sum(count - 1 for count in sandbox.paid_twice.values()) <= 4


@pytest.mark.parametrize("after", [0.0, 0.1, 0.2, 0.4])
def test_a_sigterm_before_the_first_call(after: float, alone: Alone, sandbox: SandboxServer) -> None:
    """Wherever it comes between the plan and the run, the exit code and a message say so; the same again goes on."""
    write_catalog(alone.folder, 20)
    sandbox.control(latency=0.2)
    with alone.command.started(*RUN) as process:
        assert process.stderr is not None
        next(line for line in process.stderr if "about" in line)  # the plan's last line
        time.sleep(after)  # a moment of its own in each
        process.send_signal(signal.SIGTERM)
        code, err = ended(process, 30)
    assert code == 143
    assert "stopped with SIGTERM" in err or "To go on: restyle resume" in err
    assert processes_with(str(alone.folder)) == []
    alone.command(*RUN)
    assert (sandbox.charged, sandbox.paid_twice) == (20, {})


@pytest.mark.long
def test_kill_9_of_the_command_leaves_no_process(alone: Alone, sandbox: SandboxServer) -> None:
    """Servers and worker end by themselves when the command that started them is killed."""
    write_catalog(alone.folder, 20)
    sandbox.control(latency=0.5)
    with alone.command.started(*RUN) as process:
        some_calls(sandbox)
        process.kill()
        process.wait()
        wait_until(lambda: not processes_with(str(alone.folder)), timeout=60, description="the end of every process")
    sandbox.control(latency=0.02)
    run_id = alone.command("runs", "--json").json["runs"][0]["run_id"]
    done = alone.command("resume", run_id, "--json").json
    assert (done["succeeded"], sandbox.paid_twice) == (20, {})


@pytest.mark.long
def test_two_runs_in_two_folders_do_not_collide(alone: Alone, sandbox: SandboxServer) -> None:
    """Two embedded stacks at once, each with servers of its own."""
    folders = [alone.folder / "left", alone.folder / "right"]
    commands = [type(alone.command)(folder, alone.command.env) for folder in folders]
    for folder in folders:
        write_catalog(folder, 8)
    with commands[0].started(*RUN) as left, commands[1].started(*RUN) as right:
        assert [ended(process, 60)[0] for process in (left, right)] == [0, 0]
    assert sandbox.charged == 16
