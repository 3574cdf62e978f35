"""What a job of a plan is by what is known to be done: new, changed, unchanged. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

from producers.planning.compare.previous_runs import Known
from producers.planning.jobs.resolved import Resolved
from producers.planning.plan import Plan
from restyle.fingerprint import digest
from restyle.keys import sample_uri
from restyle.models import Job
from restyle.request_digest import request_digest
from restyle.web.address import is_web


class Change(StrEnum):
    """What a job is, compared with what is done."""

    NEW = "new"
    INPUT_CHANGED = "input_changed"
    RECIPE_CHANGED = "recipe_changed"
    """Its parameters, its prompt, the model or the preparation."""
    UNCHANGED = "unchanged"
    REMOVED = "removed"
    """The last run of this manifest had it, and the manifest has it no longer."""
    MISSING = "missing"
    """Its input is not there: it will fail without a call."""


#: What is paid for.
PAID = frozenset({Change.NEW, Change.INPUT_CHANGED, Change.RECIPE_CHANGED})


class Question(StrEnum):
    """What must be looked at before a job can be sorted."""

    RECORD = "record"
    INPUT = "input"


class PlannedJob(NamedTuple):
    """A job as it is planned now."""

    id: str
    variant: str
    image: str
    etag: str
    """Of the input, where a listing gave it."""
    request: str
    samples: int
    steps: int
    places: Sequence[str] = ()
    """Where each sample goes."""
    mark: int = 0
    """Tells in this process whether it is the same job that is seen again."""

    @property
    def is_local(self) -> bool:
        """Whether its input is a file that is not uploaded yet."""
        return not self.image.startswith("s3://") and not is_web(self.image)


def change_of(planned: PlannedJob, known: Known | None) -> Change | Question:
    """What a job is by what its record is known to hold, or what must be looked at."""
    if known is None:
        return Question.RECORD
    if planned.request not in {known.request, known.planned}:
        return Change.RECIPE_CHANGED
    if planned.is_local or not planned.etag:
        return Question.INPUT
    return Change.UNCHANGED if known.etag == planned.etag else Change.INPUT_CHANGED


def change_by_input(planned: PlannedJob, known: Known, seen: str | None) -> Change:
    """What a job of the same recipe is by its input: the ETag of one in S3, else the sha256; None: not there.

    Of one on the web, the sha256 of what came when it was fetched last; empty where it never was.
    """
    if seen is None:
        return Change.MISSING
    same = seen == known.etag if planned.image.startswith("s3://") else digest([seen, known.request]) == known.token
    return Change.UNCHANGED if same else Change.INPUT_CHANGED


def planned_jobs(plan: Plan) -> Iterator[PlannedJob]:
    """The jobs of a plan, in its order."""
    model, preparation = plan.options.model, plan.options.preparation
    for item in plan.stream():
        job = item if isinstance(item, Job) else item.entry
        params = item.params
        # What a listing gave an earlier plan may have changed since.
        etag = "" if isinstance(item, Job) else job.etag
        yield PlannedJob(
            job.id, item.variant, job.image, etag, request_digest(params, model, preparation),
            params.samples, params.samples * params.num_inference_steps, _places(item), mark_of(item),
        )  # fmt: skip


def mark_of(item: Resolved | Job) -> int:
    """Tells whether a job that is seen in another pass is the same one still."""
    job = item if isinstance(item, Job) else item.entry
    return hash((job.id, item.variant, job.image, job.etag, item.output, item.outputs, item.params))


def _places(item: Resolved | Job) -> Sequence[str]:
    if isinstance(item, Resolved):
        return item.places
    samples = item.params.samples
    return item.outputs or [sample_uri(item.output, sample, samples) for sample in range(samples)]
