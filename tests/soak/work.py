"""What a fleet is given to do while it is struck: batches that are submitted, and nights of a schedule."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import count

from producers.runs.listing import read_runs, run_ids
from restyle.coordination.runs.progress import Progress
from restyle.models import Run
from restyle.s3.store import EMBEDDED_BUCKET
from tests.acceptance.conftest import FleetOf
from tests.support.catalog import picture, write_rows

SHOP = f"s3://{EMBEDDED_BUCKET}/soak"
#: Pictures that the entries of batches share: each entry has a prompt of its own, and so a result.
PICTURES = 50


@dataclass
class Work:
    """All that is to be paid for, once."""

    fleet: FleetOf
    batch: int = 1000
    new_each_night: int = 10
    rows: int = 0
    #: Pictures of the schedule's prefix.
    night_pictures: int = 0
    _numbers: count[int] = field(default_factory=lambda: count(1))

    def prepare(self) -> None:
        """Pictures, and a schedule of a night every two minutes."""
        for number in range(PICTURES):
            self._put(f"{SHOP}/pictures/{number:02d}.jpg", f"shared {number}")
        self.before_a_night()
        night = {
            "name": "nightly", "cron": "*/2 * * * *", "time_zone": "UTC", "manifest": f"{SHOP}/nights/",
            "prompt": "photo of {id}", "overlap": "queue",
        }  # fmt: skip
        lines = ["[[schedule]]", *(f"{name} = {json.dumps(value)}" for name, value in night.items())]
        (self.fleet.command.folder / "restyle.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def before_a_night(self) -> None:
        """New pictures for the next one."""
        for number in range(self.night_pictures, self.night_pictures + self.new_each_night):
            self._put(f"{SHOP}/nights/night-{number:05d}.jpg", f"night {number}")
        self.night_pictures += self.new_each_night

    def _put(self, uri: str, name: str) -> None:
        self.fleet.store.put(uri, picture(name), content_type="image/jpeg")

    def submit(self) -> None:
        """Another batch."""
        path = self.fleet.command.folder / f"batch-{next(self._numbers)}.csv"
        numbers = range(self.rows, self.rows + self.batch)
        write_rows(path, ({"id": f"item-{n:07d}", "image": f"{SHOP}/pictures/{n % PICTURES:02d}.jpg"} for n in numbers))
        self.fleet.command("submit", path.name, "--prompt", "photo of {id}", "--yes", timeout=300)
        self.rows += self.batch

    def pending(self, progress: Progress) -> int:
        """Jobs without an outcome; the ledger of each run adds up."""
        left = 0
        for totals in progress.ledgers().values():
            ended = totals.succeeded + totals.skipped + totals.failed
            assert 0 <= ended <= totals.planned, totals
            left += totals.planned - ended
        return left

    def runs(self) -> list[Run]:
        """All runs, by S3."""
        store, workspace = self.fleet.store, self.fleet.workspace
        return list(read_runs(sorted(run_ids(store, workspace)), store, workspace))
