"""Rows in the order of their first column, in a file: memory does not grow with their number."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from typing import Any

#: Rows that are written and fetched together.
_BATCH = 5000


class Ordered:
    """Rows by the texts that they begin with."""

    def __init__(self, file: sqlite3.Connection, table: str, *columns: str) -> None:
        """Begins a table of these columns, in a file that commits by itself."""
        self._file, self._table, self._columns = file, table, ", ".join(columns)
        self._rows: list[tuple[object, ...]] = []
        self._insert = f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns))})"  # noqa: S608 - our own names
        self._last, self._is_sorted, self._count = "", True, 0
        file.execute(f"CREATE TABLE {table} ({self._columns})")

    def add(self, text: str, *rest: object) -> None:
        """Takes a row in."""
        self._is_sorted = self._is_sorted and text >= self._last
        self._last = text
        self._rows.append((text, *rest))
        if len(self._rows) == _BATCH:
            self._write()

    def __len__(self) -> int:
        """How many there are."""
        return self._count + len(self._rows)

    def _write(self) -> None:
        self._file.execute("BEGIN")
        self._file.executemany(self._insert, self._rows)
        self._file.execute("COMMIT")
        self._count += len(self._rows)
        self._rows.clear()

    def __iter__(self) -> Iterator[list[Any]]:
        """All of them, once; those that came in order, as from a listing, lie so already.

        Many are fetched at a time: for each row that SQLite gives, threads that list meanwhile would be waited for.
        """
        self._write()
        table = self._table
        if not self._is_sorted:
            table = f"sorted_{table}"
            first = self._columns.partition(",")[0]
            self._file.execute(f"CREATE TABLE {table} AS SELECT * FROM {self._table} ORDER BY {first}")  # noqa: S608 - our own names
        query = f"SELECT json_group_array(json_array({self._columns})) FROM {table} WHERE rowid BETWEEN ? AND ?"  # noqa: S608 - our own names
        for start in range(1, self._count + 1, _BATCH):
            (some,) = self._file.execute(query, (start, start + _BATCH - 1)).fetchone()
            yield from json.loads(some)
