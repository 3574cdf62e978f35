"""The first pass over a manifest: finds every bad line and counts every job. It writes nothing and opens no picture."""

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
from producers.planning.jobs.planner import FirstPass, Planner
from producers.planning.jobs.resolved import Resolved
from producers.planning.jobs.sampling import Sample, Spread
from producers.planning.uploads import Hashes
from restyle.web.address import is_web, shown

#: Jobs that are compared with S3 before anything is queued: at least so many, where the plan has them.
LOOKED_AT = 150


class JobCounts:
    """Counts the jobs that are left to run. All jobs of an entry must follow one another."""

    def __init__(self, planner: Planner, hashes: Hashes) -> None:
        self._hashes = hashes
        resolver = planner.resolver
        own = frozenset(variant.name for variant in resolver.variants if not variant.reuse)
        self._distinct = Distinct(resolver.salt, reuse=planner.reuse, own_pictures=own)
        #: What identifies the input of the last entry: its ETag or hash, else its address.
        self._content = ""
        self._seen, self._last = Seen(), cast("Entry | None", None)
        self._summed = blake2b(digest_size=16)
        self._spread = Spread[Resolved](LOOKED_AT)
        self._counts = FirstPass()

    def add(self, job: Resolved) -> None:
        """Counts one job."""
        counts, params = self._counts, job.params
        counts.jobs += 1
        counts.samples += params.samples
        counts.steps += params.samples * params.num_inference_steps
        counts.variants[job.variant] = None
        counts.schedulers.add(params.scheduler)
        counts.base_models.add(params.base_model)
        self._summed.update(mark(job))
        self._spread.add(job)
        bucket = job.output[5 : job.output.index("/", 5)]
        if bucket not in counts.buckets:
            counts.buckets[bucket] = job
        if job.entry is not self._last:
            self._last = job.entry
            self._add_entry(job.entry)
        self._distinct.add(job, self._content)

    def add_all(self, batch: Batch) -> None:
        """Counts the jobs of a batch of plain rows."""
        counts, block = self._counts, batch.block
        contents = [etag or image for etag, image in zip(block.etags, block.images, strict=True)]
        for column in batch.columns:
            params = column.alike.params
            counts.samples += params.samples * batch.rows
            counts.steps += params.samples * params.num_inference_steps * batch.rows
            counts.variants[column.alike.variant] = None
            counts.schedulers.add(params.scheduler)
            counts.base_models.add(params.base_model)
            self._distinct.add_all(contents, column)
            bucket = column.around[0].split("/")[2]
            if bucket not in counts.buckets:
                counts.buckets[bucket] = batch.job(0)
        counts.entries += batch.rows
        counts.jobs += batch.jobs
        self._summed.update(batch.sequence())
        self._spread.add_all(batch.jobs, batch.job)

    def _add_entry(self, entry: Entry) -> None:
        """Counts an entry, and the upload of its picture where that is due."""
        self._counts.entries += 1
        self._content = entry.etag or entry.image
        if is_web(entry.image):
            self._counts.web.add(entry.image, self._counts.jobs, entry.line)
            return
        if entry.image.startswith("s3://"):
            return
        known = self._hashes.known(entry.image)
        self._content = known or entry.image
        if known is None and self._seen.is_new(entry.image):
            self._counts.uploads += 1
            self._counts.upload_bytes += Path(entry.image).stat().st_size

    def write_to(self, first_pass: FirstPass) -> None:
        """Copies the counts to the result of the first pass."""
        self._counts.distinct = self._distinct.count()
        for name in ("entries", "jobs", "distinct", "samples", "steps", "uploads", "upload_bytes"):
            setattr(first_pass, name, getattr(self._counts, name))
        first_pass.variants, first_pass.schedulers = self._counts.variants, self._counts.schedulers
        first_pass.base_models, first_pass.sequence = self._counts.base_models, self._summed.digest()
        first_pass.buckets, first_pass.spread = self._counts.buckets, self._spread.kept
        first_pass.web = self._counts.web


def run_first_pass(planner: Planner, hashes: Hashes) -> FirstPass:
    """Reads the manifest once, and once more where jobs collide or a sample is to be drawn.

    Raises:
        ManifestError: the manifest cannot be read to its end.
    """
    first_pass = FirstPass(unknown_ids=set(planner.only_ids or ()))
    sample = Sample(planner.sample) if planner.sample else None
    collisions, counts = Collisions(planner.resolver.workspace), JobCounts(planner, hashes)
    for part in planner.parts(first_pass.problems):
        if isinstance(part, Batch):
            collisions.add_all(part)
            counts.add_all(part)
            continue
        for ordinal, entry in part:
            jobs = _jobs_of(ordinal, entry, planner, first_pass)
            for job in jobs:
                collisions.add(entry.id, job.variant, job.places)
                if sample:
                    sample.add(ordinal, entry.id, job.variant)
                else:
                    counts.add(job)
            if jobs and entry.image.startswith("s3://"):
                collisions.add_input(entry.image)
    clashes = _without_own_outputs(list(collisions.each(partial(_writings, planner, first_pass))), planner, first_pass)
    if not sample and not clashes and not first_pass.ours:
        counts.write_to(first_pass)
        first_pass.counted = len(first_pass.rejected)
    first_pass.rejected.update(collision.ordinal for collision in clashes)
    if clashes:
        _explain(clashes, planner, first_pass.problems)
    if sample:
        first_pass.chosen = sample.chosen(without=first_pass.rejected)
    return first_pass


def _jobs_of(ordinal: int, entry: Entry, planner: Planner, first_pass: FirstPass) -> Sequence[Resolved]:
    """The jobs of an entry; none where the entry has a problem, which is reported."""
    first_pass.unknown_ids.discard(entry.id)
    before = first_pass.problems.reported
    jobs = planner.resolver.jobs(entry, first_pass.problems)
    if first_pass.problems.reported > before:
        first_pass.rejected.add(ordinal)
        return ()
    return jobs


def _writings(planner: Planner, first_pass: FirstPass) -> Iterator[Writing]:
    """What each entry that is not rejected reads and writes. Reads the manifest once more."""
    nothing = Problems()
    for ordinal, entry in planner.entries(nothing):
        if ordinal not in first_pass.rejected:
            jobs = [(job.variant, job.places) for job in planner.resolver.jobs(entry, nothing)]
            yield ordinal, entry.id, jobs, entry.image if entry.image.startswith("s3://") else ""


def _without_own_outputs(collisions: list[Collision], planner: Planner, first_pass: FirstPass) -> list[Collision]:
    """The collisions without those whose input is an output of an earlier run: such a picture is no input."""
    in_question = {collision.first for collision in collisions if collision.kind == "input"}
    if not in_question or not planner.manifest.is_listing:
        return collisions
    images = {ordinal: entry.image for ordinal, entry in planner.entries(Problems()) if ordinal in in_question}
    made = planner.made_by_us(images.values())
    first_pass.ours = {ordinal for ordinal, image in images.items() if image in made}
    first_pass.rejected.update(first_pass.ours)
    if first_pass.ours:
        first_pass.problems.warn(f"{len(first_pass.ours):,} pictures are left out, since restyle has made them")
    return [
        one
        for one in collisions
        if one.ordinal not in first_pass.ours and not (one.kind == "input" and one.first in first_pass.ours)
    ]


def count_jobs(planner: Planner, first_pass: FirstPass, hashes: Hashes) -> None:
    """Counts the jobs that are left to run, where the first pass could not know them."""
    if first_pass.counted == len(first_pass.rejected):
        return
    counts = JobCounts(planner, hashes)
    for job in planner.counted(first_pass):
        counts.add(job)
    counts.write_to(first_pass)
    if planner.then_ask:
        summed = blake2b(digest_size=16)
        for job in planner.jobs(first_pass):
            summed.update(mark(job))
        first_pass.ask_after, first_pass.sequence = len(first_pass.chosen or ()), summed.digest()


def mark(job: Resolved) -> bytes:
    """What a job adds to the hash of a plan's sequence."""
    return f"{job.entry.id}\0{job.variant}\n".encode()


def _explain(clashes: list[Collision], planner: Planner, problems: Problems) -> None:
    """Reports each collision by the lines of both entries. Reads the manifest once more to find them."""
    ordinals = {collision.ordinal for collision in clashes} | {collision.first for collision in clashes}
    entries = {ordinal: entry for ordinal, entry in planner.entries(Problems()) if ordinal in ordinals}
    for collision in clashes:
        entry, first = entries[collision.ordinal], entries[collision.first]
        other = f"line {first.line}" if first.line else shown(first.image)
        column, reason = _REASONS[collision.kind]
        if collision.ordinal == collision.first and collision.kind == "input":
            column, reason = "output", "{id} would write over its own input"
        elif collision.ordinal == collision.first:
            column, reason = "output", "all its variants would write there; end it with / for one file per variant"
        elif collision.kind == "folder" and entry.output:
            column = "output"
        problems.add(entry.source, entry.line, column, reason.format(id=entry.id, other=other))


#: How each kind of collision is reported.
_REASONS = {
    "duplicate": ("id", "{id} is the id of {other} already, with the same variant"),
    "output": ("output", "{id} would write to the same place as {other}"),
    "case": ("id", "{id} differs only by case from {other}, which many file systems take for the same"),
    "output case": ("output", "{id} would write to a place that differs only by case from that of {other}"),
    "folder": ("id", "{id} needs a folder whose key is the picture or record of {other}"),
    "input": ("output", "{id} would write over the input of {other}"),
}
