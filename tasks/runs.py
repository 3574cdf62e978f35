"""`restyle.finish`: writes the report of a run whose shards are all closed, and ends the run."""

from __future__ import annotations

from typing import Any

import structlog

from producers.report import write_report
from producers.watch import read_run, rows_of, snapshot, write_run
from restyle.errors import RestyleError
from restyle.models import RunStatus, utc_now
from tasks.resources import Resources

log = structlog.get_logger("restyle.run")


def finish(resources: Resources, kwargs: dict[str, Any]) -> None:
    """Report first, run.json second, Redis last: cut off anywhere, it is done again. Never raises."""
    run_id = str(kwargs.get("run_id", ""))
    with structlog.contextvars.bound_contextvars(run=run_id):
        try:
            _finish(resources, run_id)
        except RestyleError as error:
            log.warning("the report could not be written; it is tried again", reason=error.message)
        except Exception:
            log.exception("the report could not be written; it is tried again")


def _finish(resources: Resources, run_id: str) -> None:
    store, workspace, progress = resources.store, resources.workspace, resources.progress
    run = read_run(run_id, store=store, workspace=workspace)
    totals = progress.totals(run_id)
    cancelled = run.status is RunStatus.CANCELLED or (totals is not None and totals.status is RunStatus.CANCELLED)
    status = RunStatus.CANCELLED if cancelled else RunStatus.FINISHED
    ended = run.model_copy(update={"status": status, "finished": utc_now()})
    last = snapshot(ended, store=store, workspace=workspace, progress=progress, fleet=resources.tools.fleet)
    told = last.model_copy(update={"status": status, "report": workspace.run(run_id, "report.csv")})
    rows = rows_of(ended, store=store, workspace=workspace, progress=progress)
    write_report(ended, rows, workspace=workspace, store=store, snapshot=told.model_dump(mode="json"))
    write_run(ended, store=store, workspace=workspace)
    progress.end(run_id, status)
    log.info("finished", succeeded=told.succeeded, skipped=told.skipped, failed=told.failed, pending=told.pending)
