"""Hashes by the million: how many are different, and which are there twice. Memory does not grow with their number.

They are kept by their last bits, so that equal ones lie together, and go to a file once there are many.
"""

from __future__ import annotations

import tempfile
import weakref
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import BinaryIO

#: Parts that are counted one after another, and how many hashes wait in memory for the file.
_PARTS = 64
_LAST = _PARTS - 1
_HELD = 500_000


class SpilledHashes:
    """A heap of 64-bit hashes, the interpreter's own: they mean nothing to another process."""

    def __init__(self) -> None:
        """Starts without any."""
        self._held = [array("q") for _ in range(_PARTS)]
        self._count = 0
        self._spilled: BinaryIO | None = None
        #: Of each part, where its pieces lie in the file, and how many bytes each has.
        self._pieces: list[list[tuple[int, int]]] = [[] for _ in range(_PARTS)]

    def add(self, value: int) -> None:
        """Takes one in."""
        self._held[value & _LAST].append(value)
        self._count += 1
        if self._count >= _HELD:
            self._spill()

    def add_all(self, values: Iterable[int]) -> None:
        """Takes many in."""
        held = self._held
        count = 0
        for value in values:
            held[value & _LAST].append(value)
            count += 1
        self._count += count
        if self._count >= _HELD:
            self._spill()

    def distinct(self) -> int:
        """How many different ones there are."""
        return sum(len(set(part)) for part in self._parts())

    def repeated(self, others: SpilledHashes | None = None) -> frozenset[int]:
        """Those that are there more than once, and those that are among the others too."""
        repeated: set[int] = set()
        beside = others._parts() if others else iter([array("q")] * _PARTS)  # noqa: SLF001 - of the same class
        for part, other in zip(self._parts(), beside, strict=True):
            once = set(part)
            if len(once) < len(part):
                repeated.update(value for value, times in Counter(part).items() if times > 1)
            if other:
                repeated |= once.intersection(other)
        return frozenset(repeated)

    @property
    def _file(self) -> BinaryIO:
        """A file of this process alone, which ends with the hashes."""
        if self._spilled is None:
            self._spilled = tempfile.TemporaryFile(prefix="restyle-hashes-")  # noqa: SIM115 - as long as the hashes
            weakref.finalize(self, self._spilled.close)
        return self._spilled

    def _parts(self) -> Iterator[array[int]]:
        """All hashes, those with the same last bits together."""
        for held, pieces in zip(self._held, self._pieces, strict=True):
            part = array("q", held)
            for start, length in pieces:
                self._file.seek(start)
                part.frombytes(self._file.read(length))
            yield part

    def _spill(self) -> None:
        self._file.seek(0, 2)
        for number, held in enumerate(self._held):
            self._pieces[number].append((self._file.tell(), self._file.write(held)))
            self._held[number] = array("q")
        self._count = 0
