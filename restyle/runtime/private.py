"""Folders and files of this user alone: where others can write, a name says nothing of who wrote what stands under it.

Each is looked at before it is believed or written to: whose it is, who else may write there, and that it is no link.
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

#: Bytes of a file beyond which it is none that restyle wrote here.
MOST_BYTES = 1_000_000
_ELSE = "set RESTYLE_HOME to a folder of your own"


class NotOurs(ConfigurationError):
    """What lies there is somebody else's, open to others, or leads elsewhere."""


def resolved(path: Path) -> Path:
    """A folder without links, as it is named by a link of this user's own or of root's.

    Raises:
        NotOurs: it is another's link.
    """
    if path.is_symlink() and (owner := path.lstat().st_uid) not in {0, os.geteuid()}:
        raise NotOurs(f"{path} is a link that {_name(owner)} has laid there: {_ELSE}")
    return path.resolve()


def check_folder(path: Path) -> None:
    """Makes sure that a folder, where there is one, is this user's, and that nobody else can write there.

    Raises:
        NotOurs: it is not.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(found.st_mode):
        raise NotOurs(f"{path} is {_what(found)} and no folder: remove it, or {_ELSE}")
    _check_owner(path, found)
    _check_mode(path, found)


def make_folder(path: Path) -> Path:
    """Makes a folder that only this user can enter, where there is none yet.

    Raises:
        NotOurs: there is one of somebody else's.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        check_folder(path)
    return path


def open_file(path: Path, flags: int) -> int:
    """Opens a file of this user's; with O_CREAT it is made where there is none, for this user's eyes alone.

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
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
            raise NotOurs(f"{path} is {_what(found)}, and is neither read nor written: remove it")
        _check_owner(path, found)
    except BaseException:
        os.close(file)
        raise
    return file


def open_log(path: Path) -> BinaryIO:
    """Opens a file of this user's to write at its end.

    Raises:
        NotOurs: it is a link, or somebody else's.
    """
    return os.fdopen(open_file(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND), "ab")


def read(path: Path) -> str:
    """A file that nobody else can have written.

    Raises:
        NotOurs: somebody else can, or it is longer than any of ours.
        OSError: there is none, or it cannot be read.
    """
    with os.fdopen(open_file(path, os.O_RDONLY), "rb") as file:
        found = os.fstat(file.fileno())
        _check_mode(path, found)
        if found.st_size > MOST_BYTES:
            raise NotOurs(f"{path} is longer than anything that restyle writes there: remove it")
        return file.read(MOST_BYTES).decode(errors="replace")


def write(path: Path, text: str) -> None:
    """Writes a file, whole or not at all, in the place of whatever has its name; never through a link.

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


def _check_owner(path: Path, found: os.stat_result) -> None:
    if found.st_uid != os.geteuid():
        raise NotOurs(
            f"{path} belongs to {_name(found.st_uid)}, and this is {_name(os.geteuid())}; nothing in it is read or"
            f" written: {_ELSE}"
        )


def _check_mode(path: Path, found: os.stat_result) -> None:
    if found.st_mode & 0o022:
        raise NotOurs(
            f"others can write to {path} (its mode is {stat.S_IMODE(found.st_mode):04o}), so what is there may be"
            f" theirs: see that all of it is yours, and type chmod -R go-w {path}; or {_ELSE}"
        )


def _what(found: os.stat_result) -> str:
    if stat.S_ISLNK(found.st_mode):
        return "a link"
    return "a file" if stat.S_ISREG(found.st_mode) and found.st_nlink < 2 else "something else"


def _name(uid: int) -> str:
    try:
        return f"user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"user {uid}"
