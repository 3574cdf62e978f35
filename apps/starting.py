"""What every way to begin a run shares, the command line and the dashboard: the last look at a plan, and the start."""

from __future__ import annotations

from dataclasses import replace

from apps.session import Session
from producers.planning.clashes import Clashes, find_clashes
from producers.planning.copies import find_copies
from producers.planning.plan import Plan
from producers.planning.probing import probe
from producers.planning.shards import write_shards
from producers.runs.snapshot import read_run
from restyle.models import Run


def looked_into(plan: Plan, here: Session) -> tuple[Plan, Clashes]:
    """The plan with warnings about the places that it would write to, and what would be replaced there.

    Raises:
        ManifestError, ConfigurationError: outputs cannot be written where they are to go.
        StoreUnavailable, StoreAccessDenied: S3 does not let anybody look.
    """
    warnings: list[str] = []
    if here.settings.probe_outputs:
        embedded = here.settings.local_s3_endpoint is not None
        warnings = probe(plan, store=here.store, workspace=here.workspace, with_workspace=not embedded)
    clashes = find_clashes(plan, store=here.store, workspace=here.workspace)
    copies = str(find_copies(plan, clashes.records, store=here.store, workspace=here.workspace))
    return replace(plan, warnings=[*plan.warnings, *warnings, *clashes.sentences()], copies=copies), clashes


def started(plan: Plan, here: Session, by: str) -> Run:
    """The run of a plan, which is written and submitted unless it was before; or the unfinished one of the same plan.

    Raises:
        ManifestError: the manifest has changed since it was judged.
        ConfigurationError: another unfinished run has one of its jobs.
        WorkspaceHeld: another Redis is at work in the workspace.
    """
    if here.store.head(here.workspace.run(plan.run_id)) is not None:
        return read_run(plan.run_id, store=here.store, workspace=here.workspace)
    control = replace(here.control, by=by)
    for run in control.unfinished():
        if run.plan_digest == plan.plan_digest:
            return run
    run = write_shards(plan, workspace=here.workspace, store=here.store, shard_jobs=here.settings.shard_jobs, by=by)
    control.submit(run, here.feeder)
    return run
