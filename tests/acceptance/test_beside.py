"""Commands of one folder beside one another: they share the stack, disturb nobody, and the last one ends it."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.acceptance.conftest import Alone
from tests.support.catalog import write_pictures, write_rows
from tests.support.command import listen_to_ctrl_c, processes_with
from tests.support.sandbox import SandboxServer
from tests.support.wait import wait_until

pytestmark = pytest.mark.acceptance


def manifest(alone: Alone, name: str, count: int) -> tuple[str, ...]:
    """A manifest of this many pictures of its own; answers with the command that runs it."""
    ids = [f"{name}-{number}" for number in range(count)]
    write_pictures(alone.folder / "images", ids)
    write_rows(alone.folder / f"{name}.csv", ({"id": each, "image": f"images/{each}.jpg"} for each in ids))
    return ("run", f"{name}.csv", "--prompt", "photo of {id}", "--yes")


def ended(process: subprocess.Popen[str], within: float = 60) -> tuple[int, str]:
    """Exit code and stderr of a command, once it has ended."""
    _, err = process.communicate(timeout=within)
    assert "Traceback" not in err, err
    return process.returncode, err


def charged(sandbox: SandboxServer, at_least: int) -> None:
    """Waits until so many calls were paid for."""
    wait_until(lambda: sandbox.charged >= at_least, timeout=60, description=f"{at_least} paid calls")


def in_flight(sandbox: SandboxServer, at_least: int = 1) -> None:
    """Waits until calls are out."""
    wait_until(lambda: sandbox.counters()["in_flight"] >= at_least, timeout=60, description="calls in flight")


def keepers(alone: Alone) -> dict[str, int]:
    """The processes that keep the groups of the stack, by group."""
    folder = alone.folder / ".restyle" / "run"
    return {path.stem: int(path.read_text()) for path in folder.glob("*.lock") if path.read_text().isdigit()}


# -- runs beside one another -------------------------------------------------------------------------------


@pytest.mark.long
def test_two_runs_share_the_stack(alone: Alone, sandbox: SandboxServer) -> None:
    """A second manifest is run beside the first; neither is suspended, and the first one's end takes nothing away."""
    sandbox.control(latency=1.5)
    first, second = manifest(alone, "first", 16), manifest(alone, "second", 12)
    with alone.command.started(*first, "--concurrency", "2") as a:
        charged(sandbox, 1)
        with alone.command.started(*second, "--concurrency", "2") as b:
            runs_of(alone, 2)
            sandbox.control(latency=0.2)
            code, err = ended(a)
            assert (code, "another run" in err) == (0, False), err
            assert b.poll() is None, "the second was to outlive the first"
            code, err = ended(b)
    assert code == 0, err
    assert "goes on beside this one" in err
    assert (sandbox.charged, sandbox.paid_twice) == (28, {})
    assert processes_with(str(alone.folder)) == []


@pytest.mark.parametrize("commands", [2, pytest.param(4, marks=pytest.mark.long)])
def test_the_same_command_at_the_same_moment(alone: Alone, sandbox: SandboxServer, commands: int) -> None:
    """One plans, the others join it, and all of them see the end of the one run."""
    sandbox.control(latency=0.3)
    words = manifest(alone, "shop", 8)
    with started(alone, *[words] * commands) as several:
        found = [ended(process, 90) for process in several]
    assert [code for code, _ in found] == [0] * commands, found
    assert sum("of this very plan" in err for _, err in found) == commands - 1, found
    assert (sandbox.charged, sandbox.paid_twice) == (8, {})
    assert len(list((alone.bucket / "runs").iterdir())) == 1
    assert processes_with(str(alone.folder)) == []


@pytest.mark.long
def test_ctrl_c_of_one_does_not_stop_the_others(alone: Alone, sandbox: SandboxServer) -> None:
    """Of two that follow one run, the first leaves and the run goes on; of two runs, only its own is suspended."""
    sandbox.control(latency=3)
    words, other = manifest(alone, "shop", 14), manifest(alone, "other", 10)
    with started(alone, words, words, other) as (a, b, c):
        runs_of(alone, 2)
        wait_until(lambda: len(driven(alone)) == 3, timeout=60, description="three commands that follow two runs")
        sandbox.control(latency=0.4)
        a.send_signal(signal.SIGINT)
        code, err = ended(a)
        assert (code, "another command follows it" in err) == (130, True), err
        b.send_signal(signal.SIGINT)
        code, err = ended(b)
        assert (code, "restyle resume" in err) == (130, True), err
        code, err = ended(c)
    assert code == 0, err
    assert sandbox.charged < 24
    (run_id,) = (run["run_id"] for run in alone.command("runs", "--json").json["runs"] if run["status"] == "suspended")
    assert alone.command("resume", run_id, "--json").json["status"] == "finished"
    assert (sandbox.charged, sandbox.paid_twice) == (24, {})


@pytest.mark.long
def test_a_detached_run_is_not_stopped_by_another(alone: Alone, sandbox: SandboxServer) -> None:
    """What --detach left going goes on beside a later command, and after its end; the stack stays until stop."""
    sandbox.control(latency=3)
    first, second = manifest(alone, "first", 16), manifest(alone, "second", 4)
    left = alone.command(*first, "--detach", "--concurrency", "2").out.strip()
    with started(alone, second) as (process,):
        runs_of(alone, 2)
        sandbox.control(latency=0.1)
        code, err = ended(process)
        assert (code, "goes on beside" in err) == (0, True), err
    done = alone.command("watch", left, "--json").out.splitlines()[-1]
    assert '"status": "finished"' in done
    assert (sandbox.charged, sandbox.paid_twice) == (20, {})
    alone.command("stop")
    assert processes_with(str(alone.folder)) == []


@pytest.mark.long
def test_the_sandbox_and_the_api_beside_one_another(alone: Alone, sandbox: SandboxServer) -> None:
    """A run with --sandbox has a worker of its own: neither waits for the other's."""
    sandbox.control(latency=0.4)
    words, played = manifest(alone, "paid", 8), manifest(alone, "played", 3)
    with started(alone, (*words, "--concurrency", "1")) as (paid,):
        charged(sandbox, 1)
        assert "3 succeeded" in alone.command(*played, "--sandbox").err
        assert ended(paid)[0] == 0
    assert sandbox.charged == 8


@pytest.mark.long
def test_a_worker_of_other_limits_is_refused(alone: Alone, sandbox: SandboxServer) -> None:
    """A command whose budget, account or rate the worker that is up would break says so, and stops nobody."""
    sandbox.control(latency=0.1)
    first, second = manifest(alone, "first", 4), manifest(alone, "second", 2)
    alone.command(*first, "--detach")
    try:
        for setting, value in (
            ("RESTYLE_DAILY_BUDGET", "0.02"),
            ("RESTYLE_API_KEY", "SG_other"),
            ("RESTYLE_MAX_RPM", "9"),
        ):
            command = type(alone.command)(alone.folder, {**alone.command.env, setting: value})
            refused = command(*second, expect=2)
            assert "restyle stop" in refused.err
            assert "SG_other" not in refused.err
        charged(sandbox, 4)
    finally:
        alone.command("stop")
    assert sandbox.charged == 4


# -- a stack that is ending --------------------------------------------------------------------------------


@pytest.mark.long
def test_a_run_again_right_after_a_kill(alone: Alone, sandbox: SandboxServer) -> None:
    """The killed command's stack stores its calls in flight first; the next one says that it waits, and goes on."""
    sandbox.control(latency=12)
    words = manifest(alone, "shop", 8)
    with alone.command.started(*words, "--concurrency", "4") as process:
        in_flight(sandbox, 4)
        process.kill()
        process.wait()
    sandbox.control(latency=0.05)
    again = alone.command(*words)
    assert "still ending" in again.err
    assert (sandbox.charged, sandbox.paid_twice) == (8, {})
    assert processes_with(str(alone.folder)) == []


@pytest.mark.long
def test_a_closed_terminal_is_sigterm(alone: Alone, sandbox: SandboxServer) -> None:
    """Calls in flight are stored and the run is suspended; typed again in a new terminal, it goes on at once."""
    sandbox.control(latency=2)
    words = manifest(alone, "shop", 8)
    with in_a_terminal(alone, *words, "--concurrency", "4") as terminal:
        terminal.wait_until(lambda: sandbox.counters()["in_flight"] == 4)
        terminal.close()
        sandbox.control(latency=0.05)
        again = alone.command(*words)
        assert terminal.code(30) == 143
    assert (sandbox.charged, sandbox.paid_twice) == (8, {})
    assert "of this very plan is" in again.err


@pytest.mark.long
def test_sighup_tells_how_to_go_on(alone: Alone, sandbox: SandboxServer) -> None:
    """It exits as at SIGTERM, with the run interrupted; nohup's wish to hear nothing of it is kept."""
    sandbox.control(latency=1)
    words = manifest(alone, "shop", 20)
    with started(alone, (*words, "--concurrency", "2")) as (process,):
        charged(sandbox, 1)
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGHUP)  # as a shell does beside the terminal
        code, err = ended(process)
    assert code == 143
    run_id = next(line.split()[-1] for line in err.splitlines() if "restyle resume" in line)
    now = alone.command("status", run_id, "--json").json
    assert (now["suspension"]["reason"], now["succeeded"]) == ("interrupted", sandbox.charged)
    nohup = subprocess.Popen(
        ["/usr/bin/nohup", *alone.command.argv(*words)], cwd=alone.folder, env=alone.command.environment, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    charged(sandbox, now["succeeded"] + 1)
    nohup.send_signal(signal.SIGHUP)
    sandbox.control(latency=0.05)
    assert ended(nohup)[0] == 0
    assert (sandbox.charged, sandbox.paid_twice) == (20, {})


# -- a stack that dies, and stop ---------------------------------------------------------------------------


@pytest.mark.long
def test_a_valkey_that_is_killed_comes_back(alone: Alone, sandbox: SandboxServer) -> None:
    """Its keeper starts it again, and the run goes on by itself."""
    sandbox.control(latency=0.4)
    words = manifest(alone, "shop", 10)
    with started(alone, (*words, "--concurrency", "2")) as (process,):
        charged(sandbox, 1)
        (pid,) = valkeys(alone)
        os.kill(pid, signal.SIGKILL)
        code, err = ended(process, 90)
    assert code == 0, err
    assert (sandbox.charged, sandbox.paid_twice) == (10, {})


@pytest.mark.long
def test_a_command_whose_stack_is_gone_ends(alone: Alone, sandbox: SandboxServer) -> None:
    """With the keepers of its servers killed, a command says so and how to go on, and the next one does."""
    sandbox.control(latency=0.4)
    words = manifest(alone, "shop", 8)
    with started(alone, (*words, "--concurrency", "2")) as (process,):
        charged(sandbox, 1)
        os.kill(keepers(alone)["valkey"], signal.SIGKILL)
        began = time.monotonic()
        code, err = ended(process)
        assert time.monotonic() - began < 30
    assert (code, "restyle resume" in err) == (69, True), err
    sandbox.control(latency=0.05)
    alone.command(*words)
    assert sandbox.charged <= 8 + 2


@pytest.mark.long
def test_stop_ends_a_run_that_is_followed(alone: Alone, sandbox: SandboxServer) -> None:
    """Typed twice at once, it lets the calls in flight end; the run is suspended, and its command says how to go on."""
    sandbox.control(latency=3)
    words = manifest(alone, "shop", 8)
    with started(alone, (*words, "--concurrency", "2")) as (process,):
        in_flight(sandbox, 2)
        with started(alone, ("stop",), ("stop",)) as stops:
            assert [ended(stop)[0] for stop in stops] == [0, 0]
        code, err = ended(process)
    assert (code, "restyle resume" in err) == (3, True), err
    assert processes_with(str(alone.folder)) == []
    assert "Nothing is running" in alone.command("stop").err
    sandbox.control(latency=0.05)
    alone.command(*words)
    assert (sandbox.charged, sandbox.paid_twice) == (8, {})


@pytest.mark.long
def test_stop_without_its_redis_and_while_starting(alone: Alone, sandbox: SandboxServer) -> None:
    """It ends what is left of a stack, and a stack that is just coming up."""
    sandbox.control(latency=0.2)
    words = manifest(alone, "shop", 30)
    alone.command(*words, "--detach")
    os.kill(keepers(alone)["valkey"], signal.SIGKILL)
    assert "Stopped" in alone.command("stop").err
    assert processes_with(str(alone.folder)) == []
    with started(alone, words) as (process,):
        wait_until(lambda: valkeys(alone), timeout=30, description="a stack that is coming up")
        alone.command("stop")
        ended(process)
    assert processes_with(str(alone.folder)) == []
    sandbox.control(latency=0.02)
    alone.command(*words)
    assert sandbox.charged <= 30 + 8


@pytest.mark.long
def test_watch_ends_where_nobody_works_on_the_run(alone: Alone, sandbox: SandboxServer) -> None:
    """A run whose command was killed moves no more: who watches it is told, and how to go on."""
    sandbox.control(latency=1)
    words = manifest(alone, "shop", 40)
    with started(alone, (*words, "--concurrency", "1")) as (process,):
        charged(sandbox, 1)
        run_id = alone.command("runs", "--json").json["runs"][0]["run_id"]
        with started(alone, ("watch", run_id)) as (watcher,):
            process.kill()
            code, err = ended(watcher, 60)
    assert code == 3
    assert f"restyle resume {run_id}" in err


# -- children ----------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_worker_that_cannot_start_is_told(alone: Alone, sandbox: SandboxServer) -> None:
    """The command ends with the end of its worker's log, and the run can go on once that is mended."""
    words = manifest(alone, "shop", 2)
    env = {**alone.command.env, "RESTYLE_C2PA_CERTIFICATE": "missing.pem", "RESTYLE_C2PA_KEY_FILE": "missing.key"}
    failed = type(alone.command)(alone.folder, env)(*words, expect=3)
    assert "missing.pem" in failed.err
    assert "restyle resume" in failed.err
    assert sandbox.calls == 0
    alone.command(*words)
    assert sandbox.charged == 2


#: Modules of ours, of Python and of libraries, by names that somebody's own files have too.
SHADOWS = (
    "apps", "celery", "config", "json", "producers", "queue", "random", "redis", "restyle", "select", "signal",
    "tasks", "typing", "workers",
)  # fmt: skip


@pytest.mark.long
def test_files_of_the_folder_shadow_no_module(alone: Alone) -> None:
    """Whatever Python files lie in the folder, the command, its keepers, its workers and its sandbox start."""
    for name in SHADOWS:
        (alone.folder / f"{name}.py").write_text("raise SystemExit('shadowed')\n")
    words = manifest(alone, "shop", 2)
    env = {**alone.command.env, "RESTYLE_PROCESSES": "2"}
    done = type(alone.command)(alone.folder, env)(*words, "--concurrency", "2", "--sandbox", "--json").json
    assert done["succeeded"] == 2


# -- what these tests share --------------------------------------------------------------------------------


@contextmanager
def started(alone: Alone, *several: tuple[str, ...]) -> Iterator[list[subprocess.Popen[str]]]:
    """Commands that are started at once."""
    with ExitStack() as stack:
        yield [stack.enter_context(alone.command.started(*words)) for words in several]


def valkeys(alone: Alone) -> list[int]:
    """The processes of its Valkey, by the folder that it works in."""
    folder, found = alone.folder / ".restyle" / "valkey", []
    for pid in processes_with(str(alone.folder)):
        with suppress(OSError):
            if Path(f"/proc/{pid}/cwd").readlink() == folder:
                found.append(pid)
    return found


def runs_of(alone: Alone, count: int) -> None:
    """Waits until so many runs are there."""
    folder = alone.bucket / "runs"
    wait_until(lambda: len(list(folder.glob("*/run.json"))) == count, timeout=60, description=f"{count} runs")


def driven(alone: Alone) -> list[int]:
    """The commands that follow a run to its end: they have its lock open."""
    found = []
    for pid in processes_with(str(alone.folder)):
        try:
            names = [str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir()]
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if any("/run/driven/" in name for name in names) and b"keeper" not in words:
            found.append(pid)
    return found


class Terminal:
    """A command in a terminal of its own, which can be closed."""

    def __init__(self, alone: Alone, *words: str) -> None:
        argv, env = alone.command.argv(*words), alone.command.environment
        self.pid, self._master = pty.fork()
        if not self.pid:
            os.chdir(alone.folder)
            listen_to_ctrl_c()
            os.execve(argv[0], argv, env)  # noqa: S606 - becomes the command
        os.set_blocking(self._master, False)

    def wait_until(self, predicate: Callable[[], bool]) -> None:
        """Waits, and reads what is shown meanwhile."""

        def look() -> bool:
            with suppress(BlockingIOError):
                while os.read(self._master, 65536):
                    pass
            return predicate()

        wait_until(look, timeout=60, description="a command in a terminal to come so far")

    def close(self) -> None:
        """Closes the window."""
        os.close(self._master)

    def code(self, within: float) -> int:
        """The exit code."""

        def look() -> tuple[int] | None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            return (os.waitstatus_to_exitcode(status),) if pid else None

        (code,) = wait_until(look, timeout=within, description="the end of a command whose terminal is closed")
        return code


@contextmanager
def in_a_terminal(alone: Alone, *words: str) -> Iterator[Terminal]:
    """A command in a terminal; it is killed if anything of it is left."""
    terminal = Terminal(alone, *words)
    try:
        yield terminal
    finally:
        with suppress(ProcessLookupError):
            os.kill(terminal.pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(terminal.pid, 0)
