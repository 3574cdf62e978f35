"""Outputs that a worker left without their record as it died between the two: the record is written, nothing is paid.

Whoever claims a job whose state is not certain looks here first (docs/architecture.md).
"""

from __future__ import annotations

from typing import NamedTuple

from pydantic import ValidationError

from restyle import images
from restyle.coordination.progress import Ended
from restyle.errors import MalformedResponse
from restyle.images import Prepared
from restyle.job.context import Tools, Work
from restyle.job.finishing import Finished, recorded
from restyle.job.locations import SUFFIXES, place
from restyle.job.ownership import JOB, places_of
from restyle.job.results import find_record, put_record, skipped, succeeded, unchanged
from restyle.keys import Workspace
from restyle.models import Fingerprint, Record, RecordApi, RecordInput, RecordPrepared, RecordTimes, utc_now
from restyle.outputs import Marks
from restyle.s3.store import Head


def look_again(work: Work, fingerprint: Fingerprint, prepared: Prepared, tools: Tools) -> Ended | None:
    """Looks whether somebody finished the job meanwhile: its record, or outputs of a worker that died before it."""
    known = find_record(work.message, tools.store, tools.workspace)
    if ended := unchanged(work, known, tools):
        return ended
    for aside in (None, tools.workspace):
        for content_type in SUFFIXES:
            first = _left(work, 0, content_type, aside, fingerprint, tools)
            if first is None:
                continue
            if work.options.overwrite and first.head.metadata.get("run_id", "") != work.message.run_id:
                continue
            samples = range(_received(first.head))
            left = [one for n in samples if (one := _left(work, n, content_type, aside, fingerprint, tools))]
            # Where a sample is missing, its worker died in between, and the call is made again.
            return _adopt(work, fingerprint, prepared, left, tools) if len(left) == len(samples) else None
    return None


class Left(NamedTuple):
    """An output without a record."""

    uri: str
    planned: str
    """Where it was planned to go."""
    head: Head


def _left(
    work: Work, sample: int, content_type: str, aside: Workspace | None, fingerprint: Fingerprint, tools: Tools
) -> Left | None:
    """This job's sample of this very fingerprint: where it was planned, or beside what is somebody else's."""
    job_id = work.message.job_id
    planned = place(work.message.job, sample, content_type, aside)
    for uri in places_of(planned, job_id):
        head = tools.store.head(uri)
        if head is None:
            return None  # nothing is in the way that it would have been put beside
        if head.metadata.get("fingerprint") == fingerprint.token and head.metadata.get(JOB, job_id) == job_id:
            return Left(uri, planned, head)
    return None


def _received(first: Head) -> int:
    return int(first.metadata.get("received", "1"))


def _adopt(work: Work, fingerprint: Fingerprint, prepared: Prepared, left: list[Left], tools: Tools) -> Ended | None:
    """Writes the record that is missing for outputs that are there."""
    job, metadata = work.message.job, left[0].head.metadata
    outputs = []
    for uri, _, _ in left:
        stored = tools.store.find(uri)
        if stored is None:
            return None  # it was removed meanwhile
        try:
            outputs.append(recorded(uri, Finished(stored.data, images.verify(stored.data))))
        except MalformedResponse:
            return None  # it is broken since, and as good as missing
    cost = float(metadata["cost"]) if metadata.get("cost") else None
    now = utc_now()
    record = Record(
        job_id=work.message.job_id,
        run_id=metadata.get("run_id") or work.message.run_id,
        id=job.id,
        variant=job.variant,
        fingerprint=fingerprint,
        input=RecordInput(
            uri=job.image, etag=fingerprint.etag, sha256=fingerprint.sha256, bytes=prepared.source_bytes,
            width=prepared.source_width, height=prepared.source_height,
        ),
        prepared=RecordPrepared(width=prepared.width, height=prepared.height, steps=prepared.steps),
        params=job.params,
        outputs=tuple(outputs),
        beside=tuple(one.planned for one in left if one.uri != one.planned),
        samples_expected=job.params.samples,
        samples_received=len(outputs),
        api=RecordApi(
            url=tools.segmind.url, sandbox=work.options.sandbox, request_id=metadata.get("request_id") or None,
            cost=cost, seconds=0.0, attempts=1, in_doubt=0,
        ),
        marks=_marks_in(metadata),
        metadata=job.meta,
        timestamps=RecordTimes(started=work.started, called=now, answered=now, stored=now),
        worker=tools.fleet.worker,
        version=tools.version,
    )  # fmt: skip
    put_record(record, tools)
    return succeeded(record, tools) if record.run_id == work.message.run_id else skipped(work, record, tools)


def _marks_in(metadata: dict[str, str]) -> Marks:
    """What outputs themselves say was done to them; nothing where they are older than that."""
    try:
        return Marks.model_validate_json(metadata.get("marks") or "{}")
    except ValidationError:
        return Marks()
