"""What is resolved once for many rows, hashed by the million, or written from a template comes out as the long way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.manifest import Entry, Problems
from producers.manifest.entry import Row
from producers.manifest.place import Place
from producers.manifest.rows import Reading
from producers.planning.jobs.resolve import Resolver
from producers.planning.jobs.variants import Variant
from restyle.fingerprint import Preparation, digest
from restyle.keys import Workspace
from restyle.models import Params
from restyle.request_digest import request_digest
from restyle.runtime import spilled
from restyle.runtime.spilled import SpilledHashes

WORKSPACE = Workspace("s3://bucket/team")
COLUMNS = frozenset({"image", "id", "title", "material"})


def entry(number: int, meta: Mapping[str, str], params: Mapping[str, object], mark: str, output: str) -> Entry:
    """A row of a table."""
    return Entry(
        "a.csv", number + 2, f"shelf.jpg/{number}", f"s3://in/{number}.jpg", "", dict(params), output, mark,
        dict(meta), "",
    )  # fmt: skip


cells = st.sampled_from(["oak", " oak ", "", "N/A", "none", "{", "ein Stuhl aus Eiche", "ü" * 3000, "\u200b"])
metas = st.dictionaries(st.sampled_from(["title", "material", "id", "variant"]), cells.filter(bool), max_size=4)
own = st.dictionaries(st.sampled_from(["strength", "guidance_scale"]), st.sampled_from([0.5, 0.7, 99.0]), max_size=2)
texts = st.dictionaries(st.sampled_from(["prompt", "negative_prompt"]), st.sampled_from(["red", "{title}"]), max_size=2)
seeds = st.sampled_from([{}, {"seed": 7}])
rows = st.tuples(
    metas, own, texts, seeds, st.sampled_from(["", "", "redo"]), st.sampled_from(["", "x/y.jpg", "x/y.png"])
)
templates = st.sampled_from(
    ["a {title} of {material}", "{variant}: {title}", "photo of {id}", "plain", "{title}", "{prompt} and {title}"]
)
variants = st.lists(
    st.builds(
        lambda name, prompt, more: Variant(name, {"prompt": prompt, **more}),
        st.sampled_from(["oak", "neon", "b"]), templates,
        st.sampled_from([{}, {"negative_prompt": "no {material}"}, {"seed": 3}]),
    ),
    max_size=2, unique_by=lambda variant: variant.name,
)  # fmt: skip


tables = (st.lists(rows, min_size=1, max_size=6), variants, st.booleans(), st.sampled_from(["", "{id}/{variant}-x"]))
Given = tuple[dict[str, str], dict[str, object], dict[str, object], dict[str, object], str, str]


@given(*tables)
def test_a_row_is_resolved_as_if_it_were_the_only_one(
    given_rows: Sequence[Given], named: list[Variant], new_seed: bool, template: str
) -> None:
    """Jobs, problems and warnings of a row do not depend on the rows before it."""
    each_as_if_alone(given_rows, named, new_seed, template)


@pytest.mark.long
@settings(max_examples=600)
@given(*tables)
def test_so_it_is_in_many_tables(
    given_rows: Sequence[Given], named: list[Variant], new_seed: bool, template: str
) -> None:
    """The same, over more of them."""
    each_as_if_alone(given_rows, named, new_seed, template)


def each_as_if_alone(given_rows: Sequence[Given], named: list[Variant], new_seed: bool, template: str) -> None:
    """Compares a resolver of all rows with one a row."""

    def resolver() -> Resolver:
        return Resolver(
            WORKSPACE, named, columns=COLUMNS, kept=frozenset({"title", "material"}), new_seed=new_seed,
            template=template, salt="run",
        )  # fmt: skip

    together, seen, alone = resolver(), Problems(), Problems()
    for number, (meta, values, prompts, seed, mark, output) in enumerate(given_rows):
        one = entry(number, meta, {**values, **prompts, **seed}, mark, output)
        jobs = together.jobs(one, seen)
        assert jobs == resolver().jobs(one, alone)
        assert [list(job.params.__dict__) for job in jobs] == [list(Params.model_fields)] * len(jobs)
    assert (seen.listed, seen.warnings) == (alone.listed, alone.warnings)


@given(
    prompt=st.text(min_size=1), negative=st.text(), seed=st.integers(-1, 999), strength=st.sampled_from([0.5, 1, 1.0]),
    model=st.text(max_size=9), background=st.text(max_size=9),
)  # fmt: skip
def test_the_hash_of_a_request_is_that_of_its_json(
    prompt: str, negative: str, seed: int, strength: float, model: str, background: str
) -> None:
    """Fingerprints of every earlier version are found again."""
    params = Params(prompt=prompt, negative_prompt=negative, seed=seed, strength=strength)
    preparation = Preparation(background=background)
    whole = digest([params.as_sent(), model, preparation.model_dump()])
    assert request_digest(params, model, preparation) == whole


def test_hashes_are_counted_in_a_file_as_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """What repeats is found, whichever part of the file it went to."""
    monkeypatch.setattr(spilled, "_HELD", 10)
    some, others = SpilledHashes(), SpilledHashes()
    for value in [*range(-50, 50), 7, -3, 7]:
        some.add(value)
    for value in range(49, 80):
        others.add(value)
    assert some.distinct() == 100
    assert some.repeated() == {7, -3}
    assert some.repeated(others) == {7, -3, 49}


@given(
    image=st.sampled_from(
        ["s3://in/a.jpg", "s3://in/a b/c-1.jpg", "s3://in/a|b.jpg", "s3://in/x/", "S3://in/a.jpg", "s3://i"]
    ),
    entry_id=st.sampled_from(["a", "a/b.c", " a", "a+1", "1.5E+3", "0042", "a//b", "#N/A", "Err:502", "a b"]),
    cell=st.sampled_from(["oak", "#N/A", "x" * 9000, " "]),
)
def test_a_plain_row_is_read_as_any_other(image: str, entry_id: str, cell: str) -> None:
    """What is read at a glance gives the entry and the problems that a closer look gives."""
    row = Row("a.csv", 2, {"image": image, "id": entry_id}, {"title": cell})

    def read(given: dict[str, str]) -> tuple[list[Entry], object]:
        problems = Problems()
        entries = list(Reading(lambda _: iter([row._replace(given=given)]), Place("s3://in/")).entries(problems))
        return entries, (problems.listed, problems.warnings)

    # With one more column, and nothing to see in it, no row is plain.
    assert read({"image": image, "id": entry_id}) == read({"image": image, "id": entry_id, "output": " "})
