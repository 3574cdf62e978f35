"""`restyle.start`: plans a schedule's run on this worker. `restyle.finish`: writes a run's report, and ends the run."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import structlog

from producers.runs.snapshot import read_run, rows_of, snapshot, write_run
from restyle.errors import RestyleError, StateUnavailable
from restyle.models import RunStatus, utc_now
from restyle.run_ids import is_run_id
from restyle.runtime import allocator
from restyle.telemetry import metrics
from tasks.resources import Resources

log = structlog.get_logger("restyle.run")


def start(resources: Resources, kwargs: dict[str, Any]) -> None:
    """Plans the run of a firing, once however often this comes; what fails is reported. Never raises."""
    run_id = _run_of(kwargs)
    if run_id is None:
        return
    with structlog.contextvars.bound_contextvars(run=run_id):
        try:
            resources.starter.start(run_id)
        except RestyleError as error:
            log.warning("the run could not be planned; it is tried again", reason=error.message)
        except Exception:
            log.exception("the run could not be planned; it is tried again")


def finish(resources: Resources, kwargs: dict[str, Any]) -> None:
    """Report first, run.json second, Redis last: cut off anywhere, it is done again. Never raises.

    Anybody may have put the message there: a run that is not over is not ended by it.
    """
    run_id = _run_of(kwargs)
    if run_id is None:
        return
    reports = resources.tools.fleet.hands.reports
    with structlog.contextvars.bound_contextvars(run=run_id):
        # Where Redis is lost meanwhile, it goes on naming this worker: that none is written is known by its heartbeat.
        reports.add(run_id)
        try:
            if not resources.progress.finishing(run_id, resources.tools.fleet.worker):
                log.info("no report is written: the run is not over, or another worker writes it")
                return
            _finish(resources, run_id)
            allocator.return_memory()
            return
        except RestyleError as error:
            resources.tools.rotation.failed(error)
            log.warning("the report could not be written; it is tried again", reason=error.message)
        except Exception:
            log.exception("the report could not be written; it is tried again")
        finally:
            reports.discard(run_id)
        with suppress(StateUnavailable):
            resources.progress.not_finishing(run_id)


def _run_of(kwargs: dict[str, Any]) -> str | None:
    """The run that a message names; None where that is the name of no run, and could be that of another key."""
    run_id = kwargs.get("run_id")
    if isinstance(run_id, str) and is_run_id(run_id):
        return run_id
    metrics.HINTS_DROPPED.labels("message").inc()
    log.warning("message not understood", run=ascii(run_id)[:100])
    return None


def _finish(resources: Resources, run_id: str) -> None:
    # Imported here and so kept out of the memory of every worker that ends no run.
    from reports.report import write_report

    store, workspace, progress = resources.store, resources.workspace, resources.progress
    run = read_run(run_id, store=store, workspace=workspace)
    # S3's word alone: a person's command writes there first.
    cancelled = run.status is RunStatus.CANCELLED
    status = RunStatus.CANCELLED if cancelled else RunStatus.FINISHED
    ended = run.model_copy(update={"status": status, "finished": utc_now()})
    last = snapshot(ended, store=store, workspace=workspace, progress=progress, fleet=resources.tools.fleet)
    final = last.model_copy(update={"status": status, "report": workspace.run(run_id, "report.csv")})
    rows = rows_of(ended, store=store, workspace=workspace, progress=progress)
    write_report(ended, rows, workspace=workspace, store=store, snapshot=final.model_dump(mode="json"))
    write_run(ended, store=store, workspace=workspace)
    resources.notifications.finished(ended)
    progress.end(run_id, status)
    log.info("finished", succeeded=final.succeeded, skipped=final.skipped, failed=final.failed, pending=final.pending)
