"""Local inputs go to the workspace once, by content: `inputs/<sha256>.<ext>`."""

from __future__ import annotations

import hashlib
import mimetypes
import os
import posixpath
import sqlite3
import threading
from pathlib import Path

from restyle.errors import ManifestError
from restyle.keys import Workspace
from restyle.problems import Problem
from restyle.runtime import private
from restyle.runtime.scratch import close_with
from restyle.s3.store import Store

_CACHE = "hashes.sqlite"


class Hashes:
    """The sha256 of local files that a workspace has, remembered by path, size and time of change.

    Safe among threads.
    """

    def __init__(self, home: Path, workspace: Workspace, *, create: bool) -> None:
        """Opens the memory, or does without where it cannot be written, or others can have written it.

        Args:
            home: the folder that restyle keeps its state in.
            workspace: where the files were uploaded to.
            create: whether to begin one where there is none.
        """
        self._lock = threading.Lock()
        self._workspace = workspace.uri
        file = home / _CACHE
        try:
            if create:
                private.make_folder(private.resolved(home))
            self._open(_own(file, create=create))
        except (OSError, sqlite3.Error, private.NotOurs):
            self._open("")

    def _open(self, path: str) -> None:
        self._file = sqlite3.connect(path, check_same_thread=False, timeout=5, isolation_level=None)
        close_with(self, self._file)
        self._file.execute("PRAGMA journal_mode = WAL")
        self._file.execute("PRAGMA synchronous = OFF")
        self._file.execute(
            "CREATE TABLE IF NOT EXISTS hashes"
            " (workspace TEXT, path TEXT, size INTEGER, changed INTEGER, sha256 TEXT, PRIMARY KEY (workspace, path))"
        )

    def known(self, path: str) -> str | None:
        """The hash of a file that was uploaded and has not changed since.

        Raises:
            OSError: the file is not there any more.
        """
        status = Path(path).stat()
        with self._lock:
            row = self._file.execute(
                "SELECT sha256 FROM hashes WHERE workspace = ? AND path = ? AND size = ? AND changed = ?",
                (self._workspace, path, status.st_size, status.st_mtime_ns),
            ).fetchone()
        return str(row[0]) if row else None

    def keep(self, path: str, size: int, changed: int, sha256: str) -> None:
        """Remembers a file that the workspace has."""
        with self._lock:
            self._file.execute(
                "INSERT OR REPLACE INTO hashes VALUES (?, ?, ?, ?, ?)", (self._workspace, path, size, changed, sha256)
            )

    def close(self) -> None:
        """Closes the memory."""
        self._file.close()


def _own(file: Path, *, create: bool) -> str:
    """The file, once it is known to be this user's; empty where there is none."""
    private.check_folder(private.resolved(file.parent))
    try:
        os.close(private.open_file(file, os.O_RDWR | (os.O_CREAT if create else 0)))
    except FileNotFoundError:
        return ""
    return str(file)


class Uploads:
    """Carries local files to the workspace. Safe among threads."""

    def __init__(self, hashes: Hashes, store: Store, workspace: Workspace) -> None:
        """Keeps where from and where to."""
        self._hashes = hashes
        self._store = store
        self._workspace = workspace

    def uri(self, path: str, source: str, line: int) -> str:
        """Where a file lies in the workspace, once it is there.

        Raises:
            ManifestError: it cannot be read any more.
            StoreUnavailable, StoreAccessDenied: S3 does not take it.
        """
        suffix = posixpath.splitext(path)[1].lower()
        try:
            status = Path(path).stat()
            if known := self._hashes.known(path):
                uri = self._workspace.input(known, suffix)
                if self._store.head(uri) is not None:
                    return uri
            data = Path(path).read_bytes()
        except OSError as error:
            reason = f"{path}: cannot be read any more: {error.strerror}"
            raise ManifestError([Problem(source, line, "image", reason)]) from None
        sha256 = hashlib.sha256(data).hexdigest()
        uri = self._workspace.input(sha256, suffix)
        if self._store.head(uri) is None:
            kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
            self._store.put(uri, data, content_type=kind)
        self._hashes.keep(path, status.st_size, status.st_mtime_ns, sha256)
        return uri
