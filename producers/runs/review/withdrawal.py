"""Pictures that people reject are taken out of what is published: moved aside to `suspect/`, as those that look wrong.

Nothing is paid for by it, then or later: the record follows the picture, so that a later run finds the job done and
leaves it aside. A picture that is marked keep again goes back. Each step can be done again after a crash: the copy
comes first, then the index, then the record, and what was published goes last. A record that a worker writes at the
same time stands: this one replaces the version that it was made of and no other, but for the milliseconds between a
look and a write where the S3 server has no conditional writes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum

from pydantic import ValidationError

from producers.runs.outcomes import Rows
from producers.runs.review.marks import Mark
from restyle.errors import InputNotFound, RestyleError
from restyle.job.outputs.locations import place, suffix_of
from restyle.job.outputs.metadata import sha256_of
from restyle.job.outputs.ownership import LARGEST, Owner
from restyle.job.results import index
from restyle.keys import Workspace
from restyle.models import Job, Outcome, Run
from restyle.outputs import REJECTED
from restyle.record import Record, RecordOutput
from restyle.s3.parameters import within_bucket
from restyle.s3.store import Store

_AT_ONCE = 8
#: Bytes of a record that is read, and records at a time, to say which pictures are withdrawn.
_MOST, _LOOKED_AT = 1_000_000, 16


def withdrawn_jobs(names: Collection[tuple[str, str]], store: Store, workspace: Workspace) -> frozenset[str]:
    """The ids of those jobs whose records say that they were rejected and moved aside.

    Args:
        names: entry and variant of each job; a record that cannot be read counts as another.
        store: S3.
        workspace: where the records lie.
    """

    def is_rejected(name: tuple[str, str]) -> bool:
        try:
            return REJECTED in Record.read(store.get(workspace.record(*name), max_bytes=_MOST).data).marks.suspect
        except (RestyleError, ValidationError):  # a page is worth more than the reason why a picture is missing
            return False

    if not names:
        return frozenset()
    with ThreadPoolExecutor(_LOOKED_AT, "withdrawn") as pool:
        return frozenset(
            workspace.job_id(*name)
            for name, rejected in zip(names, pool.map(is_rejected, names), strict=True)
            if rejected
        )


class Move(StrEnum):
    """What became of a picture."""

    WITHDRAWN = "withdrawn"
    RESTORED = "put back"
    UNCHANGED = "as they should be already"
    ANEW = "made anew since, and left"
    BUSY = "being worked on: try again"
    FOREIGN = "replaced by somebody else, and left"
    GONE = "gone"


@dataclass(frozen=True)
class Withdrawal:
    """Moves the pictures of one run as its marks say."""

    run: Run
    store: Store
    workspace: Workspace
    is_out: Callable[[str], bool]
    """Whether a worker has this job in hand."""

    def follow(self, rows: Rows, marks: Mapping[str, Mark]) -> Counter[Move]:
        """Takes out what is marked reject, puts back what was taken out and is marked keep, and counts both.

        Raises:
            StoreUnavailable, StoreAccessDenied, StateUnavailable: not all of it is done; doing it again goes on.
        """
        rejected = {job_id: mark.mark == "reject" for job_id, mark in marks.items() if mark.mark in {"reject", "keep"}}
        chosen = (
            (job, outcome, rejected[job_id])
            for job, outcome in (rows() if rejected else ())
            if outcome and outcome.outputs and (job_id := self.workspace.job_id(job.id, job.variant)) in rejected
        )
        with ThreadPoolExecutor(_AT_ONCE, "withdrawal") as pool:
            return Counter(pool.map(lambda one: self.move(*one), chosen))

    def move(self, job: Job, outcome: Outcome, is_rejected: bool) -> Move:
        """Moves one job's pictures, where they are not as they should be."""
        job_id, uri = self.workspace.job_id(job.id, job.variant), self.workspace.record(job.id, job.variant)
        if self.is_out(job_id):
            return Move.BUSY
        record, etag = self._record(uri)
        if record is None:
            return Move.GONE
        if outcome.fingerprint and record.fingerprint.token != outcome.fingerprint:
            return Move.ANEW
        owner = Owner(job_id, job, record, self.workspace, self.store)
        if (REJECTED in record.marks.suspect) == is_rejected:
            if is_rejected:
                self._clear(job, record, owner)
            return Move.UNCHANGED
        suspect = tuple(reason for reason in record.marks.suspect if reason != REJECTED)
        suspect += (REJECTED,) if is_rejected else ()
        outputs = self._copied(job, record, owner, is_aside=bool(suspect))
        if isinstance(outputs, Move):
            return outputs
        moved = record.model_copy(
            update={"outputs": outputs, "marks": record.marks.model_copy(update={"suspect": suspect})}
        )
        if not self._is_put(moved, record, uri, etag):
            # A worker has begun meanwhile: what was copied is taken away by its record, or the next time.
            return Move.BUSY
        for before, after in zip(record.outputs, outputs, strict=True):
            if before.uri != after.uri:
                self._remove(before.uri, before, owner)
        return Move.WITHDRAWN if is_rejected else Move.RESTORED

    def _record(self, uri: str) -> tuple[Record | None, str]:
        stored = self.store.find(uri)
        try:
            return (Record.read(stored.data, stored.etag), stored.etag) if stored else (None, "")
        except ValidationError:
            return None, ""

    def _copied(self, job: Job, record: Record, owner: Owner, *, is_aside: bool) -> tuple[RecordOutput, ...] | Move:
        """The outputs at the places where they belong; why not, where one of them is not there, or not this job's."""
        moved = []
        for sample, output in enumerate(record.outputs):
            planned = place(job, sample, output.content_type, self.workspace if is_aside else None)
            head = self.store.head(output.uri)
            if head is None:
                return Move.GONE
            if not owner.owns(output.uri, head) or head.bytes != output.bytes:
                return Move.FOREIGN
            target = planned if planned == output.uri else owner.place(planned)
            if target == output.uri:
                moved.append(output)
                continue
            self._keep(target)
            try:
                etag = self.store.copy(output.uri, target, self.run.options.outputs.storing)
            except InputNotFound:
                return Move.BUSY  # somebody else moves it
            moved.append(output.model_copy(update={"uri": target, "etag": etag}))
        return tuple(moved)

    def _keep(self, uri: str) -> None:
        """Keeps what lies where a picture is about to go, an earlier one of this job's: it was paid for."""
        head = self.store.head(uri)
        if head is not None:
            sha256 = sha256_of(uri, head, self.store, max_bytes=LARGEST)
            kept = self.workspace.replaced(sha256, suffix_of(head.content_type))
            self.store.copy(uri, kept, within_bucket(self.run.options.outputs.storing, uri, kept))

    def _is_put(self, moved: Record, record: Record, uri: str, etag: str) -> bool:
        """Writes the index and the record anew; False where a worker has the job in hand, or has written its record."""
        head = self.store.head(uri)
        if self.is_out(record.job_id) or head is None or head.etag != etag:
            return False
        self._enter(record, moved)
        return self.store.replace(uri, moved.as_json().encode(), etag=etag, content_type="application/json")

    def _clear(self, job: Job, record: Record, owner: Owner) -> None:
        """Removes what is still published of a picture that is aside: the last step, if it was not come to."""
        for sample, output in enumerate(record.outputs):
            published = place(job, sample, output.content_type)
            if published != output.uri:
                self._remove(published, output, owner)

    def _remove(self, uri: str, output: RecordOutput, owner: Owner) -> None:
        """Removes what lies there, where that is this very picture: a worker may have put another one meanwhile."""
        head = self.store.head(uri)
        if head is None or not owner.owns(uri, head) or head.bytes != output.bytes:
            return
        if sha256_of(uri, head, self.store, max_bytes=LARGEST) == output.sha256:
            self.store.delete(uri)

    def _enter(self, record: Record, moved: Record) -> None:
        """Has the index lead to the picture where it lies now, where it led to this job's."""
        options = self.run.options
        for key in filter(None, (index.key_of(record, options), index.shared_key_of(record, options))):
            entry = index.read(key, self.store, self.workspace)
            if entry is None or (entry.record.job_id, entry.record.run_id) != (record.job_id, record.run_id):
                continue
            update = {"outputs": moved.outputs, "marks": moved.marks}
            entry = entry.model_copy(update={"record": entry.record.model_copy(update=update)})
            self.store.put(
                self.workspace.result(key), entry.model_dump_json().encode(), content_type="application/json"
            )
