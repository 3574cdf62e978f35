"""JSON manifests: arrays, objects and lines, however they are laid out, and every way in which one is wrong."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.manifest import Problems
from tests.support.manifests import good, read, refusal

ENTRIES: list[dict[str, Any]] = [
    {"id": "a", "image": "s3://b/a.jpg", "strength": 0.5, "title": "Mug"},
    {"id": "b", "image": "s3://b/b.jpg", "strength": None, "title": "Bowl"},
]
DEFAULTS = {"prompt": "photo of {title}", "strength": 0.4}
VARIANTS = [{"name": "oak", "prompt": "on oak"}]
#: Characters that the reader takes in at a time.
CHUNK = 1 << 16


def lines_of(entries: list[dict[str, Any]]) -> str:
    """The entries as JSONL."""
    return "".join(json.dumps(entry) + "\n" for entry in entries)


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(ENTRIES),
        json.dumps(ENTRIES, indent=2),
        json.dumps(ENTRIES, indent="\t", ensure_ascii=False).replace("\n", "\r\n"),
        "\ufeff \n" + json.dumps(ENTRIES),
        gzip.compress(json.dumps(ENTRIES).encode(), mtime=0),
        lines_of(ENTRIES),
        "\n" + lines_of(ENTRIES).replace("\n", "\r\n\r\n"),
        "\ufeff" + lines_of(ENTRIES).rstrip(),
        gzip.compress(lines_of(ENTRIES).encode(), mtime=0),
        json.dumps({"images": ENTRIES}),
        json.dumps({"images": ENTRIES}, indent=4),
        '{"defaults": {}\n, "images":' + json.dumps(ENTRIES) + "}",
    ],
    ids=[
        "array", "pretty array", "crlf", "bom", "gzip", "lines", "blank lines", "bom lines", "gzip lines", "object",
        "pretty object", "a first line that looks like an entry",
    ],
)  # fmt: skip
def test_every_form_reads_the_same(content: str | bytes) -> None:
    """Array, object and lines, with any layout, give the same entries."""
    found = good(content)
    assert [(e.id, e.image, e.params, e.meta) for e in found.entries] == [
        ("a", "s3://b/a.jpg", {"strength": 0.5}, {"title": "Mug"}),
        ("b", "s3://b/b.jpg", {}, {"title": "Bowl"}),
    ]


@pytest.mark.parametrize(
    "order",
    [("defaults", "variants", "images"), ("images", "variants", "defaults"), ("variants", "images", "defaults")],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_the_keys_of_an_object_come_in_any_order(order: tuple[str, ...], indent: int | None) -> None:
    """Defaults and variants are known before the first entry is read, wherever they stand."""
    parts = {"defaults": DEFAULTS, "variants": VARIANTS, "images": ENTRIES}
    found = good(json.dumps({name: parts[name] for name in order}, indent=indent))
    assert (found.manifest.defaults, found.manifest.variants) == (DEFAULTS, VARIANTS)
    assert found.ids == ["a", "b"]


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (json.dumps(ENTRIES, indent=2), [2, 8]),
        (json.dumps({"defaults": DEFAULTS, "images": ENTRIES}, indent=2), [7, 13]),
        (lines_of(ENTRIES), [1, 2]),
        ("\n\n" + lines_of(ENTRIES).replace("\n", "\n\n"), [3, 5]),
        (json.dumps(ENTRIES), [1, 1]),
    ],
)
def test_lines_are_those_of_an_editor(content: str, lines: list[int]) -> None:
    """An entry stands on the line on which it begins."""
    assert good(content).lines == lines


@pytest.mark.parametrize("wrap", [json.dumps, lambda entries: json.dumps({"images": entries})])
def test_a_long_document_in_one_line(wrap: Any) -> None:
    """What programs write has no line ends at all, and is streamed nevertheless."""
    entries = [{"image": f"s3://b/{number}.jpg", "title": "mug" * 20} for number in range(2_000)]
    found = good(wrap(entries))
    assert len(found.entries) == 2_000


#: What JSON can spell and a manifest refuses, NUL and half of a character, has tests of its own.
_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@settings(max_examples=40)
@given(
    values=st.lists(_values, max_size=6),
    indent=st.none() | st.integers(0, 3) | st.just("\t"),
    padding=st.integers(0, 400),
    form=st.sampled_from(["array", "object", "lines"]),
)
def test_any_entries(values: list[Any], indent: int | str | None, padding: int, form: str) -> None:
    """Any list of entries, written with any indent and across the borders of what is read at a time, is read back."""
    entries = [{"image": f"s3://b/{number}.jpg", "title": value} for number, value in enumerate(values)]
    space = " " * (CHUNK - padding)
    space = " " * (CHUNK - padding)
    if form == "array":
        text = "[" + space + json.dumps(entries, indent=indent)[1:]
    elif form == "object":
        text = '{"images":' + space + json.dumps(entries, indent=indent) + "}"
    else:
        text = lines_of([*entries, {"image": "s3://b/last.jpg"}])
    found = good(text)
    assert [entry.meta for entry in found.entries][: len(values)] == [as_read(value) for value in values]


def as_read(value: Any) -> dict[str, str]:
    """What is kept of a title of this value."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return {}
    return {"title": value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))}


def around_the_border(before: str, text: str) -> Iterator[int]:
    """Lengths of space that put each character of a text, with something before it, at the border."""
    last = CHUNK - len(before)
    yield from range(last - len(text) - 2, last + 3)


@pytest.mark.parametrize(
    "value", [r'"\ud83d\ude00 \u00e9 \" \\"', "-12.5e-3", "true", "null", '{"a": [1.25e+2, "}]"]}', '"é😀"']
)
def test_values_across_a_border(value: str) -> None:
    """A value that is cut anywhere by the end of what was read is the same value."""
    expected = as_read(json.loads(value))
    before = '[{"image": "s3://b/a.jpg", "title": '
    for length in around_the_border(before, value):
        found = good(f'[{" " * length}{before[1:]}{value}}}, {{"image": "s3://b/b.jpg"}}]')
        assert [entry.meta for entry in found.entries] == [expected, {}]


def test_entries_across_a_border() -> None:
    """So are an entry, its keys and what stands between it and the next."""
    entry = '{"image": "s3://b/a.jpg", "title": "a"}, {"image": "s3://b/b.jpg"}]'
    for length in around_the_border("[", entry):
        assert good(f"[{' ' * length}{entry}").images == ["s3://b/a.jpg", "s3://b/b.jpg"]


@pytest.mark.parametrize("value", ["1.5e-3", "-0.25", "12345", '"text"', "null", "[]"])
def test_what_is_no_entry(value: str) -> None:
    """A value that is no object is a bad line, also at the border of what was read, and the others are read on."""
    for length in (0, *around_the_border("[", value)):
        found = read(f'[{" " * length}{value}, {{"image": "s3://b/b.jpg"}}]')
        assert found.told == ['1: : is no entry: write {"image": "...", ...}']
        assert found.ids == ["b"]


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"image": "s3://b/x.jpg", "strength": "half"}, "strength: 'half' is not a number"),
        ({"image": "s3://b/x.jpg", "strength": True}, "strength: true is not a number"),
        ({"image": "s3://b/x.jpg", "seed": 1.5}, "seed: 1.5 is not a whole number"),
        ({"image": "s3://b/x.jpg", "seed": 10**30}, "seed: 1000000000000000000000000000000 has more than 18 digits"),
        ({"image": "s3://b/x.jpg", "prompt": ["a"]}, 'prompt: ["a"] is not text'),
        ({"image": "s3://b/x.jpg", "prompt": "\ud83d"}, "prompt: has half of a surrogate pair"),
        ({"image": "s3://b/x.jpg", "title": "\ud83d"}, "title: has half of a surrogate pair"),
        ({"image": "s3://b/x.jpg", "title": float("1e999")}, "is no JSON number"),
        ({"image": 7}, "image: 7 is not text"),
        ({"image": None}, "image: is missing"),
        ({"image": "s3://b/x.jpg", "id": 1.5}, "id: 1.5 is not text"),
        ({"id": "x"}, "image: there is no such column among id"),
        ({"snapshot_file": "s3://b/x.jpg"}, "image: there is no such column; if snapshot_file has the images"),
        ({}, "image: there is no such column"),
        ({"image": "s3://b/x.jpg", "strenght": 1}, "strenght: is nearly strength"),
        ({"image": "s3://b/x.jpg", "Image": "y"}, "Image: is the same column as image"),
    ],
)
def test_bad_entries(entry: dict[str, Any], told: str) -> None:
    """A bad entry is told by line and key, in each form."""
    for content in (json.dumps([entry], indent=1), json.dumps(entry) + "\n" + json.dumps(ENTRIES[0])):
        if "Infinity" in content:
            assert told in refusal(content)
        else:
            assert told in read(content).told[0]


def test_an_id_may_be_a_number() -> None:
    """Exports write whole numbers for ids."""
    assert good('[{"image": "s3://b/a.jpg", "id": 7}, {"image": "s3://b/a.jpg", "id": "8"}]').ids == ["7", "8"]


def test_bad_entries_of_one_line_are_told_apart() -> None:
    """Where several entries stand in a line, the bad ones are told by their number."""
    found = read(json.dumps([{"image": "s3://b/a.jpg", "strength": "x"}] * 3))
    assert found.told == ["1: strength: 'x' is not a number"] * 3
    problems = Problems()
    list(found.manifest.entries(problems))
    assert [problem.source for problem in problems.listed] == ["-", "- (entry 2)", "- (entry 3)"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('[{"image": "a.jpg"}', "-:1: is no JSON: expected , or ], found the end of the file"),
        ('[\n{"image": "a.jpg"}\n{"image": "b.jpg"}]', "-:3: is no JSON: expected , or ], found '{'"),
        ('[\n{"image": "a.jpg"},\n{"image": "b.jpg}]', "-:3: is no JSON: Unterminated string"),
        ('[\n{"image":\n "a.jpg",\n strength: 1}]', "-:4: is no JSON: Expecting property name"),
        ("[\n{'image': 'a.jpg'}]", "-:2: is no JSON: Expecting property name"),
        ('[{"image": "a.jpg"}]\n]', "-:2: is no JSON: ']' after its end"),
        ('[{"image": "a.jpg"}]\n{"image": "b.jpg"}', "-:2: is no JSON: '{' after its end"),
        ('[{"image": "a.jpg"},\n]', "-:2: is no JSON: Expecting value"),
        ('{"images": [{"image": "a.jpg"}], 1}', "-:1: is no JSON: Expecting property name"),
        ("[,]", "-:1: is no JSON: Expecting value"),
        ('[\n\n{"image": "a.jpg", "image": "b.jpg"}]', "-:3: has 'image' twice"),
        ('[{"image": "a.jpg", "strength": NaN}]', "-:1: has NaN, which is no JSON number"),
        ('{"image": "a.jpg"}\n\n{"image": "b.jpg"', "-:3: is no JSON: Expecting ',' delimiter (column 18)"),
        ('{"image": "a.jpg",}\n{"image": "b.jpg"}', "-:1: is no JSON:"),
        ('\n\n{"image": "a.jpg", "image": "b.jpg"}\n', "-:3: has 'image' twice"),
        ('{"images": [],\n "images": []}', "-:2: images: is there twice"),
        ('{"image": "a.jpg",\n "id": "a"}', "-:1: image: belongs to an entry: write entries as a list"),
        ('{"images": [],\n "variant": []}', "-:2: variant: unknown key; did you mean variants?"),
        ('{"images": [],\n "foo": []}', "-:2: foo: unknown key; a manifest has defaults, variants, images"),
        ('{"images": {}}', "-:1: is no JSON: expected [, found '{'"),
        ('{"defaults": [],\n "images": []}', "-:1: defaults: must be an object"),
        ('{"variants": {},\n "images": []}', "-:1: variants: must be a list"),
        ('{"defaults": {},\n "variants": []}', "-: images: the object has no list of entries under this key"),
        ('{"images": []} {"images": []}', "-:1: is no JSON"),
        ('{1: []}', "-:1: "),
        ("[" * 100_000, "-:1: is nested too deeply"),
        # As 3.11 says it; 3.14 reads as deep as that.
        ('{"image": "a.jpg", "title": ' + "[" * 60_000, "-:1: "),
        ("{", "-:1: "),
    ],
)  # fmt: skip
def test_what_is_no_json(content: str, told: str) -> None:
    """What cannot be read as JSON of that form is refused by its line."""
    assert told in refusal(content)


def test_a_fault_far_down_is_told_by_its_line() -> None:
    """Lines are counted across the borders of what is read at a time."""
    lines = [json.dumps({"image": f"s3://b/{number}.jpg", "title": "x\\n" * 30}) for number in range(3000)]
    lines[2500] = lines[2500].replace('"title"', "title")
    assert "-:2502: is no JSON: Expecting property name" in refusal("[\n" + ",\n".join(lines) + "]")
    assert "-:2501: is no JSON: Expecting property name" in refusal("\n".join(lines))


def test_renamed_keys() -> None:
    """`--column` renames the keys of entries too, those that have them."""
    entries = [{"Image Src": "s3://b/a.jpg", "SKU": 7}, {"image src": "s3://b/b.jpg"}]
    found = good(json.dumps(entries), {"image": "Image Src", "id": "SKU"})
    assert found.ids == ["7", "b"]


def test_other_values_are_kept_as_text() -> None:
    """Numbers, truths and nested values of other keys are kept as their JSON."""
    (entry,) = good(
        json.dumps([{"image": "s3://b/a.jpg", "w": 1.50, "ok": True, "t": {"a": [1, "ü"]}, "n": None}])
    ).entries
    assert entry.meta == {"w": "1.5", "ok": "true", "t": '{"a":[1,"ü"]}'}


def test_an_empty_list() -> None:
    """A list of no entries is read; that there is nothing to run is the plan's to say."""
    assert good("[]").entries == []
    assert good('{"images": []}').entries == []
