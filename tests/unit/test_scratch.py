"""Tables in files: each goes with the object that keeps it."""

from __future__ import annotations

import sqlite3

import pytest

from restyle.runtime.scratch import scratch


class Keeper:
    """Whoever has a table."""

    def __init__(self) -> None:
        self.table = scratch(self, "cache_size = -100")


def test_a_table_is_closed_with_its_keeper() -> None:
    """No connection is left open by somebody who forgot to close it."""
    keeper = Keeper()
    table = keeper.table
    assert table.execute("SELECT 1").fetchone() == (1,)
    del keeper
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        table.execute("SELECT 1")
