"""Pass 1 over a manifest: every bad line found, every job counted, nothing written, nothing opened."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import cast

from producers.manifest import Entry, Problems
from producers.planning.jobs.batch import Batch
from producers.planning.jobs.collisions import Collision, Collisions, Seen, Writing
from producers.planning.jobs.distinct import Distinct
from producers.planning.jobs.planner import Census, Planner
from producers.planning.jobs.resolved import Resolved
from producers.planning.jobs.sampling import Sample, Spread
from producers.planning.uploads import Hashes
from restyle.web.address import is_web, shown

#: Jobs that are looked at before anything is queued, at least, where there are so many.
LOOKED_AT = 150


class Tally:
    """Counts the jobs that are left to run, an entry's own in a row."""

    def __init__(self, planner: Planner, hashes: Hashes) -> None:
        self._hashes = hashes
        resolver = planner.resolver
        own = frozenset(variant.name for variant in resolver.variants if not variant.reuse)
        self._distinct = Distinct(resolver.salt, reuse=planner.reuse, own_pictures=own)
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

    def add_all(self, batch: Batch) -> None:
        """Counts the jobs of plain rows."""
        census, block = self._census, batch.block
        contents = [etag or image for etag, image in zip(block.etags, block.images, strict=True)]
        for column in batch.columns:
            params = column.alike.params
            census.samples += params.samples * batch.rows
            census.steps += params.samples * params.num_inference_steps * batch.rows
            census.variants[column.alike.variant] = None
            census.schedulers.add(params.scheduler)
            census.base_models.add(params.base_model)
            self._distinct.add_all(contents, column)
            bucket = column.around[0].split("/")[2]
            if bucket not in census.buckets:
                census.buckets[bucket] = batch.job(0)
        census.entries += batch.rows
        census.jobs += batch.jobs
        self._summed.update(batch.sequence())
        self._spread.add_all(batch.jobs, batch.job)

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
        self._census.distinct = self._distinct.count()
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
    for part in planner.parts(census.problems):
        if isinstance(part, Batch):
            collisions.add_all(part)
            tally.add_all(part)
            continue
        for ordinal, entry in part:
            jobs = _judged(ordinal, entry, planner, census)
            for job in jobs:
                collisions.add(entry.id, job.variant, job.places)
                if sample:
                    sample.add(ordinal, entry.id, job.variant)
                else:
                    tally.add(job)
            if jobs and entry.image.startswith("s3://"):
                collisions.add_input(entry.image)
    clashes = _without_our_own(list(collisions.each(partial(_writings, planner, census))), planner, census)
    if not sample and not clashes and not census.ours:
        tally.tell(census)
        census.counted = len(census.rejected)
    census.rejected.update(collision.ordinal for collision in clashes)
    if clashes:
        _explain(clashes, planner, census.problems)
    if sample:
        census.chosen = sample.chosen(without=census.rejected)
    return census


def _judged(ordinal: int, entry: Entry, planner: Planner, census: Census) -> Sequence[Resolved]:
    """The jobs of an entry; none where something is wrong with it."""
    census.unknown_ids.discard(entry.id)
    before = census.problems.reported
    jobs = planner.resolver.jobs(entry, census.problems)
    if census.problems.reported > before:
        census.rejected.add(ordinal)
        return ()
    return jobs


def _writings(planner: Planner, census: Census) -> Iterator[Writing]:
    """What each entry that is not rejected writes and reads, by another pass."""
    nothing = Problems()
    for ordinal, entry in planner.entries(nothing):
        if ordinal not in census.rejected:
            jobs = [(job.variant, job.places) for job in planner.resolver.jobs(entry, nothing)]
            yield ordinal, entry.id, jobs, entry.image if entry.image.startswith("s3://") else ""


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


#: How each kind of collision is reported.
_TOLD = {
    "duplicate": ("id", "{id} is the id of {other} already, with the same variant"),
    "output": ("output", "{id} would write to the same place as {other}"),
    "case": ("id", "{id} differs only by case from {other}, which many file systems take for the same"),
    "output case": ("output", "{id} would write to a place that differs only by case from that of {other}"),
    "folder": ("id", "{id} has a folder in its key that is the very picture or record of {other}"),
    "input": ("output", "{id} would write over the input of {other}"),
}
