"""What a job of a plan is by what is known to be done: new, changed, unchanged. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import chain, repeat, starmap
from typing import NamedTuple

from producers.planning.compare.previous_runs import Known
from producers.planning.jobs.batch import Batch, Column
from producers.planning.jobs.resolved import Resolved, shared_by_most
from producers.planning.plan import Plan
from restyle.fingerprint import Preparation, digest
from restyle.keys import Workspace, derived_seed, sample_uri
from restyle.models import Job
from restyle.request_digest import Requests, request_digest
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
    job_id: str = ""
    """The same in every run."""

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


def change_by_input(image: str, known: Known, seen: str | None) -> Change:
    """What a job of the same recipe is by its input: the ETag of one in S3, else the sha256; None: not there.

    Of one on the web, the sha256 of what came when it was fetched last; empty where it never was.
    """
    if seen is None:
        return Change.MISSING
    is_listed = image.startswith("s3://")
    # Nothing is not compared with nothing, as of a server that has no ETags.
    same = seen == known.etag != "" if is_listed else digest([seen, known.request]) == known.token
    return Change.UNCHANGED if same else Change.INPUT_CHANGED


def planned_jobs(plan: Plan, workspace: Workspace) -> Iterator[PlannedJob]:
    """The jobs of a plan, in its order."""
    model, preparation = plan.options.model, plan.options.preparation
    for part in plan.parts() if plan.parts else [plan.stream()]:
        if isinstance(part, Batch):
            columns = [_of_column(part, column, model, preparation) for column in part.columns]
            yield from chain.from_iterable(zip(*columns, strict=True))
        else:
            yield from (_planned(item, model, preparation, workspace) for item in part)


def _planned(item: Resolved | Job, model: str, preparation: Preparation, workspace: Workspace) -> PlannedJob:
    job = item if isinstance(item, Job) else item.entry
    params = item.params
    # What a listing gave an earlier plan may have changed since.
    etag = "" if isinstance(item, Job) else job.etag
    return PlannedJob(
        job.id, item.variant, job.image, etag, request_digest(params, model, preparation),
        params.samples, params.samples * params.num_inference_steps, _places(item), mark_of(item),
        workspace.job_id(job.id, item.variant),
    )  # fmt: skip


def _of_column(batch: Batch, column: Column, model: str, preparation: Preparation) -> Iterator[PlannedJob]:
    """The same of plain entries, for one variant."""
    block, alike, samples = batch.block, column.alike, column.alike.params.samples
    job_ids = batch.job_ids(column)
    requests = Requests(alike.params, model, preparation)
    texts = zip(column.prompts, column.negatives, map(derived_seed, job_ids), strict=True)
    places = zip(
        *[[f"{before}{entry_id}{after}" for entry_id in block.ids] for before, after in column.places], strict=True
    )
    return map(
        PlannedJob, block.ids, repeat(alike.variant), block.images, block.etags,
        starmap(requests.digest, texts), repeat(samples),
        repeat(samples * alike.params.num_inference_steps), places, _marks(batch, column), job_ids,
    )  # fmt: skip


def mark_of(item: Resolved | Job) -> int:
    """Tells whether a job that is seen in another pass is the same one still."""
    job = item if isinstance(item, Job) else item.entry
    params, is_derived = item.params, isinstance(item, Resolved) and item.is_derived
    return hash((
        job.id, item.variant, job.image, job.etag, item.output, item.outputs, params.prompt, params.negative_prompt,
        None if is_derived else params.seed, shared_by_most(params),
    ))  # fmt: skip


def marks(batch: Batch) -> Iterator[int]:
    """The same of the jobs of plain entries, in their order."""
    return chain.from_iterable(zip(*[_marks(batch, column) for column in batch.columns], strict=True))


def _marks(batch: Batch, column: Column) -> list[int]:
    block, variant, shared = batch.block, column.alike.variant, shared_by_most(column.alike.params)
    rows = zip(
        block.ids, block.images, block.etags, column.outputs(block.ids), column.prompts, column.negatives, strict=True
    )
    return [
        hash((entry_id, variant, image, etag, output, (), prompt, negative, None, shared))
        for entry_id, image, etag, output, prompt, negative in rows
    ]


def _places(item: Resolved | Job) -> Sequence[str]:
    if isinstance(item, Resolved):
        return item.places
    samples = item.params.samples
    return item.outputs or [sample_uri(item.output, sample, samples) for sample in range(samples)]
