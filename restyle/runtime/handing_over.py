"""How a process that reads a file for another hands over its rows: bounded, since the file may be made to fill a disk.

Imports nothing that costs memory. Used by the readers of producers/manifest/tables/.
"""

from __future__ import annotations

import errno
import json
import resource
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

#: Characters that a row may have, its cells together.
MAX_ROW = 1_000_000


class TooMuch(Exception):
    """Rows that are none of a manifest; what it says names the row."""


def bound(*, memory: int, seconds: int, most: int) -> None:
    """Bounds this process from now on, where the system lets it.

    Args:
        memory: bytes of its address space.
        seconds: of its CPU.
        most: bytes of each file that it writes.
    """
    limits = ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, seconds), (resource.RLIMIT_FSIZE, most))
    for which, limit in limits:
        with suppress(ValueError, OSError):
            resource.setrlimit(which, (limit, limit))


def write_rows(path: str, rows: Iterable[Sequence[str]], *, first: int, most: int) -> None:
    """Writes rows to a file, a JSON list a line, each without the empty cells at its end.

    Args:
        path: the file.
        rows: their cells.
        first: the number of the first one.
        most: bytes that all of it may have.

    Raises:
        TooMuch: a row, or all of them, have more than is read.
        OSError: the file cannot be written.
    """
    number, left = first, most
    try:
        with Path(path).open("wb") as lines:
            for number, row in enumerate(rows, first):
                if (length := sum(map(len, row))) > MAX_ROW:
                    raise TooMuch(f"row {number:,} has {length:,} characters; at most {MAX_ROW:,} are read")
                line = _line(row)
                left -= len(line)
                if left < 0:
                    raise TooMuch(_unpacks(number, most))
                lines.write(line)
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise TooMuch(_unpacks(number, most)) from None
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise TooMuch(f"takes more room than {Path(path).parent} has left: free some, or set TMPDIR") from None
        raise


def _line(row: Sequence[str]) -> bytes:
    cells = list(row)
    while cells and not cells[-1]:
        cells.pop()
    return json.dumps(cells, ensure_ascii=False).encode(errors="replace") + b"\n"


def _unpacks(number: int, most: int) -> str:
    return f"unpacks to more than {most // 1_000_000:,} MB by row {number:,}, which no table of its size does"
