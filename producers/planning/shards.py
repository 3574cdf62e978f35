"""Pass 2: a plan becomes shards in S3, local inputs go up on the way, and run.json comes last."""

from __future__ import annotations

import csv
import gzip
import io
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, nullcontext
from functools import partial
from hashlib import blake2b
from typing import cast

from producers.manifest.entry import Stand
from producers.planning.compare.changes import mark_of
from producers.planning.compare.unchanged import Answer, Unchanged, find_unchanged
from producers.planning.first_pass import mark
from producers.planning.jobs.resolved import Resolved
from producers.planning.plan import Plan
from producers.planning.uploads import Hashes, Uploads
from producers.planning.web import Secrets
from producers.runs.trials import write_trial
from restyle.errors import ManifestError
from restyle.keys import Workspace
from restyle.models import Job, Run
from restyle.problems import Problem
from restyle.s3.store import Store
from restyle.web.address import Address, is_web
from restyle.web.records import find_pin

#: Files that go up at a time.
_AT_ONCE = 16
#: Jobs of one object in `unchanged/`.
UNCHANGED_LINES = 5000
_LEVEL = 6
#: A job, what answers it where S3 shows it to be done, and the address of its input where that lies on the web.
_Planned = tuple[Job, Answer | None, Address | None]


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
        uploads, address_of = Uploads(hashes, store, workspace), partial(_address_of, plan, store, workspace)
        jobs = _jobs(plan, uploads, iter(answers), address_of)
        shards, done = _write_jobs(jobs, plan, shard_jobs, store, workspace, progress)
    if plan.problems:
        _put_invalid(plan, workspace, store)
    if plan.trial:
        write_trial(plan.trial, plan.run_id, store=store, workspace=workspace)
    run = plan.as_run(shards=shards.parts, by=by)
    return run.model_copy(update={"unchanged": done.written, "unchanged_parts": done.parts})


def _write_jobs(
    jobs: Iterator[_Planned], plan: Plan, shard_jobs: int, store: Store, workspace: Workspace,
    progress: Callable[[int], None] | None,
) -> tuple[_Parts, _Parts]:  # fmt: skip
    """The parts of the shards, and those of the jobs that are done already."""
    secrets = Secrets()
    shards = _Parts(
        lambda part: workspace.shard(plan.run_id, part), shard_jobs, store,
        then=lambda part: secrets.put(plan.run_id, part, store, workspace),
    )  # fmt: skip
    done = _Parts(lambda part: workspace.unchanged(plan.run_id, part), UNCHANGED_LINES, store)
    for job, answer, address in jobs:
        line = job.model_dump_json()
        if answer is not None:
            line = f'{{"before": {shards.written}, "job": {line}, "outcome": {answer.outcome}}}'
        elif address:
            secrets.add(address)
        # What asks for approval is a shard of its own: nothing else may be opened before.
        is_full = (shards if answer is None else done).add(line) or shards.cut(plan.ask_after)
        if is_full and progress:
            progress(shards.written + done.written)
    shards.finish()
    done.finish()
    return shards, done


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


def _jobs(
    plan: Plan, uploads: Uploads, unchanged: Iterator[Answer], address_of: Callable[[Job], Address | None]
) -> Iterator[_Planned]:
    """The jobs in their order, each with its input in S3, or with the address on the web where that lies.

    A job that S3 shows to be done comes with what answers it.

    Raises:
        ManifestError: they are not those that were counted.
    """
    summed = blake2b(digest_size=16)
    following = next(unchanged, None)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        waiting: deque[tuple[Resolved, str | Future[str], Answer | None]] = deque()
        image, where = "", cast("str | Future[str]", "")
        for place, item in enumerate(plan.stream()):
            answer = None
            if following and following.place == place:
                # One that has changed since it was compared is looked at by its worker.
                answer = following if following.mark == mark_of(item) else None
                following = next(unchanged, None)
            if isinstance(item, Job):
                yield item, answer, address_of(item)
                continue
            entry = item.entry
            summed.update(mark(item))
            if answer is not None:
                waiting.append((item, answer.image, answer))
            else:
                if entry.image != image:
                    image = where = entry.image
                    if not image.startswith("s3://") and not is_web(image):
                        where = pool.submit(uploads.uri, image, entry.source, entry.line)
                waiting.append((item, where, None))
            if len(waiting) > 4 * _AT_ONCE:
                yield _job(*waiting.popleft())
        while waiting:
            yield _job(*waiting.popleft())
    if plan.source and summed.digest() != plan.sequence:
        raise ManifestError([Problem(plan.manifest.uri, 0, "", "was changed while it was read; plan again")])


def _address_of(plan: Plan, store: Store, workspace: Workspace, job: Job) -> Address | None:
    """The whole address of an earlier run's job; None where its input lies in S3, or is fetched and the address lost.

    Raises:
        ManifestError: the earlier run has no more of it than may be shown.
    """
    if not job.web:
        return None
    address = Address(plan.addresses.get(job.web, job.image))
    if address.name == job.web:
        return address
    pin = find_pin(plan.request.retry_of, job.web, store, workspace) if plan.request.retry_of else None
    if pin and pin.sha256:
        return None  # its picture is there, and nobody need be asked for it
    why = "its whole address is gone with the earlier run's plan; plan the manifest again"
    raise ManifestError([Problem(plan.manifest.uri, 0, f"{job.id}: image", why)])


def _job(item: Resolved, where: str | Future[str], answer: Answer | None) -> _Planned:
    entry, image = item.entry, where if isinstance(where, str) else where.result()
    address = Address(image) if is_web(image) else None
    return Job(
        id=entry.id, variant=item.variant, image=address.shown if address else image,
        web=address.name if address else "", params=item.params, output=item.output, outputs=item.outputs,
        etag=entry.etag, meta=entry.meta,
    ), answer, address  # fmt: skip


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
