"""What is done with a result that answers a job: its outputs are brought to where and to how this run wants them.

They are copied or made anew, and never called for. The result is the job's own, by its record, or another's with the
same input and recipe, by the index (restyle/job/results/index.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from restyle.coordination.runs.progress import Ended
from restyle.errors import InputNotFound, StoreUnavailable
from restyle.fingerprint import Fingerprint
from restyle.images import Picture
from restyle.job.context import Tools, Work
from restyle.job.outcomes import credits_of, skipped, succeeded
from restyle.job.outputs.form import finisher, recorded
from restyle.job.outputs.locations import place
from restyle.job.outputs.metadata import JOB, SHA256, metadata_of_copy
from restyle.job.outputs.ownership import LARGEST, Owner
from restyle.job.outputs.replacing import Replacing
from restyle.job.records import put_record
from restyle.job.results import index
from restyle.job.results.index import Paid
from restyle.outputs import NO_MARK, REJECTED, Marks, ReusedFrom
from restyle.record import Record, RecordOutput
from restyle.s3.store import Head

#: What can be turned into another form; a lossy WebP is not made worse still.
_SOURCES = frozenset({"image/jpeg", "image/png"})


def reuse(work: Work, record: Record, tools: Tools) -> Ended:
    """The outcome of a job that is done: by this run, or by an earlier one, whose outputs it takes over."""
    if record.run_id == work.message.run_id:
        return skipped(record, record.run_id) if record.reused_from else succeeded(record, tools)
    return take_over(work, record, tools)


def reuse_changed(work: Work, record: Record, fingerprint: Fingerprint, tools: Tools) -> Ended:
    """The same where the input's ETag has changed and its bytes have not: the record learns the new ETag."""
    etag = fingerprint.etag
    renewed = record.model_copy(
        update={
            "fingerprint": fingerprint.model_copy(update={"request": record.fingerprint.request}),
            "input": record.input.model_copy(
                update={"uri": work.message.job.image, "etag": etag, "address": work.address}
            ),
        }
    )
    put_record(renewed, tools)
    return take_over(work, renewed, tools)


def reuse_result(work: Work, paid: Paid, known: Record | None, fingerprint: Fingerprint, tools: Tools) -> Ended:
    """The outcome of a job whose picture was paid for as another result, or before it was another: it is copied."""
    made, job = paid.record, work.message.job
    if _is_unrecorded(work, made, known):
        record = renew(work, made.model_copy(update={"metadata": job.meta}), tools)
        put_record(record, tools)
        return succeeded(record, tools)
    ours = _as_ours(work, paid, fingerprint, tools)
    owner = Owner(work.message.job_id, job, known, tools.workspace, tools.store)
    metadata = metadata_of_copy(
        work.message.job_id, fingerprint.token, work.message.run_id, len(ours.outputs), ours.api, ours.marks
    )
    bringing = _Bringing(work, ours, owner, tools, metadata, paid.heads)
    replacing = Replacing(work, known, fingerprint.token, owner, tools)
    sources = [output.uri for output in ours.outputs]
    replaced = replacing.set_aside(bringing.places(), suspect=bool(ours.marks.suspect), sparing=sources)
    record = bringing.brought().model_copy(update={"replaced": tuple(replaced)})
    put_record(record, tools)
    return skipped(record, work.message.run_id)


def take_over(work: Work, record: Record, tools: Tools) -> Ended:
    """The outcome of a job that an earlier run did; outputs that are wanted elsewhere or otherwise are made so."""
    renewed = renew(work, record, tools)
    if renewed is not record:
        # Where they were made anew in their place, the index would lead to bytes that are there no more.
        index.enter(renewed, work.options, tools)
        put_record(renewed, tools)
    return skipped(renewed, work.message.run_id)


def renew(work: Work, record: Record, tools: Tools) -> Record:
    """The job's own record with its outputs as this run wants them; the very same one where nothing is to be done."""
    owner = Owner(work.message.job_id, work.message.job, record, tools.workspace, tools.store)
    return _Bringing(work, record, owner, tools).brought()


def _is_unrecorded(work: Work, made: Record, known: Record | None) -> bool:
    """Whether a result is this job's own, of this run: its worker died between the index and the record."""
    message = work.message
    is_own = (made.job_id, made.run_id) == (message.job_id, message.run_id)
    return is_own and made.fingerprint.request == work.request and known is None


def _as_ours(work: Work, paid: Paid, fingerprint: Fingerprint, tools: Tools) -> Record:
    """The record that the job will have, with the outputs still where they are copied from."""
    made, message = paid.record, work.message
    origin = ReusedFrom(
        job_id=made.job_id, run_id=made.run_id, id=made.id, variant=made.variant, seed=made.params.seed,
        cost=round(credits_of(made, tools.price), 6),
    )  # fmt: skip
    return made.model_copy(
        update={
            "job_id": message.job_id,
            "run_id": message.run_id,
            "id": message.job.id,
            "variant": message.job.variant,
            "fingerprint": fingerprint,
            "input": made.input.model_copy(
                update={"uri": message.job.image, "etag": fingerprint.etag, "address": work.address}
            ),
            # What was planned: the same is found done, whatever seed the other job had.
            "params": message.job.params,
            "api": made.api.model_copy(update={"cost": 0.0, "in_doubt": 0, "attempts": 0}),
            "metadata": message.job.meta,
            "worker": tools.fleet.worker,
            "version": tools.version,
            "reused_from": origin,
        }
    )


@dataclass(frozen=True)
class _Bringing:
    """A result on its way to where this run wants it."""

    work: Work
    record: Record
    owner: Owner
    tools: Tools
    metadata: Mapping[str, str] = field(default_factory=dict)
    """What its outputs are to say of themselves, where they were another result's."""
    heads: Sequence[Head] = ()
    """What S3 says of them, where they were another result's."""

    def places(self) -> list[str]:
        """Where its samples go, as far as their forms can be known before."""
        marks = self._marks
        return [
            self._uri(output, self._planned(sample, self._content_type(output), marks))
            for sample, output in enumerate(self.record.outputs)
        ]

    def brought(self) -> Record:
        """The record with its outputs there; the very same one where nothing is to be done.

        Without gates, what was put aside as suspect goes where it was planned: somebody has looked at it. What a person
        has rejected stays.
        """
        record, marks = self.record, self._marks
        outputs, beside = [], []
        for sample in range(len(record.outputs)):
            output, marks, planned = self._renewed(sample, marks)
            outputs.append(output)
            beside += [planned] if output.uri != planned else []
        if (tuple(outputs), marks, tuple(beside)) == (record.outputs, record.marks, record.beside):
            return record
        return record.model_copy(update={"outputs": tuple(outputs), "marks": marks, "beside": tuple(beside)})

    @property
    def _marks(self) -> Marks:
        gates, reasons = self.work.options.outputs.gates, self.record.marks.suspect
        suspect = tuple(reason for reason in reasons if gates or reason == REJECTED)
        return self.record.marks.model_copy(update={"suspect": suspect})

    def _renewed(self, sample: int, marks: Marks) -> tuple[RecordOutput, Marks, str]:
        """A sample as this run wants it, what was done to it, where it was to go; beside it, if that is not ours."""
        work, record, tools = self.work, self.record, self.tools
        output = record.outputs[sample]
        content_type = self._content_type(output)
        planned = self._planned(sample, content_type, marks)
        uri = self._uri(output, planned)
        if uri != output.uri and record.marks.suspect and work.options.keep_replaced and not self.metadata:
            self._keep(uri)
        if content_type == output.content_type and not self._is_marked_anew:
            if uri == output.uri:
                return output, marks, planned
            self._copy(sample, uri)
            return output.model_copy(update={"uri": uri, "etag": ""}), marks, planned
        stored = tools.store.find(output.uri)
        if self.metadata and (stored is None or hashlib.sha256(stored.data).hexdigest() != output.sha256):
            raise StoreUnavailable(f"{output.uri}: was replaced before it was read")
        if stored is None:
            return output, marks, output.uri  # somebody removed it: there is nothing to mark
        picture = Picture(output.width, output.height, output.content_type)
        (finished,), made = finisher(work, tools).finish([stored.data], [picture])
        planned = self._planned(sample, finished.picture.content_type, marks)
        uri = self._uri(output, planned)
        marks = made.model_copy(update={"suspect": marks.suspect})
        done = recorded(uri, finished)
        metadata = {
            **stored.metadata, **self.metadata, JOB: self.owner.job_id, SHA256: done.sha256,
            "marks": marks.model_dump_json(exclude_defaults=True),
        }  # fmt: skip
        etag = tools.store.put(
            uri, finished.data, content_type=done.content_type, metadata=metadata, storing=work.options.outputs.storing
        )
        return done.model_copy(update={"etag": etag}), marks, planned

    def _copy(self, sample: int, uri: str) -> None:
        """Copies a sample as it is.

        Raises:
            StoreUnavailable: somebody replaced or removed it while it was copied; another look will tell.
        """
        output, storing, store = self.record.outputs[sample], self.work.options.outputs.storing, self.tools.store
        if not self.metadata:
            store.copy(output.uri, uri, storing)
            return
        values = {**self.metadata, SHA256: output.sha256}
        try:
            etag = store.copy(output.uri, uri, storing, content_type=output.content_type, metadata=values)
        except InputNotFound as error:
            raise StoreUnavailable(f"{output.uri}: was removed before it was copied") from error
        # Encrypted objects have other ETags than their copies: then the bytes say it.
        if etag != self.heads[sample].etag:
            data = store.get(uri, max_bytes=LARGEST).data
            if hashlib.sha256(data).hexdigest() != output.sha256:
                raise StoreUnavailable(f"{output.uri}: was replaced while it was copied")

    def _uri(self, output: RecordOutput, planned: str) -> str:
        return planned if planned == output.uri else self.owner.place(planned)

    def _planned(self, sample: int, content_type: str, marks: Marks) -> str:
        """Where this run wants a sample."""
        return place(self.work.message.job, sample, content_type, self.tools.workspace if marks.suspect else None)

    def _content_type(self, output: RecordOutput) -> str:
        """What an output is turned into: what this run wants, where that can be made of it."""
        # Other bytes would break the signature, and there is no source here to sign anew with.
        marks = self.record.marks
        failed = marks.c2pa or any(fault.startswith("form:") for fault in marks.faults)
        can = output.content_type in _SOURCES and not failed
        return (self.work.options.outputs.content_type or output.content_type) if can else output.content_type

    @property
    def _is_marked_anew(self) -> bool:
        """Whether a mark is wanted that is not there; one that could not be written is not tried again."""
        marks, mark = self.record.marks, self.work.options.outputs.mark
        failed = marks.c2pa or any(fault.startswith("mark:") for fault in marks.faults)
        return mark not in {NO_MARK, marks.provenance} and not failed

    def _keep(self, uri: str) -> None:
        """Copies what lies where a picture is about to go, the better one of before, to replaced/."""
        Replacing(self.work, None, "", self.owner, self.tools).set_aside([uri])
