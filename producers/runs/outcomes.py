"""The rows of a run: each job with its outcome so far, streamed from S3, a shard at a time.

They are read anew as often as they are needed, so memory does not grow with the run. Formats: docs/formats.md.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from pydantic import ValidationError

from restyle.errors import ConfigurationError, InputNotFound, RunUnreadable
from restyle.keys import Workspace
from restyle.models import Job, Outcome, Run
from restyle.s3.store import Store
from restyle.value import Value

T = TypeVar("T")

#: One job of a run and how it ended; None is pending.
Row = tuple[Job, Outcome | None]
#: The rows of a run in the plan's order; each call streams them anew.
Rows = Callable[[], Iterator[Row]]


class RunPruned(ConfigurationError):
    """The jobs of this run are not known any more, but for its report."""

    def __init__(self, run: Run, workspace: Workspace) -> None:
        report = workspace.run(run.run_id, "report.csv")
        super().__init__(
            f"run {run.run_id} was pruned: its plan and results are gone. Its report stays, and is a manifest:"
            f" restyle run {report}"
        )


class ResultLine(Value):
    """A line of a closed shard in `results/`."""

    job: Job
    outcome: Outcome | None


class UnchangedLine(ResultLine):
    """A job that was known to be done as its run was planned: a line in `unchanged/`."""

    before: int
    """How many jobs of the shards come before it in the order of the manifest."""


def outcomes(
    run: Run, *, workspace: Workspace, store: Store, open_outcomes: Callable[[int], Mapping[int, Outcome]]
) -> Iterator[Row]:
    """Streams a run's jobs with their outcomes in the manifest's order, a shard at a time.

    They are read from results/ where their shard is closed, else from the plan; and from unchanged/.

    Args:
        run: the run.
        workspace: where it lies.
        store: S3.
        open_outcomes: what Redis holds of a shard that is not closed: job index -> outcome.

    Raises:
        RunPruned: the run has ended, and `restyle prune` has removed its plan.
        RunUnreadable: a shard is damaged.
        InputNotFound: a shard of the plan is missing.
    """
    rest = _unchanged(run, workspace, store, UnchangedLine.read)
    line = next(rest, None)
    for place, row in enumerate(_of_shards(run, workspace, store, open_outcomes, _row, _pair)):
        while line and line.before <= place:
            yield line.job, line.outcome
            line = next(rest, None)
        yield row
    while line:
        yield line.job, line.outcome
        line = next(rest, None)


def rows_as(
    run: Run, *, workspace: Workspace, store: Store, unchanged: Callable[[bytes], T], closed: Callable[[bytes], T],
    planned: Callable[[Job, Outcome | None], T],
) -> Iterator[T]:  # fmt: skip
    """The rows of a run as S3 has them, in another form and in no order; raises what `outcomes` raises.

    Args:
        run: the run.
        workspace: where it lies.
        store: S3.
        unchanged: makes one of a line in `unchanged/`; a ValidationError says that it is damaged.
        closed: the same of a closed shard.
        planned: makes one of a job of a shard that is not closed.
    """
    yield from _unchanged(run, workspace, store, unchanged)
    yield from _of_shards(run, workspace, store, lambda _shard: {}, closed, planned)


def _unchanged(run: Run, workspace: Workspace, store: Store, parse: Callable[[bytes], T]) -> Iterator[T]:
    for part in range(run.unchanged_parts):
        try:
            lines = read_part(store, workspace, run.run_id, part)
        except InputNotFound:
            if run.finished:
                raise RunPruned(run, workspace) from None
            raise
        yield from _parsed(lines, parse)


def _of_shards(
    run: Run, workspace: Workspace, store: Store, open_outcomes: Callable[[int], Mapping[int, Outcome]],
    parse: Callable[[bytes], T], planned: Callable[[Job, Outcome | None], T],
) -> Iterator[T]:  # fmt: skip
    for shard in range(run.shards):
        closed = workspace.results(run.run_id, shard)
        if stored := store.find(closed):
            yield from _parsed(_lines(stored.data), parse)
            continue
        known = open_outcomes(shard)
        # A shard that closed since the first look has lost its keys, but its results were written before that.
        if not known and (stored := store.find(closed)):
            yield from _parsed(_lines(stored.data), parse)
            continue
        plan = store.find(workspace.shard(run.run_id, shard))
        if plan is None and run.finished:
            raise RunPruned(run, workspace)
        plan = plan or store.get(workspace.shard(run.run_id, shard))
        for index, job in enumerate(_parsed(_lines(plan.data), Job.model_validate_json)):
            yield planned(job, known.get(index))


def read_results(store: Store, workspace: Workspace, run_id: str, shard: int) -> Iterator[Row]:
    """The jobs of a closed shard with their outcomes."""
    return _parsed(_lines(store.get(workspace.results(run_id, shard)).data), _row)


def read_part(store: Store, workspace: Workspace, run_id: str, part: int) -> Iterable[bytes]:
    """Some of the jobs that were known to be done as their run was planned, each a line as in results/."""
    return _lines(store.get(workspace.unchanged(run_id, part)).data)


def read_unchanged(store: Store, workspace: Workspace, run_id: str, part: int) -> Iterator[Row]:
    """The same with their outcomes."""
    return _parsed(read_part(store, workspace, run_id, part), _row)


def _row(line: bytes) -> Row:
    result = ResultLine.read(line)
    return result.job, result.outcome


def _pair(job: Job, outcome: Outcome | None) -> Row:
    return job, outcome


def _parsed(lines: Iterable[bytes], parse: Callable[[bytes], T]) -> Iterator[T]:
    with readable():
        for line in lines:
            yield parse(line)


def _lines(data: bytes) -> Iterable[bytes]:
    with readable():
        return gzip.decompress(data).splitlines()


@contextmanager
def readable() -> Iterator[None]:
    """Says of what is no shard that the run cannot be read.

    Raises:
        RunUnreadable: it is damaged, or of another version.
    """
    try:
        yield
    except (ValidationError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise RunUnreadable(f"a shard of the run cannot be read: {type(error).__name__}: {error}"[:300]) from error
