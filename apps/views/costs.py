"""What runs have cost, as commands and pages show it: groups in order, figures, and what the sums do not have."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from apps.session import Session
from producers.manifest.cells.formulas import guarded
from producers.runs.listing import read_runs, run_ids
from producers.runs.spending import By, Cost, Spending, spending
from restyle.coordination.periods import Periods, known_zone

#: The figures of a cost, as CSV and JSON name them.
FIGURES = ("pictures", "credits", "in_doubt", "dollars")
#: Credits by which groups come to more than the total where a run counts for several labels.
_ROUNDING = 0.01


@dataclass(frozen=True)
class CostTable:
    """What the runs of a workspace have cost."""

    by: By
    #: The time zone whose days are meant.
    zone: str
    #: Dollars a credit.
    price: float
    spent: Spending

    @property
    def groups(self) -> list[tuple[str, Cost]]:
        """Those of time in their order, others by what they cost."""
        ranked = sorted(self.spent.groups.items(), key=lambda item: item[0])
        if self.by in {By.DAY, By.MONTH, By.RUN}:
            return ranked
        return sorted(ranked, key=lambda item: -item[1].credits - item[1].in_doubt)

    @property
    def rows(self) -> list[tuple[str, dict[str, float]]]:
        """Each group in figures."""
        return [(name, self.figures(cost)) for name, cost in self.groups]

    @property
    def total(self) -> dict[str, float]:
        """All of it in figures: each credit once, also where a run has several labels."""
        return self.figures(self.spent.total)

    def figures(self, cost: Cost) -> dict[str, float]:
        """A cost in figures; dollars are of both kinds of credits."""
        dollars = round((cost.credits + cost.in_doubt) * self.price, 4)
        values = (cost.pictures, round(cost.credits, 6), round(cost.in_doubt, 6), dollars)
        return dict(zip(FIGURES, values, strict=True))

    def csv(self) -> str:
        """The rows as CSV; what a spreadsheet would compute is guarded from it."""
        out = io.StringIO(newline="")
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([self.by.value, *FIGURES])
        for name, figures in self.rows:
            writer.writerow([name if self.by in {By.DAY, By.MONTH} else guarded(name), *figures.values()])
        return out.getvalue()

    @property
    def in_doubt(self) -> str:
        """What is in doubt; empty: nothing is."""
        if not self.spent.total.in_doubt:
            return ""
        return (
            "In doubt: calls whose answers were lost, at the price that budgets count; the account says whether they"
            " were billed."
        )

    @property
    def missing(self) -> list[str]:
        """What the sums do not have."""
        going = len(self.spent.under_way)
        lines = []
        if going:
            verb = "runs are" if going > 1 else "run is"
            lines = [f"{going:,} {verb} under way: what is not closed yet is not in these sums."]
        return lines + [
            f"Run {run_id} is not in these sums, or not whole: {why}" for run_id, why in self.spent.unread.items()
        ]

    @property
    def repeated(self) -> str:
        """What the groups have twice; empty: nothing."""
        if sum(cost.credits for cost in self.spent.groups.values()) <= self.spent.total.credits + _ROUNDING:
            return ""
        return "A run with several labels counts for each of them, and once in the total."


def cost_table(here: Session, by: By, *, since: str = "", labels: Mapping[str, str] | None = None) -> CostTable:
    """What the runs of a workspace have cost; every run's results are read for it.

    Args:
        here: the workspace.
        by: what costs are counted by.
        since: the first day that counts, like 2026-01-31; empty: all do.
        labels: only runs that have all of these.

    Raises:
        StateUnavailable, StoreUnavailable: Redis or S3 is out of reach.
    """
    only = (labels or {}).items()
    runs = read_runs(run_ids(here.store, here.workspace), here.store, here.workspace)
    zone = known_zone(Periods(here.state).zone() or here.settings.time_zone)
    spent = spending(
        (run for run in runs if only <= run.labels.items()), by, store=here.store, workspace=here.workspace, zone=zone,
        since=since,
    )  # fmt: skip
    return CostTable(by, zone, here.settings.credit_price, spent)


def is_day(text: str) -> bool:
    """Whether a text is a day like 2026-01-31."""
    try:
        return f"{date.fromisoformat(text)}" == text
    except ValueError:
        return False
