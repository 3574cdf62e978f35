"""An S3 prefix that is read and planned column by column comes out as object by object, to the byte."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.settings import Settings
from producers.manifest import Block, listing, open_manifest
from producers.manifest.entry import Problems
from producers.planning.compare.changes import planned_jobs
from producers.planning.compare.unchanged import Unchanged, UnchangedJob
from producers.planning.jobs.batch import Batch
from producers.planning.jobs.planner import Planner
from producers.planning.jobs.resolve import Resolver
from producers.planning.jobs.variants import Variant
from producers.planning.make import make_plan
from producers.planning.plan import Plan
from producers.planning.request import PlanRequest
from producers.planning.shards import write_shards
from restyle.keys import Workspace
from restyle.s3.store import Listed
from tests.support.in_memory import MemoryStore
from tests.support.planned import planned

#: A key, and its content.
Object = tuple[str, str]

ODD_KEYS = [
    "größe 1.jpg", unicodedata.normalize("NFD", "größe 1.jpg"), "a b/c d.jpg", " lead.jpg", "trail .jpg", "a..jpg",
    "shelf/1.png", "shelf/1.JPG", "SHELF/2.jpg", "shelf/3", "shelf/4.jpg.png", "x.jpg/y.jpg", "x.jpg", "a//b.jpg",
    "./c.jpg", "100%.jpg", "what?.jpg", 'say "hm".jpg', "new\nline.jpg", "tab\t.jpg", f"{'x' * 201}.jpg", "-dash.jpg",
    "0042.webp", "7.avif", "notes.txt", "noname", "list.csv", ".hidden.jpg", "__MACOSX/a.jpg", "folder/", "folder/.jpg",
    "shelf/frozen.jpg", "w/outputs/shelf/1/oak.jpg", "w/records/shelf/1/oak.json", "w/in/1.jpg", "out/shelf/2/oak.jpg",
    "out/5/oak.jpg", "😀.jpg", "\u202eabc.jpg", "a|b.jpg", "shelf/5.jpg ", "a.b/1.jpg", "oak.jpg/oak.jpg",
]  # fmt: skip
plain = st.integers(0, 60).map(lambda number: f"shelf/{number:02}.jpg")
objects = st.lists(
    st.tuples(
        st.integers(0, 11).flatmap(lambda number: plain if number else st.sampled_from(ODD_KEYS)),
        st.sampled_from(["one", "two", "three", "four", ""]),
    ),
    min_size=1, max_size=40,
)  # fmt: skip
PLAIN = [(f"shelf/{number:02}.jpg", f"picture {number % 7}") for number in range(12)]
VARIANTS = [
    [Variant("oak", {"prompt": "photo of {id}"})],
    [Variant("oak", {"prompt": "{id} {variant} 5%", "negative_prompt": "no {id}"}), Variant("b", {"prompt": "x"})],
    [Variant("oak", {"prompt": "x", "samples": 3, "num_inference_steps": 40}, reuse=False)],
    [Variant("oak", {"prompt": "x {id}", "seed": 3})],
    [Variant("oak", {"prompt": "a {title}"})],
]
WORKSPACES = ["s3://team/w", "s3://in/w"]


class Shelf(MemoryStore):
    """An S3 in which what is named `frozen` is in an archive."""

    def list(self, prefix_uri: str, *, after: str = "") -> Iterator[Listed]:
        """As ever, with storage classes."""
        for one in super().list(prefix_uri, after=after):
            yield one._replace(storage_class="GLACIER" if "frozen" in one.uri else "STANDARD")


def shelf(given_objects: Sequence[Object]) -> Shelf:
    """An S3 with these objects in its bucket `in`."""
    store = Shelf()
    for key, content in given_objects:
        store.put(f"s3://in/{key}", content.encode(), content_type="image/jpeg")
    return store


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where hashes of files would lie."""
    return tmp_path_factory.mktemp("listings")


@pytest.fixture(scope="module", autouse=True)
def small_batches() -> Iterator[None]:
    """Batches of a few objects, so that plain ones stand beside others."""
    patch = pytest.MonkeyPatch()
    patch.setattr(listing, "_BATCH", 3)
    yield
    patch.undo()


def the_same(
    given_objects: Sequence[Object], named: list[Variant], workspace: str, folder: Path, output: str = ""
) -> None:
    """Compares a prefix's entries, jobs, lines, counts and problems, by columns and one by one."""
    store = shelf(given_objects)
    by_columns = open_manifest("s3://in/", store=store)
    one_by_one = replace(open_manifest("s3://in/", store=store), parts=None)
    seen, alone = Problems(), Problems()
    assert by_columns.parts is not None
    parts = (part.entries() if isinstance(part, Block) else part for part in by_columns.parts(seen))
    assert list(chain.from_iterable(parts)) == list(one_by_one.entries(alone))
    assert vars(seen) == vars(alone)
    assert by_columns.sha256() == one_by_one.sha256()
    at = Workspace(workspace)
    assert planned(by_columns, named, at, folder, output) == planned(one_by_one, named, at, folder, output)


@pytest.mark.parametrize("workspace", WORKSPACES)
@pytest.mark.parametrize("named", VARIANTS, ids=range(len(VARIANTS)))
def test_odd_objects_among_plain_ones_make_no_difference(folder: Path, named: list[Variant], workspace: str) -> None:
    """Of whatever names they are, and whether they are empty."""
    for content in ("picture 1", ""):
        given_objects = [*PLAIN, *((key, content) for key in ODD_KEYS)]
        the_same(given_objects, named, workspace, folder)
        the_same(given_objects, named, workspace, folder, "s3://in/out")


@pytest.mark.parametrize("key", ODD_KEYS, ids=range(len(ODD_KEYS)))
def test_one_odd_object_among_plain_ones_makes_no_difference(folder: Path, key: str) -> None:
    """Whatever its name is."""
    the_same([*PLAIN, (key, "picture 1")], VARIANTS[1], WORKSPACES[1], folder)


@settings(max_examples=15)
@given(objects, st.sampled_from(VARIANTS), st.sampled_from(WORKSPACES), st.sampled_from(["", "s3://in/out"]))
def test_columns_come_out_as_objects(
    folder: Path, given_objects: Sequence[Object], named: list[Variant], workspace: str, output: str
) -> None:
    """Whether an object is read together with others makes no difference to anything."""
    the_same(given_objects, named, workspace, folder, output)


@pytest.mark.long
@settings(max_examples=1000)
@given(objects, st.sampled_from(VARIANTS), st.sampled_from(WORKSPACES), st.sampled_from(["", "s3://in/out"]))
def test_so_they_do_of_many_prefixes(
    folder: Path, given_objects: Sequence[Object], named: list[Variant], workspace: str, output: str
) -> None:
    """The same, over more of them."""
    the_same(given_objects, named, workspace, folder, output)


# -- as written --------------------------------------------------------------------------------------------


def written(plan: Plan, answers: Sequence[UnchangedJob], store: Shelf) -> dict[str, bytes]:
    """What a plan writes to S3, with the run."""
    run = write_shards(
        plan, workspace=Workspace("s3://team/w"), store=store, shard_jobs=4, by="me@here",
        unchanged=cast("Unchanged", answers),
    )  # fmt: skip
    objects = {uri: one.data for uri, one in store.objects.items() if "/runs/" in uri}
    return objects | {"run": run.model_dump_json(exclude={"created"}).encode()}


@pytest.mark.parametrize("answered", [0, 1, 2, 3], ids=["none", "all", "each second", "each third"])
def test_what_is_written_is_the_same(answered: int) -> None:
    """Shards, what is unchanged and what is wrong; a job that has changed since it was compared is queued."""
    given_objects = [*PLAIN, *((key, "picture 1") for key in ODD_KEYS)]
    store = shelf(given_objects)
    request = PlanRequest("s3://in/shelf/", prompt="photo of {id}", skip_invalid=True)
    at = Workspace("s3://team/w")
    plan = make_plan(request, Settings(), workspace=at, store=store, run_id="20260101T000000Z-x")
    answers = [
        UnchangedJob(place, job.mark + (place == 4), job.image, f'{{"outcome": "skipped", "seed": {place}}}')
        for place, job in enumerate(planned_jobs(plan, at))
        if answered and place % answered == 0
    ]
    by_columns, one_by_one = written(plan, answers, store), written(replace(plan, parts=None), answers, shelf([]))
    assert by_columns == one_by_one
    assert sum("/unchanged/" in uri for uri in by_columns) == bool(answered)


def test_plain_objects_are_planned_together() -> None:
    """Once the first ones have shown what is alike, no further one is resolved by itself."""
    given_objects = [*PLAIN[:9], ("shelf/09?.jpg", "x"), *PLAIN[9:]]
    manifest = open_manifest("s3://in/", store=shelf(given_objects))
    resolver = Resolver(Workspace("s3://team/w"), VARIANTS[0], columns=manifest.columns)
    parts = [
        part.rows if isinstance(part, Batch) else [resolver.jobs(entry, Problems()) and place for place, entry in part]
        for part in Planner(manifest, resolver).parts(Problems())
    ]
    assert parts == [[0, 1, 2], 3, 3, [9, 10, 11], 1]
