"""Plans against a real S3 server: manifests and listings there, shards written, and a report that is a manifest."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import orc, parquet

from apps.cli.start.planning import open_plan
from config.settings import Settings
from producers.manifest import ReadOptions
from producers.planning.jobs.resolved import Resolved
from producers.planning.make import make_plan
from producers.planning.plan import Plan
from producers.planning.request import PlanRequest
from reports.report import slice_csv
from restyle.errors import ManifestError
from restyle.keys import Workspace
from restyle.models import Job, Run, RunStatus
from restyle.s3.store import Store
from tests.support.pictures import corners, encode
from tests.support.runs import write
from tests.support.servers import S3

TABLE = "id,image,title\na,in/a.jpg,Mug\nb,in/b.jpg,Bowl\n"


def put(store: Store, uri: str, content: str | bytes) -> str:
    """Stores an object; answers with its ETag."""
    data = content.encode() if isinstance(content, str) else content
    return store.put(uri, data, content_type="application/octet-stream")


def plan(manifest: str, workspace: Workspace, store: Store, **asked: Any) -> Plan:
    """A plan, by one prompt unless another is asked for."""
    asked.setdefault("prompt", "photo of {id}")
    return make_plan(PlanRequest(manifest, **asked), Settings(), workspace=workspace, store=store)


def written(found: Plan, workspace: Workspace, store: Store, shard_jobs: int = 500) -> tuple[Run, list[Job]]:
    """A plan written, and its jobs as the shards have them."""
    run = write(found, workspace=workspace, store=store, shard_jobs=shard_jobs, by="me@here")
    lines = [
        line
        for shard in range(run.shards)
        for line in gzip.decompress(store.get(workspace.shard(run.run_id, shard)).data).splitlines()
    ]
    return run, [Job.model_validate_json(line) for line in lines]


def names(store: Store, prefix: str) -> list[str]:
    """What lies below a prefix."""
    return sorted(listed.uri.removeprefix(prefix) for listed in store.list(prefix))


# -- manifests in S3 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [False, True])
def test_a_manifest_in_s3(store: Store, workspace: Workspace, packed: bool) -> None:
    """Its relative images lie beside it, and no image is looked at."""
    uri = workspace.under("lists/m.csv" + (".gz" if packed else ""))
    put(store, uri, gzip.compress(TABLE.encode(), mtime=0) if packed else TABLE)
    found = plan(uri, workspace, store)
    _, jobs = written(found, workspace, store)
    assert [job.image for job in jobs] == [workspace.under("lists/in/a.jpg"), workspace.under("lists/in/b.jpg")]
    assert [job.meta for job in jobs] == [{"title": "Mug"}, {"title": "Bowl"}]
    assert found.manifest.uri == uri
    assert found.manifest.sha256 == hashlib.sha256(store.get(uri).data).hexdigest()


@pytest.mark.parametrize(
    ("image", "key"),
    [
        ("./a.jpg", "lists/a.jpg"),
        ("../a.jpg", "a.jpg"),
        ("x/../a b+c%20.jpg", "lists/a b+c%20.jpg"),
        ("ü.jpg", "lists/ü.jpg"),
    ],
)
def test_relative_images_in_s3(store: Store, workspace: Workspace, image: str, key: str) -> None:
    """A relative path is one of keys; what stands in it is never decoded."""
    put(store, workspace.under("lists/m.jsonl"), json.dumps({"image": image}))
    (job,) = plan(workspace.under("lists/m.jsonl"), workspace, store, prompt="p").stream()
    assert isinstance(job, Resolved)
    assert job.entry.image == workspace.under(key)


@pytest.mark.parametrize("image", ["/etc/a.jpg", "../../../a.jpg"])
def test_images_that_lie_elsewhere(store: Store, workspace: Workspace, image: str) -> None:
    """A manifest in S3 names no file of this machine, and nothing above its bucket."""
    put(store, workspace.under("lists/m.csv"), f"image\n{image}\n")
    with pytest.raises(ManifestError, match=r"m\.csv:2: image: .*(means nothing in a manifest|leads out of)"):
        plan(workspace.under("lists/m.csv"), workspace, store)


def test_nothing_there(store: Store, workspace: Workspace) -> None:
    """Neither an object nor a prefix is a manifest that is not there."""
    with pytest.raises(ManifestError, match="there is no such object, and nothing below it"):
        plan(workspace.under("no.csv"), workspace, store)


def test_variants_in_s3(store: Store, workspace: Workspace) -> None:
    """A variants file may lie in S3, beside a local manifest."""
    Path("m.csv").write_text("image\ns3://in/a.jpg\n")
    put(store, workspace.under("v.toml"), "[[variants]]\nname = 'oak'\nprompt = 'p'\n")
    assert plan("m.csv", workspace, store, prompt=None, variants=workspace.under("v.toml")).variants == ("oak",)
    with pytest.raises(ManifestError, match="there is no such variants file"):
        plan("m.csv", workspace, store, prompt=None, variants=workspace.under("no.toml"))


# -- listings ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["", "/"])
def test_a_prefix(store: Store, workspace: Workspace, ending: str) -> None:
    """Every image below a prefix is an entry with the ETag of its listing; the rest is told."""
    keys = ["a.jpg", "deep/b.PNG", "shoe.jpg", "shoe.png", "notes.txt", "x+y z/ü&.webp"]
    etags = {workspace.under("in", key): put(store, workspace.under("in", key), key) for key in keys}
    found = plan(workspace.under("in") + ending, workspace, store)
    _, jobs = written(found, workspace, store)
    assert sorted(job.id for job in jobs) == ["a", "deep/b", "shoe.jpg", "shoe.png", "x+y z/ü&"]
    assert all(job.etag == etags[job.image] for job in jobs)
    assert found.summary.lines()[-1] == ("left out", "1 .txt file (notes.txt)")


def test_what_is_left_out_of_a_prefix(store: Store, workspace: Workspace) -> None:
    """What is hidden or empty is no input; it is counted and named."""
    for key in ("a.avif", ".thumbs/a.jpg", "__MACOSX/._a.jpg"):
        put(store, workspace.under("in", key), key)
    put(store, workspace.under("in/empty.jpg"), b"")
    found = plan(workspace.under("in/"), workspace, store)
    assert [job.entry.id for job in found.stream() if isinstance(job, Resolved)] == ["a"]
    assert found.summary.lines() == [
        ("read as", "an S3 prefix: 1 picture"),
        ("left out", "2 hidden files (.thumbs/a.jpg, __MACOSX/._a.jpg) · 1 empty file (0 bytes) (empty.jpg)"),
    ]


def test_what_is_left_out_of_an_inventory(store: Store, workspace: Workspace) -> None:
    """Its sizes and storage classes tell what is empty and what somebody would have to restore first."""
    rows = [
        ("a.jpg", 9, "STANDARD"),
        ("b.jpg", 0, "STANDARD"),
        ("c.jpg", 9, "DEEP_ARCHIVE"),
        ("d.jpg", 9, "GLACIER_IR"),
    ]
    part = "".join(f'"shop","{key}","{size}","{kind}"\n' for key, size, kind in rows)
    put(store, workspace.under("parts/1.csv.gz"), gzip.compress(part.encode()))
    bucket, prefix = workspace.uri.removeprefix("s3://").split("/", 1)
    content = {
        "fileSchema": "Bucket, Key, Size, StorageClass", "fileFormat": "CSV",
        "destinationBucket": f"arn:aws:s3:::{bucket}",
        "files": [{"key": f"{prefix}/parts/1.csv.gz"}],
    }  # fmt: skip
    put(store, workspace.under("manifest.json"), json.dumps(content))
    found = plan(workspace.under("manifest.json"), workspace, store)
    assert [job.entry.id for job in found.stream() if isinstance(job, Resolved)] == ["a", "d"]
    left_out = "1 empty file (0 bytes) (b.jpg) · 1 archived object, to be restored first (c.jpg)"
    assert found.summary.lines() == [("read as", "an S3 Inventory: 2 pictures"), ("left out", left_out)]


@pytest.mark.parametrize("form", ["Parquet", "ORC"])
def test_an_inventory_in_columns(store: Store, workspace: Workspace, form: str) -> None:
    """Parquet and ORC have the same rows, with keys as they are."""
    table = pa.table(
        {
            "bucket": ["shop"] * 4, "key": ["a+b c.jpg", "b.jpg", "gone.jpg", "c.txt"], "size": [9, 0, 9, 9],
            "is_latest": [True, True, False, True], "is_delete_marker": [False] * 4, "storage_class": ["STANDARD"] * 4,
        }
    )  # fmt: skip
    part = io.BytesIO()
    (parquet if form == "Parquet" else orc).write_table(table, part)
    put(store, workspace.under("parts/1"), part.getvalue())
    bucket, prefix = workspace.uri.removeprefix("s3://").split("/", 1)
    content = {
        "fileSchema": "message s3.inventory {}", "fileFormat": form, "destinationBucket": f"arn:aws:s3:::{bucket}",
        "files": [{"key": f"{prefix}/parts/1"}],
    }  # fmt: skip
    put(store, workspace.under("manifest.json"), json.dumps(content))
    found = plan(workspace.under("manifest.json"), workspace, store)
    assert [job.entry.image for job in found.stream() if isinstance(job, Resolved)] == ["s3://shop/a+b c.jpg"]
    assert found.summary.lines()[-1] == ("left out", "1 empty file (0 bytes) (b.jpg) · 1 .txt file (c.txt)")


def test_images_below_a_prefix(store: Store, workspace: Workspace) -> None:
    """`--images s3://…` is where relative names lie, and one that is not there is told with the one that is meant."""
    for key in ("in/a.jpg", "in/deep/b.jpg"):
        put(store, workspace.under(key), key)
    read = ReadOptions(images=workspace.under("in"))
    Path("m.csv").write_text("image\na.jpg\ndeep/b.jpg\n")
    assert plan("m.csv", workspace, store, read=read).jobs == 2
    Path("m.csv").write_text("image\nA.jpg\nb.jpg\nc.jpg\n")
    with pytest.raises(ManifestError) as caught:
        plan("m.csv", workspace, store, read=read)
    told = [line.partition("there is no object ")[2] for line in caught.value.message.splitlines()]
    assert told == [
        workspace.under("in/A.jpg; did you mean a.jpg? (letter case differs)"),
        workspace.under("in/b.jpg; did you mean deep/b.jpg? (in another folder)"),
        workspace.under("in/c.jpg"),
    ]


def test_inputs_of_a_local_manifest_are_looked_at_in_s3(
    s3: S3, store: Store, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`plan --check-inputs` opens S3 where an input lies there, also where nothing else does."""
    put(store, workspace.under("in/a.jpg"), encode(corners(96, 64)))
    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)
    Path("m.csv").write_text(f"id,image\na,{workspace.under('in/a.jpg')}\n")
    settings = Settings(workspace=workspace.uri)
    found = open_plan(PlanRequest("m.csv", prompt="p", check_inputs=True), settings)
    assert found is not None
    assert found.jobs == 1
    Path("m.csv").write_text(f"id,image\na,{workspace.under('in/b.jpg')}\n")
    with pytest.raises(ManifestError, match="there is no such object"):
        open_plan(PlanRequest("m.csv", prompt="p", check_inputs=True), settings)


def test_a_prefix_around_the_workspace(store: Store, workspace: Workspace) -> None:
    """What restyle itself put into the workspace is no input, the sandbox's neither."""
    for key in ("mine/a.jpg", "outputs/a/oak.jpg", "inputs/1.png", "replaced/r/b/k.jpg", "sandbox/outputs/a/oak.jpg"):
        put(store, workspace.under(key), key)
    for place in (workspace, workspace.sandbox):
        found = make_plan(PlanRequest(workspace.uri, prompt="p"), Settings(), workspace=place, store=store)
        assert [job.entry.id for job in found.stream() if isinstance(job, Resolved)] == ["mine/a"]


def test_a_prefix_is_known_by_what_is_in_it(store: Store, workspace: Workspace) -> None:
    """Another picture under the same key makes another plan."""
    put(store, workspace.under("in/a.jpg"), "one")
    digests = [plan(workspace.under("in"), workspace, store).plan_digest for _ in range(2)]
    put(store, workspace.under("in/a.jpg"), "two")
    digests.append(plan(workspace.under("in"), workspace, store).plan_digest)
    assert digests[0] == digests[1] != digests[2]


def inventory(workspace: Workspace, parts: list[str], **more: object) -> str:
    """An S3 Inventory's manifest.json."""
    prefix = workspace.under("inventory/").removeprefix(f"s3://{workspace.bucket}/")
    content = {
        "sourceBucket": "shop", "destinationBucket": f"arn:aws:s3:::{workspace.bucket}", "version": "2016-11-30",
        "fileFormat": "CSV", "fileSchema": "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size",
        "files": [{"key": prefix + part, "size": 1, "MD5checksum": "x"} for part in parts],
    }  # fmt: skip
    return json.dumps({**content, **more}, indent=2)


def test_an_inventory(store: Store, workspace: Workspace) -> None:
    """manifest.json names the parts, whose keys are URL-encoded; only the latest versions count."""
    one = (
        '"shop","in/a%2Bb+c.jpg","v2","true","false","5"\n'
        '"shop","in/a%2Bb+c.jpg","v1","false","false","5"\n'
        '"shop","gone.jpg","v1","true","true","0"\n'
    )
    put(store, workspace.under("inventory/1.csv.gz"), gzip.compress(one.encode(), mtime=0))
    put(store, workspace.under("inventory/2.csv"), '"shop","in/notes.txt","","true","false","5"\n"shop","ü.png"\n')
    put(store, workspace.under("inventory/manifest.json"), inventory(workspace, ["1.csv.gz", "2.csv"]))
    found = plan(workspace.under("inventory/manifest.json"), workspace, store)
    _, jobs = written(found, workspace, store)
    assert [(job.id, job.image) for job in jobs] == [("in/a+b c", "s3://shop/in/a+b c.jpg"), ("ü", "s3://shop/ü.png")]
    assert [text.partition(": ")[2] for text in found.warnings if ": " in text] == [
        "versions of objects are not read; the latest of each is taken"
    ]


@pytest.mark.parametrize(
    ("part", "more", "told"),
    [
        (None, {}, r"manifest\.json: names s3://.*/inventory/1\.csv\.gz, which is not there"),
        (gzip.compress(b'"shop","a.jpg"\n' * 999, mtime=0)[:-9], {}, r"1\.csv\.gz: is not whole: gzip says"),
        (gzip.compress(b'"shop","\xff.jpg"\n', mtime=0), {}, r"1\.csv\.gz:1: is not UTF-8"),
        (
            gzip.compress(b'"shop","a.jpg"\n"shop","b.jpg\n', mtime=0),
            {},
            r"1\.csv\.gz:2: the row that begins here is no CSV",
        ),
        (b"PAR1", {"fileFormat": "Parquet"}, "is no Parquet file that can be read"),
        (b"", {"files": []}, "has nothing to run"),
    ],
)
def test_an_inventory_that_cannot_be_read(
    store: Store, workspace: Workspace, part: bytes | None, more: dict[str, object], told: str
) -> None:
    """A part that is missing or damaged is a fault of the manifest, told by its name."""
    if part is not None:
        put(store, workspace.under("inventory/1.csv.gz"), part)
    put(store, workspace.under("inventory/manifest.json"), inventory(workspace, ["1.csv.gz"], **more))
    with pytest.raises(ManifestError, match=told):
        plan(workspace.under("inventory/manifest.json"), workspace, store)


# -- writing -----------------------------------------------------------------------------------------------


def test_shards_and_run(store: Store, workspace: Workspace) -> None:
    """Jobs lie in shards in the manifest's order, and run.json, written last, tells of them."""
    Path("m.csv").write_text("\n".join(["image", *(f"s3://in/{number}.jpg" for number in range(25))]))
    found = plan("m.csv", workspace, store, budget=3.5)
    told: list[int] = []
    run = write(found, workspace=workspace, store=store, shard_jobs=10, by="me@here", progress=told.append)
    assert names(store, workspace.run(run.run_id, "")) == [
        "plan/000000.jsonl.gz", "plan/000001.jsonl.gz", "plan/000002.jsonl.gz", "run.json"
    ]  # fmt: skip
    assert told == [10, 20]
    assert Run.model_validate_json(store.get(workspace.run(run.run_id)).data) == run
    assert (run.status, run.planned, run.shards, run.invalid, run.budget) == (RunStatus.RUNNING, 25, 3, 0, 3.5)
    assert run.plan_digest == found.plan_digest


def test_a_plan_of_whole_shards(store: Store, workspace: Workspace) -> None:
    """Where the jobs fill their shards, no empty one follows."""
    Path("m.csv").write_text("image\ns3://in/a.jpg\ns3://in/b.jpg\n")
    run, jobs = written(plan("m.csv", workspace, store), workspace, store, shard_jobs=2)
    assert (run.shards, len(jobs)) == (1, 2)


def test_local_inputs_are_uploaded_once_by_content(store: Store, workspace: Workspace) -> None:
    """Each content goes up once, under its hash; the second plan knows it, and finds it gone where it is."""
    picture = encode(corners())
    for name in ("a.jpg", "same.jpg", "other.PNG"):
        Path(name).write_bytes(picture if name != "other.PNG" else b"other")
    Path("m.csv").write_text("image,id\na.jpg,a\nsame.jpg,same\nother.PNG,other\na.jpg,again\n")
    first = plan("m.csv", workspace, store)
    assert (first.uploads, first.upload_bytes) == (3, 2 * len(picture) + 5)
    _, jobs = written(first, workspace, store)
    where = [workspace.input(hashlib.sha256(data).hexdigest(), suffix) for data, suffix in
             ((picture, ".jpg"), (picture, ".jpg"), (b"other", ".png"), (picture, ".jpg"))]  # fmt: skip
    assert [job.image for job in jobs] == where
    assert names(store, workspace.under("inputs/")) == sorted({uri.rpartition("/")[2] for uri in where})
    assert store.get(where[0]).data == picture

    second = plan("m.csv", workspace, store)
    assert (second.uploads, second.upload_bytes) == (0, 0)
    store.delete(where[0])
    assert [job.image for job in written(second, workspace, store)[1]] == where
    assert store.head(where[0]) is not None


def test_a_changed_input_goes_up_anew(store: Store, workspace: Workspace) -> None:
    """A local file that was changed between two plans is another content."""
    Path("a.jpg").write_bytes(b"one")
    Path("m.csv").write_text("image\na.jpg\n")
    written(plan("m.csv", workspace, store), workspace, store)
    Path("a.jpg").write_bytes(b"three")
    (job,) = written(plan("m.csv", workspace, store), workspace, store)[1]
    assert store.get(job.image).data == b"three"


def test_an_input_that_is_gone_at_the_end(store: Store, workspace: Workspace) -> None:
    """A local file that vanishes between judging and writing is told by its line, and no run exists."""
    Path("a.jpg").write_bytes(b"one")
    Path("m.csv").write_text("image\na.jpg\n")
    found = plan("m.csv", workspace, store)
    Path("a.jpg").unlink()
    with pytest.raises(ManifestError, match=r"m\.csv:2: image: .*a\.jpg.*(no file|read any more)|was changed while"):
        write(found, workspace=workspace, store=store, shard_jobs=5, by="me")
    assert store.find(workspace.run(found.run_id)) is None


def test_a_manifest_that_changes_while_it_is_read(store: Store, workspace: Workspace) -> None:
    """A local manifest that is another than the one judged makes no run."""
    Path("m.csv").write_text("image\ns3://in/a.jpg\n")
    found = plan("m.csv", workspace, store)
    Path("m.csv").write_text("image\ns3://in/a.jpg\ns3://in/b.jpg\n")
    with pytest.raises(ManifestError, match=r"m\.csv: was changed while it was read; plan again"):
        write(found, workspace=workspace, store=store, shard_jobs=5, by="me")
    assert names(store, workspace.run(found.run_id, "")) == []


def test_a_prefix_that_changes_while_it_is_read(store: Store, workspace: Workspace) -> None:
    """Of a prefix that has another image by the time the shards are written, what was judged and priced is run."""
    put(store, workspace.under("in/a.jpg"), "one")
    found = plan(workspace.under("in"), workspace, store)
    put(store, workspace.under("in/b.jpg"), "two")
    assert write(found, workspace=workspace, store=store, shard_jobs=5, by="me").planned == 1


# -- invalid.csv -------------------------------------------------------------------------------------------


def invalid_of(store: Store, workspace: Workspace, manifest: str, **asked: Any) -> tuple[bytes, list[dict[str, str]]]:
    """The file of rejected rows of a plan that leaves them out: as it lies there, and its rows."""
    run, _ = written(plan(manifest, workspace, store, skip_invalid=True, **asked), workspace, store)
    data = store.get(workspace.run(run.run_id, "invalid.csv")).data
    rows = list(csv.DictReader(io.StringIO(data.decode(), newline="")))
    assert run.invalid == len(rows)
    return data, rows


def test_invalid_rows_are_a_manifest_again(store: Store, workspace: Workspace) -> None:
    """The rejected rows stand in their own columns with where they stood and why, and can be given again, mended."""
    Path("m.csv").write_text(
        "id;image;strength;title;note\na;s3://in/a.jpg;0.5;Mug;\n"
        'b;s3://in/b.jpg;half;"two\r\nlines, ""b""";"lone\rCR"\n..;;0.5;;\nd;s3://in/d.jpg;;Bowl;;;x\n'
    )
    data, rows = invalid_of(store, workspace, "m.csv")
    assert [(row["source"], row["line"], row["problem"]) for row in rows] == [
        ("m.csv", "3", "strength: 'half' is not a number"),
        ("m.csv", "6", "id: the id has a part '..' between slashes, which no key may have; image: is missing"),
        ("m.csv", "7", "the row has 7 cells, the header 5; is a quote or a delimiter amiss?"),
    ]
    assert rows[0]["note"] == "lone\rCR"
    assert rows[0]["title"] == 'two\r\nlines, "b"'

    Path("again.csv").write_bytes(data.replace(b"half", b"0.25"))
    again, rows = invalid_of(store, workspace, "again.csv")
    assert again.partition(b"\r\n")[0] == b"source,line,problem,id,image,strength,title,note"
    assert [(row["source"], row["id"]) for row in rows] == [("again.csv", ".."), ("again.csv", "d")]


def test_invalid_entries_of_json(store: Store, workspace: Workspace) -> None:
    """Rejected JSON entries stand as they were, also those of one line."""
    entries = [{"image": "s3://in/a.jpg"}, {"image": "s3://in/b.jpg", "strength": 9}, {"id": "x"}, 7]
    Path("m.json").write_text(json.dumps(entries))
    _, rows = invalid_of(store, workspace, "m.json")
    assert [json.loads(row["entry"]) for row in rows] == entries[1:]
    assert [row["source"] for row in rows] == ["m.json (entry 2)", "m.json (entry 3)", "m.json (entry 4)"]


def test_invalid_names_of_a_prefix(store: Store, workspace: Workspace) -> None:
    """Keys that make no id have no line, and each is a row."""
    long = "x" * 210
    for key in ("a.jpg", f"{long}1.jpg", f"{long}2.jpg"):
        put(store, workspace.under("in", key), key)
    _, rows = invalid_of(store, workspace, workspace.under("in"))
    told = [f"id: {long}{number}.jpg: a part of the id is longer than 200 bytes" for number in (1, 2)]
    assert [(row["line"], row["problem"]) for row in rows] == [("", text) for text in told]


# -- a report is a manifest --------------------------------------------------------------------------------


def report_of(run: Run, jobs: list[Job], workspace: Workspace) -> str:
    """A run's report with nothing done yet."""
    out = io.StringIO(newline="")
    slice_csv(run, lambda: ((job, None) for job in jobs), workspace=workspace, statuses=frozenset({"pending"}), out=out)
    return out.getvalue()


ENTRIES: list[dict[str, Any]] = [
    {"image": "s3://in/a b.jpg", "title": "=1+1", "prompt": "{title} {{x}} {id}"},
    {"image": "s3://in/b.jpg", "id": "=HYPERLINK(1)", "prompt": "-{{", "seed": -1, "title": "}{"},
    {"image": "s3://in/c.jpg", "id": "@home/-5", "prompt": "'quoted'", "negative_prompt": "+{{title}}", "seed": 0},
    {
        "image": "local.jpg",
        "id": "'x'",
        "prompt": 'two\nlines, "q";\ttab',
        "samples": 3,
        "strength": 0.1,
        "base64": "yes",
    },
    {"image": "s3://in/e.jpg", "id": "über/größe", "prompt": "p", "meta.prompt": "theirs", "Outcome": "x", "ok": True},
    {"image": "s3://in/f.jpg", "variant": "night", "prompt": "p", "scheduler": "Euler a", "guidance_scale": 7},
]


def test_a_report_resolves_to_the_same_jobs(store: Store, workspace: Workspace) -> None:
    """A report, given as a manifest, is the same jobs: prompts, ids, seeds, parameters, columns, inputs, outputs."""
    Path("local.jpg").write_bytes(b"picture")
    Path("m.jsonl").write_text("\n".join(map(json.dumps, ENTRIES)))
    run, jobs = written(plan("m.jsonl", workspace, store, prompt=None), workspace, store)
    Path("report.csv").write_text(report_of(run, jobs, workspace), newline="")
    found = plan("report.csv", workspace, store, prompt=None)
    assert found.uploads == 0
    _, again = written(found, workspace, store)
    assert again == jobs
    assert report_of(run, again, workspace).encode() == Path("report.csv").read_bytes()


def test_a_report_with_variants(store: Store, workspace: Workspace) -> None:
    """Several variants of a run are as many rows of its report, and the same jobs again, also beside their file."""
    Path("v.json").write_text(
        json.dumps([{"name": "oak", "prompt": "{title} on oak"}, {"name": "pine", "prompt": "{{p}}"}])
    )
    put(store, workspace.under("m.csv"), TABLE)
    run, jobs = written(
        plan(workspace.under("m.csv"), workspace, store, prompt=None, variants="v.json"), workspace, store
    )
    put(store, workspace.under("runs/report.csv"), report_of(run, jobs, workspace))
    for variants in (None, "v.json"):
        found = plan(workspace.under("runs/report.csv"), workspace, store, prompt=None, variants=variants)
        assert written(found, workspace, store)[1] == jobs


def test_invalid_rows_of_a_report_stay_a_report(store: Store, workspace: Workspace) -> None:
    """The rejected rows of a report, mended, mean what they meant in it."""
    Path("m.jsonl").write_text("\n".join(map(json.dumps, [ENTRIES[1], ENTRIES[2]])))
    run, jobs = written(plan("m.jsonl", workspace, store, prompt=None), workspace, store)
    Path("report.csv").write_text(report_of(run, jobs, workspace).replace("@home", "//@home"), newline="")
    data, rows = invalid_of(store, workspace, "report.csv", prompt=None)
    assert [row["id"] for row in rows] == ["'//@home/-5"]
    Path("mended.csv").write_bytes(data.replace(b"//@home", b"@home"))
    _, (job,) = written(plan("mended.csv", workspace, store, prompt=None), workspace, store)
    assert job.model_copy(update={"meta": {}}) == jobs[1].model_copy(update={"meta": {}})
