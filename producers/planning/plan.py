"""A plan: the jobs that a manifest comes to, judged and counted, and not written yet."""

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
    """A plan that is judged and counted, and not written yet."""

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
    """Where hashes of local files are remembered."""
    stream: Callable[[], Iterator[Resolved | Job]]
    """Streams the jobs; those of local inputs not uploaded yet."""
    parts: Callable[[], Iterator[Batch | Iterable[Resolved]]] | None = None
    """The same, some at a time; each part is to be streamed before the next one is asked for."""
    left_out: Callable[[], Iterator[str]] = lambda: iter(())
    """Streams the ids of entries that are left out because something is wrong with them."""
    wait_credits: bool = False
    ask_after: int = 0
    """Jobs that run before a person is asked; 0: nobody is asked."""
    notify: Mapping[str, Any] = field(default_factory=dict)
    """Who is notified how the run goes."""
    prompt: str = ""
    distinct: int = 0
    """Results that the jobs come to, as far as is known which are the same; 0: not known."""
    copies: str = ""
    """How many jobs are paid for as other results, in words (copies.py)."""
    sequence: bytes = b""
    """Hash of ids and variants in their order."""
    source: Manifest | None = None
    """What was read; None of a retry."""
    buckets: Mapping[str, Resolved] = field(default_factory=dict)
    """Buckets that outputs go to, each with the first job that does."""
    summary: Summary = field(default_factory=Summary)
    """What the manifest was taken for, and what was left out of it."""
    spread: Sequence[Resolved] = ()
    """Some of the jobs, evenly spread, to be looked at before anything is queued (producers/planning/clashes.py)."""
    addresses: Mapping[str, str] = field(default_factory=dict)
    """Of a retry: addresses of inputs on the web that may have secrets in them, by their names."""
    trial: Trial | None = None
    """What is compared, where this is a trial."""

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
                # Those without a line are of a listing, whose entries are known by their names.
                "invalid": len({(problem.source, problem.line or problem.reason) for problem in self.problems}),
                "budget": self.request.budget,
                "finish_by": self.request.finish_by,
                "wait_credits": self.wait_credits,
                "approved": not self.ask_after,
                "trial": self.trial is not None,
                "by": by,
            }
        )
