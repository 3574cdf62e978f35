"""Runs that have ended, without a worker: their pictures lie in S3, and their report is written as it always is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from producers.runs.outcomes import Row
from reports.report import write_report
from restyle.keys import Workspace
from restyle.models import Job, ManifestSource, Outcome, OutcomeKind, Params, Run, RunOptions, RunStatus
from restyle.s3.store import EMBEDDED_BUCKET
from tests.support.catalog import picture
from tests.support.servers import S3

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
#: A picture by its name.
Pictures = Callable[[str], bytes]


def a_run(workspace: Workspace, planned: int, **changes: object) -> Run:
    """A finished run."""
    return Run.model_validate(
        {
            "run_id": "20260131T120000Z-ab12cd",
            "status": RunStatus.FINISHED,
            "created": NOON,
            "finished": NOON + timedelta(seconds=1.2 * planned + 5),
            "manifest": ManifestSource(uri=workspace.under("spring.csv"), sha256="0" * 64),
            "plan_digest": "d",
            "options": RunOptions(),
            "shards": 1,
            "planned": planned,
            "by": "anna@studio",
            **changes,
        }
    )


def job_of(workspace: Workspace, entry: str, variant: str, **changes: object) -> Job:
    """A job whose original lies in the workspace."""
    return Job.model_validate(
        {
            "id": entry,
            "variant": variant,
            "image": workspace.under("in", f"{entry}.jpg"),
            "params": Params(prompt=f"product photo on {variant}, soft light from the left, shallow depth", seed=7),
            "output": workspace.output(entry, variant),
            **changes,
        }
    )


def done(job: Job, place: int = 0, **changes: object) -> Outcome:
    """A job that succeeded, each a little later and slower than the one before."""
    told = {
        "outcome": OutcomeKind.SUCCEEDED,
        "attempts": 1,
        "credits": 0.02,
        "seconds": 7 + place * 37 % 50 / 10 + (9 if place % 41 == 0 else 0),
        "outputs": (job.output,),
        "ended": NOON + timedelta(seconds=1.2 * place + place * 13 % 7),
        "seed": job.params.seed,
    }
    return Outcome.model_validate(told | changes)


def failed(place: int = 0, **changes: object) -> Outcome:
    """A job that the API would not do."""
    told = {
        "outcome": OutcomeKind.FAILED,
        "error": "request_rejected",
        "http_status": 422,
        "message": "422: the API says that this request is wrong: prompt is not allowed",
        "attempts": 1,
        "ended": NOON + timedelta(seconds=1.2 * place),
    }
    return Outcome.model_validate(told | changes)


def reported(s3: S3, workspace: Workspace, rows: Sequence[Row], pictures: Pictures = picture) -> Path:
    """Stores the pictures of these rows, writes their report, and answers with its page as a file."""
    run, store = a_run(workspace, len(rows)), s3.store
    store_pictures(s3, rows, pictures)
    links = write_report(
        run, lambda: iter(rows), workspace=workspace, store=store, snapshot={"status": run.status.value}
    )
    store.close()
    return file_of(s3, links.html)


def store_pictures(s3: S3, rows: Sequence[Row], pictures: Pictures) -> None:
    """Puts originals and outputs where these rows have them, those that are not there yet."""
    for job, outcome in rows:
        wanted = [(job.image, job.id)]
        if outcome:
            wanted += [(uri, f"{job.id} {job.variant} {uri}") for uri in outcome.outputs]
        for uri, name in wanted:
            place = file_of(s3, uri)
            if not place.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(pictures(name))


def file_of(s3: S3, uri: str) -> Path:
    """The file that an object of the embedded bucket is."""
    return s3.folder / EMBEDDED_BUCKET / uri.removeprefix(f"s3://{EMBEDDED_BUCKET}/")
