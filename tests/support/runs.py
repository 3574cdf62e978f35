"""Plans that are written to S3 as runs, without a command."""

from __future__ import annotations

from collections.abc import Callable

from producers.planning.plan import Plan
from producers.planning.shards import write_shards
from producers.runs.snapshot import write_run
from restyle.keys import Workspace
from restyle.models import Run
from restyle.s3.store import Store


def write(
    plan: Plan,
    *,
    workspace: Workspace,
    store: Store,
    shard_jobs: int,
    by: str = "me@here",
    progress: Callable[[int], None] | None = None,
) -> Run:
    """Writes a plan to S3, run.json included; no Redis knows of the run."""
    run = write_shards(plan, workspace=workspace, store=store, shard_jobs=shard_jobs, by=by, progress=progress)
    write_run(run, store=store, workspace=workspace)
    return run
