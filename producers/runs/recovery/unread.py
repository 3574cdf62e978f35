"""Paid answers of a run in which nobody could read a picture, as S3 has them: what they cost, and whose they are."""

from __future__ import annotations

from collections import defaultdict

from pydantic import ValidationError

from restyle.coordination.runs.progress import failed
from restyle.errors import MalformedResponse
from restyle.job.parked.unreadable import MOST_OF_A_JOB, Note
from restyle.keys import Workspace
from restyle.models import Outcome
from restyle.s3.store import Store


def unread(run_id: str, store: Store, workspace: Workspace) -> dict[str, list[Note]]:
    """The notes of a run's unreadable answers, by job, in the order in which they came."""
    notes: dict[str, list[Note]] = defaultdict(list)
    for listed in store.list(workspace.under("unreadable", run_id) + "/"):
        stored = store.find(listed.uri) if listed.uri.endswith(".json") else None
        try:
            note = Note.read(stored.data) if stored else None
        except ValidationError:
            continue  # another version's
        if note and note.run_id == run_id:
            notes[note.job_id].append(note)
    return {job_id: sorted(group, key=lambda note: note.answered) for job_id, group in notes.items()}


def given_up(notes: list[Note], workspace: Workspace) -> Outcome | None:
    """How a job ended that brought as many of them as are paid for; None: it may have one more call."""
    if len(notes) < MOST_OF_A_JOB:
        return None
    last = notes[-1]
    uri = workspace.unreadable(last.run_id, last.job_id, len(notes))
    why = f"{last.why}. The answer is kept at {uri}"
    return failed(MalformedResponse.code, why, http_status=last.status, seed=last.params.seed).outcome
