"""Folders and files that only this user can write: where others can, anybody may have written a file.

Each is checked before it is read or written: its owner, who else may write there, and that it is no link.
Imports nothing that costs memory: keepers live as long as the stack.
"""

from __future__ import annotations

import errno
import os
import pwd
import secrets
import stat
from pathlib import Path
from typing import BinaryIO

from restyle.errors import ConfigurationError

#: Most bytes of a file that restyle writes here.
MOST_BYTES = 1_000_000
_ELSE = "set RESTYLE_HOME to a folder of your own"


class NotOurs(ConfigurationError):
    """The path is somebody else's, writable by others, or a link."""


def resolved(path: Path) -> Path:
    """A folder's path without links; a link must be this user's or root's.

    Raises:
        NotOurs: the link is another user's.
    """
    if path.is_symlink() and (owner := path.lstat().st_uid) not in {0, os.geteuid()}:
        raise NotOurs(f"{path} is a link that {_name(owner)} has laid there: {_ELSE}")
    return path.resolve()


def check_folder(path: Path) -> None:
    """Checks that a folder, where it exists, is this user's, and that nobody else can write there.

    Raises:
        NotOurs: it is another's, or others can write there.
    """
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(status.st_mode):
        raise NotOurs(f"{path} is {_what(status)} and no folder: remove it, or {_ELSE}")
    _check_owner(path, status)
    _check_mode(path, status)


def make_folder(path: Path) -> Path:
    """Makes a folder that only this user can enter; checks it where it exists.

    Raises:
        NotOurs: it exists, and is not this user's alone.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        check_folder(path)
    return path


def open_file(path: Path, flags: int) -> int:
    """Opens a file of this user's; with O_CREAT it is made where there is none, readable by this user alone.

    Raises:
        NotOurs: it is a link, no file, somebody else's, or has a second name elsewhere.
    """
    try:
        file = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO}:
            raise NotOurs(f"{path} is a link or a pipe, and is not followed: remove it") from None
        raise
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            raise NotOurs(f"{path} is {_what(status)}, and is neither read nor written: remove it")
        _check_owner(path, status)
    except BaseException:
        os.close(file)
        raise
    return file


def open_log(path: Path) -> BinaryIO:
    """Opens a file of this user's to append to it.

    Raises:
        NotOurs: it is a link, or somebody else's.
    """
    return os.fdopen(open_file(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND), "ab")


def read(path: Path) -> str:
    """The text of a file that only this user can have written.

    Raises:
        NotOurs: somebody else can, or it is longer than any of ours.
        OSError: there is none, or it cannot be read.
    """
    with os.fdopen(open_file(path, os.O_RDONLY), "rb") as file:
        status = os.fstat(file.fileno())
        _check_mode(path, status)
        if status.st_size > MOST_BYTES:
            raise NotOurs(f"{path} is longer than anything that restyle writes there: remove it")
        return file.read(MOST_BYTES).decode(errors="replace")


def write(path: Path, text: str) -> None:
    """Writes a file whole or not at all, and replaces whatever has its name; never follows a link.

    Raises:
        OSError: the disk does not take it.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "w") as file:
            file.write(text)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _check_owner(path: Path, status: os.stat_result) -> None:
    if status.st_uid != os.geteuid():
        raise NotOurs(
            f"{path} belongs to {_name(status.st_uid)}, and this is {_name(os.geteuid())}; nothing in it is read or"
            f" written: {_ELSE}"
        )


def _check_mode(path: Path, status: os.stat_result) -> None:
    if status.st_mode & 0o022:
        raise NotOurs(
            f"others can write to {path} (its mode is {stat.S_IMODE(status.st_mode):04o}), so what is there may be"
            f" theirs: see that all of it is yours, and type chmod -R go-w {path}; or {_ELSE}"
        )


def _what(status: os.stat_result) -> str:
    if stat.S_ISLNK(status.st_mode):
        return "a link"
    return "a file" if stat.S_ISREG(status.st_mode) and status.st_nlink < 2 else "something else"


def _name(uid: int) -> str:
    try:
        return f"user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"user {uid}"
