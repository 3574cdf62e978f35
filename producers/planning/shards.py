"""The second pass: writes a plan to S3 as shards, and uploads local inputs on the way. run.json is written last."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, nullcontext
from functools import partial

from producers.manifest.entry import Stand
from producers.planning.compare.unchanged import Unchanged, find_unchanged
from producers.planning.jobs.written import Planned, UnchangedLine, address_of, written_jobs
from producers.planning.plan import Plan
from producers.planning.uploads import Hashes, Uploads
from producers.planning.web import Secrets
from producers.runs.trials import write_trial
from restyle.keys import Workspace
from restyle.models import Run
from restyle.problems import Problem
from restyle.s3.store import Store

#: Jobs in one object of `unchanged/`.
UNCHANGED_LINES = 5000
_LEVEL = 3


def write_shards(
    plan: Plan,
    *,
    workspace: Workspace,
    store: Store,
    shard_jobs: int,
    by: str,
    progress: Callable[[int], None] | None = None,
    unchanged: Unchanged | None = None,
) -> Run:
    """Writes a plan to S3, except run.json: without that the run does not exist (producers/runs/admission.py).

    Jobs that S3 shows to be done go to `unchanged/`, and to no shard.

    Args:
        plan: the plan.
        workspace: where the run lies.
        store: S3.
        shard_jobs: how many jobs a shard has.
        by: who submits the run.
        progress: called with the number of jobs written so far.
        unchanged: the jobs that S3 shows to be done; None: they are looked up here.

    Raises:
        ManifestError: the manifest or a local input has changed since the first pass.
    """
    given = nullcontext(unchanged) if unchanged is not None else find_unchanged(plan, store, workspace)
    hashes = Hashes(plan.home, workspace, create=bool(plan.uploads))
    with given as answers, closing(hashes):
        uploads, addressed = Uploads(hashes, store, workspace), partial(address_of, plan, store, workspace)
        jobs = written_jobs(plan, uploads, iter(answers), addressed)
        shards, done = _write_jobs(jobs, plan, shard_jobs, store, workspace, progress)
    if plan.problems:
        _put_invalid(plan, workspace, store)
    if plan.trial:
        write_trial(plan.trial, plan.run_id, store=store, workspace=workspace)
    run = plan.as_run(shards=shards.parts, by=by)
    return run.model_copy(update={"unchanged": done.written, "unchanged_parts": done.parts})


def _write_jobs(
    jobs: Iterator[Planned | UnchangedLine | list[str]], plan: Plan, shard_jobs: int, store: Store,
    workspace: Workspace, progress: Callable[[int], None] | None,
) -> tuple[_Parts, _Parts]:  # fmt: skip
    """Writes the jobs. Answers with what was written as shards, and what was written to `unchanged/`."""
    secrets = Secrets()
    shards = _Parts(
        lambda part: workspace.shard(plan.run_id, part), shard_jobs, store,
        then=lambda part: secrets.put(plan.run_id, part, store, workspace),
    )  # fmt: skip
    done = _Parts(lambda part: workspace.unchanged(plan.run_id, part), UNCHANGED_LINES, store)
    for item in jobs:
        if isinstance(item, list):
            is_full = shards.add_all(item)
        elif isinstance(item, UnchangedLine):
            is_full = done.add(_answered(shards.written, *item))
        else:
            job, answer, address = item
            line = job.model_dump_json()
            if answer is not None:
                line = _answered(shards.written, line, answer.outcome)
            elif address:
                secrets.add(address)
            # The sample ends its shard: later jobs may be queued only once a person has approved.
            is_full = (shards if answer is None else done).add(line) or shards.cut(plan.ask_after)
        if is_full and progress:
            progress(shards.written + done.written)
    shards.finish()
    done.finish()
    return shards, done


def _answered(before: int, job: str, outcome: str) -> str:
    """A line of `unchanged/`: how many jobs of shards come before this job, the job, and its outcome."""
    return f'{{"before": {before}, "job": {job}, "outcome": {outcome}}}'


class _Parts:
    """Writes lines to S3 in objects of a fixed number of lines."""

    def __init__(
        self, uri: Callable[[int], str], most: int, store: Store, then: Callable[[int], None] = lambda _: None
    ) -> None:
        """Args: the URI of each object, lines in one, S3, and what is called once an object is written."""
        self._uri, self._most, self._store, self._then = uri, most, store, then
        self._lines: list[str] = []
        self.parts = self.written = 0

    def add(self, line: str) -> bool:
        """Adds a line; answers whether this completed an object."""
        self._lines.append(line)
        self.written += 1
        return len(self._lines) == self._most and self.finish()

    def add_all(self, lines: Sequence[str]) -> bool:
        """Adds lines; answers whether they completed an object."""
        start, is_full = 0, False
        while start < len(lines):
            some = lines[start : start + self._most - len(self._lines)]
            self._lines += some
            self.written += len(some)
            start += len(some)
            if len(self._lines) == self._most:
                is_full = self.finish()
        return is_full

    def cut(self, after: int) -> bool:
        """Ends the object early if exactly `after` lines were added in all; answers whether it did."""
        return bool(self._lines) and self.written == after and self.finish()

    def finish(self) -> bool:
        """Writes the lines that are left; answers whether there were any."""
        if not self._lines:
            return False
        data = gzip.compress("\n".join(self._lines).encode(), compresslevel=_LEVEL, mtime=0)
        self._store.put(self._uri(self.parts), data, content_type="application/gzip")
        self._then(self.parts)
        self.parts += 1
        self._lines = []
        return True


def _put_invalid(plan: Plan, workspace: Workspace, store: Store) -> None:
    """Writes invalid.csv: the rejected rows with their reasons. Once corrected it can be run as a manifest."""
    bad: dict[Stand, list[Problem]] = {}
    for problem in plan.problems:
        bad.setdefault((problem.source, problem.line), []).append(problem)
    source = plan.source
    names = source.names if source else ()
    rows = dict(source.originals(bad.keys())) if source else {}
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    layout = _Layout(names, last=bool(source and source.is_report))
    writer.writerow(layout.row(_REASON_COLUMNS, names))
    for stand, problems in bad.items():
        # Problems of a listing have no line number, so each of them belongs to another entry.
        for group in [problems] if stand[1] else [[problem] for problem in problems]:
            reasons = "; ".join(f"{p.column}: {p.reason}" if p.column else p.reason for p in group)
            writer.writerow(layout.row((stand[0], str(stand[1] or ""), reasons), rows.get(stand, ())))
    uri = workspace.run(plan.run_id, "invalid.csv")
    store.put(uri, text.getvalue().encode(), content_type="text/csv; charset=utf-8")


#: The columns that invalid.csv has besides those of the manifest.
_REASON_COLUMNS = ("source", "line", "problem")


class _Layout:
    """The order of the columns in invalid.csv: the reasons come first, but last where the manifest is a report.

    A report is recognised by its first columns, and is to stay one.
    """

    def __init__(self, names: Sequence[str], *, last: bool) -> None:
        self._width = len(names)
        self._last = last
        #: Columns with old reasons, where the manifest was an invalid.csv itself.
        is_invalid_csv = {*_REASON_COLUMNS} <= {*names}
        self._old = {index for index, name in enumerate(names) if is_invalid_csv and name in _REASON_COLUMNS}

    def row(self, reasons: Sequence[str], cells: Sequence[str]) -> list[str]:
        """A row of invalid.csv; cells beyond the header stay at the end."""
        padded = [*cells, *[""] * (self._width - len(cells))]
        own = [cell for index, cell in enumerate(padded[: self._width]) if index not in self._old]
        return [*own, *reasons, *padded[self._width :]] if self._last else [*reasons, *own, *padded[self._width :]]
