"""The standard streams of a command, as whoever starts it leaves them: closed, of any encoding, on a full disk."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

#: Where a file takes no more: a full disk, a quota, a limit of the process.
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class _Lossy(io.FileIO):
    """A file that loses what its disk has no room for."""

    def write(self, data: ReadableBuffer, /) -> int:
        """Writes, or not."""
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in FULL:
                raise
            return memoryview(data).nbytes


def prepare() -> None:
    """Has all three streams there, in UTF-8 but on a terminal, and messages be lost rather than what a command does."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            _open(number, name)
    messages = sys.stderr
    if messages is sys.__stderr__ and messages is not None and not messages.isatty():
        lossy = io.BufferedWriter(_Lossy(2, "w", closefd=False))
        sys.stderr = io.TextIOWrapper(lossy, line_buffering=True)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a letter that a terminal lacks is escaped
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="backslashreplace")


def _open(number: int, name: str) -> None:
    """A stream to nowhere in the place of a closed one: what is opened next would get its number, and its words."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    if nowhere != number:
        os.dup2(nowhere, number)
        os.close(nowhere)
    setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))  # noqa: SIM115 - of the process


def forget_output() -> None:
    """Drops what was not written to stdout, so that the end of the process does not fail for it once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
