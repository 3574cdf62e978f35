"""The story of one job: how it ended in each run that had it, what was in doubt, and the record of what came of it.

Used by `restyle show`. Runs are searched newest first; their lines are parsed only where they speak of the job.
"""

from __future__ import annotations

import gzip
import json
import posixpath
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from restyle.job import recorded
from restyle.keys import Workspace, normalise_id
from restyle.models import Job, Outcome, Run
from restyle.record import Record
from restyle.s3.store import Store

_JOB_ID = re.compile(r"[0-9a-f]{24}")


@dataclass(frozen=True)
class Chapter:
    """What became of the job in one run."""

    run_id: str
    job: Job
    outcome: Outcome | None
    """None: pending."""
    doubt: Mapping[str, Any] | None = None
    """The note that a call of it may have been paid for without an answer."""


@dataclass
class Story:
    """One job in all the runs that were looked through, newest first."""

    id: str
    variant: str
    job_id: str
    record: Record | None = None
    chapters: list[Chapter] = field(default_factory=list)

    @property
    def job(self) -> Job | None:
        """The job as it was planned last."""
        return self.chapters[0].job if self.chapters else None


@dataclass(frozen=True)
class Search:
    """Where stories are looked for."""

    store: Store
    workspace: Workspace
    #: What Redis holds of an open shard: (run_id, shard) -> job index -> outcome.
    open_outcomes: Callable[[str, int], Mapping[int, Outcome]]
    #: Runs that were passed over since something of them cannot be read, and why.
    unread: dict[str, str] = field(default_factory=dict)

    def stories(self, named: str, runs: Iterable[Run], variant: str | None = None) -> list[Story]:
        """The stories of an entry's jobs, or of one job; none where nobody knows it.

        Args:
            named: an entry's id, or a job's.
            runs: where to look, newest first.
            variant: this variant alone.
        """
        by_job: dict[str, Story] = {}
        for record in self._records(named, variant):
            by_job[record.job_id] = Story(record.id, record.variant, record.job_id, record)
        for run in runs:
            try:
                chapters = list(self._chapters(named, run, variant))
            except (ValueError, KeyError, TypeError, EOFError, gzip.BadGzipFile, zlib.error) as error:
                self.unread[run.run_id] = f"it is damaged, or of another version ({type(error).__name__})"
                continue
            for job_id, chapter in chapters:
                job = chapter.job
                if job_id not in by_job:
                    known = recorded.find_at(self.workspace.record(job.id, job.variant), self.store)
                    by_job[job_id] = Story(job.id, job.variant, job_id, known)
                by_job[job_id].chapters.append(chapter)
        return sorted(by_job.values(), key=lambda story: (story.id, story.variant))

    # -- records -----------------------------------------------------------------------------------------------

    def _records(self, named: str, variant: str | None) -> Iterator[Record]:
        try:
            folder = posixpath.dirname(self.workspace.record(normalise_id(named), "x"))
        except ValueError:
            return
        for listed in self.store.list(folder + "/"):
            name = listed.uri.removeprefix(folder + "/").removesuffix(".json")
            # Entries whose ids go on after this one's have their records in folders below.
            if "/" in name or (variant and name != variant):
                continue
            if record := recorded.find_at(listed.uri, self.store):
                yield record

    # -- runs --------------------------------------------------------------------------------------------------

    def _chapters(self, named: str, run: Run, variant: str | None) -> Iterator[tuple[str, Chapter]]:
        # As an id stands in a line of JSON, whichever way it was escaped.
        marks = {json.dumps(named).encode(), json.dumps(named, ensure_ascii=False).encode()}
        is_job_id = _JOB_ID.fullmatch(named) is not None
        # What is unchanged is reported as in closed shards, behind which it is counted on.
        for shard in range(run.shards + run.unchanged_parts):
            told_in = self.workspace.results(run.run_id, shard)
            if shard >= run.shards:
                told_in = self.workspace.unchanged(run.run_id, shard - run.shards)
            closed = self.store.find(told_in)
            planned = closed or self.store.find(self.workspace.shard(run.run_id, shard))
            known: Mapping[int, Outcome] | None = None
            for index, line in enumerate(gzip.decompress(planned.data).splitlines() if planned else ()):
                if not is_job_id and not any(mark in line for mark in marks):
                    continue
                row = json.loads(line)
                job = row["job"] if closed else row
                job_id = self.workspace.job_id(job["id"], job["variant"])
                if named not in {job["id"], job_id} or (variant and job["variant"] != variant):
                    continue
                if closed:
                    outcome = Outcome.model_validate(row["outcome"]) if row["outcome"] else None
                else:
                    known = self.open_outcomes(run.run_id, shard) if known is None else known
                    outcome = known.get(index)
                noted = self.store.find(self.workspace.doubt(run.run_id, job_id))
                doubt = json.loads(noted.data) if noted else None
                yield job_id, Chapter(run.run_id, Job.model_validate(job), outcome, doubt)
