"""Which of a run's jobs its page shows: all of them up to a bound, beyond it a fair sample of the entries.

It takes two passes over the rows, so that an entry is shown with all its variants or not at all: `Choice` learns which
entries there is room for, `Gallery` then takes their jobs. Neither grows with the run.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass

from restyle.models import Job, Outcome, OutcomeKind

#: How many pictures one page shows, and how many entries with failures or suspects beyond those.
PICTURES = 1000
FAILURES = 100
#: Pictures beside those of jobs that were known to be done as the run was planned: an earlier page has shown them.
UNCHANGED = 50

#: What makes rows one entry.
EntryKey = tuple[str, str]


def entry_key(job: Job) -> EntryKey:
    """The entry that the job is of."""
    return job.id, job.image


@dataclass(frozen=True)
class Shot:
    """One job on the page."""

    job: Job
    outcome: Outcome
    line: str
    """Its line of report.csv, from which marks are written."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """The URIs of its pictures; none where it failed."""
        return self.outcome.outputs

    @property
    def kind(self) -> str:
        """How it ended."""
        return self.outcome.outcome.value

    @property
    def seed(self) -> int:
        """The seed that made the picture: as the API gave it, else as it was requested."""
        return self.job.params.seed if self.outcome.seed is None else self.outcome.seed


class Choice:
    """Chooses the entries by the hash of their names: evenly over the run, and the same ones each time."""

    def __init__(self, pictures: int = PICTURES, failures: int = FAILURES, unchanged: int = UNCHANGED) -> None:
        self._room = pictures
        self._unchanged = Choice(unchanged, 0, 0) if unchanged else None
        self._failures = failures
        self._taken = 0
        self._sizes: dict[EntryKey, int] = {}
        self._last: list[tuple[int, EntryKey]] = []
        self._below: int | None = None
        self._failing: dict[EntryKey, None] = {}
        self._suspect: dict[EntryKey, None] = {}

    def add(self, job: Job, outcome: Outcome | None) -> None:
        """Takes a row into account."""
        if outcome is None:
            return
        if self._unchanged and outcome.outcome is OutcomeKind.SKIPPED and not outcome.worker:
            self._unchanged.add(job, outcome)
            return
        key = entry_key(job)
        if outcome.outcome is OutcomeKind.FAILED and len(self._failing) < self._failures:
            self._failing[key] = None
        if outcome.suspect and len(self._suspect) < self._failures:
            self._suspect[key] = None
        rank = int.from_bytes(hashlib.blake2b(repr(key).encode(), digest_size=8).digest())
        if self._below is not None and rank >= self._below:
            return
        if key not in self._sizes:
            self._sizes[key] = 0
            heapq.heappush(self._last, (-rank, key))
        pictures = max(1, len(outcome.outputs))
        self._sizes[key] += pictures
        self._taken += pictures
        while self._taken > self._room and len(self._sizes) > 1:
            last, gone = heapq.heappop(self._last)
            self._taken -= self._sizes.pop(gone)
            self._below = -last  # nothing of this rank or beyond is taken again

    @property
    def is_sample(self) -> bool:
        """Whether there was not room for everything."""
        return self._below is not None or (self._unchanged is not None and self._unchanged.is_sample)

    @property
    def entries(self) -> frozenset[EntryKey]:
        """The entries to show."""
        unchanged = self._unchanged.entries if self._unchanged else ()
        return frozenset((*self._sizes, *self._failing, *self._suspect, *unchanged))


class Gallery:
    """The jobs that the page shows, grouped by entry: those with a suspect first, else in the plan's order."""

    def __init__(
        self,
        chosen: Container[EntryKey],
        *,
        is_sample: bool = False,
        in_s3: Callable[[Job], Job] = lambda job: job,
    ) -> None:
        self._chosen = chosen
        self._in_s3 = in_s3
        self._entries: dict[EntryKey, list[Shot]] = {}
        self.is_sample = is_sample
        #: Pictures that are missing because they were rejected, by their s3:// URIs.
        self.withdrawn: Container[str] = ()
        #: What people call variants, where that is not their names: of a trial.
        self.titles: Mapping[str, str] = {}
        #: The header of report.csv.
        self.header = ""

    def add(self, job: Job, outcome: Outcome | None, line: str) -> None:
        """Takes the row in where its entry is shown."""
        key = entry_key(job)
        if outcome is not None and key in self._chosen:
            self._entries.setdefault(key, []).append(Shot(self._in_s3(job), outcome, line))

    @property
    def entries(self) -> list[list[Shot]]:
        """The jobs, one list an entry."""
        return sorted(self._entries.values(), key=lambda shots: not any(shot.outcome.suspect for shot in shots))

    @property
    def shots(self) -> Iterator[Shot]:
        """The jobs in the order of the page."""
        return (shot for shots in self.entries for shot in shots)

    @property
    def uris(self) -> list[str]:
        """Every picture that the page shows, once each."""
        listed = (uri for shots in self._entries.values() for uri in _pictures(shots))
        return list(dict.fromkeys(uri for uri in listed if uri))


def _pictures(shots: list[Shot]) -> Iterator[str]:
    yield shots[0].job.image
    for shot in shots:
        yield from shot.outputs
