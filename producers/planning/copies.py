"""How many jobs of a plan are paid for as other results: their pictures are copied, and nothing is called.

Looked for at the jobs that are looked at for clashes too, by the index (restyle/job/results/index.py), where what
picture a job has is known without much reading.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from producers.planning.compare.lookup import AT_ONCE, etag_of
from producers.planning.jobs.resolved import Resolved
from producers.planning.plan import Plan
from producers.planning.uploads import Hashes
from restyle.fingerprint import digest
from restyle.job.results.keys import is_made_anew, result_key
from restyle.keys import Workspace
from restyle.record import Record
from restyle.request_digest import request_digest
from restyle.s3.store import Store
from restyle.web.address import is_web, read_address
from restyle.web.records import find_known

#: Bytes of a local picture that is read for this.
_MOST = 50_000_000


@dataclass(frozen=True)
class Copies:
    """What was seen at the jobs that were looked at."""

    looked_at: int
    count: int
    jobs: int
    """Of the plan."""

    def __str__(self) -> str:
        """A sentence; empty where nothing is copied."""
        if not self.count:
            return ""
        if self.looked_at >= self.jobs:
            return f"{self.count:,} are paid for as other results: their pictures are copied, without a call"
        about = round(self.jobs * self.count / self.looked_at)
        return f"about {about:,} are paid for as other results, by {self.looked_at:,} jobs that were looked at: copied"


def find_copies(plan: Plan, records: Sequence[Record | None], *, store: Store, workspace: Workspace) -> Copies:
    """Looks at some of a plan's jobs. Writes nothing.

    Args:
        plan: the plan.
        records: of those jobs (`Clashes.records`).
        store: S3.
        workspace: where they lie.

    Raises:
        StoreUnavailable: S3 does not answer.
        StoreAccessDenied: it lets nobody look into the workspace.
    """
    jobs: Sequence[Resolved] = () if plan.options.overwrite or plan.options.reread else plan.spread
    if not jobs or next(iter(store.list(workspace.under("results") + "/")), None) is None:
        return Copies(len(jobs), 0, plan.jobs)
    with closing(Hashes(plan.home, workspace, create=False)) as hashes, ThreadPoolExecutor(AT_ONCE) as pool:
        looker = _Looker(plan, store, workspace, hashes)
        return Copies(len(jobs), sum(pool.map(looker.is_copied, jobs, records)), plan.jobs)


@dataclass(frozen=True)
class _Looker:
    plan: Plan
    store: Store
    workspace: Workspace
    hashes: Hashes

    def is_copied(self, job: Resolved, record: Record | None) -> bool:
        """Whether a job is not done by its own record, and is by another result."""
        options, job_id = self.plan.options, self.workspace.job_id(job.entry.id, job.variant)
        if is_made_anew(job.params, job_id=job_id, run_id=self.plan.run_id):
            return False
        content = self._content(job, record)
        if not content:
            return False
        request = request_digest(job.params, options.model, options.preparation)
        if record and record.fingerprint.token == digest([content, request]):
            return False
        key = result_key(
            content, job.params, options, job_id=job_id, run_id=self.plan.run_id, variant=job.variant
        )  # fmt: skip
        return bool(key) and self.store.head(self.workspace.result(key)) is not None

    def _content(self, job: Resolved, record: Record | None) -> str:
        """The sha256 of a job's input; empty where only a worker will know it."""
        image = job.entry.image
        if is_web(image):
            known = find_known(read_address(image, http=True).name, self.store, self.workspace)
            return known.sha256 if known else ""
        if image.startswith("s3://"):
            if record is None or record.input.uri != image or not record.input.etag:
                return ""
            etag = job.entry.etag or etag_of(image, self.store)
            return record.input.sha256 if record.input.etag == etag else ""
        try:
            if Path(image).stat().st_size > _MOST:
                return self.hashes.known(image) or ""
            return self.hashes.known(image) or hashlib.sha256(Path(image).read_bytes()).hexdigest()
        except OSError:
            return ""  # reported when it is uploaded
