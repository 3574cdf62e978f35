"""The matrix's table in docs/reliability.md: a row a cell, each as its last run left it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from pathlib import Path

from tests.support.table import Table

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
TABLE = Table(
    begin="<!-- written by `make matrix` -->",
    end="<!-- end of the matrix -->",
    head=("Redis", "reached", "S3", "versions", "date", "tests that held"),
    keys=3,
)


@dataclass(frozen=True)
class Row:
    """A cell and what came of it."""

    redis: str
    access: str
    s3: str
    versions: str
    date: str
    result: str

    @property
    def is_red(self) -> bool:
        """Whether something did not hold."""
        return self.result.startswith("**")


def write_rows(rows: Iterable[Row]) -> None:
    """Writes them into the page."""
    TABLE.write(PAGE, map(astuple, rows))
