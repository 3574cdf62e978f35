"""Download against a real S3 server: what is copied, what is left alone, and that nothing leaves the folder."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from reports.copies.download import INDEX, Downloaded, Selection, download
from restyle.keys import Workspace
from restyle.models import Job, ManifestSource, Outcome, OutcomeKind, Params, Run, RunOptions, RunStatus, utc_now
from restyle.s3.store import Store

Rows = list[tuple[Job, Outcome | None]]


def a_run() -> Run:
    """A finished run."""
    return Run(
        run_id="20260131T120000Z-ab12cd",
        status=RunStatus.FINISHED,
        created=utc_now(),
        manifest=ManifestSource(uri="m.csv", sha256="0" * 64),
        plan_digest="d",
        options=RunOptions(),
        shards=1,
        planned=1,
    )


def a_row(workspace: Workspace, entry: str, variant: str = "oak", outputs: tuple[str, ...] | None = None) -> Any:
    """A job that succeeded, with its outputs."""
    output = workspace.output(entry, variant)
    outputs = (output,) if outputs is None else outputs
    params = Params(prompt="p", samples=max(1, len(outputs)))
    job = Job(id=entry, variant=variant, image="s3://b/in.jpg", params=params, output=output)
    return job, Outcome(outcome=OutcomeKind.SUCCEEDED, outputs=outputs)


def run_download(rows: Rows, folder: Path, store: Store, **choice: Any) -> list[Downloaded]:
    """Downloads to the end."""
    return list(download(a_run(), lambda: iter(rows), folder, store=store, threads=3, selection=Selection(**choice)))


def put(store: Store, uri: str, data: bytes = b"picture") -> None:
    """Stores a picture."""
    store.put(uri, data, content_type="image/jpeg")


def files(folder: Path) -> set[str]:
    """The files in a folder but for the index."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - {INDEX}


def test_only_what_is_new(store: Store, workspace: Workspace, tmp_path: Path) -> None:
    """A second download copies the pictures that changed, are new, or are gone from the folder; all others stay."""
    rows: Rows = [a_row(workspace, entry) for entry in ("a/one", "a/two", "three", "four")]
    for job, _ in rows:
        put(store, job.output)
    assert {done.state for done in run_download(rows, tmp_path, store)} == {"copied"}
    assert files(tmp_path) == {"a/one/oak.jpg", "a/two/oak.jpg", "three/oak.jpg", "four/oak.jpg"}

    put(store, rows[1][0].output, b"PICTURE")
    (tmp_path / "three/oak.jpg").unlink()
    with (tmp_path / INDEX).open("a") as index:
        index.write('\n["cut off')
    again = run_download(rows, tmp_path, store)
    assert [done.state for done in again] == ["unchanged", "copied", "copied", "unchanged"]
    assert (tmp_path / "a/two/oak.jpg").read_bytes() == b"PICTURE"
    assert {done.state for done in run_download(rows, tmp_path, store)} == {"unchanged"}


def test_what_was_made_anew_since_is_told(store: Store, workspace: Workspace, tmp_path: Path) -> None:
    """A picture that a later run has put in the place of this run's is no silent swap: its run is named."""
    (job, outcome), (other, same) = a_row(workspace, "a"), a_row(workspace, "b")
    for row, token in ((job, "later"), (other, "its own")):
        metadata = {"fingerprint": token, "run_id": "20260201T000000Z-later"}
        store.put(row.output, b"picture", content_type="image/jpeg", metadata=metadata)
    rows: Rows = [
        (job, outcome.model_copy(update={"fingerprint": "its own"})),
        (other, same.model_copy(update={"fingerprint": "its own"})),
    ]
    for state in ("copied", "unchanged"):
        done = run_download(rows, tmp_path, store)
        assert [one.state for one in done] == [state] * 2
        assert [one.made_since for one in done] == ["20260201T000000Z-later", ""]


def test_what_looks_wrong_is_left_out(store: Store, workspace: Workspace, tmp_path: Path) -> None:
    """Suspect pictures are copied only where they are asked for."""
    (job, good), (other, bad) = a_row(workspace, "good"), a_row(workspace, "bad")
    rows: Rows = [(job, good), (other, bad.model_copy(update={"suspect": ("black",)}))]
    for job, _ in rows:
        put(store, job.output)
    told = {done.id: done.state for done in run_download(rows, tmp_path, store)}
    assert (told, files(tmp_path)) == ({"good": "copied", "bad": "suspect"}, {"good/oak.jpg"})
    run_download(rows, tmp_path, store, statuses={"suspect"})
    assert files(tmp_path) == {"good/oak.jpg", "bad/oak.jpg"}


def test_samples_and_choices(store: Store, workspace: Workspace, tmp_path: Path) -> None:
    """Every sample is copied with its own suffix; statuses, variants and ids choose the jobs."""
    outputs = tuple(workspace.under("elsewhere", f"x-{n}.png") for n in range(2))
    several, other = a_row(workspace, "a", outputs=outputs), a_row(workspace, "b", "marble")
    pending = (a_row(workspace, "c")[0], None)
    for uri in (*outputs, other[0].output):
        put(store, uri)
    rows: Rows = [several, other, pending]
    run_download(rows, tmp_path / "all", store)
    assert files(tmp_path / "all") == {"a/oak-0.png", "a/oak-1.png", "b/marble.jpg"}
    run_download(rows, tmp_path / "oak", store, variants={"oak"})
    assert files(tmp_path / "oak") == {"a/oak-0.png", "a/oak-1.png"}
    run_download(rows, tmp_path / "b", store, only_ids={"b"})
    assert files(tmp_path / "b") == {"b/marble.jpg"}
    (told,) = run_download(rows, tmp_path / "none", store, statuses={"pending"})
    assert (told.state, told.uri) == ("missing", "")
    assert "pending" in told.reason


def test_a_missing_picture(store: Store, workspace: Workspace, tmp_path: Path) -> None:
    """A picture that is gone from S3 is told of, and the others are copied."""
    rows: Rows = [a_row(workspace, "gone"), a_row(workspace, "here")]
    put(store, rows[1][0].output)
    gone, here = run_download(rows, tmp_path, store)
    assert gone.state == "missing"
    assert rows[0][0].output in gone.reason
    assert here.state == "copied"


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        ("../../out", "%2E%2E/%2E%2E/out/oak.jpg"),
        ("a:b*c?", "a%3Ab%2Ac%3F/oak.jpg"),
        ("con/nul.v2", "%63on/%6Eul.v2/oak.jpg"),
        ("dots...", "dots%2E%2E%2E/oak.jpg"),
        (INDEX, "%2Erestyle-download.jsonl/oak.jpg"),
        ("größe/é", "größe/é/oak.jpg"),
    ],
)
def test_names_that_any_file_system_takes(
    store: Store, workspace: Workspace, tmp_path: Path, entry: str, name: str
) -> None:
    """Ids become folders that exist on every file system, inside the folder."""
    output = workspace.under("out.jpg")
    put(store, output)
    (done,) = run_download([a_row(workspace, entry, outputs=(output,))], tmp_path, store)
    assert (done.state, files(tmp_path)) == ("copied", {name})


@pytest.mark.parametrize("length", [244, 250, 255])
def test_a_name_that_just_fits_is_written(store: Store, workspace: Workspace, tmp_path: Path, length: int) -> None:
    """A picture's name may be as long as a disk takes; what it is drafted under is no longer."""
    name = "a" * (length - 4) + ".jpg"
    output = workspace.under(name)
    put(store, output)
    run = a_run().model_copy(update={"options": RunOptions(root=workspace.uri, naming="{id}.jpg")})
    rows = [a_row(workspace, "long", outputs=(output,))]
    (done,) = download(run, lambda: iter(rows), tmp_path, store=store, threads=1)
    assert (done.state, files(tmp_path)) == ("copied", {name})


def test_nothing_leaves_the_folder(store: Store, workspace: Workspace, tmp_path: Path) -> None:
    """Neither an absolute id, nor a forged variant, nor a link in the folder leads a write out of it."""
    output = workspace.under("out.jpg")
    put(store, output)
    folder, outside = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    outside.mkdir()
    (folder / "link").symlink_to(outside)
    rows: Rows = [
        a_row(workspace, f"{outside}/x", outputs=(output,)),
        a_row(workspace, "x", "../../out/x", outputs=(output,)),
        a_row(workspace, "link", outputs=(output,)),
        a_row(workspace, "fine", outputs=(output,)),
    ]
    states = Counter(done.state for done in run_download(rows, folder, store))
    assert states == {"refused": 3, "copied": 1}
    assert files(outside) == set()


def test_something_in_the_way(store: Store, workspace: Workspace, tmp_path: Path) -> None:
    """A file where a folder should be is left alone and told of."""
    rows: Rows = [a_row(workspace, "a")]
    put(store, rows[0][0].output)
    (tmp_path / "a").write_text("mine")
    (done,) = run_download(rows, tmp_path, store)
    assert done.state == "refused"
    assert "in the way" in done.reason
    assert (tmp_path / "a").read_text() == "mine"
