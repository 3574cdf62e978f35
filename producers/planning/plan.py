"""A plan: the jobs that a manifest results in, checked and counted, and not written to S3 yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from producers.manifest import Manifest
from producers.planning.estimate import Estimate
from producers.planning.jobs.batch import Batch
from producers.planning.jobs.resolved import Resolved
from producers.planning.request import PlanRequest
from producers.planning.summary import Summary
from producers.runs.trials import Trial
from restyle.models import Job, ManifestSource, Run, RunOptions, utc_now
from restyle.problems import Problem


@dataclass(frozen=True)
class Plan:
    """A plan that is checked and counted, and not written to S3 yet."""

    request: PlanRequest
    run_id: str
    plan_digest: str
    options: RunOptions
    manifest: ManifestSource
    entries: int
    variants: tuple[str, ...]
    jobs: int
    uploads: int
    upload_bytes: int
    problems: Sequence[Problem]
    warnings: Sequence[str]
    estimate: Estimate
    home: Path
    """The folder in which the hashes of local files are remembered."""
    stream: Callable[[], Iterator[Resolved | Job]]
    """Streams the jobs; local inputs are not uploaded yet."""
    parts: Callable[[], Iterator[Batch | Iterable[Resolved]]] | None = None
    """The same jobs in parts. Each part must be read to its end before the next one is taken."""
    left_out: Callable[[], Iterator[str]] = lambda: iter(())
    """Streams the ids of entries that are left out because they have a problem."""
    wait_credits: bool = False
    ask_after: int = 0
    """Jobs that run before a person is asked; 0: nobody is asked."""
    notify: Mapping[str, Any] = field(default_factory=dict)
    """Who is notified of the run's events: the content of `[notify]`."""
    prompt: str = ""
    distinct: int = 0
    """How many results the jobs need, since equal ones are paid for once; 0: not known."""
    copies: str = ""
    """A sentence on how many jobs share the result of another job (copies.py)."""
    sequence: bytes = b""
    """Hash of all ids and variants in their order; it shows that a manifest has changed since it was checked."""
    source: Manifest | None = None
    """The manifest; None for a retry."""
    buckets: Mapping[str, Resolved] = field(default_factory=dict)
    """Buckets that outputs go to, each with the first job that writes there."""
    summary: Summary = field(default_factory=Summary)
    """How the manifest was read, and what was left out of it."""
    spread: Sequence[Resolved] = ()
    """Some jobs, evenly spread, that are compared with S3 before anything is queued (producers/planning/clashes.py)."""
    addresses: Mapping[str, str] = field(default_factory=dict)
    """For a retry: by name, the addresses of inputs on the web, which may hold secrets."""
    trial: Trial | None = None
    """What the trial compares; None where this is no trial."""

    def as_run(self, *, shards: int, by: str) -> Run:
        """The content of run.json."""
        return Run.model_validate(
            {
                "run_id": self.run_id,
                "status": "running",
                "created": utc_now(),
                "manifest": self.manifest,
                "plan_digest": self.plan_digest,
                "options": self.options,
                "retry_of": self.request.retry_of,
                "schedule": self.request.schedule,
                "name": self.request.name,
                "labels": dict(self.request.labels),
                "prompt": self.prompt,
                "notify": self.notify,
                "shards": shards,
                "planned": self.jobs,
                "variants": len(self.variants),
                # Problems of a listing have no line number; the name of the entry stands in the reason.
                "invalid": len({(problem.source, problem.line or problem.reason) for problem in self.problems}),
                "budget": self.request.budget,
                "finish_by": self.request.finish_by,
                "wait_credits": self.wait_credits,
                "approved": not self.ask_after,
                "trial": self.trial is not None,
                "by": by,
            }
        )
