"""The containers' table in docs/reliability.md: a row a proof and engine, each as its last run left it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from pathlib import Path

from tests.support.table import Table

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
TABLE = Table(
    begin="<!-- written by `make containers` -->",
    end="<!-- end of the containers -->",
    head=("engine", "what", "result", "took", "date"),
    keys=2,
)


@dataclass(frozen=True)
class Row:
    """A proof, and what came of it."""

    engine: str
    what: str
    result: str
    took: str
    date: str

    @property
    def is_red(self) -> bool:
        """Whether it did not hold."""
        return self.result.startswith("**")


def write_rows(rows: Iterable[Row]) -> None:
    """Writes them into the page."""
    TABLE.write(PAGE, map(astuple, rows))
