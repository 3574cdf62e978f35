"""Pictures that were billed and are not here, fetched from the account's history."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass

from producers.runs.recovery.unread import unread
from reports.reconcile import NOT_RECEIVED, SLACK, Finding
from restyle import images
from restyle.errors import InputNotFound, RestyleError
from restyle.fingerprint import Fingerprint
from restyle.images import MAX_INPUT_BYTES
from restyle.job.parked.unreadable import Note, next_place
from restyle.keys import Workspace
from restyle.models import Job, Run, utc_now
from restyle.request_digest import request_digest
from restyle.s3.store import Store
from restyle.segmind.history import Billed


@dataclass(frozen=True)
class Recovery:
    """Fetches lost pictures, and keeps each as an answer of its job, which `restyle retry --unreadable` reads."""

    download: Callable[[str], bytes]
    """Fetches what lies behind a link of the history."""
    store: Store
    workspace: Workspace
    by: str
    """Who fetches: user@host."""
    version: str

    def fetch(self, finding: Finding) -> str:
        """Why a picture cannot be fetched; empty: it was."""
        run, job, billed = finding.run, finding.job, finding.billed
        if run and not run.finished:
            return f"run {run.run_id} is not over, and may still get it"
        if run is None or job is None or billed is None:
            return "several jobs sent the same parameters, and nobody can tell whose it is"
        if not billed.links:
            return "the history gives no link to it"
        if self._is_kept(run, job, billed):
            return ""
        try:
            made_from = self._made_from(run, job, billed)
            pictures = [images.received(self.download(link))[0] for link in billed.links]
        except RestyleError as error:
            return error.message
        self._keep(run, job, billed, made_from, pictures)
        return ""

    def _is_kept(self, run: Run, job: Job, billed: Billed) -> bool:
        """Whether this answer was fetched before."""
        notes = unread(run.run_id, self.store, self.workspace)
        return any(
            note.request_id == billed.request_id for note in notes.get(self.workspace.job_id(job.id, job.variant), ())
        )

    def _made_from(self, run: Run, job: Job, billed: Billed) -> str:
        """The fingerprint's token of what was sent.

        Raises:
            InputNotFound: the input is gone, or another one has been put there since.
        """
        if not job.image.startswith("s3://"):
            raise InputNotFound("its input is on the web, and may have been another one then")
        written = next((one.written for one in self.store.glance(job.image).objects if one.uri == job.image), None)
        if written is not None and written > (billed.submitted + SLACK).timestamp():
            raise InputNotFound(f"{job.image} was replaced after the call")
        stored = self.store.get(job.image, max_bytes=MAX_INPUT_BYTES)
        request = request_digest(job.params, run.options.model, run.options.preparation)
        return Fingerprint(etag=stored.etag, sha256=hashlib.sha256(stored.data).hexdigest(), request=request).token

    def _keep(self, run: Run, job: Job, billed: Billed, made_from: str, pictures: list[bytes]) -> None:
        body, content_type = pictures[0], "image/jpeg"
        if len(pictures) > 1:  # as the API answers with several
            texts = [base64.b64encode(picture).decode() for picture in pictures]
            body, content_type = json.dumps({"image": texts}).encode(), "application/json"
        job_id = self.workspace.job_id(job.id, job.variant)
        _, uri = next_place(run.run_id, job_id, self.store, self.workspace)
        note = Note(
            job_id=job_id, run_id=run.run_id, id=job.id, variant=job.variant, image=job.image, params=job.params,
            made_from=made_from, why="the answer never came; the picture is from the account's history",
            kind=NOT_RECEIVED, status=200, headers={"content-type": content_type}, bytes=len(body), seconds=0.0,
            request_id=billed.request_id, cost=billed.credits, sandbox=run.options.sandbox, called=billed.submitted,
            answered=utc_now(), calls=1, doubts=0, worker=self.by, version=self.version,
        )  # fmt: skip
        self.store.put(uri, body, content_type="application/octet-stream")
        self.store.put(f"{uri}.json", note.model_dump_json(indent=1).encode(), content_type="application/json")
