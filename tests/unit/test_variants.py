"""Variants files: JSON, TOML and CSV, and every way in which one is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from producers.planning.jobs.variants import load_variants
from restyle.errors import ManifestError

OAK = {"prompt": "on oak, {title}", "strength": 0.5, "samples": 2}
LIST: list[dict[str, Any]] = [{"name": "oak", **OAK}, {"name": "pine-4b", "prompt": "on pine"}]


def load(content: str | bytes, name: str = "v.json") -> dict[str, dict[str, object]]:
    """Name and parameters of the variants of a file."""
    Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    return {variant.name: dict(variant.params) for variant in load_variants(name, store=None)}


def refusal(content: str | bytes, name: str = "v.json") -> str:
    """Why a file is refused."""
    with pytest.raises(ManifestError) as caught:
        load(content, name)
    return caught.value.message


TOML = """
[[variants]]
name = "oak"
prompt = "on oak, {title}"
strength = 0.5
samples = 2
[[variants]]
name = "pine-4b"
prompt = "on pine"
"""
CSV = 'name,prompt,strength,samples\noak,"on oak, {title}",0.5,2\npine-4b,on pine,,\n'


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (json.dumps(LIST), "v.json"),
        ("\ufeff\n" + json.dumps(LIST, indent=2), "v.json"),
        (json.dumps({"variants": LIST}), "v.json"),
        (json.dumps({"defaults": {}, "variants": LIST}), "no suffix"),
        (TOML, "v.toml"),
        (CSV, "v.csv"),
        ("\ufeff" + CSV.replace("\n", "\r\n"), "v.csv"),
        ("\n\r\n" + CSV.replace("\n", "\n,,,\n\n"), "v.csv"),
        ("name;prompt;strength;samples\noak;on oak, {title};0.5;2\npine-4b;on pine\n", "v.csv"),
        ("name\tprompt\tstrength\tsamples\noak\ton oak, {title}\t0.5\t2\npine-4b\ton pine\n", "v.tsv"),
        (CSV.replace("name,prompt", " Name ,PROMPT"), "v.csv"),
    ],
    ids=[
        "list", "bom", "object", "no suffix", "toml", "csv", "bom crlf", "blank lines", "semicolon", "tab", "capitals",
    ],
)  # fmt: skip
def test_every_form_reads_the_same(content: str, name: str) -> None:
    """List and object, JSON, TOML and CSV give the same variants in their order."""
    found = load(content, name)
    assert list(found.items()) == [("oak", OAK), ("pine-4b", {"prompt": "on pine"})]


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ('[{"name": "oak", "prompt": "p", "reuse": false}, {"name": "sea", "prompt": "p"}]', "v.json"),
        ("name,prompt,reuse\noak,p,False\nsea,p,\n", "v.csv"),
    ],
)
def test_a_variant_of_pictures_of_their_own(content: str, name: str) -> None:
    """`reuse` is no parameter: it says whether jobs may share a picture."""
    Path(name).write_text(content)
    found = load_variants(name, store=None)
    assert {variant.name: variant.reuse for variant in found} == {"oak": False, "sea": True}
    assert all(dict(variant.params) == {"prompt": "p"} for variant in found)


def test_defaults_of_a_file_lie_below_its_variants() -> None:
    """`defaults` fills what a variant leaves open."""
    found = load(json.dumps({"defaults": {"strength": 0.9, "seed": 7}, "variants": LIST}))
    assert found["oak"] == {**OAK, "seed": 7}
    assert found["pine-4b"] == {"prompt": "on pine", "strength": 0.9, "seed": 7}


@pytest.mark.parametrize("char", ["\u2028", "\x85", "\x0b", "\x1c", "é"])
def test_cells_hold_any_character(char: str) -> None:
    """What Python takes for a line's end, and CSV does not, stays in its cell."""
    assert load(f"name,prompt\noak,on{char}oak\n", "v.csv") == {"oak": {"prompt": f"on{char}oak"}}


def test_a_cell_with_line_ends() -> None:
    """A quoted prompt may have several lines."""
    assert load('name,prompt\noak,"on\r\noak"\n', "v.csv") == {"oak": {"prompt": "on\r\noak"}}


@pytest.mark.parametrize(
    ("item", "told"),
    [
        ({"name": "oak", "promt": "x"}, "oak.promt: is no parameter; did you mean prompt?"),
        ({"name": "oak", "image": "x"}, "oak.image: is no parameter"),
        ({"name": "oak", "title": "x"}, "oak.title: is no parameter"),
        ({"name": "oak", "prompt": "x", "Prompt": "y"}, "oak.Prompt: is there twice"),
        ({"name": "oak", "strength": 2}, "oak.strength: 2.0 is out of range: 0.1 to 1"),
        ({"name": "oak", "strength": 0.09}, "oak.strength: 0.09 is out of range: 0.1 to 1"),
        ({"name": "oak", "samples": 5}, "oak.samples: 5 is out of range: 1 to 4"),
        ({"name": "oak", "samples": 0}, "oak.samples: 0 is out of range: 1 to 4"),
        ({"name": "oak", "num_inference_steps": 19}, "oak.num_inference_steps: 19 is out of range: 20 to 100"),
        ({"name": "oak", "guidance_scale": 25.5}, "oak.guidance_scale: 25.5 is out of range: 0.1 to 25"),
        ({"name": "oak", "seed": -2}, "oak.seed: -2 is out of range: -1 to 999999999999999"),
        ({"name": "oak", "seed": 10**15}, "oak.seed: 1000000000000000 is out of range: -1 to 999999999999999"),
        ({"name": "oak", "strength": "half"}, "oak.strength: 'half' is not a number"),
        ({"name": "oak", "samples": 1.5}, "oak.samples: 1.5 is not a whole number"),
        ({"name": "oak", "prompt": ["x"]}, 'oak.prompt: ["x"] is not text'),
        ({"name": "oak", "prompt": "a {"}, "oak.prompt: has a lone {"),
        ({"name": "oak", "prompt": "#N/A"}, "oak.prompt: reads #N/A, which a spreadsheet writes"),
        ({"name": "oak", "negative_prompt": "}"}, "oak.negative_prompt: has a lone }"),
        ({"name": "oak", "reuse": "perhaps"}, "oak.reuse: is true or false"),
        ({"name": "a b"}, "a b.name: a variant's name is 1-64 of"),
        ({"name": ""}, ".name: a variant's name is 1-64 of"),
        ({"name": "oak/dark"}, "oak/dark.name: a variant's name is 1-64 of"),
        ({"name": "-oak"}, "does not begin or end in -"),
        ({"name": "oak-1"}, "may not end in - and a digit"),
        ({"name": ".."}, "...name: a variant's name"),
        ({"name": "x" * 65}, "a variant's name is 1-64 of"),
        ({"name": "größe"}, "a variant's name is 1-64 of"),
        ({"prompt": "x"}, 'variant 1: write {"name": "...", "prompt": "..."}'),
        ({"name": 7}, 'variant 1: write {"name"'),
        ("oak", 'variant 1: write {"name"'),
    ],
)  # fmt: skip
def test_bad_variants(item: object, told: str) -> None:
    """A bad variant is told by file, name and parameter."""
    assert f"v.json: {told}" in refusal(json.dumps([item])) or told in refusal(json.dumps([item]))


@pytest.mark.parametrize("name", ["oak", "_", "a.b", ".hidden", "A-b_c.4", "v1.5", "x" * 64, "oak-10a", "7"])
def test_names(name: str) -> None:
    """What a variant may be called."""
    assert load(json.dumps([{"name": name}])) == {name: {}}


def test_everything_is_told_at_once() -> None:
    """Faults of defaults and of all variants come together."""
    variants = [{"name": "a", "strength": 3, "seeds": 1}, {"name": "A"}, {"name": "b "}]
    told = refusal(json.dumps({"defaults": {"samples": 9}, "variants": variants})).splitlines()
    assert [line.split(": ")[1] for line in told] == ["defaults.samples", "a.seeds", "a.strength", "A.name"]
    assert told[-1].endswith("there are two variants of this name")


@pytest.mark.parametrize(
    ("content", "name", "told"),
    [
        ("", "v.csv", "v.csv: has no variants"),
        ("[]", "v.json", "v.json: has no variants"),
        ("name,prompt\n", "v.csv", "v.csv: has no variants"),
        ("{}", "v.json", 'v.json: a variants file is a list, or {"defaults": {...}, "variants": [...]}'),
        ('{"variants": []}', "v.json", "v.json: has no variants"),
        ('{"variants": {}}', "v.json", "a variants file is a list, or"),
        ('{"variants": [], "images": []}', "v.json", "unknown key 'images'; a variants file is a list"),
        ('{"variants": [], "defaults": []}', "v.json", "a variants file is a list, or"),
        ('[\n{"name": "a", 1}]', "v.json", "v.json:2: is no JSON: Expecting property name"),
        ('[\n{"name": "a", "name": "b"}]', "v.json", "v.json:1: has 'name' twice"),
        ('[{"name": "a", "seed": NaN}]', "v.json", "has NaN, which is no JSON number"),
        ("[" * 100_000, "v.json", "is nested too deeply"),
        ("name = \n", "v.toml", "v.toml: is no TOML: Invalid value (at line 1"),
        ("name = 'a'", "v.toml", "unknown key 'name'; a variants file is"),
        ("[[variants]]\nname = 'a'\nseed = 2026-01-31", "v.toml", 'a.seed: "2026-01-31" is not a whole number'),
        ('name,prompt\noak,"open\n', "v.csv", "is neither JSON nor CSV: unexpected end of data"),
        ("name,prompt\noak,x,y\n", "v.csv", "oak.too many cells: is no parameter"),
        ("name,promt\noak,x\n", "v.csv", "oak.promt: is no parameter; did you mean prompt?"),
        ("größe".encode("cp1252"), "v.csv", "v.csv: is not UTF-8 but probably WINDOWS-1252"),
        ("name,prompt\na,b".encode("utf-16"), "v.csv", "v.csv: is not UTF-8 but probably UTF-16"),
        (b"PK\x03\x04", "v.csv", "v.csv: is a workbook or a ZIP file: save it as CSV UTF-8"),
    ],
)  # fmt: skip
def test_files_that_hold_no_variants(content: str | bytes, name: str, told: str) -> None:
    """A file that is none is refused by what is wrong with it."""
    assert told in refusal(content, name)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("no.json", "no.json: there is no such variants file"),
        (".", ".: cannot be read: Is a directory"),
        ("a\0b", "cannot be read: embedded null byte"),
        ("s3://b/v.json", "s3://b/v.json: lies in S3, which is not open here"),
    ],
)
def test_files_that_cannot_be_read(name: str, told: str) -> None:
    """What is not there is told by its name."""
    with pytest.raises(ManifestError) as caught:
        load_variants(name, store=None)
    assert told in caught.value.message
