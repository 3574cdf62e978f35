"""What earlier runs left to compare a plan with: which of them to read, and the newest word on each job.

Memory does not grow with the jobs: what is remembered goes to a file that SQLite removes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from producers.planning.compare.lines import End, Word
from producers.planning.plan import Plan
from producers.runs.outcomes import RunPruned
from restyle.job.results.seeds import seed_as_planned
from restyle.keys import Workspace
from restyle.models import OutcomeKind, Params, Run, RunStatus
from restyle.outputs import OutputOptions
from restyle.request_digest import Requests
from restyle.runtime.scratch import scratch

#: Without an earlier run of the same manifest, this many lines of others are read for each job, and some more: a
#: line takes a small part of the time of a record.
_LINES_EACH, _LINES_MORE = 20, 10_000
_BATCH = 5000
#: Kinds of parameters that are remembered.
_MOST = 1000
#: How JSON has a text, in C.
_quoted = json.encoder.encode_basestring_ascii


# -- which runs --------------------------------------------------------------------------------------------


def same_source(run: Run, uri: str, schedule: str | None) -> bool:
    """Whether a run planned the whole of this manifest, or of this schedule's."""
    if run.options.partial or run.retry_of:
        return False
    return (schedule is not None and run.schedule == schedule) or (run.manifest.uri == uri and uri != "-")


@dataclass(frozen=True)
class Readings:
    """The runs that a plan is compared with."""

    runs: Sequence[Run]
    """Those that ended last come first; none between them is left out."""
    base: Run | None
    """The last one of the same manifest, by which is seen what was removed."""


def readings(runs: Iterable[Run], plan: Plan) -> Readings:
    """Chooses the runs to read, so that the newest word on each job is the word on its record.

    They go back to the last run that finished the same manifest, since each one after it may have redone its jobs;
    without such a one they are as many as are worth reading.
    """
    order = sorted(runs, key=lambda run: (run.finished is None, run.finished or run.created), reverse=True)
    same = [run for run in order if same_source(run, plan.manifest.uri, plan.request.schedule)]
    base = max(same, key=lambda run: run.created, default=None)
    finished = next((run for run in same if run.status is RunStatus.FINISHED), None)
    if needed := [order.index(run) for run in (base, finished) if run]:
        return Readings(order[: max(needed) + 1], base)
    room, chosen = _LINES_EACH * plan.jobs + _LINES_MORE, []
    for run in order:
        room -= run.planned
        if room < 0:
            break
        chosen.append(run)
    return Readings(chosen, None)


# -- what they say -----------------------------------------------------------------------------------------


class Known(NamedTuple):
    """What a job's record holds."""

    request: str
    """`Fingerprint.request`."""
    etag: str
    token: str
    """`Fingerprint.token`."""
    planned: str
    """The request that an ordinary plan makes: another where its picture was made anew (job/results/seeds.py)."""
    answer: str = ""
    """JSON of the seed, the outputs and `Outcome.stored`, where the record would be left as it is; else empty."""


class Memory:
    """The newest word of the results on each job."""

    def __init__(self, workspace: Workspace, outputs: OutputOptions | None) -> None:
        """Starts without any; what is wanted of outputs now decides whether those of before do (None: do not ask)."""
        self._workspace = workspace
        self._outputs = outputs
        self._file = scratch(self, "cache_size = -65536", autocommit=True)
        # Rows lie as they are read, and are looked up in about that order. Done is NULL where the record must be asked:
        # the job failed, or is being done.
        what = "ended REAL, done INTEGER, request TEXT, etag TEXT, token TEXT, planned TEXT, answer TEXT"
        self._file.execute(f"CREATE TABLE known (job INTEGER UNIQUE, {what})")
        self._file.execute("CREATE TABLE base (job INTEGER, name TEXT)")
        self._file.execute("CREATE TABLE seen (job INTEGER)")
        self._has_base = False

    def read(self, run: Run, rows: Callable[[], Iterator[Word]], *, is_base: bool) -> bool:
        """Takes in a run's results; False where they are gone, as `restyle prune` leaves them."""
        known: list[tuple[object, ...]] = []
        base: list[tuple[int, str]] = []
        columns = _Columns(run, has_answers=run.options.outputs == self._outputs)
        self._has_base |= is_base
        try:
            for word in rows():
                job_id = self._workspace.job_id(word.id, word.variant)
                key = _key(job_id)
                if is_base:
                    base.append((key, f"{word.id}/{word.variant}"))
                if word.end.kind or run.finished is None:
                    known.append((key, *columns.of(word, job_id)))
                if len(known) + len(base) >= _BATCH:
                    self._write(known, base)
        except RunPruned:
            return False
        finally:
            self._write(known, base)
        return True

    def has_answers(self) -> bool:
        """Whether any job might be answered without a look at its record."""
        return self._file.execute("SELECT 1 FROM known WHERE answer <> '' LIMIT 1").fetchone() is not None

    def known(self, job_ids: Sequence[str]) -> Iterator[Known | None]:
        """What the results say of some jobs' records; None where the record itself must be asked."""
        self.seen(job_ids)
        keys = list(map(_key, job_ids))
        places = ",".join("?" * len(keys))
        query = f"SELECT job, request, etag, token, planned, answer FROM known WHERE done AND job IN ({places})"  # noqa: S608 - nothing but question marks
        known = {row[0]: Known._make(row[1:]) for row in self._file.execute(query, keys)}
        return map(known.get, keys)

    def seen(self, job_ids: Iterable[str]) -> None:
        """Notes that the manifest still has some jobs."""
        if self._has_base:
            self._file.execute("BEGIN")
            self._file.executemany("INSERT INTO seen VALUES (?)", ((_key(job_id),) for job_id in job_ids))
            self._file.execute("COMMIT")

    def unseen(self, examples: int) -> tuple[int, list[str]]:
        """How many jobs of the base were not seen, and the first of them."""
        self._file.execute(
            "CREATE TABLE gone AS SELECT DISTINCT name FROM base WHERE job NOT IN (SELECT job FROM seen)"
        )
        names = self._file.execute("SELECT name FROM gone ORDER BY name LIMIT ?", (examples,)).fetchall()
        return self._file.execute("SELECT count(*) FROM gone").fetchone()[0], [name for (name,) in names]

    def close(self) -> None:
        """Lets go of the file."""
        self._file.close()

    def _write(self, known: list[tuple[object, ...]], base: list[tuple[int, str]]) -> None:
        self._file.execute("BEGIN")
        self._file.executemany(
            "INSERT INTO known VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (job) DO UPDATE SET ended = excluded.ended,"
            " done = excluded.done, request = excluded.request, etag = excluded.etag, token = excluded.token,"
            " planned = excluded.planned, answer = excluded.answer WHERE excluded.ended > known.ended",
            known,
        )
        self._file.executemany("INSERT INTO base VALUES (?, ?)", base)
        self._file.execute("COMMIT")
        known.clear()
        base.clear()


def _key(job_id: str) -> int:
    return int.from_bytes(bytes.fromhex(job_id[:16]), signed=True)


class _Columns:
    """What the rows of a run say of their jobs' records."""

    def __init__(self, run: Run, *, has_answers: bool) -> None:
        """Begins without requests; answers are those of a run whose outputs are what is wanted now."""
        self._run, self._has_answers = run, has_answers
        #: By the parameters that they share, of which there are few objects.
        self._requests: dict[int, tuple[Params, Requests]] = {}

    def of(self, word: Word, job_id: str) -> tuple[object, ...]:
        """The columns of a row; that the record must be asked where the job failed or is being done."""
        end, seed = word.end, word.seed
        if end.kind in {"", OutcomeKind.FAILED} or not end.fingerprint:
            return end.at, None, "", "", "", "", self._answer(end)
        requests, planned = self._of(word.params), seed_as_planned(seed, job_id, self._run.run_id)
        # One that was found done may have been made with another seed than this run asked for.
        made = seed if end.seed is None else end.seed
        planned_request = request = requests.digest(word.prompt, word.negative_prompt, planned)
        if made != planned:
            request = requests.digest(word.prompt, word.negative_prompt, made)
        return end.at, 1, request, end.etag, end.fingerprint, planned_request, self._answer(end)

    def _of(self, params: Params) -> Requests:
        known = self._requests.get(id(params))
        if known is None:
            known = params, Requests(params, self._run.options.model, self._run.options.preparation)
            if len(self._requests) < _MOST:
                self._requests[id(params)] = known
        return known[1]

    def _answer(self, end: End) -> str:
        """What answers a job again as it did; of what is suspect or was put beside its place, its worker decides."""
        if not (self._has_answers and end.stored and end.is_plain and end.outputs):
            return ""
        outputs, stored = ",".join(map(_quoted, end.outputs)), ",".join(map(_quoted, end.stored))
        return f"[{'null' if end.seed is None else end.seed},[{outputs}],[{stored}]]"
