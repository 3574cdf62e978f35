"""`restyle status` answers soon: against real servers it imports what it uses, and no more."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from producers.runs.snapshot import write_run
from restyle.models import ManifestSource, Run, RunOptions, RunStatus
from tests.support.command import Command
from tests.support.imports import among, imported
from tests.support.servers import S3


def test_status_imports_what_it_uses(redis_url: str, s3: S3, tmp_path: Path) -> None:
    """A look at the fleet and its runs loads no planning, no reports, no pictures, no Celery and no second client."""
    workspace = s3.workspace
    run = Run(
        run_id="20260101T000000Z-abcdef", status=RunStatus.RUNNING, created=datetime(2026, 1, 1, tzinfo=UTC),
        manifest=ManifestSource(uri="s3://shop/m.csv", sha256="0"), plan_digest="0", options=RunOptions(),
        shards=0, planned=0,
    )  # fmt: skip
    write_run(run, store=s3.store, workspace=workspace)
    restyle = Command(tmp_path, {**s3.env, "RESTYLE_REDIS_URL": redis_url, "RESTYLE_WORKSPACE": workspace.uri})

    found = imported(restyle, "status")
    assert run.run_id in restyle("status").out
    assert {"botocore.session", "redis.client", "restyle.models"} <= found
    assert not among(
        found, "celery", "jinja2", "kombu", "PIL", "pydantic_settings",
        "requests", "sqlite3", "starlette", "structlog", "uvicorn",
        "apps.cli.runs.follow", "apps.cli.start.planning", "apps.dashboard",
        "producers.planning.plan", "reports.report",
        "restyle.images", "restyle.segmind.v1", "tasks", "workers",
    )  # fmt: skip
