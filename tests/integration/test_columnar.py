"""Parquet and ORC as manifests: cells as text, several pictures in a list, columns that are none, memory, damage."""

from __future__ import annotations

import re
import sys
import tracemalloc
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import orc, parquet

from producers.manifest import Problems, ReadOptions, open_manifest
from restyle.errors import ManifestError
from tests.support.manifests import good, read, refusal


def parquet_of(columns: dict[str, Any], **options: Any) -> bytes:
    """A Parquet file."""
    out = BytesIO()
    parquet.write_table(pa.table(columns), out, **options)
    return out.getvalue()


def orc_of(columns: dict[str, Any]) -> bytes:
    """An ORC file."""
    out = BytesIO()
    orc.write_table(pa.table(columns), out)
    return out.getvalue()


KINDS = (parquet_of, orc_of)


@pytest.mark.parametrize("kind", KINDS)
def test_cells_become_text(kind: Callable[..., bytes]) -> None:
    """Numbers have no exponent, days are ISO, what is missing is empty; bytes and objects are left out and named."""
    found = good(
        kind(
            {
                "id": ["0017", "b"], "image": ["s3://b/a.jpg", "s3://b/b.jpg"], "strength": [0.5, None],
                "n": [1e-7, float("nan")], "ean": [4006381333931, None], "day": [date(2026, 1, 31), None],
                "price": [Decimal("12.50"), None], "sold": [True, None], "raw": [b"x", b"y"], "o": [{"x": 1}, {"x": 2}],
            }
        )
    )  # fmt: skip
    assert (found.ids, found.lines) == (["0017", "b"], [1, 2])
    assert found.entries[0].params == {"strength": 0.5}
    assert found.entries[0].meta == {
        "n": "0.0000001", "ean": "4006381333931", "day": "2026-01-31", "price": "12.50", "sold": "true",
    }  # fmt: skip
    assert found.entries[1].meta == {}
    name = "a Parquet" if kind is parquet_of else "an ORC"
    assert found.manifest.form == f"{name} file, without its columns of bytes or objects (raw, o)"


@pytest.mark.parametrize("kind", KINDS)
def test_a_list_of_pictures(kind: Callable[..., bytes]) -> None:
    """A column of lists is an entry for each picture."""
    found = good(kind({"id": ["a", "b"], "images": [["s3://b/1.jpg", "s3://b/2.jpg"], ["s3://b/3.jpg"]]}))
    assert found.ids == ["a-1", "a-2", "b-1"]


def test_bad_rows_are_told_by_their_number() -> None:
    """The first row is number 1."""
    assert read(parquet_of({"id": ["a", "b"], "image": ["s3://b/a.jpg", None]})).told == ["2: image: is missing"]


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files(kind: Callable[..., bytes]) -> None:
    """Cut off, or overwritten: a sentence, and never the end of the command."""
    data = kind({"image": ["s3://b/a.jpg"] * 100})
    for broken in (data[: len(data) // 2], data[:20] + b"\xff" * 40 + data[60:], data[:4]):
        with pytest.raises(ManifestError, match=r"-: (is|has|needs) "):
            read(broken)


def test_a_small_file_that_unpacks_to_a_large_one_is_refused() -> None:
    """A table packs to a hundredth: one that would fill the disk ends its reader, and the row is named."""
    data = parquet_of({"image": ["s3://b/a.jpg"] * 900, "text": ["x" * 60_000] * 900})
    assert len(data) < 10_000
    told = refusal(data)
    assert re.fullmatch(r"-: unpacks to more than 50 MB by row 83\d, which no table of its size does", told)


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_is_as_long_as_a_line_may_be(kind: Callable[..., bytes]) -> None:
    """A cell of more than a million characters, or many that have as much together, is told by its row."""
    for row in (["x" * 1_000_001], ["x" * 600_000] * 2):
        columns = {f"text{place}": ["y", cell] for place, cell in enumerate(row)}
        told = refusal(kind({"image": ["s3://b/a.jpg"] * 2, **columns}))
        assert re.fullmatch(r"-: row 2 has 1,\d+,\d+ characters; at most 1,000,000 are read", told)


def test_without_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is not installed, a sentence says how to install it."""
    data = parquet_of({"image": ["s3://b/a.jpg"]})
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # as if it were not there
    told = refusal(data)
    assert told == "-: is a Parquet file; to have it read, install pyarrow: pip install 'catalog-restyle[parquet]'"


def test_a_long_file_takes_no_memory() -> None:
    """Rows are held one at a time, whatever the file holds."""
    names = [f"s3://b/{n}.jpg" for n in range(20_000)]
    Path("m.parquet").write_bytes(
        parquet_of({"id": [name[7:] for name in names], "image": names, "text": ["x" * 200] * len(names)})
    )
    manifest = open_manifest("m.parquet", store=None, options=ReadOptions())
    tracemalloc.start()
    count = sum(1 for _ in zip(range(5000), manifest.entries(Problems()), strict=False))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 5000
    assert peak < 1_000_000


@pytest.mark.parametrize("kind", KINDS)
def test_short_numbers_keep_their_digits(kind: Callable[..., bytes]) -> None:
    """0.65 in 32 bits is 0.65: with the digits of 64 it would be another recipe, and paid for again."""
    strength = pa.array([0.65, None, 1.0], pa.float32())
    (one, _, three) = good(kind({"image": [f"s3://b/{name}.jpg" for name in "abc"], "strength": strength})).entries
    assert (one.params, three.params) == ({"strength": 0.65}, {"strength": 1.0})


def test_numbers_of_sixteen_bits() -> None:
    """They are read as well as they can be."""
    half = pa.array([0.5], pa.float16())
    assert good(parquet_of({"image": ["s3://b/a.jpg"], "strength": half})).entries[0].params == {"strength": 0.5}


def test_times_that_python_has_not() -> None:
    """Of nanoseconds, or beyond the year 9999: no column that nobody uses makes a file unreadable."""
    times = pa.array([1], pa.timestamp("ns")), pa.array([10**15], pa.timestamp("ms"))
    found = good(parquet_of({"image": ["s3://b/a.jpg"], "at": times[0], "end": times[1]}))
    assert found.entries[0].meta["at"] == "1970-01-01 00:00:00.000000001"
    assert "out of range" in found.entries[0].meta["end"]


def test_columns_of_bytes_are_told_where_the_images_are_missing() -> None:
    """Some programs write texts as bytes: what to do is said where the images are among them."""
    told = refusal(parquet_of({"id": ["a"], "image": [b"s3://b/a.jpg"]}))
    assert "image: is a column of bytes or objects: write it as text" in told
    told = refusal(parquet_of({"id": ["a"], "picture": [b"s3://b/a.jpg"]}))
    assert "image: the column picture is one of bytes or objects: write it as text" in told
    told = refusal(parquet_of({"id": [b"a"], "image": ["s3://b/a.jpg"]}))
    assert "id: is a column of bytes or objects: write it as text, or call it something else" in told


def test_a_name_with_a_dot_is_no_path() -> None:
    """Beside an object that has such a part, too."""
    columns = {"image": ["s3://b/a.jpg"], "media": [{"title": "wrong", "x": 1}], "media.title": ["right"]}
    found = good(parquet_of(columns))
    assert found.entries[0].meta == {"media.title": "right"}
    assert found.manifest.form == "a Parquet file, without its columns of bytes or objects (media)"
