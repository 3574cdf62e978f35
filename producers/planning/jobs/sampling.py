"""Some of many: `--sample N`, spread over variants and folders, the same ones each time; and a few to look at."""

from __future__ import annotations

import heapq
import posixpath
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from hashlib import blake2b
from typing import Generic, TypeVar

#: Folders beyond this many share a place, which bounds memory.
_MOST_FOLDERS = 1000


T = TypeVar("T")


class Spread(Generic[T]):
    """Sees everything once and keeps some of it, evenly spread, in its order."""

    def __init__(self, size: int) -> None:
        """Starts without any.

        Args:
            size: how many are kept at least, of so many or more.
        """
        self._size = size
        self._every, self._seen = 1, 0
        self.kept: list[T] = []

    def add_all(self, count: int, item: Callable[[int], T]) -> None:
        """Notes the next so many, of which those are made that are kept."""
        end = self._seen + count
        place = -(-self._seen // self._every) * self._every
        while place < end:
            kept = item(place - end + count)
            self._seen = place
            self.add(kept)
            place = -(-self._seen // self._every) * self._every
        self._seen = end

    def add(self, item: T) -> None:
        """Notes the next one."""
        if self._seen % self._every == 0:
            self.kept.append(item)
            if len(self.kept) == 2 * self._size:
                self.kept, self._every = self.kept[::2], 2 * self._every
        self._seen += 1


class Sample:
    """Sees every job once and keeps a few of each variant and folder."""

    def __init__(self, size: int) -> None:
        """Starts without any.

        Args:
            size: how many jobs are wanted.
        """
        self._size = size
        #: variant -> folder -> the jobs of the lowest hashes, hash and place negated for the heap.
        self._kept: dict[str, dict[int, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))

    def add(self, ordinal: int, entry_id: str, variant: str) -> None:
        """Notes a job by the place of its entry."""
        folder = _hash(posixpath.dirname(entry_id)) % _MOST_FOLDERS
        kept = self._kept[variant][folder]
        # Negated both, as the heap drops the lowest: of entries that turn out to be one, the first is kept.
        item = (-_hash(f"{entry_id}\0{variant}"), -ordinal)
        if len(kept) < self._size:
            heapq.heappush(kept, item)
        elif item > kept[0]:
            heapq.heapreplace(kept, item)

    def chosen(self, *, without: Collection[int] = ()) -> frozenset[tuple[int, str]]:
        """Entry's place and variant of each job taken, none of the entries at some places."""
        step = -(-self._size // max(1, len(self._kept)))
        turns = [
            (variant, _round(folders, number * step)) for number, (variant, folders) in enumerate(self._kept.items())
        ]
        taken: list[tuple[int, str]] = []
        while turns and len(taken) < self._size:
            still = []
            for variant, jobs in turns:
                ordinal = next((ordinal for ordinal in jobs if ordinal not in without), None)
                if ordinal is not None and len(taken) < self._size:
                    taken.append((ordinal, variant))
                    still.append((variant, jobs))
            turns = still
        return frozenset(taken)


def _round(folders: dict[int, list[tuple[int, int]]], shift: int) -> Iterator[int]:
    """The jobs of a variant, a folder after another; each variant begins where the one before it ends."""
    order = sorted(folders)
    shift %= len(order)
    queues = [sorted(folders[folder], reverse=True) for folder in (*order[shift:], *order[:shift])]
    # Within the same folder each variant takes another entry first, so that a small sample shows many.
    for depth in range(max(map(len, queues))):
        for queue in queues:
            if depth < len(queue):
                yield -queue[depth][1]


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest())
