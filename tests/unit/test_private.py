"""What is this user's alone: folders and files by their owner, their mode, and by being no link."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from apps.stack import pids
from apps.stack.home import Home
from apps.stack.locks import Lock, is_held_alone
from restyle.keys import Workspace
from restyle.runtime import private
from restyle.runtime.private import NotOurs

OTHER = 54321
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can lay down what belongs to another user")

#: What opens, reads or writes in the folder, by a file's path.
DOORS: dict[str, Callable[[Path], object]] = {
    "a lock": Lock,
    "a look at a lock": is_held_alone,
    "a log": private.open_log,
    "a read": private.read,
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("trick", ["link", "dangling link", "second name", "pipe", "folder", "another's"])
def test_what_is_no_file_of_ours_is_not_opened(door: str, trick: str, tmp_path: Path) -> None:
    """No door follows, waits, reads or writes; what a link leads to stays as it was, or is not made."""
    precious, path = tmp_path / "precious", tmp_path / "place"
    if trick != "dangling link":
        precious.write_text("precious")
    if trick.endswith("link"):
        path.symlink_to(precious)
    elif trick == "second name":
        path.hardlink_to(precious)
    elif trick == "pipe":
        os.mkfifo(path)
    elif trick == "folder":
        path.mkdir()
    elif os.geteuid() == 0:
        path.write_text("planted")
        os.chown(path, OTHER, OTHER)
    else:
        pytest.skip("only root can lay down what belongs to another user")
    with pytest.raises((NotOurs, IsADirectoryError)):
        DOORS[door](path)
    assert not precious.exists() or precious.read_text() == "precious"
    assert precious.exists() == (trick != "dangling link")


def test_what_others_can_write_is_not_read(tmp_path: Path) -> None:
    """Nor what is longer than anything of ours; what only its owner can write is."""
    path = tmp_path / "story"
    private.write(path, "{}")
    assert (private.read(path), path.stat().st_mode & 0o777) == ("{}", 0o600)
    path.chmod(0o664)
    with pytest.raises(NotOurs, match=r"mode is 0664.*chmod -R go-w"):
        private.read(path)
    path.chmod(0o600)
    os.truncate(path, private.MOST_BYTES + 1)
    with pytest.raises(NotOurs, match="longer"):
        private.read(path)


def test_a_file_is_written_in_the_place_of_a_link(tmp_path: Path) -> None:
    """What the link leads to is not touched, and no draft is left over."""
    precious, path = tmp_path / "precious", tmp_path / "valkey.conf"
    precious.write_text("precious")
    path.symlink_to(precious)
    private.write(path, "requirepass secret")
    assert (path.is_symlink(), path.read_text(), precious.read_text()) == (False, "requirepass secret", "precious")
    assert sorted(tmp_path.iterdir()) == [precious, path]


@needs_root
def test_folders_of_others_are_refused(tmp_path: Path) -> None:
    """By their owner, wherever in the folder they lie; the message has both names and a way on."""
    home = Home(tmp_path / "home", 1)
    assert home.folder("s3/bucket").stat().st_mode & 0o777 == 0o700
    os.chown(home.path / "s3", OTHER, OTHER)
    with pytest.raises(NotOurs, match=f"belongs to user {OTHER}, and this is user root.*RESTYLE_HOME"):
        home.folder("s3/bucket")


def test_a_memory_of_others_is_done_without(tmp_path: Path) -> None:
    """Which picture a path stands for nobody else may say: such a file is not opened, and none is made elsewhere."""
    from producers.planning.uploads import Hashes

    picture, home = tmp_path / "a.jpg", tmp_path / "home"
    picture.write_bytes(b"a")
    planted = Hashes(tmp_path / "planted", Workspace("s3://b/w"), create=True)
    told = picture.stat()
    planted.keep(str(picture), told.st_size, told.st_mtime_ns, "f" * 64)
    assert planted.known(str(picture)) == "f" * 64
    planted.close()
    home.mkdir(mode=0o700)
    (home / "hashes.sqlite").symlink_to(tmp_path / "planted" / "hashes.sqlite")
    (tmp_path / "planted").chmod(0o777)
    for place in (home, tmp_path / "planted"):
        hashes = Hashes(place, Workspace("s3://b/w"), create=True)
        assert hashes.known(str(picture)) is None
        hashes.close()


def test_only_the_process_that_has_the_lock_ends(tmp_path: Path) -> None:
    """By its words and the lock that it has open; one that has either alone goes on."""
    lock = tmp_path / "valkey.lock"
    holding = "import sys, time; file = sys.argv[2:] and open(sys.argv[2]); print(flush=True); time.sleep(600)"
    lock.touch()
    words = {"neither": [], "its words": ["apps.stack.keeper"], "the lock": ["else", str(lock)]}
    for what, argv in {**words, "both": ["apps.stack.keeper", str(lock)]}.items():
        with subprocess.Popen([sys.executable, "-c", holding, *argv], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            try:
                if what == "both":
                    pids.end(process.pid, "apps.stack.keeper", lock)
                    assert process.wait(10) == -15
                else:
                    with pytest.raises(NotOurs, match=f"process {process.pid}"):
                        pids.end(process.pid, "apps.stack.keeper", lock)
                    assert process.poll() is None, what
            finally:
                process.kill()
    with pytest.raises(ProcessLookupError):
        pids.end(process.pid, "apps.stack.keeper", lock)
