"""A table that a command writes into a page, between two marks: a row for each key, each as its last run left it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

Cells = tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """Where it stands, and what its columns are."""

    begin: str
    end: str
    head: Cells
    #: How many columns, from the left, name what a row is about.
    keys: int

    def rows_of(self, page: str) -> list[Cells]:
        """The rows that a page has.

        Raises:
            ValueError: the page has no place for them.
        """
        table = page[page.index(self.begin) : page.index(self.end)].splitlines()
        lines = [line for line in table if line.startswith("|")][2:]
        return [tuple(part.strip() for part in line.strip("|").split("|")) for line in lines]

    def with_rows(self, page: str, rows: Iterable[Cells]) -> str:
        """The page with these rows in the place of those of the same keys."""
        by_key = {row[: self.keys]: row for row in [*self.rows_of(page), *rows]}
        head, *lines = [f"| {' | '.join(row)} |" for row in (self.head, *by_key.values())]
        table = "\n".join([head, "|" + "---|" * len(self.head), *lines])
        before, _, rest = page.partition(self.begin)
        return f"{before}{self.begin}\n\n{table}\n\n{self.end}{rest.partition(self.end)[2]}"

    def write(self, path: Path, rows: Iterable[Cells]) -> None:
        """Writes them into the page that lies there."""
        path.write_text(self.with_rows(path.read_text(encoding="utf-8"), rows), encoding="utf-8")
