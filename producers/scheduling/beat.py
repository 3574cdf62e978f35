"""What `restyle beat` does at each tick: looks at the schedules by Redis's clock and fires what is due.

What fires is written to S3. Then its run's id is claimed and kept in one step, so any number of beats may run; the
dispatcher hands it to a worker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from config.settings import Settings
from producers.scheduling.fired import Fired
from producers.scheduling.schedule import MISSED, Firing, due, fire, upcoming
from restyle.coordination.runs.firings import Ending, Firings
from restyle.errors import RestyleError
from restyle.keys import Workspace
from restyle.s3.store import Store

log = structlog.get_logger("restyle.beat")


@dataclass(frozen=True)
class Beat:
    """The schedules of one restyle.toml."""

    settings: Settings
    firings: Firings
    store: Store
    workspace: Workspace

    def tick(self) -> float:
        """Fires what is due; answers with the seconds to wait until the next look."""
        now = datetime.fromtimestamp(self.firings.state.clock(), UTC)
        looked = self._looked(now)
        for firing in due(self.settings, looked, now):
            if self.fire(firing):
                self._tell(firing)
        # Noted last: cut off in between, the same is due again, and found claimed.
        self.firings.look([schedule.name for schedule in self.settings.schedule], now)
        return self._wait(now)

    def fire(self, firing: Firing) -> bool:
        """Claims a firing; False where another beat was faster, or it is over, whatever Redis says."""
        if self.fired.over(firing):
            return False
        self.fired.put(firing)
        return self.firings.fire(firing.run_id)

    @property
    def fired(self) -> Fired:
        """What schedules fired, by S3."""
        return Fired(self.store, self.workspace)

    def fire_now(self, name: str, labels: Mapping[str, str]) -> Firing:
        """A firing of this moment, for `restyle schedules run`; one that is taken is answered all the same."""
        schedule = next(schedule for schedule in self.settings.schedule if schedule.name == name)
        schedule = schedule.model_copy(update={"labels": dict(labels)})
        firing = fire(schedule, datetime.fromtimestamp(self.firings.state.clock(), UTC), self.settings)
        self.fire(firing)
        return firing

    def _looked(self, now: datetime) -> dict[str, datetime]:
        """Up to when each schedule was looked at: by Redis, else by its last firing in S3; a new one as of now."""
        looked = {name: at for name, at in self.firings.looked().items() if at <= now}
        for schedule in self.settings.schedule:
            if schedule.name not in looked:
                end = self._end_of(schedule.name)
                looked[schedule.name] = end if end is not None else now
        return looked

    def _end_of(self, name: str) -> datetime | None:
        try:
            end = self.fired.end_of(name)
        except RestyleError as error:
            log.warning("the last firing cannot be read; taken for a new schedule", schedule=name, reason=error.message)
            return None
        return end.at if end else None

    def _tell(self, firing: Firing) -> None:
        if not firing.missed:
            log.info("fired", schedule=firing.name, run=firing.run_id)
            return
        end = firing.ended(Ending.MISSED, MISSED)
        self.fired.close(end)
        self.firings.close(end)
        log.warning("missed", schedule=firing.name, run=firing.run_id)

    def _wait(self, now: datetime) -> float:
        nearest = [(next(upcoming(schedule, now)) - now).total_seconds() for schedule in self.settings.schedule]
        return min([self.settings.beat_seconds, *nearest])
