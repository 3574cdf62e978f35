"""Drafts of local manifests: every bad line told at once, jobs counted, collisions found, nothing written."""

from __future__ import annotations

import gc
import json
import tracemalloc
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from producers.planning.jobs.resolved import Resolved
from producers.planning.make import make_plan
from producers.planning.plan import Plan
from producers.planning.request import PlanRequest
from restyle.errors import ManifestError
from restyle.keys import Workspace
from tests.support.pictures import corners, encode

WORKSPACE = Workspace("s3://shop/team")
HEADER = "id,image,strength,prompt,title,output,samples,variant"
Row = Mapping[str, str]


def write(rows: Sequence[Row], name: str = "m.csv") -> str:
    """A CSV manifest; what a row does not say is empty."""
    lines = [HEADER, *(",".join(row.get(column, "") for column in HEADER.split(",")) for row in rows)]
    Path(name).write_text("\n".join(lines))
    return name


def rows_of(count: int) -> list[dict[str, str]]:
    """Rows that are fine."""
    return [{"id": f"f{n % 5}/item-{n}", "image": f"s3://in/{n}.jpg", "title": "mug"} for n in range(count)]


def plan(manifest: str, settings: Mapping[str, Any] | None = None, **asked: Any) -> Plan:
    """A plan, by one prompt unless there are variants."""
    if "variants" not in asked:
        asked.setdefault("prompt", "photo of {id}")
    return make_plan(PlanRequest(manifest, **asked), Settings(**(settings or {})), workspace=WORKSPACE, store=None)


def jobs(found: Plan) -> list[Resolved]:
    """The jobs of a plan."""
    return [job for job in found.stream() if isinstance(job, Resolved)]


def refused(manifest: str, **asked: Any) -> list[tuple[int, str, str]]:
    """Line, column and reason of everything that a plan is refused for."""
    with pytest.raises(ManifestError) as caught:
        plan(manifest, **asked)
    return [(found.line, found.column, found.reason) for found in caught.value.problems]


# -- bad lines ---------------------------------------------------------------------------------------------


def two_thousand_with_five_bad() -> list[dict[str, str]]:
    """A long manifest with five bad rows, each in its own way."""
    rows = rows_of(2_000)
    rows[10]["strength"] = "half"
    rows[400]["strength"] = "7"
    rows[1_000]["image"] = ""
    rows[1_500]["prompt"] = "a {colour} mug"
    rows[1_998]["id"] = rows[3]["id"]
    return rows


def test_all_bad_lines_are_told_at_once() -> None:
    """Five bad rows of two thousand are five problems, each with its line and column, in one error."""
    assert refused(write(two_thousand_with_five_bad())) == [
        (12, "strength", "'half' is not a number"),
        (402, "strength", "7.0 is out of range: 0.1 to 1"),
        (1_002, "image", "is missing"),
        (1_502, "prompt", "uses {colour}, but there is no such column; there are: id, prompt, title, variant"),
        (2_000, "id", "f3/item-3 is the id of line 5 already, with the same variant"),
    ]


def test_bad_lines_can_be_left_out() -> None:
    """`--skip-invalid` plans all the others, and keeps the problems for invalid.csv."""
    found = plan(write(two_thousand_with_five_bad()), skip_invalid=True)
    assert (found.entries, found.jobs, len(found.problems)) == (1_995, 1_995, 5)
    assert found.as_run(shards=1, by="me").invalid == 5
    ids = [job.entry.id for job in found.stream() if isinstance(job, Resolved)]
    assert len(ids) == len(set(ids)) == 1_995
    assert "f3/item-3" in ids
    assert "f0/item-10" not in ids


@pytest.mark.parametrize("skip_invalid", [False, True])
def test_nothing_to_run(skip_invalid: bool) -> None:
    """A manifest without a good row is refused, also where bad ones may be left out."""
    bad = refused(write([{"image": "ftp://shop/a.jpg"}]), skip_invalid=skip_invalid)
    assert bad[-1][2] == "has nothing to run: every line is bad" if skip_invalid else len(bad) == 1
    assert refused(write([]), skip_invalid=skip_invalid) == [(0, "", "has nothing to run")]


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ("photo of {titel}", "uses {titel}, but there is no such column; did you mean {title}?"),
        ("{image}", "uses {image}, which is restyle's own column; a template takes: id, prompt, title, variant"),
    ],
)
def test_what_is_wrong_for_every_row_is_told_once(prompt: str, told: str) -> None:
    """A name that no column has is one problem, not one a row."""
    assert refused(write(rows_of(100)), prompt=prompt) == [(0, "default.prompt", told)]


def test_no_prompt_from_anywhere_is_told_once() -> None:
    """Without any prompt the plan says so once, with what to give."""
    Path("m.csv").write_text("image\ns3://in/a.jpg\ns3://in/b.jpg\n")
    with pytest.raises(ManifestError) as caught:
        plan("m.csv", prompt=None)
    assert caught.value.message.startswith("the plan: prompt: there is none: give --prompt TEXT or --variants FILE")


def test_bad_rows_are_told_beside_a_bad_variant() -> None:
    """A variant with a dot in its name that no row can use does not hide or repeat what is wrong with rows."""
    rows = rows_of(5)
    rows[2]["strength"] = "9"
    Path("v.json").write_text(json.dumps([{"name": "v1.5", "prompt": "{titel}"}, {"name": "v2", "prompt": "{title}"}]))
    assert refused(write(rows), variants="v.json") == [
        (0, "v1.5.prompt", "uses {titel}, but there is no such column; did you mean {title}?"),
        (4, "strength", "9.0 is out of range: 0.1 to 1"),
    ]


def test_a_variant_that_takes_a_prompt_that_no_row_has() -> None:
    """`{prompt}` where there is no column prompt is told once."""
    Path("m.csv").write_text("image\ns3://in/a.jpg\ns3://in/b.jpg\n")
    (problem,) = refused("m.csv", prompt="{prompt} on oak")
    assert problem[:2] == (0, "default.prompt")


def test_an_empty_cell_that_a_template_uses() -> None:
    """A row whose cell is empty is bad where a prompt uses it, told under the column's name."""
    rows = rows_of(3)
    rows[1]["title"] = " "
    assert refused(write(rows), prompt="{title}") == [(3, "title", "is empty, but the prompt uses it")]


def test_a_kept_column_may_be_named_like_a_parameter() -> None:
    """`meta.strength` is a column of the catalog, and templates take it."""
    Path("m.csv").write_text("image,meta.strength\ns3://in/a.jpg,strong\n")
    assert jobs(plan("m.csv", prompt="{strength} mug"))[0].params.prompt == "strong mug"


def test_bad_names_of_a_folder_are_counted_one_by_one(tmp_path: Path) -> None:
    """In a listing, which has no lines, each bad name is an invalid entry."""
    (tmp_path / "in").mkdir()
    for name in ("a.jpg", "b\nb.jpg", "c\nc.jpg"):
        (tmp_path / "in" / name).write_bytes(b"x")
    found = plan("in", skip_invalid=True)
    assert (found.jobs, found.uploads, found.as_run(shards=1, by="me").invalid) == (1, 1, 2)


# -- limit and sample --------------------------------------------------------------------------------------


def test_a_limit_counts_entries() -> None:
    """`--limit` takes the first entries with all their variants, and what is wrong further down is not seen."""
    Path("v.json").write_text(json.dumps([{"name": "oak", "prompt": "p"}, {"name": "pine", "prompt": "p"}]))
    rows = rows_of(10)
    rows[8]["strength"] = "x"
    found = plan(write(rows), variants="v.json", limit=3)
    assert (found.entries, found.jobs) == (3, 6)
    assert [job.entry.id for job in jobs(found)][::2] == ["f0/item-0", "f1/item-1", "f2/item-2"]


@pytest.mark.parametrize(("size", "entries"), [(1, 1), (6, 6), (10, 10), (37, 37), (400, 400), (500, 400)])
def test_a_sample_spreads(size: int, entries: int) -> None:
    """`--sample` takes so many jobs, evenly over variants and folders, and the same ones each time."""
    names = ["oak", "pine"]
    Path("v.json").write_text(json.dumps([{"name": name, "prompt": "p"} for name in names]))
    manifest = write(rows_of(200))
    found = [(job.entry.id, job.variant) for job in jobs(plan(manifest, variants="v.json", sample=size))]
    assert len(set(found)) == len(found) == entries
    assert found == [(job.entry.id, job.variant) for job in jobs(plan(manifest, variants="v.json", sample=size))]
    for counted, kinds in (
        (Counter(variant for _, variant in found), 2), (Counter(id_.partition("/")[0] for id_, _ in found), 5),
    ):  # fmt: skip
        assert len(counted) >= min(kinds, size)
        assert max(counted.values()) - min(counted.values()) <= 2


def test_a_sample_larger_than_the_plan_is_told() -> None:
    """Fewer jobs than were asked for are a warning."""
    assert plan(write(rows_of(3)), sample=5).warnings == ["there are only 3 jobs to take a sample of"]


def test_a_sample_takes_none_that_collide() -> None:
    """Rows that turn out to collide leave no hole in a sample."""
    rows = rows_of(6)
    for row in rows[2:]:
        row["id"] = "same"
    found = plan(write(rows), sample=3, skip_invalid=True)
    assert (found.jobs, found.warnings) == (3, [])


# -- collisions --------------------------------------------------------------------------------------------

A, B = "s3://in/a.jpg", "s3://in/b.jpg"


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([{"id": "a"}, {"id": "a"}], ["3 id: a is the id of line 2 already, with the same variant"]),
        ([{"id": "a"}, {"id": "A"}], ["3 id: A differs only by case from line 2, which many file systems"]),
        ([{"id": "straße"}, {"id": "STRASSE"}], ["3 id: STRASSE differs only by case from line 2"]),
        ([{"id": "\u00e9"}, {"id": "e\u0301"}], ["3 id: \u00e9 is the id of line 2 already"]),
        ([{}, {}], ["3 id: a is the id of line 2 already"]),
        ([{"id": "a", "output": "x.jpg"}, {"id": "b", "output": "x.jpg"}], ["3 output: b would write to the same"]),
        ([{"id": "a", "output": "x.jpg"}, {"id": "b", "output": "X.jpg"}], ["3 output: b would write to a place"]),
        ([{"id": "a", "output": "a/"}, {"id": "b", "output": "a/default.jpg"}], ["3 output: b would write to"]),
        ([{"id": "a"}, {"id": "b", "output": "a/default.jpg"}], ["3 output: b would write to the same place"]),
        ([{"id": "a", "output": "x.jpg", "samples": "2"}, {"id": "b", "output": "x-1.jpg"}], ["3 output: b would"]),
        ([{"id": "a", "output": "x.jpg"}, {"id": "b", "output": "x.jpg/y.jpg"}], ["3 output: b needs a folder whose"]),
        ([{"id": "a", "output": "x.jpg/y.jpg"}, {"id": "b", "output": "x.jpg"}], ["2 output: a needs a folder whose"]),
        ([{"id": "a"}, {"id": "a/default.json"}], ["3 id: a/default.json needs a folder whose key"]),
        ([{"id": "a"}, {"id": "a/default.jpg"}], ["3 id: a/default.jpg needs a folder whose key"]),
        ([{"id": "a", "image": A, "output": A}], ["2 output: a would write over its own input"]),
        ([{"id": "a", "image": A}, {"id": "b", "image": B, "output": A}], ["3 output: b would write over the input"]),
        ([{"id": "a", "image": A, "output": B}, {"id": "b", "image": B}], ["2 output: a would write over the input"]),
        ([{"id": "a"}, {"id": "a"}, {"id": "a"}], ["3 id: a is the id of line 2", "4 id: a is the id of line 2"]),
    ],
)  # fmt: skip
def test_collisions(rows: list[dict[str, str]], told: list[str]) -> None:
    """Jobs that would write to the same place are told by both lines, before anything is queued."""
    found = [
        f"{line} {column}: {reason}" for line, column, reason in refused(write([{"image": A, **row} for row in rows]))
    ]
    assert len(found) == len(told)
    assert all(text.startswith(start) for text, start in zip(found, told, strict=True))


@pytest.mark.parametrize(
    "rows",
    [
        [{"id": "a"}, {"id": "b"}],
        [{"id": "a", "variant": "x"}, {"id": "a", "variant": "y"}],
        [{"id": "x/a"}, {"id": "x"}, {"id": "x/a/b"}],
        [{"id": "a.jpg/b"}, {"id": "a"}],
        [{"id": "a", "output": "x.jpg", "samples": "2"}, {"id": "b", "output": "x.jpg"}],
        [{"id": "a", "output": "x/"}, {"id": "b", "output": "y/"}],
        [{"id": "a?"}, {"id": "a*"}, {"id": "a."}],
    ],
)
def test_what_does_not_collide(rows: list[dict[str, str]]) -> None:
    """Variants, folders and samples of one name are apart."""
    found = plan(write([{"image": A, "prompt": "p", **row} for row in rows]), prompt=None)
    assert found.jobs == len(rows)


def test_variants_that_write_to_one_place() -> None:
    """A row's output that names a file takes one variant; the way round is told, once."""
    Path("v.json").write_text(json.dumps([{"name": name, "prompt": "p"} for name in ("oak", "pine", "elm")]))
    told = refused(write([{"image": A, "output": "x.jpg"}]), variants="v.json")
    assert told == [(2, "output", "all its variants would write there; end it with / for one file per variant")]


@pytest.mark.parametrize(
    ("output", "asked", "expected"),
    [
        ("", {}, "s3://shop/team/outputs/a/default.jpg"),
        ("x.jpg", {}, "s3://shop/team/outputs/x.jpg"),
        ("x/y.JPEG", {}, "s3://shop/team/outputs/x/y.JPEG"),
        ("x/", {}, "s3://shop/team/outputs/x/default.jpg"),
        ("s3://other/x.jpg", {}, "s3://other/x.jpg"),
        ("", {"output": "s3://other/out/"}, "s3://other/out/a/default.jpg"),
        ("x.jpg", {"output": "s3://other/out"}, "s3://other/out/x.jpg"),
        ("", {"output": "s3://other"}, "s3://other/a/default.jpg"),
        ("s3://third/x/", {"output": "s3://other/out"}, "s3://third/x/default.jpg"),
        ("s3://other/x.jpg", {"settings": {"sandbox": True}}, "s3://shop/team/elsewhere/other/x.jpg"),
    ],
)
def test_outputs(output: str, asked: dict[str, Any], expected: str) -> None:
    """Where a picture goes: by the row, by `--output`, or by its id; the sandbox's never outside its folder."""
    (job,) = jobs(plan(write([{"id": "a", "image": A, "output": output}]), **asked))
    assert job.output == expected


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("x.png", "must be an s3:// URI or a key, and end in .jpg"),
        ("https://shop/x.jpg", "must be an s3:// URI or a key"),
        ("../x.jpg", "has an empty, `.` or `..` part"),
        ("a//x.jpg", "has an empty, `.` or `..` part"),
        ("/x.jpg", "has an empty, `.` or `..` part"),
        ("s3:///x.jpg", "not an s3:// URI"),
        (f"{'x' * 250}.jpg", "is longer than S3 stores: 1,000 bytes, and 250 between two slashes"),
        (f"{'x/' * 500}x.jpg", "is longer than S3 stores"),
        ("s3://shop/team/records/x.jpg", "lies in a folder that restyle keeps for itself"),
        ("s3://shop/team/inputs/x.jpg", "lies in a folder that restyle keeps for itself"),
        ("s3://shop/team/sandbox/x.jpg", "lies in a folder that restyle keeps for itself"),
    ],
)
def test_outputs_that_cannot_be(output: str, reason: str) -> None:
    """An output that no picture may go to is a bad line."""
    ((line, column, told),) = refused(write([{"id": "a", "image": A, "output": output}]))
    assert (line, column) == (2, "output")
    assert told.startswith(f"{output}: ")
    assert reason in told


# -- what a plan is known by -------------------------------------------------------------------------------


def test_a_digest_is_stable() -> None:
    """Two drafts of the same thing have one digest, and two run ids."""
    manifest = write(rows_of(5))
    first, second = plan(manifest), plan(manifest)
    assert first.plan_digest == second.plan_digest
    assert first.run_id != second.run_id
    assert first.plan_digest == plan(manifest, budget=5, priority="normal").plan_digest


@pytest.mark.parametrize(
    "asked",
    [
        {"prompt": "another {id}"}, {"sets": ["strength=0.5"]}, {"limit": 3}, {"sample": 3}, {"new_seed": True},
        {"output": "s3://other/x"}, {"skip_invalid": True}, {"columns": {"meta.copy": "title"}},
        {"settings": {"max_side": 512}}, {"settings": {"background": "black"}}, {"settings": {"sandbox": True}},
        {"settings": {"defaults": {"strength": 0.5}}}, {"overwrite": True, "new_seed": True},
    ],
)  # fmt: skip
def test_a_digest_is_sensitive(asked: dict[str, Any]) -> None:
    """Whatever decides what is made makes another digest."""
    manifest = write(rows_of(5))
    assert plan(manifest).plan_digest != plan(manifest, **asked).plan_digest


def test_a_digest_tells_another_manifest() -> None:
    """A changed cell is another plan, under the same name."""
    first = plan(write(rows_of(5))).plan_digest
    rows = rows_of(5)
    rows[4]["title"] = "bowl"
    assert plan(write(rows)).plan_digest != first


@pytest.mark.parametrize(
    ("asked", "calls", "samples", "credits", "seconds"),
    [
        ({}, 100, 100, 2.0, 128.0),
        ({"sets": ["samples=2"]}, 100, 200, 4.0, 128.0),
        ({"sets": ["num_inference_steps=60"]}, 100, 100, 4.0, 128.0),
        ({"sets": ["num_inference_steps=20"]}, 100, 100, 1.333333, 128.0),
        ({"settings": {"price": 0.1}}, 100, 100, 10.0, 128.0),
        ({"settings": {"max_rpm": 0, "concurrency": 4}}, 100, 100, 2.0, 200.0),
        ({"settings": {"max_rpm": 600}}, 100, 100, 2.0, 100.0),
        ({"settings": {"sandbox": True}}, 100, 100, 2.0, 6.25),
        ({"limit": 10}, 10, 10, 0.2, 20.0),
    ],
)
def test_estimates(asked: dict[str, Any], calls: int, samples: int, credits: float, seconds: float) -> None:
    """Calls, samples, credits and time, by the price of a step and by what limits the fleet."""
    found = plan(write(rows_of(100)), **asked).estimate
    assert (found.calls, found.samples, found.credits, found.seconds) == (calls, samples, credits, seconds)
    assert found.at_most


@pytest.mark.parametrize(
    ("asked", "settings", "distinct"),
    [
        ({"prompt": "in felt"}, {}, 6),
        ({"prompt": "photo of {id}"}, {}, 12),
        ({"prompt": "in felt", "sets": ["seed=7"]}, {}, 6),
        ({"prompt": "in felt", "sets": ["seed=-1"]}, {}, 12),
        ({"prompt": "in felt", "new_seed": True}, {}, 12),
        ({"prompt": "in felt"}, {"reuse": False}, 12),
        ({"variants": "v.json"}, {}, 18),
    ],
)
def test_jobs_that_share_a_result(asked: dict[str, Any], settings: dict[str, Any], distinct: int) -> None:
    """Rows with one picture and one recipe come to one result, unless each is to have a picture of its own."""
    variants = [{"name": "felt", "prompt": "in felt"}, {"name": "wool", "prompt": "in wool", "reuse": False}]
    Path("v.json").write_text(json.dumps(variants))
    rows = [{"id": f"item-{n}", "image": f"s3://in/{n // 2}.jpg"} for n in range(12)]
    assert plan(write(rows), settings, **asked).distinct == distinct


def test_dollars() -> None:
    """Credits are shown in dollars too."""
    assert plan(write(rows_of(100)), {"credit_price": 0.5}).estimate.dollars == 1.0


def test_a_draft_leaves_no_trace(tmp_path: Path) -> None:
    """Nothing is written, and no input is opened."""
    (tmp_path / "a.jpg").write_bytes(b"12345")
    (tmp_path / "a.jpg").chmod(0)
    manifest = write([{"image": "a.jpg"}, {"image": "./a.jpg", "id": "again"}])
    before = sorted(tmp_path.iterdir())
    found = plan(manifest)
    assert (found.jobs, found.uploads, found.upload_bytes) == (2, 1, 5)
    assert sorted(tmp_path.iterdir()) == before


def test_unknown_models_are_warnings() -> None:
    """The published lists are incomplete, so a name beyond them is said and planned; settings extend them."""
    manifest = write(rows_of(2))
    asked = ["scheduler=Euler b", "base_model=other"]
    assert [text.partition(" is ")[0] for text in plan(manifest, sets=asked).warnings] == [
        "scheduler 'Euler b'", "base_model 'other'"
    ]  # fmt: skip
    known = {"models": {"extra_schedulers": ["Euler b"], "base_models": ["other"]}}
    assert plan(manifest, known, sets=asked).warnings == []


# -- inputs ------------------------------------------------------------------------------------------------


def test_inputs_are_looked_at_where_asked(tmp_path: Path) -> None:
    """`--check-inputs` tells files that are no pictures, and how many will come back smaller."""
    (tmp_path / "good.jpg").write_bytes(encode(corners(96, 64)))
    (tmp_path / "large.jpg").write_bytes(encode(corners(1200, 900)))
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    rows = [{"image": name} for name in ("good.jpg", "bad.jpg", "large.jpg", "s3://in/a.jpg")]
    manifest = write(rows)
    assert plan(manifest).jobs == 4
    found = plan(manifest, check_inputs=True, skip_invalid=True)
    assert found.jobs == 2
    assert [(p.line, p.reason.rpartition(": ")[2]) for p in found.problems] == [
        (3, "it begins with 'no picture'"), (5, "lies in S3, which is not open here")
    ]  # fmt: skip
    assert found.warnings == ["1 pictures are larger than 1024 px and will come back smaller"]


# -- memory ------------------------------------------------------------------------------------------------


def _peak(count: int) -> int:
    """Bytes of Python's that a plan of so many rows takes at its peak."""
    with Path("long.csv").open("w") as file:
        file.write("image,title\n")
        file.writelines(f"s3://in/{n % 500}/{n}.jpg,Mug number {n}\n" for n in range(count))
    gc.collect()
    tracemalloc.start()
    try:
        assert plan("long.csv", prompt="photo of {title}").jobs == count
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.long
def test_memory_does_not_grow_with_the_manifest() -> None:
    """Seven times the rows take hardly more memory: everything is streamed."""
    short, long = _peak(2_000), _peak(14_000)
    assert long - short < 5_000_000
