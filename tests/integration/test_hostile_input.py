"""Input from people who mean harm, or whose tools do: refused with a sentence, or made harmless, and never costly."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
import posixpath
import re
import subprocess
import sys
import zlib
from collections import deque
from contextlib import nullcontext, suppress
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from producers.manifest import Problems, open_manifest
from producers.planning.jobs.variants import load_variants
from producers.planning.make import make_plan
from producers.planning.request import PlanRequest
from producers.runs.outcomes import Row
from producers.runs.statistics import Statistics
from reports.copies.download import INDEX, download
from reports.report import slice_csv, write_report
from restyle.errors import ManifestError
from restyle.keys import Workspace, sample_uri, split_uri
from restyle.models import Job, ManifestSource, Outcome, OutcomeKind, Params, Run, RunOptions, RunStatus, utc_now
from restyle.s3.store import Store
from tests.support.catalog import picture
from tests.support.runs import write

IMAGE = "s3://elsewhere/in/a.jpg"
PROSE = "the prompt"


def short(value: object) -> str:
    """The name of a case: the beginning of its value, and what tells it from others that begin so."""
    return f"{ascii(value)[:30]} {zlib.crc32(repr(value).encode('utf-8', 'surrogatepass')) % 1000}"


def planned(rows: list[dict[str, Any]], workspace: Workspace, **asked: Any) -> list[Any]:
    """The jobs of a JSON manifest."""
    Path("m.json").write_text(json.dumps(rows))
    settings = Settings(sandbox=asked.pop("sandbox", False))
    request = PlanRequest("m.json", **{"prompt": PROSE, **asked})
    return list(make_plan(request, settings, workspace=workspace, store=None).stream())


def refusal(rows: list[dict[str, Any]], workspace: Workspace, **asked: Any) -> str:
    """Why a manifest is refused: short enough to be read, and nothing in it that moves a terminal."""
    with pytest.raises(ManifestError) as caught:
        planned(rows, workspace, **asked)
    return readable(caught.value.message)


def readable(message: str) -> str:
    """A message that may be shown."""
    assert 10 < len(message) < 3000
    assert re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", message) is None, message
    return message


def written_keys(job: Any, workspace: Workspace) -> list[str]:
    """Everywhere that a job writes."""
    samples = range(job.params.samples)
    outputs = [
        sample_uri(job.output, n, job.params.samples, suffix) for suffix in ("", ".png", ".webp") for n in samples
    ]
    return [workspace.record(job.entry.id, job.variant), *outputs]


def well_kept(uri: str) -> bool:
    """Whether S3, a folder and a terminal all take a URI for what it is."""
    bucket, key = split_uri(uri)
    return (
        posixpath.normpath(f"/{bucket}/{key}") == f"/{bucket}/{key}"
        and len(key.encode()) <= 1024
        and all(0 < len(part.encode()) <= 255 for part in key.split("/"))
        and re.search(r"[\x00-\x1f\x7f-\x9f]", uri) is None
    )


# -- names that become keys --------------------------------------------------------------------------------

BAD_IDS = [
    "..", ".", "../x", "a/../../x", "a/./b", "/etc/passwd", "a//b", "a/", "\x00", "a\x00b", "a\nb", "a\rb", "a\x1b[31m",
    "a\x7fb", "a\x85b", "a\u0090b", "a\ud800b", "x" * 10_000, "x/" * 5_000 + "x", "ü" * 150, "S3://x", "%" * 100,
]  # fmt: skip
ODD_IDS = [
    "..%2f..%2fx", "%2e%2e/x", "$(id)", "..\\..\\x", "C:\\x", "con", "NUL.txt", "aux/prn", "x.", "x ./y", "...",
    "a\u202egpj.exe",
    "\u200b", "a\u2028b", "\ufeffa", "\uffff", "a'b\"c<d>&e", "=1+1", "~", "`id`", "-rf", "a b", "🧵",
]  # fmt: skip


@pytest.mark.parametrize("entry", BAD_IDS, ids=short)
def test_ids_that_are_refused(workspace: Workspace, entry: str) -> None:
    """An id that no key may have is a bad line with a short sentence."""
    assert "m.json:1: id: " in refusal([{"image": IMAGE, "id": entry}], workspace)


@pytest.mark.parametrize("entry", ODD_IDS, ids=short)
def test_ids_that_are_made_harmless(workspace: Workspace, entry: str) -> None:
    """An odd id stays under the workspace, in keys that mean nothing else to anybody."""
    (job,) = planned([{"image": IMAGE, "id": entry, "samples": 2}], workspace)
    for uri in written_keys(job, workspace):
        assert uri.startswith(workspace.uri + "/")
        assert well_kept(uri)


def test_odd_keys_come_back(workspace: Workspace, store: Store) -> None:
    """The S3 server keeps odd keys and lists them as they were given."""
    jobs = planned([{"image": IMAGE, "id": entry} for entry in ODD_IDS], workspace)
    uris = [workspace.output(job.entry.id, job.variant) for job in jobs]
    for uri in uris:
        store.put(uri, uri.encode(), content_type="image/jpeg")
    assert all(store.get(uri).data == uri.encode() for uri in uris)
    assert sorted(listed.uri for listed in store.list(workspace.uri + "/")) == sorted(uris)


@pytest.mark.parametrize(
    "output",
    [
        "../x.jpg", "a/../../x.jpg", "./x.jpg", "/etc/x.jpg", "a//x.jpg", "..", "records/../x.jpg", "x\x00.jpg",
        "x\n.jpg", "x\x1b[2J.jpg", "x\x7f.jpg", "x\x85.jpg", "x\u202e.jpg", "x\ud800.jpg", "x" * 10_000 + ".jpg",
        "y/" * 600 + "x.jpg", "x.exe", "x.jpg\x00.exe", "file:///etc/x.jpg", "https://x/y.jpg", "s3://", "s3:///x.jpg",
        "s3://../x.jpg", "s3://./x.jpg", "s3://..", "s3://a b/x.jpg", "s3://a\x00b/x.jpg", "s3://a%2fb/x.jpg",
        "s3://b/../x.jpg", "s3://b//x.jpg", "s3://b/x\n.jpg", "s3://user@host/x.jpg", "s3://" + "b" * 300 + "/x.jpg",
    ],
    ids=short,
)  # fmt: skip
@pytest.mark.parametrize("sandbox", [False, True], ids=["paid", "sandbox"])
def test_outputs_that_are_refused(workspace: Workspace, output: str, sandbox: bool) -> None:
    """An output that would lie outside its prefix, or that S3 would refuse once it was paid for, is a bad line."""
    assert "m.json:1: output: " in refusal([{"image": IMAGE, "id": "a", "output": output}], workspace, sandbox=sandbox)


@pytest.mark.parametrize("folder", ["records", "inputs", "runs", "replaced", "sandbox"])
def test_outputs_in_our_own_folders(workspace: Workspace, folder: str) -> None:
    """No picture replaces a record, a plan or an input."""
    rows = [{"image": IMAGE, "id": "a", "output": f"{workspace.uri}/{folder}/x.jpg"}]
    assert "keeps for itself" in refusal(rows, workspace)


@pytest.mark.parametrize(
    ("output", "asked", "expected"),
    [
        ("..%2fx.jpg", None, "{workspace}/outputs/..%2fx.jpg"),
        ("..\\x.jpg", None, "{workspace}/outputs/..\\x.jpg"),
        ("~root/x.jpg", None, "{workspace}/outputs/~root/x.jpg"),
        ("x.jpg", "s3://bucket/p/", "s3://bucket/p/x.jpg"),
        ("s3://bucket/x.jpg", None, "s3://bucket/x.jpg"),
        ("", "s3://bucket/p", "s3://bucket/p/a%3Ab/default.jpg"),
    ],
)
def test_outputs_lie_where_they_were_asked(workspace: Workspace, output: str, asked: str, expected: str) -> None:
    """A relative output stays under its prefix, an s3:// one is exactly itself; the sandbox leaves nothing outside."""
    rows = [{"image": IMAGE, "id": "a:b", "output": output}]
    (job,) = planned(rows, workspace, output=asked)
    assert job.output == expected.format(workspace=workspace.uri)
    (job,) = planned(rows, workspace.sandbox, output=asked, sandbox=True)
    assert all(
        uri.startswith(workspace.sandbox.uri + "/") and well_kept(uri) for uri in written_keys(job, workspace.sandbox)
    )


@pytest.mark.parametrize(
    "variant", ["..", "../x", "a/b", "/x", "a\x00", "a\nb", "-", "a-1", "%2e", "ü", "\u202ea", "x" * 10_000, "=1+1"],
    ids=short,
)  # fmt: skip
def test_variants_that_are_refused(workspace: Workspace, variant: str) -> None:
    """A variant's name is part of a key, so it has letters, digits and little else, whoever names it."""
    row = {"image": IMAGE, "id": "a", "prompt": "p", "variant": variant}
    assert "m.json:1: variant: " in refusal([row], workspace, prompt=None)
    Path("v.json").write_text(json.dumps([{"name": variant, "prompt": "p"}]))
    with pytest.raises(ManifestError, match="name") as caught:
        load_variants("v.json", store=None)
    readable(caught.value.message)


# -- values of other columns -------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["a\x00b", "a\ud800b"], ids=short)
@pytest.mark.parametrize("column", ["title", "prompt", "negative_prompt"])
def test_text_that_no_report_could_hold(workspace: Workspace, column: str, text: str) -> None:
    """NUL and halves of characters are refused: the report would be no manifest any more."""
    assert f"m.json:1: {column}: " in refusal([{"image": IMAGE, column: text}], workspace, prompt=None)


@pytest.mark.parametrize("name", ["a\x00b", "a\ud800b"], ids=short)
def test_columns_that_no_report_could_hold(workspace: Workspace, name: str) -> None:
    """The same holds for the names of columns."""
    assert "m.json:1: " in refusal([{"image": IMAGE, name: "x"}], workspace)


@pytest.mark.parametrize("column", ["id", "image", "variant", "output", "mark", "strength", "seed", "strengthh"])
@pytest.mark.parametrize("text", ["x" * 10_000, "\x1b]0;x\x07\x1b[2J", "\u202egpj", "[bold]x[/]" * 50], ids=short)
def test_refusals_are_short_and_print_plainly(workspace: Workspace, column: str, text: str) -> None:
    """Whatever stands in a cell, the refusal is short, and no terminal obeys it."""
    row = {"image": IMAGE, "id": "..", "prompt": "p", column: text}
    refusal([row, {"image": IMAGE, "id": "..", text: "x", f"strength{text}": "1"}], workspace, prompt=None)


def test_a_manifest_whose_name_is_no_text(workspace: Workspace, store: Store) -> None:
    """A file name that is not UTF-8 is no reason to break off when its jobs are written."""
    name = "m\udcff.csv"
    Path(name).write_text(f"image\n{IMAGE}\n")
    found = make_plan(PlanRequest(name, prompt="p"), Settings(), workspace=workspace, store=store)
    run = write(found, workspace=workspace, store=store, shard_jobs=5, by="me@here")
    assert Run.model_validate_json(store.get(workspace.run(run.run_id)).data).planned == 1


# -- files of this machine ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["secret", "device", "pipe", "huge"])
def test_files_that_no_manifest_may_send(workspace: Workspace, store: Store, tmp_path: Path, kind: str) -> None:
    """A manifest cannot have a key file, a device, a pipe or a disk image uploaded by whoever submits it."""
    path = {
        "secret": tmp_path / "id_rsa",
        "device": Path("/dev/zero"),
        "pipe": tmp_path / "p",
        "huge": tmp_path / "h.jpg",
    }
    if kind == "secret":
        path[kind].write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    elif kind == "pipe":
        subprocess.run(["mkfifo", path[kind]], check=True)  # noqa: S607 - the system's own
    elif kind == "huge":
        with path[kind].open("wb") as file:
            file.truncate(300_000_000)
    Path("m.json").write_text(json.dumps([{"image": str(path[kind]), "id": "a"}]))
    with pytest.raises(ManifestError) as caught:
        make_plan(PlanRequest("m.json", prompt="p"), Settings(), workspace=workspace, store=store)
    assert "m.json:1: image: " in readable(caught.value.message)
    assert list(store.list(workspace.under("inputs") + "/")) == []


def test_a_picture_without_a_suffix(workspace: Workspace, store: Store, tmp_path: Path) -> None:
    """A file that is a picture by its bytes is taken, whatever its name."""
    (tmp_path / "photo").write_bytes(picture("a"))
    Path("m.csv").write_text("image\nphoto\n")
    found = make_plan(PlanRequest("m.csv", prompt="p"), Settings(), workspace=workspace, store=store)
    assert write(found, workspace=workspace, store=store, shard_jobs=5, by="me@here").planned == 1


# -- reports -----------------------------------------------------------------------------------------------

FORMULAS = [
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-1+1",
    "@SUM(1)",
    "\t=1+1",
    "\r=1+1",
    "=",
    "'=1",
    '"=1"',
    '=HYPERLINK("http://x")',
]
MARKUP = (
    "\"><script>alert(1)</script><img src=x onerror=alert(1)>' onload='x' {{ 7*7 }} {% raw %}"
    " javascript:alert(1) ]]> <!--"
)


def hostile_rows(workspace: Workspace, text: str) -> list[Row]:
    """A result and a failure with a text in every place that somebody else fills."""
    params = Params(prompt=text, negative_prompt=text, scheduler=text, base_model=text)
    job = Job(id=text, variant=text, image=text, params=params, output=text, meta={text: text, f"x{text}": text})
    done = Outcome(outcome=OutcomeKind.SUCCEEDED, outputs=(text, text), warning=text, worker=text, message=text)
    failed = Outcome(outcome=OutcomeKind.FAILED, error=text, message=text, http_status=400)
    return [(job, done), (job, failed), (job, None)]


def a_run(text: str = "m.csv") -> Run:
    """A run whose origins are told by a text."""
    return Run(
        run_id="20260131T120000Z-ab12cd", status=RunStatus.FINISHED, created=utc_now(),
        manifest=ManifestSource(uri=text, sha256="0" * 64), plan_digest="d", options=RunOptions(), shards=1, planned=3,
        by=text, schedule=text, retry_of=text,
    )  # fmt: skip


@pytest.mark.parametrize("text", FORMULAS, ids=short)
def test_no_cell_of_a_report_is_a_formula(workspace: Workspace, text: str) -> None:
    """A spreadsheet that opens report.csv finds no cell to calculate, header included, but for plain numbers."""
    out = io.StringIO(newline="")
    every = frozenset({"succeeded", "failed", "pending"})
    slice_csv(a_run(), lambda: iter(hostile_rows(workspace, text)), workspace=workspace, statuses=every, out=out)
    cells = [cell for row in csv.reader(io.StringIO(out.getvalue(), newline="")) for cell in row]
    assert sum(text in cell for cell in cells) > 20
    marks = set("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
    bad = [cell for cell in cells if cell and cell[0] in marks and not re.fullmatch(r"-?\d+", cell)]
    assert bad == []


class Page(HTMLParser):
    """What a browser would make of a page: every tag with its attributes, and all text."""

    def __init__(self, page: str) -> None:
        """Reads it."""
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.shown = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.shown += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")


def page_of(workspace: Workspace, store: Store, text: str) -> Page:
    """The page of a run whose every text is this one."""
    run, rows = a_run(text), hostile_rows(workspace, text)
    statistics = Statistics()
    for row in rows:
        statistics.add(*row)
    note = {"scope": "fleet", "reason": text, "detail": text, "since": text, "until": text, "by": text, "next": text}
    told: dict[str, object] = {"suspension": note, "last_error": text, "status": text}
    links = write_report(run, lambda: iter(rows), workspace=workspace, store=store, snapshot=told)
    return Page(store.get(links.html).data.decode())


def test_nothing_in_a_page_is_obeyed(workspace: Workspace, store: Store) -> None:
    """Markup in ids, prompts, columns, messages and names is text to the browser: the page's tags are our own."""
    plain, hostile = page_of(workspace, store, "plain"), page_of(workspace, store, MARKUP)
    own = {(tag, name) for tag, attributes in plain.tags for name in attributes}
    assert {(tag, name) for tag, attributes in hostile.tags for name in attributes} <= own
    assert [tag for tag, _ in hostile.tags] == [tag for tag, _ in plain.tags]
    for tag, attributes in hostile.tags:
        assert tag not in {"iframe", "object", "embed", "base"}
        assert not {"action", "formaction"} & attributes.keys(), "what is filled in leads nowhere"
        assert not any(name.startswith("on") for name in attributes)
        assert all((attributes.get(name) or "data:").startswith(("data:", "#", "../")) for name in ("src", "href"))
    assert "alert(1)</script>" in hostile.shown
    assert "{{ 7*7 }}" in hostile.shown
    # The policy names our own script by its hash: markup that slipped through would not run.
    policies = {
        a["content"]
        for page in (plain, hostile)
        for _, a in page.tags
        if a.get("http-equiv") == "Content-Security-Policy"
    }
    (policy,) = (policy or "" for policy in policies)
    assert policy.startswith("default-src 'none'; ")
    assert re.search(r"script-src 'sha256-[^' ]+'(;|$)", policy)


# -- downloads ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "entry", ["/abs/x", "../../x", "a/../../x", "..", "a\\..\\x", "C:/x", "\x00", "~/x", "x" * 300], ids=short
)
def test_a_download_stays_in_its_folder(workspace: Workspace, store: Store, tmp_path: Path, entry: str) -> None:
    """Whatever ids and outputs a run tells of, nothing outside the folder is written, through links in it neither."""
    folder, outside = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    outside.mkdir()
    (outside / "precious").write_text("mine")
    (folder / "linked").symlink_to(outside)
    output = workspace.under("o.jpg")
    store.put(output, b"x", content_type="image/jpeg")
    rows: list[Row] = []
    for name, variant in ((entry, "oak"), ("fine", "oak"), ("linked", "oak"), ("x", f"../{entry}")):
        job = Job(id=name, variant=variant, image=IMAGE, params=Params(prompt="p"), output=output)
        rows.append((job, Outcome(outcome=OutcomeKind.SUCCEEDED, outputs=(output,))))
    before = {path for path in tmp_path.rglob("*") if not path.is_relative_to(folder)}
    told = []
    with suppress(OSError) if len(entry) > 255 else nullcontext():
        told += [done.state for done in download(a_run(), lambda: iter(rows), folder, store=store)]
    assert {path for path in tmp_path.rglob("*") if not path.is_relative_to(folder)} == before
    assert (outside / "precious").read_text() == "mine"
    assert told.count("refused") >= 1 or len(entry) > 255
    assert list(folder.rglob("*.part")) == []


def test_links_where_a_download_writes(workspace: Workspace, store: Store, tmp_path: Path) -> None:
    """A link in the place of the index ends the download; one in the place of a picture is replaced, not followed."""
    folder, precious = tmp_path / "in", tmp_path / "precious"
    (folder / "a").mkdir(parents=True)
    precious.write_text("mine")
    output = workspace.under("o.jpg")
    store.put(output, b"x", content_type="image/jpeg")
    job = Job(id="a", variant="oak", image=IMAGE, params=Params(prompt="p"), output=output)
    rows: list[Row] = [(job, Outcome(outcome=OutcomeKind.SUCCEEDED, outputs=(output,)))]
    (folder / INDEX).symlink_to(precious)
    with pytest.raises(OSError, match="is a link"):
        deque(download(a_run(), lambda: iter(rows), folder, store=store), maxlen=0)
    (folder / INDEX).unlink()
    (folder / "a" / "oak.jpg").symlink_to(precious)
    draft_name = f".{hashlib.sha256(b'oak.jpg').hexdigest()[:16]}.{os.getpid()}.part"
    (folder / "a" / draft_name).symlink_to(precious)
    states = [done.state for _ in range(2) for done in download(a_run(), lambda: iter(rows), folder, store=store)]
    assert states == ["refused", "copied"]
    assert (folder / "a" / "oak.jpg").read_bytes() == b"x"
    assert precious.read_text() == "mine"


def test_an_index_that_is_none(workspace: Workspace, store: Store, tmp_path: Path) -> None:
    """An index that somebody has written nonsense into costs a copy, and no more."""
    (tmp_path / INDEX).write_bytes(b'[["a"],"b",1]\n[{},{},{}]\n5\nnull\n"abc"\n' + b"[" * 20_000 + b"\n\xff\xfe\n")
    output = workspace.under("o.jpg")
    store.put(output, b"x", content_type="image/jpeg")
    job = Job(id="a", variant="oak", image=IMAGE, params=Params(prompt="p"), output=output)
    rows: list[Row] = [(job, Outcome(outcome=OutcomeKind.SUCCEEDED, outputs=(output,)))]
    (done,) = download(a_run(), lambda: iter(rows), tmp_path, store=store)
    assert done.state == "copied"


# -- files that are no manifests ---------------------------------------------------------------------------

DEEP = b"[" * 10_000
MANY = b'{"image":"s3://b/a.jpg",' + b",".join(b'"k%d":1' % n for n in range(60_000)) + b',"k59999":2}'


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"PK\x03\x04" + b"x" * 100, "ZIP file and no workbook"),
        (b"\xd0\xcf\x11\xe0" + b"x" * 100, "is no workbook that can be read"),
        (gzip.compress(b"PK\x03\x04" + b"x" * 100, mtime=0), "ZIP file and no workbook"),
        ("image\ns3://b/a.jpg\n".encode("utf-16"), "UTF-16"),
        ("image\ns3://b/a.jpg\n".encode("utf-16-be"), "UTF-16BE"),
        ("image\ns3://b/a.jpg\n".encode("utf-32"), "UTF-32"),
        ("image,t\ns3://b/a.jpg,é\n".encode("latin-1"), "WINDOWS-1252"),
        (b"image,t\ns3://b/a.jpg,\x00\n", "NUL byte"),
        (b"image\n\xff\xfe\xfd\xfc\xfb\n", "not UTF-8|not text"),
        # Python 3.14 reads as deep as that, and further.
        (DEEP, "nested too deeply|is no JSON"),
        (b'[{"image":"s3://b/a.jpg","x":' + DEEP + b"]" * 10_000 + b"}]", "nested too deeply|only kept hold"),
        (b'{"image":"s3://b/a.jpg","x":' + b'{"a":' * 10_000 + b"}\n", "nested too deeply|is no JSON"),
        (b'[{"image":"s3://b/a.jpg","x":NaN}]', "NaN, which is no JSON number"),
        (b'[{"image":"s3://b/a.jpg","strength":-Infinity}]', "-Infinity, which is no JSON number"),
        (b'[{"image":"s3://b/a.jpg","x":1e999}]', "not a finite number"),
        (b'[{"image":"s3://b/a.jpg","seed":1e30}]', "not a whole number"),
        (b'[{"image":"s3://b/a.jpg","x":' + b"9" * 5_000 + b"}]", "number of more than"),
        (b'{"image":"s3://b/a.jpg","x":' + b"9" * 5_000 + b"}\n", "number of more than"),
        (b'[{"image":"s3://b/a.jpg","image":"s3://b/b.jpg"}]', "'image' twice"),
        (b"[" + MANY + b"]", "'k59999' twice"),
        (b'{"images":[],"images":[{"image":"s3://b/a.jpg"}]}', "twice"),
        (b"image" + b",c" * 100_000 + b"\ns3://b/a.jpg\n", "columns; at most"),
        (gzip.compress(b"image\ns3://b/a.jpg\n", mtime=0)[:-9], "gzip says"),
        (gzip.compress(b"image\n" * 20, mtime=0)[:-8] + b"\0" * 8, "gzip says"),
        (b"\x1f\x8bnothing", "gzip says"),
        (b"", "is empty"),
    ],
    ids=short,
)
def test_files_that_are_no_manifests(workspace: Workspace, content: bytes, why: str) -> None:
    """Each is refused at once with a sentence that says what it is."""
    problems = Problems()
    try:
        deque(open_manifest("-", store=None, stdin=io.BytesIO(content)).entries(problems), maxlen=0)
        message = "\n".join(map(str, problems.listed))
    except ManifestError as error:
        message = error.message
    assert re.search(why, readable(message))


#: Reads a manifest or variants file in a process with little memory, and tells what it came to.
READER = """
import resource, sys, time
from producers.manifest import Problems, open_manifest
from producers.planning.jobs.variants import load_variants
from restyle.errors import ManifestError
name, kind = sys.argv[1:]
before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
try:
    if kind == "variants":
        load_variants(name, store=None)
    else:
        problems = Problems()
        for _ in open_manifest(name, store=None).entries(problems):
            pass
        print(problems.listed[0] if problems else "read")
except ManifestError as error:
    print(error.message)
grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
print(f"{grown:.0f} {time.monotonic() - began:.1f}")
"""


def bomb(path: Path, head: bytes, filling: bytes, size: int) -> None:
    """A gzip file that unpacks to a great many repetitions."""
    packer = zlib.compressobj(9, wbits=31)
    block = filling * (1_000_000 // len(filling))
    with path.open("wb") as file:
        file.write(packer.compress(head))
        for _ in range(size // len(block)):
            file.write(packer.compress(block))
        file.write(packer.flush())


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "head", "filling", "why"),
    [
        ("line.csv", b"image,t\ns3://b/a.jpg,", b"x", "longer than"),
        ("header.csv", b"image,", b"x", "longer than"),
        ("quoted.csv", b'image,t\ns3://b/a.jpg,"', b"x,\n", "no CSV|longer than|quote"),
        ("line.jsonl", b'{"image":"s3://b/a.jpg","x":"', b"x", "longer than|Unterminated"),
        ("string.json", b'[{"image":"s3://b/a.jpg","x":"', b"x", "no JSON"),
        ("number.json", b'[{"image":"s3://b/a.jpg","x":', b"9", "number of more than"),
        ("nested.json", b"", b"[", "nested too deeply"),
        ("zeros.gz", b"", b"\0", "UTF-16|NUL"),
        ("zeros.csv.gz", b"image\n", b"\0", "NUL|not UTF-8"),
        ("blanks.csv.gz", b"image\n", b"\n", "empty lines in a row"),
        ("spaces.json.gz", b"[", b" ", "unpacks to"),
        ("rows.csv.gz", b"image\n", b"nothing.jpg\n", "bad lines"),
        ("entries.jsonl.gz", b'{"image":"s3://b/a.jpg"}\n', b"5\n", "bad lines"),
        ("variants.json", b'[{"name":"', b"x", "larger than"),
        ("variants.csv", b"name,prompt\n", b"a,b\n", "larger than"),
    ],
    ids=short,
)
def test_files_that_grow(tmp_path: Path, name: str, head: bytes, filling: bytes, why: str) -> None:
    """100 MB without an end to them, or 1 GB packed into 1 MB, are refused soon, in under 100 MB of memory."""
    path = tmp_path / name
    if name.endswith("gz"):
        bomb(path, head, filling, 1_000_000_000 if name == "zeros.csv.gz" else 200_000_000)
    else:
        with path.open("wb") as file:
            file.write(head)
            block = filling * (1_000_000 // len(filling))
            for _ in range(100):
                file.write(block)
    argv = [sys.executable, "-c", READER, str(path), "variants" if name.startswith("variants") else "manifest"]
    root = Path(__file__).parents[2]
    done = subprocess.run(argv, cwd=root, capture_output=True, text=True, timeout=60, check=True)
    *told, figures = done.stdout.splitlines()
    grown, seconds = map(float, figures.split())
    assert re.search(why, readable("\n".join(told)))
    assert grown < 100
    assert seconds < 40, "it gives up rather than reading on"


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("v.json", b"[" * 100_000, "nested too deeply"),
        ("v.json", b"[" + b"9" * 5_000 + b"]", "number of more than"),
        ("v.json", b'[{"name":"a","prompt":"\\ud800"}]', "surrogate"),
        ("v.json", b'[{"name":"a","prompt":"a\\u0000"}]', "NUL"),
        ("v.json", b'[{"name":"a","name":"b"}]', "twice"),
        ("v.json", b'{"defaults":[],"variants":[]}', "a variants file is"),
        ("v.toml", b"a = " + b"9" * 5_000, "no TOML"),
        ("v.toml", b"a = " + b"[" * 100_000, "no TOML"),
        ("v.toml", b"[[variants]]\nname = 1979-05-27\n", "name"),
        ("v.csv", b"name,prompt\na," + b"x" * 200_000, "neither JSON nor CSV"),
        ("v.csv", b"name,prompt\na,b,c,d\n", "too many cells"),
        ("v.csv", b"name,prompt\na,\x00\n", "NUL"),
        ("v.xlsx", b"PK\x03\x04", "is a workbook or a ZIP file"),
        ("v.json.gz", gzip.compress(b"[]" * 50, mtime=1_700_000_000), "gzip"),
        ("v.txt", "name,prompt\na,b\n".encode("utf-16"), "UTF-16"),
        ("v.txt", b"\n" * 1000, "no variants"),
    ],
    ids=short,
)
def test_variants_that_are_none(tmp_path: Path, name: str, content: bytes, why: str) -> None:
    """A variants file that is damaged, nested, packed or something else is refused with a sentence."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ManifestError, match=why) as caught:
        load_variants(name, store=None)
    readable(caught.value.message)
