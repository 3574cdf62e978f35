"""restyle show against a real S3 server: a job's runs, doubts and record are found, and told in plain words."""

from __future__ import annotations

import gzip
import io
import json
from datetime import timedelta

from rich.console import Console

from apps.cli.results.show import heading, line_of
from producers.runs.history import Chapter, Search, Story
from restyle.keys import Workspace
from restyle.models import Job, Outcome, Run
from restyle.record import Record
from restyle.s3.store import Store
from tests.support.reports import NOON, a_run, done, failed, job_of


def put_lines(store: Store, uri: str, lines: list[object]) -> None:
    """Stores JSON lines as a shard's file."""
    store.put(uri, gzip.compress("\n".join(map(json.dumps, lines)).encode()), content_type="application/gzip")


def closed(store: Store, workspace: Workspace, run: Run, rows: list[tuple[Job, Outcome]]) -> None:
    """A run whose one shard is closed."""
    lines: list[object] = [
        {"job": job.model_dump(mode="json"), "outcome": outcome.model_dump(mode="json")} for job, outcome in rows
    ]
    put_lines(store, workspace.results(run.run_id, 0), lines)


def record_of(workspace: Workspace, job: Job) -> Record:
    """What says that a job is done."""
    at = {
        name: NOON + timedelta(seconds=n)
        for n, name in enumerate(("queued", "started", "called", "answered", "stored"))
    }
    return Record.model_validate(
        {
            "job_id": workspace.job_id(job.id, job.variant), "run_id": "20260131T120000Z-ab12cd", "id": job.id,
            "variant": job.variant, "fingerprint": {"etag": "e", "sha256": "0" * 64, "request": "r"},
            "input": {"uri": job.image, "etag": "e", "sha256": "0" * 64, "bytes": 9, "width": 96, "height": 96},
            "prepared": {"width": 96, "height": 96, "steps": ("rotated",)}, "params": job.params,
            "outputs": [
                {"uri": job.output, "sha256": "1" * 64, "bytes": 9, "width": 96, "height": 96,
                 "content_type": "image/jpeg"}
            ],
            "samples_expected": 1, "samples_received": 1,
            "api": {"url": "https://api", "sandbox": False, "cost": 0.02, "seconds": 8.1, "attempts": 2, "in_doubt": 1},
            "timestamps": at, "worker": "w", "version": "0",
        }
    )  # fmt: skip


def test_a_job_in_several_runs(store: Store, workspace: Workspace) -> None:
    """Its runs come newest first, closed or open, each with how it ended and what was in doubt; then its record."""
    old, new = a_run(workspace, 2), a_run(workspace, 2, run_id="20260201T120000Z-ffffff")
    oak, other = job_of(workspace, 'stuhl/größe "m"', "oak"), job_of(workspace, "stuhl", "oak")
    job_id = workspace.job_id(oak.id, oak.variant)
    closed(store, workspace, old, [(other, done(other)), (oak, failed(in_doubt=1))])
    note = {"job_id": job_id, "error": "the answer was lost"}
    store.put(workspace.doubt(old.run_id, job_id), json.dumps(note).encode(), content_type="application/json")
    put_lines(store, workspace.shard(new.run_id, 0), [other.model_dump(mode="json"), oak.model_dump(mode="json")])
    record = record_of(workspace, oak)
    record.lies_as(
        store.put(workspace.record(oak.id, "oak"), record.model_dump_json().encode(), content_type="application/json")
    )
    search = Search(store, workspace, lambda *_: {1: done(oak)})  # only the open run is asked for

    for named in (oak.id, job_id):
        (story,) = search.stories(named, [new, old])
        assert (story.id, story.variant, story.job_id, story.record) == (oak.id, "oak", job_id, record)
        assert [chapter.run_id for chapter in story.chapters] == [new.run_id, old.run_id]
        last, first = story.chapters
        assert (last.outcome, last.doubt) == (done(oak), None)
        assert (first.outcome, first.doubt) == (failed(in_doubt=1), note)


def test_variants_and_neighbours(store: Store, workspace: Workspace) -> None:
    """An entry's variants are told together, or one of them; an id that begins another one's is not taken for it."""
    run = a_run(workspace, 3)
    jobs = [job_of(workspace, "a", "oak"), job_of(workspace, "a", "sea"), job_of(workspace, "a/b", "oak")]
    closed(store, workspace, run, [(job, done(job)) for job in jobs])
    for job in jobs:
        text = record_of(workspace, job).model_dump_json()
        store.put(workspace.record(job.id, job.variant), text.encode(), content_type="application/json")
    search = Search(store, workspace, lambda *_: {})
    assert [(story.id, story.variant) for story in search.stories("a", [run])] == [("a", "oak"), ("a", "sea")]
    assert [story.variant for story in search.stories("a", [run], "sea")] == ["sea"]
    assert [story.id for story in search.stories("a/b", [])] == ["a/b"]
    assert search.stories("b", [run]) == []


def test_in_words(workspace: Workspace) -> None:
    """A failure is told with its reason, its calls and what is in doubt."""
    job = job_of(workspace, "[bold]a", "oak")
    chapter = Chapter("20260131T120000Z-ab12cd", job, failed(in_doubt=1), {"error": "the answer was lost"})
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(heading(Story("[bold]a", "oak", "0" * 24, None, [chapter])))
    console.print(line_of(chapter))
    told = console.export_text()
    assert told.startswith("[bold]a · oak  failed\n")
    assert "failed request rejected, HTTP 422  1 attempt · 1 in doubt" in told
    assert "422: the API says that this request is wrong: prompt is not allowed" in told
    assert "a call of it may have been paid for: the answer was lost" in told


def test_a_run_that_cannot_be_read_hides_no_other(store: Store, workspace: Workspace) -> None:
    """A shard cut off, or written by another version, is named; the story goes on with the other runs."""
    fine = a_run(workspace, 1)
    cut, other = (a_run(workspace, 1, run_id=f"2026020{day}T120000Z-ffffff") for day in (1, 2))
    job = job_of(workspace, "mug", "oak")
    closed(store, workspace, fine, [(job, done(job))])
    whole = store.get(workspace.results(fine.run_id, 0)).data
    store.put(workspace.results(cut.run_id, 0), whole[:-20], content_type="application/gzip")
    put_lines(store, workspace.results(other.run_id, 0), [{"task": {"id": "mug"}, "outcome": None}])
    search = Search(store, workspace, lambda *_: {})
    (story,) = search.stories("mug", [other, cut, fine])
    assert [chapter.run_id for chapter in story.chapters] == [fine.run_id]
    assert search.unread.keys() == {cut.run_id, other.run_id}
