"""A `$RESTYLE_HOME` that somebody else has laid there is neither read nor written, nor ends a process of his choice."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from restyle.coordination.redis.client import State
from tests.support.command import Command
from tests.support.servers import Valkey
from tests.support.wait import wait_until

pytestmark = pytest.mark.acceptance

#: Somebody else; only root can give a file to him.
OTHER = 54321
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can lay down what belongs to another user")


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """`restyle` in a folder that others may write to."""
    return Command(tmp_path, {})


def laid(command: Command, story: dict[str, object] | None = None) -> Path:
    """A folder as a running stack has it, with the story of a Valkey."""
    run = command.folder / ".restyle" / "run"
    run.mkdir(parents=True)
    run.parent.chmod(0o700)
    run.chmod(0o700)
    if story is not None:
        (run / "valkey.json").write_text(json.dumps(story))
    return run


def give_away(folder: Path) -> None:
    """Gives a folder and all that is in it to somebody else."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, OTHER, OTHER, follow_symlinks=False)


@contextmanager
def held(lock: Path) -> Iterator[None]:
    """A lock that somebody holds alone, as a keeper does."""
    with lock.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def bystander(*words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of this user's that has nothing to do with restyle."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", *words])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def heard(valkey: Valkey) -> int:
    """How many connections a Valkey has had."""
    state = State(valkey.url, namespace="", account="")
    try:
        return int(str(state.ask("INFO", "stats")["total_connections_received"]))
    finally:
        state.close()


@needs_root
def test_a_folder_of_another_user_is_left_alone(command: Command, valkey: Valkey) -> None:
    """No command connects to the servers that it names, writes there, or ends what it names."""
    with bystander() as process:
        run = laid(command, {"redis_url": valkey.url, "host": "here", "pid": process.pid})
        (run / "valkey.lock").write_text(str(process.pid))
        give_away(command.folder / ".restyle")
        before, names = heard(valkey), sorted(run.parent.rglob("*"))
        with held(run / "valkey.lock"):
            for words in (("runs",), ("stop",)):
                refused = command(*words, expect=2)
                assert f"belongs to user {OTHER}" in refused.err
                assert "RESTYLE_HOME" in refused.err
        assert process.poll() is None
        assert heard(valkey) == before + 1
        assert sorted(run.parent.rglob("*")) == names


@pytest.mark.long
@pytest.mark.parametrize("open_one", [".restyle", ".restyle/run"])
def test_a_folder_that_others_write_to_is_left_alone(command: Command, open_one: str) -> None:
    """Whose story lies there nobody can tell; the sentence says how to close it."""
    laid(command)
    (command.folder / open_one).chmod(0o777)
    assert f"chmod -R go-w {command.folder / open_one}" in command("stop", expect=2).err
    (command.folder / open_one).chmod(0o700)
    assert "Nothing is running" in command("stop").err


@pytest.mark.long
@needs_root
def test_a_link_of_another_user_is_not_followed(command: Command) -> None:
    """Where the folder's own name is his link, nothing is made behind it."""
    own = command.folder / "own"
    own.mkdir(mode=0o700)
    (command.folder / ".restyle").symlink_to(own)
    os.chown(command.folder / ".restyle", OTHER, OTHER, follow_symlinks=False)
    assert f"user {OTHER} has laid there" in command("runs", expect=2).err
    assert list(own.iterdir()) == []
    os.chown(command.folder / ".restyle", os.geteuid(), -1, follow_symlinks=False)
    assert "Nothing is running" in command("stop").err


@pytest.mark.parametrize(
    "name",
    ["logs/valkey.log", *(pytest.param(each, marks=pytest.mark.long) for each in ("valkey", "run/valkey.users"))],
)
def test_a_planted_link_is_not_written_through(command: Command, name: str) -> None:
    """Wherever in the folder it lies, as in one that came out of an archive: what it leads to stays as it was."""
    precious, elsewhere = command.folder / "precious", command.folder / "elsewhere"
    precious.write_text("precious")
    elsewhere.mkdir(mode=0o700)
    laid(command)
    link = command.folder / ".restyle" / name
    link.parent.mkdir(mode=0o700, exist_ok=True)
    link.symlink_to(precious if "." in name else elsewhere)
    refused = command("runs", expect=2)
    assert str(link) in refused.err
    assert precious.read_text() == "precious"
    assert list(elsewhere.iterdir()) == []


@pytest.mark.long
def test_a_draft_that_lies_there_is_not_written_through(command: Command) -> None:
    """The file with the password of Valkey is written under a name that nobody knows before."""
    precious = command.folder / "precious"
    precious.write_text("precious")
    run = laid(command)
    for name in ("valkey.new", "valkey.conf", "valkey.json", "s3.new"):
        (run / name).symlink_to(precious)
    assert "No runs yet" in command("runs").out
    assert precious.read_text() == "precious"


@pytest.mark.long
def test_no_process_ends_that_is_no_keeper_of_the_folder(command: Command) -> None:
    """A story with somebody's pid ends nobody, though the process bears a keeper's words; the sentence says which."""
    with bystander("-m", "apps.stack.keeper") as process:
        run = laid(command, {"redis_url": "redis://127.0.0.1:1/0", "host": "here", "pid": process.pid})
        (run / "valkey.lock").write_text(str(process.pid))
        with held(run / "valkey.lock"):
            began = time.monotonic()
            refused = command("stop", expect=2, timeout=20)
            assert f"process {process.pid}" in refused.err
            assert time.monotonic() - began < 20
        wait_until(lambda: process.poll() is None, timeout=1, description="a process that lives")
        assert command("stop").code == 0
