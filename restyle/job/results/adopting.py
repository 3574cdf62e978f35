"""Outputs that a worker left without their record as it died between the two: the record is written, nothing is paid.

Whoever claims a job whose state is not certain looks here first (docs/architecture.md).
"""

from __future__ import annotations

from typing import NamedTuple

from pydantic import ValidationError

from restyle import images
from restyle.coordination.runs.progress import Ended
from restyle.errors import MalformedResponse
from restyle.fingerprint import Fingerprint
from restyle.images import Prepared
from restyle.job.context import Tools, Work
from restyle.job.lookup import find_record, unchanged
from restyle.job.outputs.form import Finished, recorded
from restyle.job.outputs.locations import SUFFIXES, place
from restyle.job.outputs.metadata import JOB
from restyle.job.outputs.ownership import places_of
from restyle.job.records import Placed, Placement, build_record, put_record
from restyle.job.results import index
from restyle.job.results.reuse import reuse, reuse_result
from restyle.keys import Workspace
from restyle.models import utc_now
from restyle.outputs import Marks
from restyle.record import RecordApi, RecordTimes
from restyle.s3.store import Head


def look_again(work: Work, fingerprint: Fingerprint, prepared: Prepared, tools: Tools) -> Ended | None:
    """Looks whether somebody finished the job meanwhile, or paid for the same result.

    That is known from its record, by outputs of a worker that died before it, or by the index.
    """
    known = find_record(work.message, tools.store, tools.workspace)
    if record := unchanged(work, known, tools):
        return reuse(work, record, tools)
    if ended := _left_behind(work, fingerprint, prepared, tools):
        return ended
    paid = index.find(work, fingerprint, tools)
    return reuse_result(work, paid, known, fingerprint, tools) if paid else None


def _left_behind(work: Work, fingerprint: Fingerprint, prepared: Prepared, tools: Tools) -> Ended | None:
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
    metadata = left[0].head.metadata
    outputs = []
    for uri, planned, _ in left:
        stored = tools.store.find(uri)
        if stored is None:
            return None  # it was removed meanwhile
        try:
            finished = Finished(stored.data, images.verify(stored.data))
        except MalformedResponse:
            return None  # it is broken since, and as good as missing
        outputs.append(Placed(recorded(uri, finished, stored.etag), planned))
    cost = float(metadata["cost"]) if metadata.get("cost") else None
    now = utc_now()
    placement = Placement(outputs, _marks_in(metadata), run_id=metadata.get("run_id", ""))
    api = RecordApi(
        url=tools.segmind.url, sandbox=work.options.sandbox, request_id=metadata.get("request_id") or None,
        cost=cost, seconds=0.0, attempts=1, in_doubt=0,
    )  # fmt: skip
    times = RecordTimes(started=work.started, called=now, answered=now, stored=now)
    record = build_record(work, fingerprint, prepared, placement, api, times, tools)
    index.enter(record, work.options, tools)
    put_record(record, tools)
    return reuse(work, record, tools)


def _marks_in(metadata: dict[str, str]) -> Marks:
    """What outputs themselves say was done to them; nothing where they are older than that."""
    try:
        return Marks.model_validate_json(metadata.get("marks") or "{}")
    except ValidationError:
        return Marks()
