"""What is done with a record that answers a job: its outputs are brought to where and to how this run wants them.

They are copied or made anew, and never called for.
"""

from __future__ import annotations

from restyle.coordination.progress import Ended
from restyle.errors import InputNotFound
from restyle.images import Picture
from restyle.job.context import Tools, Work
from restyle.job.finishing import finisher, recorded
from restyle.job.locations import place
from restyle.job.outcomes import skipped, succeeded
from restyle.job.ownership import JOB, Owner
from restyle.job.records import put_record
from restyle.models import Fingerprint, Record, RecordOutput
from restyle.outputs import NO_MARK, Marks

#: What can be turned into another form; a lossy WebP is not made worse still.
_SOURCES = frozenset({"image/jpeg", "image/png"})


def reuse(work: Work, record: Record, tools: Tools) -> Ended:
    """The outcome of a job that is done: by this run, or by an earlier one, whose outputs it takes over."""
    if record.run_id == work.message.run_id:
        return succeeded(record, tools)
    return take_over(work, record, tools)


def reuse_changed(work: Work, record: Record, fingerprint: Fingerprint, tools: Tools) -> Ended:
    """The same where the input's ETag has changed and its bytes have not: the record learns the new ETag."""
    etag = fingerprint.etag
    renewed = record.model_copy(
        update={
            "fingerprint": fingerprint.model_copy(update={"request": record.fingerprint.request}),
            "input": record.input.model_copy(update={"etag": etag}),
        }
    )
    put_record(renewed, tools)
    return take_over(work, renewed, tools)


def take_over(work: Work, record: Record, tools: Tools) -> Ended:
    """The outcome of a job that an earlier run did; outputs that are wanted elsewhere or otherwise are made so."""
    renewed = renew(work, record, tools)
    if renewed is not record:
        put_record(renewed, tools)
    return skipped(renewed)


def renew(work: Work, record: Record, tools: Tools) -> Record:
    """The record with its outputs as this run wants them; the very same one where nothing is to be done.

    Without gates, what was put aside as suspect goes where it was planned: somebody has looked at it.
    """
    suspect = record.marks.suspect if work.options.outputs.gates else ()
    marks = record.marks.model_copy(update={"suspect": suspect})
    owner = Owner(work.message.job_id, work.message.job, record, tools.workspace, tools.store)
    outputs, beside = [], []
    for sample in range(len(record.outputs)):
        output, marks, planned = _renewed(work, sample, marks, owner, record, tools)
        outputs.append(output)
        beside += [planned] if output.uri != planned else []
    if (tuple(outputs), marks, tuple(beside)) == (record.outputs, record.marks, record.beside):
        return record
    return record.model_copy(update={"outputs": tuple(outputs), "marks": marks, "beside": tuple(beside)})


def _renewed(
    work: Work, sample: int, marks: Marks, owner: Owner, record: Record, tools: Tools
) -> tuple[RecordOutput, Marks, str]:
    """A sample as this run wants it, what was done to it, and where it was to go; beside it, if that is not ours."""
    options, output = work.options.outputs, record.outputs[sample]
    content_type = _content_type(work, record, output)
    planned = _place(work, sample, content_type, marks, tools)
    uri = planned if planned == output.uri else owner.place(planned)
    if uri != output.uri and record.marks.suspect and work.options.keep_replaced:
        _keep(uri, work, tools)
    if content_type == output.content_type and not _is_marked_anew(work, record):
        if uri == output.uri:
            return output, marks, planned
        tools.store.copy(output.uri, uri, options.storing)
        return output.model_copy(update={"uri": uri, "etag": ""}), marks, planned
    stored = tools.store.find(output.uri)
    if stored is None:
        return output, marks, output.uri  # somebody removed it: there is nothing to mark
    picture = Picture(output.width, output.height, output.content_type)
    (finished,), made = finisher(work, tools).finish([stored.data], [picture])
    planned = _place(work, sample, finished.picture.content_type, marks, tools)
    uri = planned if planned == output.uri else owner.place(planned)
    marks = made.model_copy(update={"suspect": marks.suspect})
    metadata = stored.metadata | {JOB: owner.job_id, "marks": marks.model_dump_json(exclude_defaults=True)}
    etag = tools.store.put(
        uri, finished.data, content_type=finished.picture.content_type, metadata=metadata, storing=options.storing
    )
    return recorded(uri, finished, etag), marks, planned


def _place(work: Work, sample: int, content_type: str, marks: Marks, tools: Tools) -> str:
    """Where this run wants a sample."""
    return place(work.message.job, sample, content_type, tools.workspace if marks.suspect else None)


def _content_type(work: Work, record: Record, output: RecordOutput) -> str:
    """What an output is turned into: what this run wants, where that can be made of it."""
    # Other bytes would break the signature, and there is no source here to sign anew with.
    failed = record.marks.c2pa or any(fault.startswith("form:") for fault in record.marks.faults)
    can = output.content_type in _SOURCES and not failed
    return (work.options.outputs.content_type or output.content_type) if can else output.content_type


def _is_marked_anew(work: Work, record: Record) -> bool:
    """Whether a mark is wanted that is not there; one that could not be written is not tried again."""
    failed = record.marks.c2pa or any(fault.startswith("mark:") for fault in record.marks.faults)
    wanted = work.options.outputs.mark
    return wanted not in {NO_MARK, record.marks.provenance} and not failed


def _keep(uri: str, work: Work, tools: Tools) -> None:
    """Copies what lies where a picture is about to go, the better one of before, to replaced/."""
    try:
        tools.store.copy(uri, tools.workspace.replaced(work.message.run_id, uri))
    except InputNotFound:
        return
