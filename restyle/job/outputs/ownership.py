"""Whose an object in S3 is: an output is replaced only by the job that it belongs to (docs/decisions/0030).

Its metadata name the job. Not every S3 server keeps metadata, and older versions of restyle did not write the name:
then the job's record counts, and what the picture itself says of where it comes from.
"""

from __future__ import annotations

import hashlib
import posixpath
from dataclasses import dataclass, field

from restyle.errors import InputNotFound, InvalidImage, ObjectRefused, StoreAccessDenied
from restyle.job.outputs.locations import LONGEST_PART
from restyle.job.outputs.metadata import JOB
from restyle.keys import Workspace, sample_uri
from restyle.models import Job
from restyle.record import Record
from restyle.s3.store import Head, Store

#: Samples that a job can have.
_SAMPLES = 4
#: Bytes of an object that are read to see whose it is, or what, where nothing else tells.
LARGEST = 64_000_000


@dataclass
class Owner:
    """A job, as the owner of what it has written."""

    job_id: str
    job: Job
    #: The job's record, if there is one.
    known: Record | None
    workspace: Workspace
    store: Store
    #: What was looked at.
    _heads: dict[str, Head | None] = field(default_factory=dict)

    def place(self, planned: str, data: bytes = b"") -> str:
        """Where an output may be put: the place that was planned, or beside it where something lies that is not ours.

        Args:
            planned: the place that was planned.
            data: what is to be put there.
        """
        *places, last = places_of(planned, self.job_id)
        for uri in places:
            head = self.head(uri)
            if head is None or self.owns(uri, head, data):
                return uri
        return last

    def head(self, uri: str) -> Head | None:
        """What lies at a place, looked up once; nothing where S3 lets nobody look, which the plan has warned of."""
        if uri not in self._heads:
            try:
                self._heads[uri] = self.store.head(uri)
            except (ObjectRefused, StoreAccessDenied):
                self._heads[uri] = None
        return self._heads[uri]

    def owns(self, uri: str, head: Head, data: bytes = b"") -> bool:
        """Whether an object is this job's to replace.

        Args:
            uri: where it lies.
            head: what S3 says of it.
            data: what is to be put in its place: the very same bytes are ours, whatever their metadata say.
        """
        if named := head.metadata.get(JOB):
            return named == self.job_id
        written = next((output for output in self.known.outputs if output.uri == uri), None) if self.known else None
        if token := head.metadata.get("fingerprint"):  # of a version that named no job
            of_record = written is not None and self.known is not None and token == self.known.fingerprint.token
            return of_record or (written is None and self._is_own_place(uri))
        if written is not None and written.bytes == head.bytes:
            return True
        if data and head.bytes == len(data) and head.etag == hashlib.md5(data, usedforsecurity=False).hexdigest():
            return True
        return self._is_named_in(uri)

    def _is_own_place(self, uri: str) -> bool:
        """Whether a place is where no other job's outputs go unless somebody says so."""
        stem = posixpath.splitext(uri)[0]
        places = (
            self.workspace.output(self.job.id, self.job.variant),
            self.workspace.suspect(self.job.id, self.job.variant),
        )
        return stem in {
            posixpath.splitext(sample_uri(place, sample, samples))[0]
            for place in places
            for samples in (1, _SAMPLES)
            for sample in range(samples)
        }

    def _is_named_in(self, uri: str) -> bool:
        """Whether the picture that lies there names this job as the one that made it."""
        try:
            return self.job_id.encode() in self.store.get(uri, max_bytes=LARGEST).data
        except (InputNotFound, InvalidImage):
            return False


def places_of(planned: str, job_id: str) -> tuple[str, ...]:
    """Where a job's output may lie: as planned, beside that, and where even that was taken."""
    return planned, beside(planned, job_id[:8]), beside(planned, job_id[:16])


def beside(uri: str, name: str) -> str:
    """A place beside another, the same each time: `front.jpg` becomes `front.<name>.jpg`."""
    folder, file = posixpath.split(uri)
    stem, suffix = posixpath.splitext(file)
    ending = f".{name}{suffix}"
    # What file systems take for a name is shorter than what S3 takes for a key.
    short = stem.encode()[: LONGEST_PART - len(ending.encode())].decode(errors="ignore")
    return f"{folder}/{short}{ending}"
