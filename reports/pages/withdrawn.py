"""Which pictures of a report are missing because somebody rejected them: a reader is not to take them for lost."""

from __future__ import annotations

from collections.abc import Container, Iterable

from pydantic import ValidationError

from reports.pages.gallery import Shot
from restyle.errors import RestyleError
from restyle.keys import Workspace
from restyle.outputs import REJECTED
from restyle.record import Record
from restyle.s3.store import Store

#: Bytes of a record that is read.
_MOST = 1_000_000


def withdrawn(shots: Iterable[Shot], pictures: Container[str], store: Store, workspace: Workspace) -> frozenset[str]:
    """The missing pictures, by their s3:// URIs, whose records say that they were rejected and moved aside."""
    missing = [shot for shot in shots if shot.outputs and shot.outputs[0] not in pictures]
    return frozenset(shot.outputs[0] for shot in missing if _is_rejected(shot, store, workspace))


def _is_rejected(shot: Shot, store: Store, workspace: Workspace) -> bool:
    try:
        stored = store.get(workspace.record(shot.job.id, shot.job.variant), max_bytes=_MOST)
        return REJECTED in Record.read(stored.data).marks.suspect
    except (RestyleError, ValidationError):  # the report is worth more than the reason why a picture is missing
        return False
