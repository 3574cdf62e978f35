"""Finds the jobs of a plan that are unchanged: S3 shows that they are done. They are skipped, and never queued.

A job is unchanged if the results of an earlier run say that it was done as it is planned now, and if listings show that
its record, its outputs and its input are the same objects as then. Every other job is queued, and its worker decides
(restyle/job/lookup.py).
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from itertools import groupby, islice, tee
from operator import itemgetter
from typing import NamedTuple

from producers.planning.compare.changes import Change, PlannedJob, Question, change_of, planned_jobs
from producers.planning.compare.lines import words_of
from producers.planning.compare.lookup import looked_up
from producers.planning.compare.ordered import Ordered
from producers.planning.compare.previous_runs import Known, Memory, readings
from producers.planning.plan import Plan
from producers.planning.uploads import Hashes
from producers.runs.listing import read_runs, run_ids
from restyle.errors import InputNotFound, RunUnreadable
from restyle.fingerprint import digest
from restyle.job.outputs.locations import SUFFIXES, fitted
from restyle.keys import Workspace
from restyle.models import Outcome, OutcomeKind, utc_now
from restyle.runtime.scratch import scratch
from restyle.s3.store import Store

#: How many earlier runs are read, the newest first.
RUNS = 500
_BATCH = 5000
#: Jobs that are looked up together.
_TOGETHER = 500
#: A text as JSON; written in C.
_quoted = json.encoder.encode_basestring_ascii


class UnchangedJob(NamedTuple):
    """A job that is unchanged, by its position, with its outcome."""

    place: int
    """Its position in the plan."""
    mark: int
    """A hash of the job as it was compared: `PlannedJob.mark`. Not a mark of provenance or review."""
    image: str
    """Its input in S3."""
    outcome: str
    """Its `Outcome` as JSON."""


class Unchanged:
    """Collects the jobs of a plan that an earlier run has done, and confirms them by listings of S3.

    They are kept in a file, so that memory does not grow with the number of jobs.
    """

    def __init__(self, plan: Plan, store: Store, workspace: Workspace) -> None:
        """Starts empty."""
        self._store = store
        self._workspace = workspace
        self._exact = plan.options.verify_outputs
        # --overwrite makes every picture again, and a sample that a person is to see must be complete.
        self.applies = not (plan.options.overwrite or plan.options.reread or plan.ask_after)
        self._hashes = Hashes(plan.home, workspace, create=False)
        self._file = scratch(self, "cache_size = -32768", "temp_store = FILE", autocommit=True)
        self._file.execute("CREATE TABLE answer (place INTEGER PRIMARY KEY, mark INTEGER, image TEXT, outcome TEXT)")
        self._file.execute("CREATE TABLE doubtful (place INTEGER PRIMARY KEY)")
        self._answers: list[tuple[object, ...]] = []
        #: The objects to confirm, one table for each kind.
        self._records, self._outputs, self._inputs = (
            Ordered(self._file, kind, "uri", "etag", "bytes", "place") for kind in ("record", "output", "input")
        )
        skipped = Outcome(outcome=OutcomeKind.SKIPPED, ended=utc_now())
        self._skipped = json.dumps(skipped.model_dump(mode="json", exclude_defaults=True)).removesuffix("}")

    def offer(self, place: int, job: PlannedJob, known: Known | None) -> None:
        """Adds a job if the results of an earlier run say that it is done; `confirm` then asks S3."""
        if not self.applies or known is None or not known.answer:
            return
        change = change_of(job, known)
        if not (change is Change.UNCHANGED or change is Question.INPUT):
            return
        seed, outputs, stored = json.loads(known.answer)
        image = self._input_of(job, known)
        if not image or not _is_in_place(job.places, outputs) or len(stored) != 1 + len(outputs):
            return
        made = []
        for uri, noted in zip(outputs, stored[1:], strict=True):
            size, _, etag = noted.partition(" ")
            if not size.isdecimal() or (self._exact and not etag):
                return
            made.append((uri, etag, int(size), place))
        for one in made:
            self._outputs.add(*one)
        self._records.add(self._workspace.record(job.id, job.variant), stored[0], -1, place)
        if not job.etag:
            self._inputs.add(image, known.etag, -1, place)
        # The JSON of an Outcome, made by hand: pydantic takes several times as long.
        outcome = (
            f'{self._skipped}, "seed": {"null" if seed is None else seed}, "outputs": {_list(outputs)}, "etag":'
            f' {_quoted(known.etag)}, "fingerprint": {_quoted(known.token)}, "stored": {_list(stored)}}}'
        )
        self._answers.append((place, job.mark, image, outcome))
        if len(self._answers) >= _BATCH:
            self._write()

    def confirm(self) -> None:
        """Drops each job whose record, output or input is missing or has changed, as listings show."""
        self._write()
        for objects in (self._records, self._outputs, self._inputs):
            self._file.executemany("INSERT OR IGNORE INTO doubtful VALUES (?)", self._doubtful(objects))
        self._file.execute("DELETE FROM answer WHERE place IN doubtful")

    def _doubtful(self, objects: Ordered) -> Iterator[tuple[int]]:
        """The positions of the jobs that S3 does not confirm."""
        ahead, behind = tee(objects)
        shown = looked_up((uri for uri, _ in groupby(row[0] for row in ahead)), self._store, confirm=False)
        for (_, seen), (_, alike) in zip(shown, groupby(behind, itemgetter(0)), strict=True):
            for _, etag, size, place in alike:
                if seen is None or (etag and seen.etag != etag) or size not in {-1, seen.bytes}:
                    yield (place,)

    def __iter__(self) -> Iterator[UnchangedJob]:
        """The unchanged jobs, in the order of the plan."""
        return map(UnchangedJob._make, self._file.execute("SELECT * FROM answer ORDER BY place"))

    def __len__(self) -> int:
        """How many jobs are unchanged."""
        return int(self._file.execute("SELECT count(*) FROM answer").fetchone()[0])

    def close(self) -> None:
        """Closes the files."""
        self._file.close()
        self._hashes.close()

    def _input_of(self, job: PlannedJob, known: Known) -> str:
        """The URI of the job's input in S3; empty where it may have changed."""
        if not job.is_local:
            return job.image if known.etag and job.image.startswith("s3://") else ""
        try:
            sha256 = self._hashes.known(job.image)
        except OSError:
            return ""
        if sha256 is None or digest([sha256, known.request]) != known.token:
            return ""
        return self._workspace.input(sha256, posixpath.splitext(job.image)[1].lower())

    def _write(self) -> None:
        self._file.execute("BEGIN")
        self._file.executemany("INSERT INTO answer VALUES (?, ?, ?, ?)", self._answers)
        self._file.execute("COMMIT")
        self._answers.clear()


def _list(texts: Sequence[str]) -> str:
    return f"[{', '.join(map(_quoted, texts))}]"


def _is_in_place(places: Sequence[str], outputs: Sequence[str]) -> bool:
    """Whether outputs lie where the plan puts them; the suffix may differ where it fits the output's format."""
    if not outputs or len(outputs) > len(places):
        return False
    for planned, uri in zip(places, outputs, strict=False):
        if uri != planned:
            suffix = posixpath.splitext(uri)[1].lower()
            kinds = [kind for kind, suffixes in SUFFIXES.items() if suffix in suffixes]
            if not kinds or fitted(planned, kinds[0]) != uri:
                return False
    return True


def with_known(jobs: Iterator[PlannedJob], memory: Memory) -> Iterator[tuple[PlannedJob, Known | None]]:
    """The jobs of a plan, each with what earlier runs say of its record; None where they say nothing."""
    while some := list(islice(jobs, _TOGETHER)):
        yield from zip(some, memory.known([job.job_id for job in some]), strict=True)


@contextmanager
def find_unchanged(plan: Plan, store: Store, workspace: Workspace) -> Iterator[Unchanged]:
    """The unchanged jobs of a plan; their file is closed at the end of the context."""
    with closing(Unchanged(plan, store, workspace)) as unchanged:
        if unchanged.applies:
            earlier = readings(read_runs(run_ids(store, workspace)[:RUNS], store, workspace), plan)
            with closing(Memory(workspace, plan.options.outputs)) as memory:
                for run in earlier.runs:
                    rows = partial(words_of, run, workspace=workspace, store=store)
                    with suppress(RunUnreadable, InputNotFound):  # workers read the records instead
                        memory.read(run, rows, is_base=False)
                if memory.has_answers():
                    for place, (job, known) in enumerate(with_known(planned_jobs(plan, workspace), memory)):
                        unchanged.offer(place, job, known)
                    unchanged.confirm()
        yield unchanged
