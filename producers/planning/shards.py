"""Pass 2: a plan becomes shards in S3, local inputs go up on the way, and run.json comes last."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, nullcontext
from functools import partial

from producers.manifest.entry import Stand
from producers.planning.compare.unchanged import Unchanged, find_unchanged
from producers.planning.jobs.written import Answered, Planned, address_of, written_jobs
from producers.planning.plan import Plan
from producers.planning.uploads import Hashes, Uploads
from producers.planning.web import Secrets
from producers.runs.trials import write_trial
from restyle.keys import Workspace
from restyle.models import Run
from restyle.problems import Problem
from restyle.s3.store import Store

#: Jobs of one object in `unchanged/`.
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
    """Writes all of a plan to S3 but run.json; the run does not exist yet (producers/runs/admission.py).

    Jobs that S3 shows to be done are written as such, and are in no shard.

    Args:
        plan: the plan.
        workspace: where the run lies.
        store: S3.
        shard_jobs: jobs of one shard.
        by: who submits it.
        progress: given the number of jobs written so far.
        unchanged: the jobs that S3 shows to be done; without, they are looked for.

    Raises:
        ManifestError: the manifest or a local input is another than it was when it was judged.
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
    jobs: Iterator[Planned | Answered | list[str]], plan: Plan, shard_jobs: int, store: Store, workspace: Workspace,
    progress: Callable[[int], None] | None,
) -> tuple[_Parts, _Parts]:  # fmt: skip
    """The parts of the shards, and those of the jobs that are done already."""
    secrets = Secrets()
    shards = _Parts(
        lambda part: workspace.shard(plan.run_id, part), shard_jobs, store,
        then=lambda part: secrets.put(plan.run_id, part, store, workspace),
    )  # fmt: skip
    done = _Parts(lambda part: workspace.unchanged(plan.run_id, part), UNCHANGED_LINES, store)
    for item in jobs:
        if isinstance(item, list):
            is_full = shards.add_all(item)
        elif isinstance(item, Answered):
            is_full = done.add(_answered(shards.written, *item))
        else:
            job, answer, address = item
            line = job.model_dump_json()
            if answer is not None:
                line = _answered(shards.written, line, answer.outcome)
            elif address:
                secrets.add(address)
            # What asks for approval is a shard of its own: nothing else may be opened before.
            is_full = (shards if answer is None else done).add(line) or shards.cut(plan.ask_after)
        if is_full and progress:
            progress(shards.written + done.written)
    shards.finish()
    done.finish()
    return shards, done


def _answered(before: int, job: str, outcome: str) -> str:
    """A line of `unchanged/`: the jobs of shards that come before it, the job, and what answers it."""
    return f'{{"before": {before}, "job": {job}, "outcome": {outcome}}}'


class _Parts:
    """Lines on their way to S3, so many an object."""

    def __init__(
        self, uri: Callable[[int], str], most: int, store: Store, then: Callable[[int], None] = lambda _: None
    ) -> None:
        """Args: where each object lies, the lines of one, S3, and what is done once an object is written."""
        self._uri, self._most, self._store, self._then = uri, most, store, then
        self._lines: list[str] = []
        self.parts = self.written = 0

    def add(self, line: str) -> bool:
        """Takes in one more; whether with it an object was written."""
        self._lines.append(line)
        self.written += 1
        return len(self._lines) == self._most and self.finish()

    def add_all(self, lines: Sequence[str]) -> bool:
        """Takes in many more; whether with them an object was written."""
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
        """Ends an object after so many lines in all."""
        return bool(self._lines) and self.written == after and self.finish()

    def finish(self) -> bool:
        """Writes what is left; whether there was any."""
        if not self._lines:
            return False
        data = gzip.compress("\n".join(self._lines).encode(), compresslevel=_LEVEL, mtime=0)
        self._store.put(self._uri(self.parts), data, content_type="application/gzip")
        self._then(self.parts)
        self.parts += 1
        self._lines = []
        return True


def _put_invalid(plan: Plan, workspace: Workspace, store: Store) -> None:
    """Writes the rejected rows with their reasons, in columns that are a manifest again once they are corrected."""
    bad: dict[Stand, list[Problem]] = {}
    for problem in plan.problems:
        bad.setdefault((problem.source, problem.line), []).append(problem)
    source = plan.source
    names = source.names if source else ()
    rows = dict(source.originals(bad.keys())) if source else {}
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    layout = _Layout(names, last=bool(source and source.is_report))
    writer.writerow(layout.row(_TOLD, names))
    for stand, problems in bad.items():
        # Problems of a listing have no line: each is of another entry.
        for group in [problems] if stand[1] else [[problem] for problem in problems]:
            reasons = "; ".join(f"{p.column}: {p.reason}" if p.column else p.reason for p in group)
            writer.writerow(layout.row((stand[0], str(stand[1] or ""), reasons), rows.get(stand, ())))
    uri = workspace.run(plan.run_id, "invalid.csv")
    store.put(uri, text.getvalue().encode(), content_type="text/csv; charset=utf-8")


#: What invalid.csv has beside the columns of the manifest.
_TOLD = ("source", "line", "problem")


class _Layout:
    """Where in invalid.csv the reasons stand: in front, but behind the columns of a report, so that it stays one."""

    def __init__(self, names: Sequence[str], *, last: bool) -> None:
        self._width = len(names)
        self._last = last
        #: Of the manifest, where it was an invalid.csv itself.
        self._old = {place for place, name in enumerate(names) if name in _TOLD} if {*_TOLD} <= {*names} else set()

    def row(self, reasons: Sequence[str], cells: Sequence[str]) -> list[str]:
        """A row; cells that the header has no names for stay at its end."""
        padded = [*cells, *[""] * (self._width - len(cells))]
        own = [cell for place, cell in enumerate(padded[: self._width]) if place not in self._old]
        return [*own, *reasons, *padded[self._width :]] if self._last else [*reasons, *own, *padded[self._width :]]
