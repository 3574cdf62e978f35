"""`restyle retry RUN`: a plan of some of an earlier run's jobs, as they were planned then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from config.settings import Settings
from producers.planning.estimate import estimated
from producers.planning.plan import Plan
from producers.planning.request import PlanRequest
from producers.planning.warnings import unknown_ids_warning
from producers.planning.web import secrets_of
from producers.runs.outcomes import Rows
from producers.runs.recovery.unread import unread
from producers.runs.statistics import SUSPECT, is_selected
from restyle.errors import ConfigurationError
from restyle.fingerprint import digest
from restyle.keys import Workspace, derived_seed
from restyle.models import Job, ManifestSource, Outcome, Run, RunOptions, utc_now
from restyle.run_ids import new_run_id
from restyle.s3.store import Store


@dataclass(frozen=True)
class Slice:
    """Which jobs of a run are wanted."""

    statuses: frozenset[str]
    """How they ended: failed, pending, succeeded, skipped; or suspect, whose pictures look wrong."""
    errors: frozenset[str] = frozenset()
    """With which error, where any is named; only failed jobs have one."""
    only_ids: frozenset[str] | None = None
    """Those of these entries alone; None is all."""
    unreadable: bool = False
    """Those whose paid answers are kept, unread or fetched later; they are read again, and no call is made."""

    variants: frozenset[str] | None = None
    """Those of these variants alone; None is all."""

    def check(self) -> None:
        """Raises ConfigurationError where an outcome is none, or contradicts the errors."""
        if wrong := self.statuses - {"failed", "pending", "succeeded", "skipped", SUSPECT}:
            names = ", ".join(sorted(wrong))
            raise ConfigurationError(f"--status {names}: it is failed, pending, succeeded, skipped or suspect")
        if self.unreadable and (self.errors or self.statuses != {"failed"}):
            raise ConfigurationError("--unreadable is of failed jobs: give it without --status and --error")
        if self.errors and self.statuses != {"failed"}:
            raise ConfigurationError("--error is of failed jobs: give it without --status, or with --status failed")

    def has(self, job: Job, outcome: Outcome | None) -> bool:
        """Whether a job is wanted."""
        return (
            is_selected(outcome, self.statuses)
            and (not self.errors or (outcome is not None and outcome.error in self.errors))
            and (self.only_ids is None or job.id in self.only_ids)
            and (self.variants is None or job.variant in self.variants)
        )


@dataclass
class _Count:
    """What a pass over a run's rows counts."""

    jobs: int = 0
    samples: int = 0
    steps: int = 0
    ids: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    variants: dict[str, None] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)

    def add(self, job: Job) -> None:
        """Counts one that is wanted."""
        self.jobs += 1
        self.samples += job.params.samples
        self.steps += job.params.samples * job.params.num_inference_steps
        self.ids.add(job.id)
        self.variants[job.variant] = None


def plan_retry(run: Run, rows: Rows, chosen: Slice, settings: Settings, *, workspace: Workspace, store: Store) -> Plan:
    """A plan of some jobs of an earlier run; it may have none.

    Args:
        run: the earlier run; its options are kept.
        rows: streams its jobs with their outcomes.
        chosen: which of them.
        settings: for prices and limits.
        workspace: where both runs lie.
        store: S3, for addresses of inputs on the web.

    Raises:
        ConfigurationError: there is no such outcome, or the run has no such error.
    """
    chosen.check()
    # Where the answers lie: a run that could not read them either has none of its own.
    reread = (run.options.reread or run.run_id) if chosen.unreadable else ""
    kept = unread(reread, store, workspace).keys() if reread else None

    def has(job: Job, outcome: Outcome | None) -> bool:
        return chosen.has(job, outcome) and (kept is None or workspace.job_id(job.id, job.variant) in kept)

    count = _counted(run, rows, chosen, has)
    uri, run_id = workspace.run(run.run_id), new_run_id(utc_now())
    return Plan(
        request=PlanRequest(uri, retry_of=run.run_id, name=run.name, labels=run.labels),
        prompt=run.prompt, run_id=run_id,
        plan_digest=_digest(run, chosen, reread),
        options=_options(run, reread, settings), manifest=ManifestSource(uri=uri, sha256=run.manifest.sha256),
        entries=len(count.ids), variants=tuple(count.variants), jobs=count.jobs, uploads=0, upload_bytes=0,
        problems=(), warnings=unknown_ids_warning(count.unknown, f"run {run.run_id}"),
        estimate=estimated(*((0, 0, 0) if reread else (count.jobs, count.samples, count.steps)), settings),
        home=settings.home, wait_credits=settings.wait_credits, notify=settings.notify.as_stored,
        stream=lambda: (
            _otherwise(job, run_id, workspace) if outcome and outcome.suspect else job
            for job, outcome in rows() if has(job, outcome)
        ),
        addresses=secrets_of(run, store, workspace),
    )  # fmt: skip


def _digest(run: Run, chosen: Slice, reread: str) -> str:
    """What two retries of the very same jobs have alike."""
    ids = None if chosen.only_ids is None else sorted(chosen.only_ids)
    what = ["retry", run.run_id, sorted(chosen.statuses), sorted(chosen.errors), ids, reread]
    return digest([*what, *sorted(chosen.variants or ())])


def _counted(run: Run, rows: Rows, chosen: Slice, has: Callable[[Job, Outcome | None], bool]) -> _Count:
    count = _Count(unknown=set(chosen.only_ids or ()))
    for job, outcome in rows():
        count.unknown.discard(job.id)
        if outcome and outcome.error:
            count.errors[outcome.error] += 1
        if has(job, outcome):
            count.add(job)
    if missing := chosen.errors - count.errors.keys():
        there = ", ".join(f"{code} ({number:,})" for code, number in count.errors.most_common()) or "none"
        raise ConfigurationError(
            f"--error {', '.join(sorted(missing))}: no job of {run.run_id} failed so; its errors: {there}"
        )
    return count


def _options(run: Run, reread: str, settings: Settings) -> RunOptions:
    """Those of the earlier run, for some of its jobs."""
    changed = {
        "limit": None, "sample": None, "partial": True, "reread": reread,
        "max_failures": settings.max_failures, "max_suspects": settings.max_suspects,
    }  # fmt: skip
    return run.options.model_copy(update=changed)


def _otherwise(job: Job, run_id: str, workspace: Workspace) -> Job:
    """A job with another seed: what looks wrong is done, and would come out as it was."""
    seed = derived_seed(workspace.job_id(job.id, job.variant), run_id)
    return job.model_copy(update={"params": job.params.model_copy(update={"seed": seed})})
