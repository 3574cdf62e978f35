"""A program of its own: writes the rows of a Parquet or ORC file to a file, a JSON list a line. Started by columnar.py.

Rows are read in batches, and only columns that can be text.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import date, datetime, time
from decimal import Decimal
from math import isfinite

import pyarrow as pa
from pyarrow import orc, parquet

from restyle.runtime.handing_over import TooMuch, bound, write_rows

#: Bytes of memory and seconds of CPU that reading may take.
_MEMORY, _SECONDS = 4_000_000_000, 1200
_BATCH = 1000
_MAX_COLUMNS = 1000
#: Characters of a column's name that are reported.
_MAX_TOLD = 100


def main(path: str, kind: str, out: str, most: str) -> dict[str, object]:
    """Writes header and rows, so many bytes at most; answers with the columns that are left out, or with `error`."""
    bound(memory=_MEMORY, seconds=_SECONDS, most=int(most))
    try:
        file = parquet.ParquetFile(path) if kind == "Parquet" else orc.ORCFile(path)
        schema = file.schema_arrow if kind == "Parquet" else file.schema
        if len(schema) > _MAX_COLUMNS:
            return {"error": f"has {len(schema):,} columns; at most {_MAX_COLUMNS:,} are read"}
        write_rows(out, _rows(file, schema, kind), first=0, most=int(most))
    except TooMuch as error:
        return {"error": str(error)}
    except MemoryError:
        return {"error": "needs too much memory to be read: write it in smaller row groups, or as JSONL"}
    except (pa.ArrowException, OSError, ValueError, LookupError, OverflowError) as error:
        return {"error": f"is no {kind} file that can be read ({str(error)[:200]})"}
    return {"left_out": [field.name[:_MAX_TOLD] for field in schema if not _is_text(field.type)]}


def _rows(file: parquet.ParquetFile | orc.ORCFile, schema: pa.Schema, kind: str) -> Iterator[list[str]]:
    """The header, and what stands below it."""
    places = [place for place, field in enumerate(schema) if _is_text(field.type)]
    names = [schema.field(place).name for place in places]
    yield names
    # A name with a dot is also the path to a part of an object: then all are read, and taken by their places.
    is_all = any("." in name for name in names)
    for batch in _batches(file, None if is_all else names, kind):
        columns = [_cells(batch.column(place)) for place in (places if is_all else range(len(names)))]
        yield from ([*map(_text, row)] for row in zip(*columns, strict=True))


def _batches(file: parquet.ParquetFile | orc.ORCFile, names: list[str] | None, kind: str) -> Iterator[pa.RecordBatch]:
    if kind == "Parquet":
        yield from file.iter_batches(batch_size=_BATCH, columns=names, use_threads=False)
        return
    for stripe in range(file.nstripes):
        whole = file.read_stripe(stripe, columns=names)
        yield from (whole.slice(start, _BATCH) for start in range(0, whole.num_rows, _BATCH))


def _cells(column: pa.Array) -> list[object]:
    """A column's cells; short numbers with the digits that they were written with: 0.65, not 0.6499999761581421."""
    if pa.types.is_floating(column.type) and not pa.types.is_float64(column.type):
        texts = column.cast(pa.float32()).cast(pa.string()).to_pylist()
        return [None if text is None else float(text) for text in texts]
    try:
        cells: list[object] = column.to_pylist()
    except (ValueError, OverflowError):  # times of nanoseconds, or beyond the year 9999
        cells = column.cast(pa.string()).to_pylist()
    return cells


def _is_text(kind: pa.DataType) -> bool:
    """Whether a column's cells can be text: all but bytes and objects; lists of text are lists of pictures."""
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return bool(pa.types.is_string(kind.value_type) or pa.types.is_large_string(kind.value_type))
    if pa.types.is_nested(kind):
        return False
    return not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))


def _text(cell: object) -> str:
    if cell is None or isinstance(cell, str):
        return cell or ""
    match cell:
        case bool():
            return str(cell).lower()
        case list():
            return json.dumps([one for one in cell if one])
        case float() if not isfinite(cell):
            return ""
        case float():
            return str(int(cell)) if cell.is_integer() else format(Decimal(repr(cell)), "f")
        case Decimal():
            return format(cell, "f")
        case datetime() | date() | time():
            return cell.isoformat()
        case _:
            return str(cell)


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:5])))  # noqa: T201 - what columnar.py reads
