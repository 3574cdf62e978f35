"""An index of all jobs of a run, by which people page, search and filter them. It is a SQLite file, made from S3.

A thread reads the shards when somebody first opens the run. Closed shards never change and are read once; for open ones
Redis is asked again. A run of a million jobs takes half a minute; the jobs that are read so far can be shown meanwhile.
"""

from __future__ import annotations

import gzip
import json
import shutil
import sqlite3
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from apps.session import Session
from apps.views.moment import Row
from apps.views.review_index import BITS, COLUMNS, NAMES, OUTCOMES, SCHEMA, Filter, Question, Writer, question_of
from apps.views.run_detail import DAMAGED, titles_of
from producers.runs.review.marks import Mark, Marks
from producers.runs.review.withdrawal import withdrawn_jobs
from restyle.errors import InputNotFound, RestyleError
from restyle.models import Run
from restyle.outputs import REJECTED

#: Jobs on a page.
PER_PAGE = 50
#: Seconds from the end of one reading of the run to the start of the next.
FRESH = 1.0
#: Shards that are read between two commits, and shards that are read at a time.
_BATCH, _AT_ONCE = 16, 4
#: The most jobs of a run whose marks are looked up by job id; marks of larger runs have the position.
_FEW = 5000
#: The most jobs that a search counts; where there are more, it says so.
MOST_COUNTED = 10_000


@dataclass(frozen=True)
class ListedJob:
    """A job on a page."""

    shard: int
    index: int
    job_id: str
    id: str
    title: str
    variant: str
    outcome: str
    suspect: bool
    error: str
    message: str
    seed: int
    credits: float
    mark: Mark | None
    is_withdrawn: bool = False
    """Whether its picture was moved aside because a review rejected it."""

    @property
    def place(self) -> int:
        """Its position in the index: shard and index in one number."""
        return self.shard << BITS | self.index


@dataclass(frozen=True)
class JobPage:
    """A page of jobs."""

    jobs: Sequence[ListedJob]
    count: int
    """Jobs that match, on all pages."""
    indexed: int
    """Jobs that are in the index so far."""
    reasons: Sequence[tuple[int, str, str, int]] = ()
    """Why jobs failed: number of the reason, error, message, jobs; the most frequent first."""
    marked: Mapping[str, int] = field(default_factory=dict)
    variants: Sequence[str] = ()


class Review:
    """The index of one run's jobs."""

    def __init__(self, session: Session, run_id: str) -> None:
        self.session, self.run_id = session, run_id
        self.marks = Marks(run_id, session.store, session.workspace)
        self._folder = Path(tempfile.mkdtemp(prefix="restyle-review-"))
        self._file = self._folder / "index.sqlite"
        with closing(self._connect()) as table:
            table.executescript(SCHEMA)
        #: Shards that will not change, and the number of jobs of each shard that was read.
        self._final: set[int] = set()
        self._sizes: dict[int, int] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._taken = float("-inf")
        self._marks_version = -1
        #: Whether some marks name jobs by ids that are not in the index yet.
        self._late_marks = False
        self._standing: dict[str, Mark] = {}
        self._stopping = threading.Event()
        self.trouble = ""
        #: What people call the variants of a trial, by their names.
        self.titles: dict[str, str] = {}

    def close(self) -> None:
        """Removes the index."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(5)
        shutil.rmtree(self._folder, ignore_errors=True)

    # -- reading a run ---------------------------------------------------------------------------------------

    def refresh(self, row: Row, *, wait: float = 0.7) -> None:
        """Starts to read what is new of the run, and waits at most `wait` seconds for the end of that."""
        with self._lock:
            is_busy = self._thread is not None and self._thread.is_alive()
            is_whole = len(self._final) == row.run.shards + row.run.unchanged_parts
            if not is_busy and not is_whole and time.monotonic() - self._taken > FRESH:
                self._thread = threading.Thread(target=self._read, args=(row,), name="review", daemon=True)
                self._thread.start()
            thread = self._thread
        if thread is not None:
            thread.join(wait)
        with suppress(RestyleError):  # the marks of the last reading are shown
            self._take_marks()

    def _read(self, row: Row) -> None:
        """Reads every shard that may have changed, in their order."""
        try:
            state, run = self.session.state, row.run
            if run.trial and not self.titles:
                self.titles = titles_of(self.session, self.run_id)
            opened = {int(shard) for shard in state.ask("ZRANGE", state.key("run", self.run_id, "open"), 0, -1)}
            below = run.shards if row.ended or row.totals is None else row.totals.cursor
            shards = [shard for shard in range(run.shards + run.unchanged_parts) if shard not in self._final]
            with closing(self._connect()) as table, ThreadPoolExecutor(_AT_ONCE, "review") as pool:
                writer = Writer(table)
                for first in range(0, len(shards), _BATCH):
                    batch = shards[first : first + _BATCH]
                    closed = {
                        shard for shard in batch if shard >= run.shards or (shard < below and shard not in opened)
                    }
                    texts = list(pool.map(lambda shard: self._lines(shard, run.shards, shard in closed), batch))  # noqa: B023 - used at once
                    for shard, (lines, is_final) in zip(batch, texts, strict=True):
                        if self._stopping.is_set():
                            return
                        writer.take(shard, lines, is_new=shard not in self._sizes)
                        self._sizes[shard] = len(lines)
                        if is_final:
                            self._final.add(shard)
                    table.commit()
            self.trouble = ""
        except RestyleError as error:
            self.trouble = error.message
        finally:
            self._taken = time.monotonic()

    def _lines(self, shard: int, shards: int, is_closed: bool) -> tuple[list[tuple[dict[str, Any], Any]], bool]:
        """The jobs of a shard with their outcomes, and whether they are final; no jobs where the shard was pruned."""
        store, workspace = self.session.store, self.session.workspace
        if shard >= shards:
            part = store.find(workspace.unchanged(self.run_id, shard - shards))
            return [(line.get("job") or {}, line.get("outcome")) for line in _parsed(part.data)] if part else [], True
        results = store.find(workspace.results(self.run_id, shard)) if is_closed else None
        if results:
            return [(line.get("job") or {}, line.get("outcome")) for line in _parsed(results.data)], True
        try:
            plan = store.get(workspace.shard(self.run_id, shard)).data
        except InputNotFound:
            return [], is_closed
        state = self.session.state
        known = state.ask("HGETALL", state.key("run", self.run_id, "shard", str(shard)))
        return [(job, _outcome(known.get(f"o:{index}"))) for index, job in enumerate(_parsed(plan))], False

    # -- asking ----------------------------------------------------------------------------------------------

    def find(self, query: Filter, page: int) -> JobPage:
        """A page of the jobs that match, in the order of the run."""
        with closing(self._connect(read_only=True)) as table:
            question, indexed = question_of(query, table), sum(self._sizes.values())
            count, offset = indexed, (page - 1) * PER_PAGE
            if question.is_all:
                first, offset = self._shard_at(offset)
                question = Question("job WHERE place >= ?", (first << BITS,))
            else:
                most = MOST_COUNTED + 1 if query.text else indexed
                counted = f"SELECT count(*) FROM (SELECT 1 FROM {question.source} LIMIT {most})"  # noqa: S608 - our own words
                count = int(table.execute(counted, question.values).fetchone()[0])
            chosen = f"SELECT job.* FROM {question.source} ORDER BY {question.order} LIMIT {PER_PAGE} OFFSET ?"  # noqa: S608 - our own words
            rows = table.execute(
                f"SELECT {COLUMNS} FROM ({chosen}) AS job{NAMES} ORDER BY place",  # noqa: S608 - our own words
                (*question.values, offset),
            ).fetchall()
            reasons = table.execute(
                "SELECT reason, error, message, count(*) AS n FROM job JOIN reason ON number = reason"
                " WHERE reason IS NOT NULL AND outcome = 3 GROUP BY reason ORDER BY n DESC LIMIT 30"
            ).fetchall()
            variants = [name for (name,) in table.execute("SELECT name FROM variant ORDER BY number LIMIT 200")]
        jobs = self._with_withdrawals([self._listed(row) for row in rows])
        return JobPage(jobs, count, indexed, reasons, self.marked(), variants)

    def marked(self) -> Counter[str]:
        """How many jobs have each mark."""
        return Counter(mark.mark for mark in self._standing.values())

    def _shard_at(self, offset: int) -> tuple[int, int]:
        """The shard in which the job at an offset lies, and how many jobs of that shard come before it."""
        for shard in sorted(self._sizes):
            if offset < self._sizes[shard]:
                return shard, offset
            offset -= self._sizes[shard]
        return 1 << 30, 0

    def job(self, place: int, run: Run) -> ListedJob | None:
        """The job at a position; where it is not in the index yet, its shard is read."""
        query = f"SELECT {COLUMNS} FROM job{NAMES} WHERE place = ?"  # noqa: S608 - our own words
        with closing(self._connect(read_only=True)) as table:
            row = table.execute(query, (place,)).fetchone()
        shard, index = place >> BITS, place & ((1 << BITS) - 1)
        if row is None and 0 <= shard < run.shards + run.unchanged_parts:
            lines, _ = self._lines(shard, run.shards, is_closed=True)
            if index < len(lines):
                with closing(sqlite3.connect("")) as table:
                    table.executescript(SCHEMA)
                    Writer(table).take(shard, lines, is_new=True)
                    row = table.execute(query, (place,)).fetchone()
        return next(iter(self._with_withdrawals([self._listed(row)] if row else [])), None)

    def _with_withdrawals(self, jobs: Sequence[ListedJob]) -> Sequence[ListedJob]:
        """The jobs, with `is_withdrawn` set. Only records of jobs that were ever marked or rejected are read."""
        touched = self.marks.touched()
        named = [
            (job.id, job.variant) for job in jobs if job.job_id in touched or (job.suspect and REJECTED in job.message)
        ]
        aside = withdrawn_jobs(named, self.session.store, self.session.workspace)
        return [replace(job, is_withdrawn=True) if job.job_id in aside else job for job in jobs]

    def _listed(self, row: Sequence[Any]) -> ListedJob:
        place, entry, title, variant, outcome, suspect, error, message, seed, credits = row
        job_id = self.session.workspace.job_id(entry, variant)
        return ListedJob(
            place >> BITS, place & ((1 << BITS) - 1), job_id, entry, title, variant, OUTCOMES[outcome], bool(suspect),
            error or "", message or "", seed or 0, credits or 0.0, self._standing.get(job_id),
        )  # fmt: skip

    # -- marks -----------------------------------------------------------------------------------------------

    def _take_marks(self) -> None:
        """Writes the marks into the index, where they have changed."""
        standing = self.marks.standing()
        if self.marks.version == self._marks_version and not self._late_marks:
            return
        self._standing, self._marks_version = standing, self.marks.version
        with self._lock, closing(self._connect()) as table:
            table.execute("DELETE FROM mark")
            # Marks that were set on a trial's grid have a job id and no position; a trial has few jobs.
            lacking = any(mark.place < 0 for mark in standing.values()) and sum(self._sizes.values()) <= _FEW
            names = table.execute(f"SELECT place, id, v.name FROM job{NAMES}").fetchall() if lacking else ()  # noqa: S608 - our own words
            places = {self.session.workspace.job_id(entry, variant): place for place, entry, variant in names}
            placed = [(mark.place if mark.place >= 0 else places.get(job, -1), mark) for job, mark in standing.items()]
            self._late_marks = lacking and any(place < 0 for place, _ in placed)
            rows = ((place, mark.mark) for place, mark in placed if place >= 0)
            table.executemany("INSERT OR REPLACE INTO mark VALUES (?, ?)", rows)
            table.commit()

    def _connect(self, *, read_only: bool = False) -> sqlite3.Connection:
        table = sqlite3.connect(self._file, timeout=10)
        table.execute("PRAGMA synchronous = OFF")
        table.execute("PRAGMA cache_size = -8192")
        if read_only:
            table.execute("PRAGMA query_only = ON")
        else:
            table.execute("PRAGMA journal_mode = WAL")
        return table


def _parsed(data: bytes) -> list[dict[str, Any]]:
    """The lines of a shard; a damaged shard has none."""
    try:
        return [line for text in gzip.decompress(data).splitlines() if isinstance(line := json.loads(text), dict)]
    except DAMAGED:
        return []


def _outcome(text: str | None) -> Any:
    with suppress(ValueError):
        return json.loads(text) if text else None
    return None
