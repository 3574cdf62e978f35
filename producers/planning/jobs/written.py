"""The jobs of a plan as they are written to shards: in order, their local inputs uploaded, as jobs or as JSON lines."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import blake2b
from typing import NamedTuple, cast

from producers.planning.compare.changes import mark_of, marks
from producers.planning.compare.unchanged import UnchangedJob
from producers.planning.first_pass import mark as mark_in_sequence
from producers.planning.jobs.batch import Batch, lines
from producers.planning.jobs.resolved import Resolved
from producers.planning.plan import Plan
from producers.planning.uploads import Uploads
from restyle.errors import ManifestError
from restyle.keys import Workspace
from restyle.models import Job
from restyle.problems import Problem
from restyle.s3.store import Store
from restyle.web.address import Address, is_web
from restyle.web.records import find_pin

#: Files that are uploaded at a time.
_UPLOADS_AT_ONCE = 16
#: A job; its outcome, where it is unchanged; and the address of its input, where that lies on the web.
Planned = tuple[Job, UnchangedJob | None, Address | None]


class UnchangedLine(NamedTuple):
    """An unchanged job and its outcome, both as JSON."""

    line: str
    outcome: str


def written_jobs(
    plan: Plan, uploads: Uploads, unchanged: Iterator[UnchangedJob], addressed: Callable[[Job], Address | None]
) -> Iterator[Planned | UnchangedLine | list[str]]:
    """The jobs in their order, each with its input in S3 or the address of its input on the web.

    An unchanged job comes with its outcome. Jobs of plain entries come as JSON lines, many at a time.

    Raises:
        ManifestError: the manifest has changed since its jobs were counted.
    """
    summed, place = blake2b(digest_size=16), 0
    answers = _Answers(unchanged)
    with ThreadPoolExecutor(_UPLOADS_AT_ONCE) as pool:
        uploading = _Uploading(uploads, pool)
        for part in plan.parts() if plan.parts else [plan.stream()]:
            if isinstance(part, Batch):
                yield from uploading.rest()
                summed.update(part.sequence())
                yield from answers.among(place, part)
                place += part.jobs
                continue
            for item in part:
                answer = answers.of(place, item)
                place += 1
                if isinstance(item, Job):
                    yield item, answer, addressed(item)
                else:
                    summed.update(mark_in_sequence(item))
                    yield from uploading.add(item, answer)
        yield from uploading.rest()
    if plan.source and summed.digest() != plan.sequence:
        raise ManifestError([Problem(plan.manifest.uri, 0, "", "was changed while it was read; plan again")])


class _Answers:
    """The unchanged jobs, looked up by position in the order of the plan."""

    def __init__(self, unchanged: Iterator[UnchangedJob]) -> None:
        self._rest = unchanged
        self._next = next(unchanged, None)

    def of(self, place: int, item: Resolved | Job) -> UnchangedJob | None:
        """The unchanged job at a position; None where that job is to be queued."""
        answer = self._at(place)
        # A job that has changed since it was compared is queued.
        return answer if answer and answer.mark == mark_of(item) else None

    def among(self, place: int, batch: Batch) -> Iterator[UnchangedLine | list[str]]:
        """The jobs of a batch: an unchanged one with its outcome, the others as lists of lines for the queue."""
        queued: list[str] = []
        if self._next is None or self._next.place >= place + batch.jobs:
            yield lines(batch)
            return
        for line, mark in zip(lines(batch), marks(batch), strict=True):
            answer = self._at(place)
            place += 1
            if answer is None or answer.mark != mark:
                queued.append(line)
                continue
            if queued:
                yield queued
                queued = []
            yield UnchangedLine(line, answer.outcome)
        if queued:
            yield queued

    def _at(self, place: int) -> UnchangedJob | None:
        answer = self._next
        if answer is None or answer.place != place:
            return None
        self._next = next(self._rest, None)
        return answer


class _Uploading:
    """Jobs whose local inputs are being uploaded, in their order."""

    def __init__(self, uploads: Uploads, pool: ThreadPoolExecutor) -> None:
        self._uploads = uploads
        self._pool = pool
        self._waiting: deque[tuple[Resolved, str | Future[str], UnchangedJob | None]] = deque()
        self._image, self._where = "", cast("str | Future[str]", "")

    def add(self, item: Resolved, answer: UnchangedJob | None) -> Iterator[Planned]:
        """Adds a job; yields the oldest one where enough uploads are under way."""
        entry = item.entry
        if answer is not None:
            self._waiting.append((item, answer.image, answer))
        else:
            if entry.image != self._image:
                self._image = self._where = entry.image
                if not entry.image.startswith("s3://") and not is_web(entry.image):
                    self._where = self._pool.submit(self._uploads.uri, entry.image, entry.source, entry.line)
            self._waiting.append((item, self._where, None))
        if len(self._waiting) > 4 * _UPLOADS_AT_ONCE:
            yield _job(*self._waiting.popleft())

    def rest(self) -> Iterator[Planned]:
        """Yields the jobs that are left, each once its input is uploaded."""
        while self._waiting:
            yield _job(*self._waiting.popleft())


def address_of(plan: Plan, store: Store, workspace: Workspace, job: Job) -> Address | None:
    """The whole address of a retried job's input; None where no address is needed, since the picture is in S3.

    Raises:
        ManifestError: the earlier run keeps only the part of the address that may be shown.
    """
    if not job.web:
        return None
    address = Address(plan.addresses.get(job.web, job.image))
    if address.name == job.web:
        return address
    pin = find_pin(plan.request.retry_of, job.web, store, workspace) if plan.request.retry_of else None
    if pin and pin.sha256:
        return None  # the earlier run has fetched the picture
    why = "its whole address is gone with the earlier run's plan; plan the manifest again"
    raise ManifestError([Problem(plan.manifest.uri, 0, f"{job.id}: image", why)])


def _job(item: Resolved, where: str | Future[str], answer: UnchangedJob | None) -> Planned:
    entry, image = item.entry, where if isinstance(where, str) else where.result()
    address = Address(image) if is_web(image) else None
    return Job(
        id=entry.id, variant=item.variant, image=address.shown if address else image,
        web=address.name if address else "", params=item.params, output=item.output, outputs=item.outputs,
        etag=entry.etag, meta=entry.meta,
    ), answer, address  # fmt: skip
