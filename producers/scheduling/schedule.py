"""When schedules fire, and what a firing means while an earlier run is still going. Pure: no clock, no Redis, no S3."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Literal, Self

from cronsim import CronSim
from pydantic import Field, field_validator, model_validator

from config.schedules import Notify, Schedule
from config.settings import Settings
from producers.manifest import ReadOptions
from producers.planning.request import PlanRequest
from restyle.coordination.runs.firings import Ending, FiringEnd
from restyle.coordination.suspensions import Suspension
from restyle.models import RunStatus, utc_now
from restyle.run_ids import new_run_id, schedule_of
from restyle.value import UtcTime, Value

#: Why a firing was missed.
MISSED = "nobody looked when it was due; with catch_up = true it would have been made good for"
#: Settings that are frozen in a plan, and all that a firing may set.
PLANNED_WITH = (
    "defaults",
    "max_side",
    "background",
    "min_side",
    "max_ratio",
    "keep_metadata",
    "keep_replaced",
    "reuse",
    "price",
    "credit_price",
    "max_failures",
    "max_suspects",
)


class Firing(Value):
    """One time of one schedule, with all that a worker needs to plan its run; the worker reads no restyle.toml.

    It is read again from S3, by the models that read it from restyle.toml.
    """

    v: Literal[1] = 1
    run_id: str
    at: UtcTime
    missed: bool = False
    """Nobody looked when it was due, and the schedule does not catch up."""
    schedule: Schedule
    settings: dict[str, Any] = Field(default_factory=dict)
    """What else of the firing machine's settings decides what is sent: a plan must not depend on who makes it."""
    notify: dict[str, Any] = Field(default_factory=dict)
    """Who is notified of its run."""

    @field_validator("settings")
    @classmethod
    def _check_settings(cls, given: dict[str, Any]) -> dict[str, Any]:
        if foreign := given.keys() - set(PLANNED_WITH):
            raise ValueError(f"no schedule may set {', '.join(sorted(foreign))}")
        settings = Settings.model_validate(given)
        return {name: getattr(settings, name) for name in given}

    @field_validator("notify")
    @classmethod
    def _check_notify(cls, given: dict[str, Any]) -> dict[str, Any]:
        return Notify.model_validate(given).as_stored

    @model_validator(mode="after")
    def _check_run_id(self) -> Self:
        if self.run_id != new_run_id(self.at, self.schedule.name):
            raise ValueError("its run's id is not made of its time and its schedule's name")
        return self

    @property
    def name(self) -> str:
        """The schedule's name."""
        return self.schedule.name

    def ended(self, ending: Ending, detail: str = "") -> FiringEnd:
        """How it ended."""
        return FiringEnd(
            schedule=self.name, run_id=self.run_id, at=self.at, ending=ending, detail=detail[:2000], settled=utc_now()
        )

    @property
    def request(self) -> PlanRequest:
        """What is to be planned."""
        schedule = self.schedule
        return PlanRequest(
            manifest=schedule.manifest,
            variants=schedule.variants,
            prompt=schedule.prompt,
            sets=tuple(f"{name}={_cell(value)}" for name, value in schedule.sets.items()),
            output=schedule.output,
            columns=schedule.columns,
            read=ReadOptions(
                sheet=schedule.sheet,
                items=schedule.items,
                feed=schedule.feed,
                images=schedule.images,
                id=schedule.id,
                namespace=schedule.namespace,
            ),
            refetch=schedule.refetch,
            skip_invalid=schedule.skip_invalid,
            budget=schedule.budget,
            finish_by=schedule.deadline(self.at),
            priority=schedule.priority,
            wait_credits=schedule.wait_credits,
            schedule=schedule.name,
            labels=schedule.labels,
            notify=self.notify,
        )


class Overlap(StrEnum):
    """What a firing means beside an earlier run of its schedule."""

    START = "start"
    SKIP = "skip"
    WAIT = "wait"


@dataclass(frozen=True)
class Standing:
    """An unfinished run, as far as the next firing of its schedule is concerned."""

    run_id: str
    status: RunStatus
    suspensions: Sequence[Suspension] = ()

    @property
    def going(self) -> bool:
        """Whether it moves by itself; what its own limit or a suspension ended does not."""
        if self.status is not RunStatus.RUNNING:
            return False
        return all(suspension.ends_itself for suspension in self.suspensions)


def fire(schedule: Schedule, at: datetime, settings: Settings, *, missed: bool = False) -> Firing:
    """A firing; its run's id is made of the time and the name, so that a second one finds it taken."""
    at = at.astimezone(UTC).replace(microsecond=0)
    return Firing(
        run_id=new_run_id(at, schedule.name),
        at=at,
        missed=missed,
        schedule=schedule,
        settings={name: _planned_with(name, schedule, settings) for name in PLANNED_WITH},
        notify=(schedule.notify or settings.notify).as_stored,
    )


def upcoming(schedule: Schedule, after: datetime) -> Iterator[datetime]:
    """The times after a moment at which a schedule fires, in UTC."""
    for moment in CronSim(schedule.cron, after.astimezone(schedule.zone)):
        if moment.astimezone(UTC) > after:
            yield moment.astimezone(UTC)


def latest(schedule: Schedule, since: datetime, now: datetime) -> datetime | None:
    """The last time within (since, now] at which a schedule fires; None where there is none."""
    # Back from now first, in growing steps: years of minutes need not be counted one by one.
    step = timedelta(hours=1)
    while True:
        begin = max(since, now - step)
        last = None
        for moment in upcoming(schedule, begin):
            if moment > now:
                break
            last = moment
        if last or begin == since:
            return last
        step *= 4


def due(settings: Settings, looked: Mapping[str, datetime], now: datetime) -> list[Firing]:
    """What fires now. Of several times that have passed, only the last does: one run makes good for all of them.

    Args:
        settings: the schedules, and how late a firing may be without being missed.
        looked: up to when each was looked at before; one that is new fires from its next time on.
        now: the time by Redis.
    """
    grace = timedelta(seconds=settings.beat_grace)
    firings = []
    for schedule in settings.schedule:
        since = looked.get(schedule.name)
        at = latest(schedule, since, now) if since is not None and since < now else None
        if at is not None:
            firings.append(fire(schedule, at, settings, missed=not schedule.catch_up and now - at > grace))
    return firings


def overlapping(firing: Firing, unfinished: Sequence[Standing]) -> Overlap:
    """What to do with a firing beside the unfinished runs of its schedule; a start ends all of those first."""
    if not any(standing.going for standing in unfinished):
        return Overlap.START
    return {"skip": Overlap.SKIP, "queue": Overlap.WAIT, "cancel": Overlap.START}[firing.schedule.overlap]


def is_of(run_id: str, schedule: str) -> bool:
    """Whether a run was started by a schedule, by its id."""
    return schedule_of(run_id) == schedule


def _planned_with(name: str, schedule: Schedule, settings: Settings) -> Any:
    """A setting that is frozen in a plan: the schedule's own where it has one."""
    own = getattr(schedule, name, None)
    return getattr(settings, name) if own is None else own


def _cell(value: str | int | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
