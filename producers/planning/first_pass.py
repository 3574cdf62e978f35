"""Pass 1 over a manifest: every bad line found, every job counted, nothing written, nothing opened."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from itertools import chain, islice
from pathlib import Path
from typing import cast

from producers.manifest import Entry, Manifest, Problems
from producers.planning.jobs.collisions import Collision, Collisions, Seen
from producers.planning.jobs.distinct import Distinct
from producers.planning.jobs.naming import OWN_FOLDERS
from producers.planning.jobs.resolve import Resolved, Resolver
from producers.planning.jobs.sampling import Sample, Spread
from producers.planning.uploads import Hashes
from producers.planning.web import WebCount
from restyle.web.address import is_web, shown

#: Jobs that are looked at before anything is queued, at least, where there are so many.
LOOKED_AT = 150


@dataclass
class Census:
    """What pass 1 found."""

    problems: Problems = field(default_factory=Problems)
    #: Places of entries that are not planned.
    rejected: set[int] = field(default_factory=set)
    #: How many of those there were when the rest was counted; -1: it was not yet.
    counted: int = -1
    #: Place and variant of the jobs of `--sample`; None is all.
    chosen: frozenset[tuple[int, str]] | None = None
    entries: int = 0
    jobs: int = 0
    #: Results that the jobs come to, as far as is known which of them are the same (jobs/distinct.py).
    distinct: int = 0
    samples: int = 0
    #: Steps of all samples, which is what the API's price goes by.
    steps: int = 0
    uploads: int = 0
    upload_bytes: int = 0
    #: Jobs that come first and wait for approval before the rest; 0: none.
    ask_after: int = 0
    #: Of ids and variants in their order: pass 2 must see the same.
    sequence: bytes = b""
    schedulers: set[str] = field(default_factory=set)
    base_models: set[str] = field(default_factory=set)
    variants: dict[str, None] = field(default_factory=dict)
    #: Ids that were asked for and that no entry has.
    unknown_ids: set[str] = field(default_factory=set)
    #: Places of entries that are left out because restyle has made them: outputs among their inputs.
    ours: set[int] = field(default_factory=set)
    #: Buckets that outputs go to, each with the first job that does.
    buckets: dict[str, Resolved] = field(default_factory=dict)
    #: Some of the jobs, evenly spread, to be looked at before anything is queued.
    spread: Sequence[Resolved] = ()
    #: The addresses of inputs on the web.
    web: WebCount = field(default_factory=WebCount)


@dataclass(frozen=True)
class Planner:
    """How entries become jobs, the same way in both passes."""

    manifest: Manifest
    resolver: Resolver
    limit: int | None = None
    sample: int | None = None
    then_ask: bool = False
    """The sample is what comes first, not all there is."""
    only_ids: frozenset[str] | None = None
    """Entries of these ids alone; None is all."""
    made_by_us: Callable[[Collection[str]], set[str]] = lambda _uris: set()
    """Which of these objects restyle has made."""
    reuse: bool = True
    """Whether jobs share pictures."""
    places: frozenset[int] | None = None
    """Of the entries that a trial takes; None is all."""

    def entries(self, problems: Problems) -> Iterator[tuple[int, Entry]]:
        """The entries with their places, up to the limit."""
        entries = self._of_manifest(problems)
        if self.only_ids is not None:
            only_ids = self.only_ids
            entries = (entry for entry in entries if entry.id in only_ids)
        numbered = enumerate(islice(entries, self.limit))
        if self.places is None:
            return numbered
        places = self.places
        return ((place, entry) for place, entry in numbered if place in places)

    def jobs(self, census: Census) -> Iterator[Resolved]:
        """The jobs to run, after the census."""
        if census.chosen is None:
            return (job for _, job in self._good(census))
        sample = (job for place, job in self._good(census) if place in census.chosen)
        rest = (job for place, job in self._good(census) if place not in census.chosen)
        return chain(sample, rest) if self.then_ask else sample

    def counted(self, census: Census) -> Iterator[Resolved]:
        """The same jobs, an entry's own in a row."""
        return (job for _, job in self._good(census)) if self.then_ask else self.jobs(census)

    def left_out(self, census: Census) -> Iterator[str]:
        """The ids of entries that are not planned because something is wrong with them."""
        return (entry.id for ordinal, entry in self.entries(Problems()) if ordinal in census.rejected)

    def _good(self, census: Census) -> Iterator[tuple[tuple[int, str], Resolved]]:
        """Every job that can be planned, with its entry's place and its variant."""
        nothing = Problems()
        for ordinal, entry in self.entries(nothing):
            if ordinal not in census.rejected:
                for job in self.resolver.jobs(entry, nothing):
                    yield (ordinal, job.variant), job

    def _of_manifest(self, problems: Problems) -> Iterator[Entry]:
        """The manifest's entries; of a listing, not what restyle itself has put there."""
        entries = self.manifest.entries(problems)
        if not self.manifest.is_listing:
            return entries
        return self._not_ours(entries, problems)

    def _not_ours(self, entries: Iterator[Entry], problems: Problems) -> Iterator[Entry]:
        ours, left_out = self._own_places, 0
        for entry in entries:
            if entry.image.startswith(ours):
                left_out += 1
            else:
                yield entry
        if left_out:
            problems.warn(f"{left_out:,} pictures are left out that lie where restyle writes")

    @cached_property
    def _own_places(self) -> tuple[str, ...]:
        """Where restyle writes: the workspace's folders, and the outputs' prefix if that is a part of the listing."""
        root = self.resolver.workspace.uri.removesuffix("/sandbox")
        ours = tuple(f"{root}/{folder}/" for folder in (*OWN_FOLDERS, "outputs"))
        outputs = f"{self.resolver.output.rstrip('/')}/"
        if not self.resolver.output or outputs.startswith(ours):
            return ours
        # Where everything lies below the prefix, the outputs go among their inputs.
        others = (entry for entry in self.manifest.entries(Problems()) if not entry.image.startswith((*ours, outputs)))
        return (*ours, outputs) if next(others, None) is not None else ours


class Tally:
    """Counts the jobs that are left to run, an entry's own in a row."""

    def __init__(self, planner: Planner, hashes: Hashes) -> None:
        self._hashes = hashes
        resolver = planner.resolver
        own = frozenset(variant.name for variant in resolver.variants if not variant.reuse)
        self._distinct = Distinct(resolver.workspace, resolver.salt, reuse=planner.reuse, own_pictures=own)
        #: What tells the input of the last entry from others.
        self._content = ""
        self._seen, self._last = Seen(), cast("Entry | None", None)
        self._summed = blake2b(digest_size=16)
        self._spread = Spread[Resolved](LOOKED_AT)
        self._census = Census()

    def add(self, job: Resolved) -> None:
        """Counts one job."""
        census, params = self._census, job.params
        census.jobs += 1
        census.samples += params.samples
        census.steps += params.samples * params.num_inference_steps
        census.variants[job.variant] = None
        census.schedulers.add(params.scheduler)
        census.base_models.add(params.base_model)
        self._summed.update(mark(job))
        self._spread.add(job)
        bucket = job.output[5 : job.output.index("/", 5)]
        if bucket not in census.buckets:
            census.buckets[bucket] = job
        if job.entry is not self._last:
            self._last = job.entry
            self._add_entry(job.entry)
        self._distinct.add(job, self._content)

    def _add_entry(self, entry: Entry) -> None:
        """Counts an entry, and its upload."""
        self._census.entries += 1
        self._content = entry.etag or entry.image
        if is_web(entry.image):
            self._census.web.add(entry.image, self._census.jobs, entry.line)
            return
        if entry.image.startswith("s3://"):
            return
        known = self._hashes.known(entry.image)
        self._content = known or entry.image
        if known is None and self._seen.is_new(entry.image):
            self._census.uploads += 1
            self._census.upload_bytes += Path(entry.image).stat().st_size

    def tell(self, census: Census) -> None:
        """Writes the counts down."""
        self._census.distinct = self._distinct.count
        for name in ("entries", "jobs", "distinct", "samples", "steps", "uploads", "upload_bytes"):
            setattr(census, name, getattr(self._census, name))
        census.variants, census.schedulers = self._census.variants, self._census.schedulers
        census.base_models, census.sequence = self._census.base_models, self._summed.digest()
        census.buckets, census.spread = self._census.buckets, self._spread.kept
        census.web = self._census.web


def take(planner: Planner, hashes: Hashes) -> Census:
    """Goes through the manifest once, and again where jobs collide or a sample is wanted.

    Raises:
        ManifestError: the manifest cannot be read on.
    """
    census = Census(unknown_ids=set(planner.only_ids or ()))
    sample = Sample(planner.sample) if planner.sample else None
    collisions, tally = Collisions(planner.resolver.workspace), Tally(planner, hashes)
    for ordinal, entry in planner.entries(census.problems):
        census.unknown_ids.discard(entry.id)
        before = census.problems.reported
        jobs = list(planner.resolver.jobs(entry, census.problems))
        if census.problems.reported > before:
            census.rejected.add(ordinal)
            continue
        for job in jobs:
            collisions.add(ordinal, entry.id, job.variant, job.places)
            if sample:
                sample.add(ordinal, entry.id, job.variant)
            else:
                tally.add(job)
        if entry.image.startswith("s3://"):
            collisions.add_input(ordinal, entry.image)
    clashes = _without_our_own(list(collisions.each()), planner, census)
    collisions.close()
    if not sample and not clashes and not census.ours:
        tally.tell(census)
        census.counted = len(census.rejected)
    census.rejected.update(collision.ordinal for collision in clashes)
    if clashes:
        _explain(clashes, planner, census.problems)
    if sample:
        census.chosen = sample.chosen(without=census.rejected)
    return census


def _without_our_own(collisions: list[Collision], planner: Planner, census: Census) -> list[Collision]:
    """The collisions but for those with an input that is our own output of a night before: that is no input."""
    in_question = {collision.first for collision in collisions if collision.kind == "input"}
    if not in_question or not planner.manifest.is_listing:
        return collisions
    images = {ordinal: entry.image for ordinal, entry in planner.entries(Problems()) if ordinal in in_question}
    made = planner.made_by_us(images.values())
    census.ours = {ordinal for ordinal, image in images.items() if image in made}
    census.rejected.update(census.ours)
    if census.ours:
        census.problems.warn(f"{len(census.ours):,} pictures are left out that restyle has made")
    return [
        one
        for one in collisions
        if one.ordinal not in census.ours and not (one.kind == "input" and one.first in census.ours)
    ]


def count(planner: Planner, census: Census, hashes: Hashes) -> None:
    """Counts what is left to run, where that was not known at the end of the first pass."""
    if census.counted == len(census.rejected):
        return
    tally = Tally(planner, hashes)
    for job in planner.counted(census):
        tally.add(job)
    tally.tell(census)
    if planner.then_ask:
        summed = blake2b(digest_size=16)
        for job in planner.jobs(census):
            summed.update(mark(job))
        census.ask_after, census.sequence = len(census.chosen or ()), summed.digest()


def mark(job: Resolved) -> bytes:
    """What a job adds to the hash of a plan's sequence."""
    return f"{job.entry.id}\0{job.variant}\n".encode()


def _explain(clashes: list[Collision], planner: Planner, problems: Problems) -> None:
    """Tells each collision by the lines of both entries, which another pass finds."""
    ordinals = {collision.ordinal for collision in clashes} | {collision.first for collision in clashes}
    entries = {ordinal: entry for ordinal, entry in planner.entries(Problems()) if ordinal in ordinals}
    for collision in clashes:
        entry, first = entries[collision.ordinal], entries[collision.first]
        other = f"line {first.line}" if first.line else shown(first.image)
        column, reason = _TOLD[collision.kind]
        if collision.ordinal == collision.first and collision.kind == "input":
            column, reason = "output", "{id} would write over its own input"
        elif collision.ordinal == collision.first:
            column, reason = "output", "its variants would all write there; end it in / for a file a variant"
        elif collision.kind == "folder" and entry.output:
            column = "output"
        problems.add(entry.source, entry.line, column, reason.format(id=entry.id, other=other))


#: How each kind of collision is told.
_TOLD = {
    "duplicate": ("id", "{id} is the id of {other} already, with the same variant"),
    "output": ("output", "{id} would write to the same place as {other}"),
    "case": ("id", "{id} differs only by case from {other}, which many file systems take for the same"),
    "output case": ("output", "{id} would write to a place that differs only by case from that of {other}"),
    "folder": ("id", "{id} has a folder in its key that is the very picture or record of {other}"),
    "input": ("output", "{id} would write over the input of {other}"),
}
