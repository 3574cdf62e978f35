"""Storing a paid answer: outputs first, the record last. The record is the commit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from restyle.fingerprint import Fingerprint
from restyle.images import Picture, Prepared
from restyle.job.context import Called, Tools, Work
from restyle.job.outputs.form import finisher, recorded
from restyle.job.outputs.locations import place
from restyle.job.outputs.metadata import SHA256, metadata_of
from restyle.job.outputs.ownership import Owner
from restyle.job.outputs.replacing import Replacing
from restyle.job.records import Placed, Placement, build_record, put_record
from restyle.job.results import index
from restyle.models import Job, utc_now
from restyle.record import Record, RecordApi, RecordTimes
from restyle.s3.store import Stored


@dataclass(frozen=True)
class Made:
    """A paid and verified answer with all that its record tells."""

    work: Work
    known: Record | None
    source: Stored
    fingerprint: Fingerprint
    prepared: Prepared
    called: Called
    pictures: Sequence[Picture]
    suspect: tuple[str, ...] = ()
    """Why they look wrong; empty: they do not."""

    @property
    def job(self) -> Job:
        """The job it was made for."""
        return self.work.message.job


def store(made: Made, tools: Tools) -> Record:
    """Outputs first, then their entry in the index, the record last; what stood there before is set aside first."""
    placement = put_outputs(made, tools)
    work, answer, claim = made.work, made.called.answer, made.called.claim
    api = RecordApi(
        url=tools.segmind.url, sandbox=answer.sandbox, request_id=answer.request_id, cost=answer.cost,
        remaining_credits=answer.remaining_credits, seconds=round(answer.seconds, 3),
        attempts=claim.calls + 1, in_doubt=claim.doubts,
    )  # fmt: skip
    times = RecordTimes(
        started=work.started, called=made.called.called, answered=made.called.answered, stored=utc_now()
    )
    record = build_record(work, made.fingerprint, made.prepared, placement, api, times, tools)
    index.enter(record, work.options, tools)
    put_record(record, tools)
    return record


def put_outputs(made: Made, tools: Tools) -> Placement:
    """Writes the finished pictures, which are let go with its end; what was done to them, and what they replace.

    What is not this job's is not replaced: its picture is put beside it.
    """
    job, answer = made.job, made.called.answer
    finished, marks = finisher(made.work, tools).finish(answer.images, made.pictures, made.prepared.data)
    marks = marks.model_copy(update={"suspect": made.suspect})
    aside = tools.workspace if made.suspect else None
    owner = Owner(made.work.message.job_id, job, made.known, tools.workspace, tools.store)
    placed = []
    for sample, one in enumerate(finished):
        planned = place(job, sample, one.picture.content_type, aside)
        placed.append(Placed(recorded(owner.place(planned, one.data), one), planned))
    replacing = Replacing(made.work, made.known, made.fingerprint.token, owner, tools)
    replaced = replacing.set_aside([one.output.uri for one in placed], suspect=bool(made.suspect))
    metadata = metadata_of(
        owner.job_id, made.fingerprint.token, made.work.message.run_id, len(placed), answer.cost, answer.request_id,
        marks,
    )  # fmt: skip
    put = []
    for (output, planned), one in zip(placed, finished, strict=True):
        etag = tools.store.put(
            output.uri, one.data, content_type=output.content_type, metadata={**metadata, SHA256: output.sha256},
            storing=made.work.options.outputs.storing,
        )  # fmt: skip
        put.append(Placed(output.model_copy(update={"etag": etag}), planned))
    return Placement(put, marks, replaced)
