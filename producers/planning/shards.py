"""Pass 2: a draft becomes shards in S3, local inputs go up on the way, and run.json comes last."""

from __future__ import annotations

import csv
import gzip
import io
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import blake2b

from producers.manifest.entry import Stand
from producers.planning.first_pass import mark
from producers.planning.plan import Draft
from producers.planning.resolve import Resolved
from producers.planning.uploads import Hashes, Uploads
from producers.planning.web import Secrets
from producers.runs.snapshot import write_run
from restyle.errors import ManifestError, Problem
from restyle.keys import Workspace
from restyle.models import Job, Run
from restyle.s3.store import Store
from restyle.web.address import Address, is_web

#: Files that go up at a time.
_AT_ONCE = 16


def write(
    plan: Draft,
    *,
    workspace: Workspace,
    store: Store,
    shard_jobs: int,
    by: str,
    progress: Callable[[int], None] | None = None,
) -> Run:
    """Writes a draft to S3, run.json included; the run exists once this has returned."""
    run = write_shards(
        plan, workspace=workspace, store=store, shard_jobs=shard_jobs, by=by, progress=progress
    )  # fmt: skip
    write_run(run, store=store, workspace=workspace)
    return run


def write_shards(
    plan: Draft,
    *,
    workspace: Workspace,
    store: Store,
    shard_jobs: int,
    by: str,
    progress: Callable[[int], None] | None = None,
) -> Run:
    """Writes all of a draft to S3 but run.json; the run does not exist yet (producers/runs/admission.py).

    Args:
        plan: the draft.
        workspace: where the run lies.
        store: S3.
        shard_jobs: jobs of one shard.
        by: who submits it.
        progress: told the number of jobs written so far.

    Raises:
        ManifestError: the manifest or a local input is another than it was when it was judged.
    """
    hashes = Hashes(plan.home, workspace, create=bool(plan.uploads))
    shards = written = 0
    lines: list[str] = []
    secrets = Secrets()
    try:
        for job, address in _jobs(plan, Uploads(hashes, store, workspace)):
            lines.append(job.model_dump_json())
            written += 1
            if address:
                secrets.add(address)
            # What asks for approval is a shard of its own: nothing else may be opened before.
            if len(lines) == shard_jobs or written == plan.ask_after:
                _put(lines, shards, plan, workspace, store)
                secrets.put(plan.run_id, shards, store, workspace)
                shards += 1
                lines = []
                if progress:
                    progress(written)
    finally:
        hashes.close()
    if lines:
        _put(lines, shards, plan, workspace, store)
        secrets.put(plan.run_id, shards, store, workspace)
        shards += 1
    if plan.problems:
        _put_invalid(plan, workspace, store)
    return plan.as_run(shards=shards, by=by)


def _jobs(plan: Draft, uploads: Uploads) -> Iterator[tuple[Job, Address | None]]:
    """The jobs in their order, each with its input in S3, or with the address on the web where that lies.

    Raises:
        ManifestError: they are not those that were counted.
    """
    summed = blake2b(digest_size=16)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        waiting: deque[tuple[Resolved, str | Future[str]]] = deque()
        image: str = ""
        where: str | Future[str] = ""
        for item in plan.stream():
            if isinstance(item, Job):
                yield item, Address(plan.addresses.get(item.web, item.image)) if item.web else None
                continue
            entry = item.entry
            summed.update(mark(item))
            if entry.image != image:
                image = where = entry.image
                if not image.startswith("s3://") and not is_web(image):
                    where = pool.submit(uploads.uri, image, entry.source, entry.line)
            waiting.append((item, where))
            if len(waiting) > 4 * _AT_ONCE:
                yield _job(*waiting.popleft())
        while waiting:
            yield _job(*waiting.popleft())
    if plan.source and summed.digest() != plan.sequence:
        raise ManifestError([Problem(plan.manifest.uri, 0, "", "was changed while it was read; plan again")])


def _job(item: Resolved, where: str | Future[str]) -> tuple[Job, Address | None]:
    entry, image = item.entry, where if isinstance(where, str) else where.result()
    address = Address(image) if is_web(image) else None
    return Job(
        id=entry.id, variant=item.variant, image=address.shown if address else image,
        web=address.name if address else "", params=item.params, output=item.output, outputs=item.outputs,
        etag=entry.etag, meta=entry.meta,
    ), address  # fmt: skip


def _put(lines: list[str], shard: int, plan: Draft, workspace: Workspace, store: Store) -> None:
    data = gzip.compress("\n".join(lines).encode(), compresslevel=6, mtime=0)
    store.put(workspace.shard(plan.run_id, shard), data, content_type="application/gzip")


def _put_invalid(plan: Draft, workspace: Workspace, store: Store) -> None:
    """Writes the rejected rows with their reasons, in columns that are a manifest again once they are mended."""
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
        for told in [problems] if stand[1] else [[problem] for problem in problems]:
            reasons = "; ".join(f"{p.column}: {p.reason}" if p.column else p.reason for p in told)
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

    def row(self, told: Sequence[str], cells: Sequence[str]) -> list[str]:
        """A row; cells that the header has no names for stay at its end."""
        padded = [*cells, *[""] * (self._width - len(cells))]
        own = [cell for place, cell in enumerate(padded[: self._width]) if place not in self._old]
        return [*own, *told, *padded[self._width :]] if self._last else [*told, *own, *padded[self._width :]]
