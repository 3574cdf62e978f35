"""Tables that another process reads into a file, a JSON list a line: workbooks, Parquet, ORC.

Such a file may be made to need any amount of memory or time, or to break its library: the process may end for it. It
gets no secrets. Read by sheets.py and columnar.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from producers.manifest.cells.values import is_filled
from producers.manifest.source import RATIO, UNPACKED, Source, wrong
from restyle.runtime.environment import plain

#: Bytes of what a reader prints: names of sheets or columns, or what is wrong.
_MAX_ANSWER = 1_000_000


class Spooled:
    """Rows that were read once, to be streamed as often as they are needed."""

    def __init__(self, source: Source, reader: str, argument: str, *, first_line: int) -> None:
        """Has the file read.

        Args:
            source: the file.
            reader: the program that reads it, which prints an object that may have `error`.
            argument: what it is given beside.
            first_line: the number of the header's row.

        Raises:
            ManifestError: it cannot be read.
        """
        self.name, self.form, self.is_guarded = source.name, "", False
        self.unread: Sequence[str] = ()
        self._first_line = first_line
        descriptor, self._rows = tempfile.mkstemp(prefix="restyle-rows-")
        os.close(descriptor)
        weakref.finalize(self, Path(self._rows).unlink, missing_ok=True)
        most = max(UNPACKED, RATIO * source.path.stat().st_size)
        command = [sys.executable, "-P", reader, str(source.path), argument, self._rows, str(most)]
        try:
            self.answer: dict[str, Any] = json.loads(_answer(command))
        except ValueError:
            reason = "is damaged, or needs too much memory or time to be read: save it as CSV UTF-8 and give that"
            raise wrong(source.name, reason) from None

    def cells(self) -> Iterator[tuple[int, list[str]]]:
        """Rows that are not blank, with their numbers."""
        with Path(self._rows).open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, self._first_line):
                row: list[str] = json.loads(line)
                if any(map(is_filled, row)):
                    yield number, row

    def why_no_row(self, line: int, row: Sequence[str], width: int, image: int) -> str:  # noqa: ARG002 - of a Grid
        """Cells are what they are: no quote can be left open."""
        return ""


def _answer(command: Sequence[str]) -> bytes:
    """What a program prints; one that prints without end is ended."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=plain()) as process:
        assert process.stdout is not None
        printed = process.stdout.read(_MAX_ANSWER + 1)
        if len(printed) > _MAX_ANSWER:
            process.kill()
            return b""
    return printed
