"""Which pictures of a report are missing because somebody rejected them: a reader is not to take them for lost."""

from __future__ import annotations

from collections.abc import Container, Iterable

from producers.runs.review.withdrawal import withdrawn_jobs
from reports.pages.gallery import Shot
from restyle.keys import Workspace
from restyle.s3.store import Store


def withdrawn(shots: Iterable[Shot], pictures: Container[str], store: Store, workspace: Workspace) -> frozenset[str]:
    """The missing pictures, by their s3:// URIs, whose records say that they were rejected and moved aside."""
    missing = {
        (shot.job.id, shot.job.variant): shot.outputs[0]
        for shot in shots
        if shot.outputs and shot.outputs[0] not in pictures
    }
    rejected = withdrawn_jobs(missing.keys(), store, workspace)
    return frozenset(uri for name, uri in missing.items() if workspace.job_id(*name) in rejected)
