"""All that a plan has of a manifest, to be compared with the same manifest read in another way."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

from producers.manifest import Manifest
from producers.planning.compare.changes import planned_jobs
from producers.planning.first_pass import count_jobs, run_first_pass
from producers.planning.jobs.batch import Batch, lines
from producers.planning.jobs.planner import Planner
from producers.planning.jobs.resolve import Resolver
from producers.planning.jobs.variants import Variant
from producers.planning.plan import Plan
from producers.planning.uploads import Hashes
from restyle.keys import Workspace
from restyle.models import Job, RunOptions


def planned(manifest: Manifest, named: list[Variant], workspace: Workspace, folder: Path, output: str = "") -> object:
    """Counts and problems, the jobs, the same as lines, and what is compared with earlier runs."""
    resolver = Resolver(
        workspace, named, columns=manifest.columns, kept=manifest.kept, salt="run", output=output
    )  # fmt: skip
    hashes = Hashes(folder, workspace, create=False)
    planner = Planner(manifest, resolver)
    try:
        first_pass = run_first_pass(planner, hashes)
        count_jobs(planner, first_pass, hashes)
    finally:
        hashes.close()
    texts: list[str] = []
    for part in planner.jobs_by_parts(first_pass):
        if isinstance(part, Batch):
            texts += lines(part)
        else:
            texts += [
                Job(
                    id=job.entry.id, variant=job.variant, image=job.entry.image, params=job.params, output=job.output,
                    outputs=job.outputs, etag=job.entry.etag, meta=job.entry.meta,
                ).model_dump_json()
                for job in part
            ]  # fmt: skip
    counted = {name: value for name, value in vars(first_pass).items() if name not in {"problems", "web"}}
    problems = vars(first_pass.problems) | {"listed": first_pass.problems.listed}
    plan = SimpleNamespace(options=RunOptions(), parts=lambda: planner.jobs_by_parts(first_pass))
    compared = [
        job._replace(places=tuple(job.places)) for job in planned_jobs(cast("Plan", plan), workspace)
    ]  # fmt: skip
    return counted, problems, list(planner.jobs(first_pass)), texts, compared
