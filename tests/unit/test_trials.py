"""`restyle try` before anything is spent: columns, rows, seeds, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from producers.planning.jobs.resolved import Resolved
from producers.planning.make import make_plan
from producers.planning.plan import Plan
from producers.planning.request import PlanRequest, TrialRequest
from producers.planning.trial.lab import read_axes
from restyle.errors import ConfigurationError, ManifestError
from restyle.keys import Workspace, draw_seed

WORKSPACE = Workspace("s3://shop/team")
OAK, SEA = "photo of {id} on oak", "photo of {id} by the sea"


def catalog(rows: Sequence[Mapping[str, Any]]) -> str:
    """A manifest of these rows."""
    Path("m.json").write_text(json.dumps([{"image": f"s3://in/{row['id']}.jpg", **row} for row in rows]))
    return "m.json"


def mugs(count: int) -> str:
    """A manifest of mugs."""
    return catalog([{"id": f"mug-{place:03d}"} for place in range(count)])


def plan(manifest: str, *prompts: str, sets: Sequence[str] = (), only_ids: frozenset[str] | None = None,
         **trial: Any) -> Plan:  # fmt: skip
    """A trial, drafted."""
    request = PlanRequest(manifest, sets=sets, only_ids=only_ids, trial=TrialRequest(prompts, **trial))
    return make_plan(request, Settings(), workspace=WORKSPACE, store=None)


def jobs(found: Plan) -> list[Resolved]:
    """The jobs of a plan."""
    return [job for job in found.stream() if isinstance(job, Resolved)]


def test_columns_and_rows() -> None:
    """Prompts x values are the columns, in the order given; each is a variant of its own, and is named for a file."""
    found = plan(mugs(20), OAK, SEA, axes=["strength=0.3,0.5", "scheduler=DDIM,UniPC"])
    assert found.trial is not None
    columns = found.trial.columns
    assert (len(columns), found.jobs, found.entries, found.trial.catalog) == (8, 48, 6, 20)
    assert [column.differs for column in columns[:2]] == [
        {"strength": "0.3", "scheduler": "DDIM"}, {"strength": "0.3", "scheduler": "UniPC"},
    ]  # fmt: skip
    assert columns[0].name == "photo-of-on-oak_strength0.3_schedulerddim"
    assert columns[0].params == {"prompt": OAK, "strength": 0.3, "scheduler": "DDIM"}
    assert len({job.variant for job in jobs(found)}) == 8
    assert found.trial.command == ("restyle", "run", "m.json")
    assert found.options.partial
    assert found.as_run(shards=1, by="me").trial


def test_nothing_but_the_axis_differs() -> None:
    """All columns share an entry's seed, each draw has one of its own, and outputs lie aside."""
    found = jobs(plan(mugs(3), OAK, SEA, axes=["strength=0.3,0.5"], entries=2, draws=2))
    by_entry: dict[str, set[int]] = {}
    for job in found:
        by_entry.setdefault(job.entry.id, set()).add(job.params.seed)
        assert job.output.startswith("s3://shop/team/trials/mug-")
    assert all(seeds == {draw_seed(entry, 1), draw_seed(entry, 2)} for entry, seeds in by_entry.items())
    assert len(found) == len({job.output for job in found}) == 2 * 2 * 2 * 2


def test_what_is_tried_beats_the_row() -> None:
    """A row's own strength, prompt, seed, variant and output make no column like another; what beats a run is told."""
    Path("m.csv").write_text(
        "id,image,strength,prompt,variant,output,seed\nmug,s3://in/mug.jpg,0.9,own,,s3://out/mug.jpg,7\n"
    )
    found = plan("m.csv", OAK, axes=["strength=0.3,0.5"])
    assert [(job.params.strength, job.params.prompt, job.params.seed) for job in jobs(found)] == [
        (0.3, "photo of mug on oak", draw_seed("mug")), (0.5, "photo of mug on oak", draw_seed("mug")),
    ]  # fmt: skip
    assert found.trial is not None
    assert found.trial.beaten == ("prompt", "strength")
    # Without prompts of its own, a trial compares what rows ask for.
    assert [job.params.prompt for job in jobs(plan("m.csv", axes=["strength=0.3,0.5"]))] == ["own", "own"]


def test_entries_are_spread() -> None:
    """Over folders, kinds of product and forms of files, the same ones each time; ids and pictures once each."""
    rows = [
        {"id": f"{folder}-{place}", "image": f"s3://in/{folder}/{place}.{form}", "category": kind}
        for folder, form, kind, count in (("a", "jpg", "mugs", 50), ("b", "png", "mugs", 3), ("c", "jpg", "hats", 2))
        for place in range(count)
    ]
    chosen = [job.entry.id for job in jobs(plan(catalog(rows), OAK, entries=3))]
    assert {entry[0] for entry in chosen} == {"a", "b", "c"}
    assert chosen == [job.entry.id for job in jobs(plan(catalog(rows), OAK, entries=3))]
    twice = [
        {"id": "mug", "variant": "one"},
        {"id": "mug", "variant": "two"},
        {"id": "jug", "image": "s3://in/mug.jpg"},
    ]
    assert len(jobs(plan(catalog(twice), OAK))) == 1


def test_ids_that_are_named() -> None:
    """All of them are tried, and the whole catalog is counted."""
    found = plan(mugs(9), OAK, only_ids=frozenset({"mug-001", "mug-004"}))
    assert {job.entry.id for job in jobs(found)} == {"mug-001", "mug-004"}
    assert found.trial is not None
    assert (found.trial.entries, found.trial.catalog) == (2, 9)


def test_rows_that_lack_what_a_prompt_uses() -> None:
    """Others are tried in their place; where there are none, the reason is told."""
    rows = [{"id": "a"}, {"id": "b", "title": "blue mug"}]
    found = jobs(plan(catalog(rows), "photo of {title}"))
    assert [job.entry.id for job in found] == ["b"]
    Path("m.csv").write_text("id,image,title\na,s3://in/a.jpg,\n")
    with pytest.raises(ManifestError, match="title: is empty, but the prompt uses it"):
        plan("m.csv", "photo of {title}")


def test_a_file_of_prompts() -> None:
    """A text file has one a line; a variants file has names and parameters of its own."""
    Path("p.txt").write_text(f"{OAK}\n\n{SEA}\n")
    found = plan(mugs(1), file="p.txt").trial
    assert found is not None
    assert found.prompts == (OAK, SEA)
    Path("v.json").write_text(json.dumps([{"name": "oak", "prompt": OAK, "guidance_scale": 8}]))
    found = plan(mugs(1), file="v.json", axes=["strength=0.4,0.6"]).trial
    assert found is not None
    assert [(column.name, column.params["guidance_scale"]) for column in found.columns] == [
        ("oak_strength0.4", 8), ("oak_strength0.6", 8),
    ]  # fmt: skip


def test_another_trial_is_another_plan() -> None:
    """An unfinished trial is gone on with where it is the very same."""
    digests = {
        plan(mugs(20), OAK, axes=["strength=0.3,0.5"]).plan_digest,
        plan(mugs(20), OAK, axes=["strength=0.3,0.5"]).plan_digest,
        plan(mugs(20), OAK, axes=["strength=0.3,0.6"]).plan_digest,
        plan(mugs(20), OAK, axes=["strength=0.3,0.5"], entries=4).plan_digest,
        plan(mugs(20), OAK, axes=["strength=0.3,0.5"], draws=2).plan_digest,
    }
    assert len(digests) == 4


@pytest.mark.parametrize(
    ("axis", "reason"),
    [
        ("strength", "write it as name=value,value"),
        ("strenght=0.3", "did you mean strength?"),
        ("colour=red", "is no parameter; there are: negative_prompt, scheduler"),
        ("strength=0.3,1.5", "1.5 is out of range: 0.1 to 1"),
        ("strength=0.3,", "has an empty value"),
        ("strength=0.3,0.30", "0.30 is there twice"),
        ("guidance_scale=high", "--axis guidance_scale: "),
        ("prompt=a,b", "give each prompt by --prompt"),
        ("samples=1,2", "pictures with other seeds come by --seeds N"),
    ],
)
def test_axes_that_are_none(axis: str, reason: str) -> None:
    """Each says what is wrong, before anything is planned."""
    with pytest.raises(ConfigurationError) as caught:
        read_axes([axis])
    assert reason in caught.value.message


def test_values_with_commas() -> None:
    """A bar between values lets them have commas; an empty negative prompt is one."""
    (axis,) = read_axes(["negative_prompt=blurry, dark|text|"])
    assert axis.values == ("blurry, dark", "text", "")


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"axes": ["strength=0.3"], "sets": ["strength=0.5"]}, "--set strength and --axis strength"),
        ({"sets": ["prompt=x"]}, "give each prompt by --prompt"),
        ({"axes": ["seed=1,2"], "draws": 2}, "--seeds draws seeds"),
        ({"draws": 99}, "from 1 to 8"),
        ({"entries": 0}, "--entries 0: it is a number from 1 on"),
        ({"entries": 601}, "add --entries 600"),
        ({"axes": [f"num_inference_steps={','.join(map(str, range(20, 90)))}"]}, "70 columns are more than anybody"),
        ({"file": "p.txt"}, "--prompt and --prompts"),
    ],
)
def test_options_that_go_against_each_other(asked: dict[str, Any], reason: str) -> None:
    """Each is refused before anything is spent."""
    with pytest.raises(ConfigurationError) as caught:
        plan(mugs(2), OAK, **asked)
    assert reason in caught.value.message
    with pytest.raises(ConfigurationError, match="is there twice"):
        plan(mugs(2), OAK, f" {OAK}")
