"""The record of a job: built in one place, and written last. From then on the job is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from restyle.fingerprint import Fingerprint
from restyle.images import Prepared
from restyle.job.context import Tools, Work
from restyle.outputs import Marks
from restyle.record import Record, RecordApi, RecordInput, RecordOutput, RecordPrepared, RecordTimes

JSON = "application/json"


class Placed(NamedTuple):
    """An output that was put."""

    output: RecordOutput
    planned: str
    """Where it was planned to go."""


@dataclass(frozen=True)
class Placement:
    """The outputs of a job as they lie in S3, and what was done to them."""

    outputs: Sequence[Placed]
    marks: Marks
    replaced: Sequence[str] = ()
    """The copies of what they replaced."""
    run_id: str = ""
    """The run that put them, where it is not the job's own."""


def build_record(
    work: Work,
    fingerprint: Fingerprint,
    prepared: Prepared,
    placement: Placement,
    api: RecordApi,
    times: RecordTimes,
    tools: Tools,
) -> Record:
    """The record of a job's outputs; of the prepared picture the bytes are not needed."""
    job = work.message.job
    return Record(
        job_id=work.message.job_id,
        run_id=placement.run_id or work.message.run_id,
        id=job.id,
        variant=job.variant,
        fingerprint=fingerprint,
        input=RecordInput(
            uri=job.image, etag=fingerprint.etag, sha256=fingerprint.sha256, bytes=prepared.source_bytes,
            width=prepared.source_width, height=prepared.source_height, address=work.address,
        ),
        prepared=RecordPrepared(width=prepared.width, height=prepared.height, steps=prepared.steps),
        params=job.params,
        outputs=tuple(one.output for one in placement.outputs),
        beside=tuple(one.planned for one in placement.outputs if one.output.uri != one.planned),
        samples_expected=job.params.samples,
        samples_received=len(placement.outputs),
        api=api,
        marks=placement.marks,
        replaced=tuple(placement.replaced),
        metadata=job.meta,
        timestamps=times,
        worker=tools.fleet.worker,
        version=tools.version,
    )  # fmt: skip


def put_record(record: Record, tools: Tools) -> None:
    """Writes the record: from here on the job is done."""
    text = record.as_json().encode()
    record.lies_as(tools.store.put(tools.workspace.record(record.id, record.variant), text, content_type=JSON))
