"""Paid answers on this machine's disk, where neither S3 nor Redis takes them; a worker here hands them on later.

One file an answer, `$RESTYLE_HOME/spool/<job_id>.<run_id>.json`, written whole or not at all, for its owner's eyes
alone. A file is believed only where it is this user's own, no link, and closed to everybody else.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

#: Bytes that answers may take here in all, and one of them.
SPOOL_BYTES, FILE_BYTES = 1024 * 1024 * 1024, 256 * 1024 * 1024


class Spooled(NamedTuple):
    """An answer that lies here."""

    workspace: str
    run_id: str
    job_id: str
    #: Where the job's record lies once it is done.
    record: str
    #: As `parked.as_text` has it.
    text: str


class Spool:
    """The folder. Safe among threads and processes."""

    def __init__(self, folder: Path, most_bytes: int = SPOOL_BYTES) -> None:
        """Nothing is made before it is needed."""
        self.folder = folder
        self._most_bytes = most_bytes

    def put(self, answer: Spooled) -> Path:
        """Writes an answer down; where it lies.

        Raises:
            OSError: the disk does not take it, or there is no more room for answers.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._check_folder()
        text = json.dumps(answer._asdict()).encode()
        if sum(path.lstat().st_size for path in self.folder.iterdir()) + len(text) > self._most_bytes:
            raise OSError(f"{self.folder} has no more room")
        path = self.folder / f"{answer.job_id}.{answer.run_id}.json"
        draft = path.with_suffix(f".{os.getpid()}.part")
        draft.unlink(missing_ok=True)
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except OSError:
            draft.unlink(missing_ok=True)
            raise
        self._sync()
        return path

    def waiting(self) -> list[Path]:
        """The answers that lie here."""
        try:
            return sorted(path for path in self.folder.iterdir() if path.suffix == ".json")
        except OSError:
            return []

    def may_have(self, run_id: str, job_id: str) -> bool:
        """Whether an answer lies here, or nobody can tell."""
        try:
            return f"{job_id}.{run_id}.json" in {path.name for path in self.folder.iterdir()}
        except OSError:
            return True

    def hand_on(self, path: Path, take: Callable[[Spooled], bool]) -> bool:
        """Hands an answer to somebody who says whether it is safe there; then it is removed here.

        Raises:
            OSError, ValueError: it is none of ours, or cannot be read; it stays.
        """
        self._check_folder()
        try:
            file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")
        except FileNotFoundError:
            return False
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False  # another process is at it
            status = os.fstat(file.fileno())
            if status.st_nlink == 0:
                return False  # another process has done it
            _check_file(path, status)
            if not take(_read(file.read(FILE_BYTES))):
                return False
            path.unlink(missing_ok=True)
        self._sync()
        return True

    def _check_folder(self) -> None:
        status = self.folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
            raise PermissionError(f"{self.folder} is no folder of this user alone")

    def _sync(self) -> None:
        """Has the disk know of the folder's change too."""
        handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _check_file(path: Path, status: os.stat_result) -> None:
    own = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and status.st_nlink == 1
    if not own or status.st_mode & 0o077:
        raise PermissionError(f"{path} is no file of this user alone")
    if status.st_size > FILE_BYTES:
        raise ValueError(f"{path} is larger than any answer")


def _read(text: bytes) -> Spooled:
    fields = json.loads(text)
    if not isinstance(fields, dict) or not all(isinstance(fields.get(name), str) for name in Spooled._fields):
        raise ValueError("it is no answer that restyle wrote")
    return Spooled(*(fields[name] for name in Spooled._fields))
