"""What an output says of itself in its metadata: whose it is, what it was made from, and what it is."""

from __future__ import annotations

import hashlib

from restyle.outputs import Marks
from restyle.record import RecordApi
from restyle.s3.metadata import bounded
from restyle.s3.store import Head, Store

#: The keys that name the job, and the sha256 of the object's own bytes.
JOB, SHA256 = "job_id", "sha256"
#: Bytes of it that tell what was done to the picture.
MARKS_BYTES = 900


def metadata_of(
    job_id: str, fingerprint: str, run_id: str, received: int, cost: float | None, request_id: str | None, marks: Marks
) -> dict[str, str]:
    """What every output of a job says, whichever sample it is.

    Args:
        job_id: the job's.
        fingerprint: `Fingerprint.token` of the result.
        run_id: of the run that puts it.
        received: how many samples there are.
        cost: of the call, in credits, where the API gave it.
        request_id: of the call.
        marks: what was done to the picture.
    """
    values = {
        JOB: job_id,
        "fingerprint": fingerprint,
        "run_id": run_id,
        "received": str(received),
        "cost": "" if cost is None else str(cost),
        "request_id": request_id or "",
        "marks": marks.model_dump_json(exclude_defaults=True),
    }
    return bounded(values, longest={"marks": MARKS_BYTES})


def metadata_of_copy(
    job_id: str, fingerprint: str, run_id: str, received: int, api: RecordApi, marks: Marks
) -> dict[str, str]:
    """What an output says that was copied from another result: it has cost nothing."""
    return metadata_of(job_id, fingerprint, run_id, received, 0.0, api.request_id, marks)


def sha256_of(uri: str, head: Head, store: Store, *, max_bytes: int) -> str:
    """The sha256 of an object, which is read where its metadata do not tell it.

    Raises:
        InputNotFound: it is not there any more.
        InvalidImage: it is larger than that.
    """
    return head.metadata.get(SHA256) or hashlib.sha256(store.get(uri, max_bytes=max_bytes).data).hexdigest()
