"""The matrix's table in docs/reliability.md: a row a cell, each as its last run left it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- written by `make matrix` -->", "<!-- end of the matrix -->"
HEAD = ("Redis", "reached", "S3", "versions", "date", "tests that held")


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

    @property
    def cell(self) -> tuple[str, str, str]:
        """Which cell it is."""
        return self.redis, self.access, self.s3

    def __str__(self) -> str:
        return f"| {self.redis} | {self.access} | {self.s3} | {self.versions} | {self.date} | {self.result} |"


def rows_of(page: str) -> list[Row]:
    """The rows that a page has.

    Raises:
        ValueError: the page has no place for them.
    """
    table = page[page.index(BEGIN) : page.index(END)].splitlines()
    lines = [line for line in table if line.startswith("|")][2:]
    return [Row(*(part.strip() for part in line.strip("|").split("|"))) for line in lines]


def with_rows(page: str, rows: Iterable[Row]) -> str:
    """The page with these rows in the place of those of the same cells."""
    by_cell = {row.cell: row for row in [*rows_of(page), *rows]}
    table = [f"| {' | '.join(HEAD)} |", "|" + "---|" * len(HEAD), *map(str, by_cell.values())]
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n" + "\n".join(table) + f"\n\n{END}{rest.partition(END)[2]}"


def write_rows(rows: Iterable[Row]) -> None:
    """Writes them into the page."""
    PAGE.write_text(with_rows(PAGE.read_text(encoding="utf-8"), rows), encoding="utf-8")
