"""The matrix of servers: its tests are there, and its table keeps the rows of cells that did not run."""

from __future__ import annotations

import re
from dataclasses import astuple
from pathlib import Path

import pytest

from tests.matrix.core import core_of
from tests.matrix.page import PAGE, TABLE, Row
from tests.support.chosen import ACCESSES


@pytest.mark.parametrize("access", ACCESSES)
def test_its_tests_are_there(access: str) -> None:
    """A test that was renamed would be run by no cell."""
    for name in core_of(access):
        file, _, function = name.partition("::")
        text = (Path(__file__).parents[2] / file).read_text()
        assert re.search(rf"^def {re.escape(function.partition('[')[0])}\(", text, re.MULTILINE), name


def test_rows_stay_until_their_cell_runs_again() -> None:
    """A cell's newest row is the only one of it; what stands around the table stays."""
    one = Row("Redis", "tls", "rclone", "Redis 7", "2026-12-01", "12 of 12 in 80 s")
    other = Row("Redis", "acl", "rclone", "", "2026-12-01", "skipped: there is none")
    page = TABLE.with_rows(f"before\n{TABLE.begin}\n{TABLE.end}\nafter\n", [astuple(one), astuple(other)])
    again = Row("Redis", "tls", "rclone", "Redis 8", "2026-12-02", "**11 of 12** in 80 s; not `test_x[1-2]`")
    page = TABLE.with_rows(page, [astuple(again)])
    assert TABLE.rows_of(page) == [astuple(again), astuple(other)]
    assert (again.is_red, other.is_red) == (True, False)
    assert (page.startswith("before\n"), page.endswith("\nafter\n")) == (True, True)
    assert TABLE.rows_of(PAGE.read_text(encoding="utf-8"))
