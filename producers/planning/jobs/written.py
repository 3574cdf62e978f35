"""The jobs of a plan on their way to its shards: in their order, with their inputs in S3, as jobs or whole lines."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import blake2b
from typing import NamedTuple, cast

from producers.planning.compare.changes import mark_of, marks
from producers.planning.compare.unchanged import Answer
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

#: Files that go up at a time.
_AT_ONCE = 16
#: A job, what answers it where S3 shows it to be done, and the address of its input where that lies on the web.
Planned = tuple[Job, Answer | None, Address | None]


class Answered(NamedTuple):
    """A job that S3 shows to be done, as a line, and what answers it."""

    line: str
    outcome: str
    """JSON."""


def written_jobs(
    plan: Plan, uploads: Uploads, unchanged: Iterator[Answer], addressed: Callable[[Job], Address | None]
) -> Iterator[Planned | Answered | list[str]]:
    """The jobs in their order, each with its input in S3, or with the address on the web where that lies.

    A job that S3 shows to be done comes with what answers it. Jobs of plain entries come as lines, many at a time.

    Raises:
        ManifestError: they are not those that were counted.
    """
    summed, place = blake2b(digest_size=16), 0
    answers = _Answers(unchanged)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        carried = _Carried(uploads, pool)
        for part in plan.parts() if plan.parts else [plan.stream()]:
            if isinstance(part, Batch):
                yield from carried.rest()
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
                    yield from carried.then(item, answer)
        yield from carried.rest()
    if plan.source and summed.digest() != plan.sequence:
        raise ManifestError([Problem(plan.manifest.uri, 0, "", "was changed while it was read; plan again")])


class _Answers:
    """What answers jobs that S3 shows to be done, in the order of the plan."""

    def __init__(self, unchanged: Iterator[Answer]) -> None:
        self._rest = unchanged
        self._next = next(unchanged, None)

    def of(self, place: int, item: Resolved | Job) -> Answer | None:
        """What answers the job at a place; None where nothing does."""
        answer = self._at(place)
        # One that has changed since it was compared is looked at by its worker.
        return answer if answer and answer.mark == mark_of(item) else None

    def among(self, place: int, batch: Batch) -> Iterator[Answered | list[str]]:
        """The jobs of plain entries from a place on, each with what answers it; those that nothing does together."""
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
            yield Answered(line, answer.outcome)
        if queued:
            yield queued

    def _at(self, place: int) -> Answer | None:
        answer = self._next
        if answer is None or answer.place != place:
            return None
        self._next = next(self._rest, None)
        return answer


class _Carried:
    """Jobs whose local inputs are on their way to S3, some at a time."""

    def __init__(self, uploads: Uploads, pool: ThreadPoolExecutor) -> None:
        self._uploads = uploads
        self._pool = pool
        self._waiting: deque[tuple[Resolved, str | Future[str], Answer | None]] = deque()
        self._image, self._where = "", cast("str | Future[str]", "")

    def then(self, item: Resolved, answer: Answer | None) -> Iterator[Planned]:
        """Takes one more in; yields what is there meanwhile."""
        entry = item.entry
        if answer is not None:
            self._waiting.append((item, answer.image, answer))
        else:
            if entry.image != self._image:
                self._image = self._where = entry.image
                if not entry.image.startswith("s3://") and not is_web(entry.image):
                    self._where = self._pool.submit(self._uploads.uri, entry.image, entry.source, entry.line)
            self._waiting.append((item, self._where, None))
        if len(self._waiting) > 4 * _AT_ONCE:
            yield _job(*self._waiting.popleft())

    def rest(self) -> Iterator[Planned]:
        """Yields all that is still on its way, once it is there."""
        while self._waiting:
            yield _job(*self._waiting.popleft())


def address_of(plan: Plan, store: Store, workspace: Workspace, job: Job) -> Address | None:
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


def _job(item: Resolved, where: str | Future[str], answer: Answer | None) -> Planned:
    entry, image = item.entry, where if isinstance(where, str) else where.result()
    address = Address(image) if is_web(image) else None
    return Job(
        id=entry.id, variant=item.variant, image=address.shown if address else image,
        web=address.name if address else "", params=item.params, output=item.output, outputs=item.outputs,
        etag=entry.etag, meta=entry.meta,
    ), answer, address  # fmt: skip
