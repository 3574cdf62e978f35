"""What a run has opened and what it has cost, in S3: small objects whose names say it, so that a listing tells all.

`runs/<run>/ledger/000003` stands since before shard 3 was opened: whatever was paid for it has a record or a note of a
doubt. `ledger/000003_2026-01-31_12.340000` says what its jobs cost on that day; it is written when the shard is
closed, before Redis forgets it. So what a day has cost is known again after a loss of Redis, by one listing a run.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from restyle.keys import Workspace
from restyle.s3.store import Store

_NAME = re.compile(r"(\d{6})(?:_(\d{4}-\d\d-\d\d)_(\d+\.\d{6}))?")
JSON = "application/json"


@dataclass
class Ledger:
    """A run's ledger as it was listed."""

    opened: set[int] = field(default_factory=set)
    #: Shard -> day -> credits.
    spent: dict[int, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))

    @property
    def by_day(self) -> dict[str, float]:
        """What all reported shards have cost."""
        days: dict[str, float] = defaultdict(float)
        for amounts in self.spent.values():
            for day, credits in amounts.items():
                days[day] += credits
        return days


def mark_opened(run_id: str, shard: int, store: Store, workspace: Workspace) -> None:
    """Notes that a shard is about to be opened."""
    store.put(workspace.ledger(run_id, f"{shard:06d}"), b"{}", content_type=JSON)


def put_spent(run_id: str, shard: int, spent: Mapping[str, float], store: Store, workspace: Workspace) -> None:
    """Notes what a shard's jobs have cost, by day."""
    for day, credits in spent.items():
        if credits > 0:
            text = json.dumps({"shard": shard, "day": day, "credits": round(credits, 6)})
            uri = workspace.ledger(run_id, f"{shard:06d}_{day}_{credits:.6f}")
            store.put(uri, text.encode(), content_type=JSON)


def read_ledger(run_id: str, store: Store, workspace: Workspace) -> Ledger:
    """What the ledger of a run says. A shard that was closed twice is there twice; then the larger sum counts."""
    ledger = Ledger()
    for listed in store.list(workspace.ledger(run_id) + "/"):
        name = _NAME.fullmatch(posixpath.basename(listed.uri))
        if name is None:
            continue
        shard = int(name[1])
        if name[2] is None:
            ledger.opened.add(shard)
        else:
            amounts = ledger.spent[shard]
            amounts[name[2]] = max(amounts.get(name[2], 0.0), float(name[3]))
    return ledger


def add_up(by_day: Mapping[str, float], periods: tuple[str, str]) -> dict[str, float]:
    """What was spent by day, as sums of the day and of the month in force."""
    day, month = periods
    return {day: by_day.get(day, 0.0), month: sum(credits for name, credits in by_day.items() if name[:7] == month)}
