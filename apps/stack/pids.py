"""Ends processes by their ids, safely: a file with an id may be anybody's, and the system gives ids out again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from restyle.runtime.private import NotOurs


def end(pid: int, module: str, lock: Path) -> None:
    """Sends SIGTERM to a process, if it is this user's, runs this module of ours, and has the lock open.

    Raises:
        ProcessLookupError: there is no such process.
        NotOurs: it is another kind of process.
    """
    if sys.platform != "linux":
        _check_words(pid, module, lock)
        os.kill(pid, signal.SIGTERM)
        return
    handle = os.pidfd_open(pid)  # stays bound to this process, even where its id is given out again
    try:
        if not _is_it(pid, module, lock):
            raise _not_it(pid, lock)
        signal.pidfd_send_signal(handle, signal.SIGTERM)
    finally:
        os.close(handle)


def _is_it(pid: int, module: str, lock: Path) -> bool:
    """Whether a process runs the module and has the lock open; False for another user's, which cannot be inspected."""
    folder = Path("/proc") / str(pid)
    try:
        if folder.stat().st_uid != os.geteuid() or module.encode() not in (folder / "cmdline").read_bytes().split(
            b"\0"
        ):
            return False
        held = lock.stat()
        return any(os.path.samestat(file.stat(), held) for file in (folder / "fd").iterdir() if file.exists())
    except PermissionError:
        return False
    except FileNotFoundError:
        raise ProcessLookupError(pid) from None


def _check_words(pid: int, module: str, lock: Path) -> None:
    """The same where there is no /proc: by its user and command line, from `ps`."""
    listing = subprocess.run(
        ["/bin/ps", "-o", "uid=,command=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    owner, _, words = listing.stdout.strip().partition(" ")
    if not words:
        raise ProcessLookupError(pid)
    if owner != str(os.geteuid()) or module not in words.split():
        raise _not_it(pid, lock)


def _not_it(pid: int, lock: Path) -> NotOurs:
    return NotOurs(
        f"{lock} names process {pid}, which keeps no part of this stack, and is left alone: somebody else holds this"
        f" file; see who has it open (lsof {lock}), or set RESTYLE_HOME to a folder of your own"
    )
