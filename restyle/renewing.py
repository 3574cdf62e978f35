"""Outputs of an earlier run, brought to where and to how this run wants them: copied or made anew, never called."""

from __future__ import annotations

from restyle.errors import InputNotFound
from restyle.finishing import finisher, recorded
from restyle.images import Picture
from restyle.models import Record, RecordOutput
from restyle.outputs import NO_MARK, Marks
from restyle.places import place
from restyle.work import Tools, Work

#: What can be turned into another form; a lossy WebP is not made worse still.
_SOURCES = frozenset({"image/jpeg", "image/png"})


def renew(work: Work, record: Record, tools: Tools) -> Record:
    """The record with its outputs as this run wants them; the very same one where nothing is to be done.

    Without gates, what was put aside as suspect goes where it was planned: somebody has looked at it.
    """
    suspect = record.marks.suspect if work.options.outputs.gates else ()
    marks = record.marks.model_copy(update={"suspect": suspect})
    outputs = []
    for sample in range(len(record.outputs)):
        output, marks = _renewed(work, record, sample, marks, tools)
        outputs.append(output)
    if (tuple(outputs), marks) == (record.outputs, record.marks):
        return record
    return record.model_copy(update={"outputs": tuple(outputs), "marks": marks})


def _renewed(work: Work, record: Record, sample: int, marks: Marks, tools: Tools) -> tuple[RecordOutput, Marks]:
    job, options, output = work.message.job, work.options.outputs, record.outputs[sample]
    content_type = _content_type(work, record, output)
    uri = place(job, sample, content_type, tools.workspace if marks.suspect else None)
    if uri != output.uri and record.marks.suspect and work.options.keep_replaced:
        _keep(uri, work, tools)
    if content_type == output.content_type and not _is_marked_anew(work, record):
        if uri != output.uri:
            tools.store.copy(output.uri, uri, options.storing)
        return output.model_copy(update={"uri": uri}), marks
    stored = tools.store.find(output.uri)
    if stored is None:
        return output, marks  # somebody removed it: there is nothing to mark
    picture = Picture(output.width, output.height, output.content_type)
    (finished,), made = finisher(work, tools).finish([stored.data], [picture])
    uri = place(job, sample, finished.picture.content_type, tools.workspace if marks.suspect else None)
    marks = made.model_copy(update={"suspect": marks.suspect})
    told = stored.metadata | {"marks": marks.model_dump_json(exclude_defaults=True)}
    tools.store.put(
        uri, finished.data, content_type=finished.picture.content_type, metadata=told, storing=options.storing
    )
    return recorded(uri, finished), marks


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
