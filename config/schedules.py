"""`[[schedule]]` and `[notify]` of restyle.toml: which runs start by themselves, when, and who is notified."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from restyle.coordination.runs.brakes import BrakeLimit
from restyle.keys import split_uri
from restyle.models import Labels, Refetch
from restyle.run_ids import LATEST

Event = Literal[
    "finished", "suspended", "awaiting_approval", "not_started", "worker_lost", "failing", "budget_80", "low_credits"
]

#: A run's id ends in its schedule's name and is part of S3 keys.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
#: What is typed so means runs by the beginning of their ids.
_LIKE_RUN_ID = re.compile(r"[0-9]{1,8}|[0-9]{8}T.*")
#: Any Monday; only the form of an expression is checked.
_SOME_DAY = datetime(2026, 1, 5)  # noqa: DTZ001 - cronsim takes the wall clock's time here
_ADDRESS = re.compile(r"[^@\s,]+@[^@\s,]+")


def _check_name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("is 1-64 of A-Z a-z 0-9 _ . - and begins with a letter, a digit or _")
    if text == LATEST or _LIKE_RUN_ID.fullmatch(text):
        raise ValueError(f"{text!r} would be taken for a run, not for its schedule: begin it with a word")
    return text


def _check_cron(text: str) -> str:
    if len(text.split()) != 5:
        raise ValueError("has five fields: minute hour day-of-month month day-of-week, e.g. 15 2 * * *")
    try:
        next(CronSim(text, _SOME_DAY))
    except CronSimError as error:
        raise ValueError(f"{error}; it has the form: minute hour day-of-month month day-of-week") from None
    except StopIteration:
        raise ValueError("never comes: there is no such day") from None
    return text


def _check_timezone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ValueError, OSError, LookupError):
        raise ValueError(f"{text!r} is no time zone; write it like Europe/Berlin, or UTC") from None
    return text


def _check_s3(text: str) -> str:
    try:
        split_uri(text)
    except ValueError:
        raise ValueError(f"{text!r} is no s3:// URI: a schedule is planned on a worker, which reads S3 only") from None
    return text


def _check_place(text: str) -> str:
    return text if not text or text.startswith("https://") else _check_s3(text)


def _check_time(text: str) -> str:
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", text):
        raise ValueError("is a time of day as HH:MM, e.g. 06:30")
    return text


def _check_web(text: str) -> str:
    if not re.match(r"https?://[^/\s]+", text):
        raise ValueError("is an http:// or https:// address")
    return text


def _check_address(text: str) -> str:
    if not _ADDRESS.fullmatch(text):
        raise ValueError(f"{text!r} is no e-mail address")
    return text


Place = Annotated[str, AfterValidator(_check_place)]
S3Uri = Annotated[str, AfterValidator(_check_s3)]
Web = Annotated[str, AfterValidator(_check_web)]
Address = Annotated[str, AfterValidator(_check_address)]


class Table(BaseModel):
    """A table of restyle.toml; a key that it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


#: Keys that `[notify.email]` had in earlier versions, and the workers' settings that replace them.
_MOVED = {"host": "smtp_host", "port": "smtp_port", "user": "smtp_user", "tls": "smtp_tls", "from": "smtp_from"}


class Email(Table):
    """`[notify.email]`: the recipients. Server and sender are settings of the workers, which send the messages."""

    to: tuple[Address, ...] = Field(min_length=1, max_length=50)

    @model_validator(mode="before")
    @classmethod
    def _check_moved(cls, value: Any) -> Any:
        moved = [key for key in _MOVED if isinstance(value, dict) and key in value]
        if moved:
            name = _MOVED[moved[0]]
            raise ValueError(
                f"{moved[0]} is a setting of the workers now: {name} in their restyle.toml, or RESTYLE_{name.upper()}"
            )
        return value


class Notify(Table):
    """`[notify]`: who is notified, and of which events.

    Secrets, and the addresses that get them, are not here: they are settings of the workers (docs/settings.md).
    """

    webhook: Web | None = None
    """Gets a signed JSON object (RESTYLE_NOTIFY_SECRET)."""
    slack: bool = False
    """Whether the Slack-compatible webhook of RESTYLE_NOTIFY_SLACK is notified too."""
    email: Email | None = None
    events: tuple[Event, ...] = get_args(Event)

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels that are set."""
        ways = {"webhook": self.webhook, "slack": self.slack, "email": self.email}
        return tuple(way for way, recipient in ways.items() if recipient)

    @property
    def as_stored(self) -> dict[str, Any]:
        """The form in run.json, which `read` reads; empty where nobody is notified."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True) if self.channels else {}

    @classmethod
    def read(cls, kept: Mapping[str, Any]) -> Notify:
        """From the form in run.json, also as earlier versions wrote it.

        Raises:
            ValidationError: it has another form.
        """
        known = {name: value for name, value in kept.items() if name in cls.model_fields}
        if isinstance(email := known.get("email"), Mapping):
            known["email"] = {"to": email.get("to", ())}
        return cls.model_validate(known)


class Schedule(Table):
    """One `[[schedule]]`: a run that starts by itself."""

    name: Annotated[str, AfterValidator(_check_name)]
    cron: Annotated[str, AfterValidator(_check_cron)]
    time_zone: Annotated[str, AfterValidator(_check_timezone)]
    manifest: S3Uri
    variants: S3Uri | None = None
    prompt: str | None = Field(None, min_length=1)
    sets: dict[str, str | int | float | bool] = Field(default={}, alias="set")
    output: S3Uri | None = None
    columns: dict[str, str] = Field(default={}, alias="column")
    """How the manifest is read, as the options of `run` say it: these and the next six."""
    sheet: str = ""
    items: str = ""
    feed: str = ""
    images: Place = ""
    id: str = ""
    namespace: str = ""
    refetch: Refetch = "changed"
    budget: float | None = Field(None, gt=0)
    finish_by: Annotated[str, AfterValidator(_check_time)] | None = None
    overlap: Literal["skip", "queue", "cancel"] = "skip"
    catch_up: bool = False
    skip_invalid: bool = False
    max_failures: BrakeLimit | None = None
    max_suspects: BrakeLimit | None = None
    priority: Literal["high", "normal", "low"] = "normal"
    wait_credits: bool = True
    """Whether its runs go on by themselves once the account has credits again."""
    labels: Labels = {}
    """Of its runs, whose name is the schedule's."""
    notify: Notify | None = None
    """In the place of `[notify]`."""

    @model_validator(mode="after")
    def _one_recipe(self) -> Schedule:
        if self.prompt is not None and self.variants is not None:
            raise ValueError("prompt is a variant of its own: give it or variants, not both")
        return self

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of cron and finish_by."""
        return ZoneInfo(self.time_zone)

    def deadline(self, fired: datetime) -> datetime | None:
        """The first `finish_by` after a firing; one that daylight saving skips is the next valid minute."""
        if self.finish_by is None:
            return None
        clock = time.fromisoformat(self.finish_by)
        day = fired.astimezone(self.zone).date()
        return next(moment for offset in (0, 1, 2) if (moment := self._on(day, offset, clock)) > fired)

    def _on(self, day: date, offset: int, clock: time) -> datetime:
        begin = datetime.combine(day + timedelta(days=offset), time(), self.zone)
        # By cronsim, so that the deadline treats changes of the clock as the schedule does.
        moment: datetime = next(CronSim(f"{clock.minute} {clock.hour} * * *", begin - timedelta(seconds=1)))
        # In UTC: in Python a time that the clock shows twice equals no time of another zone.
        return moment.astimezone(UTC)


def check_names(schedules: tuple[Schedule, ...]) -> tuple[Schedule, ...]:
    """The schedules, unchanged.

    Raises:
        ValueError: two names differ in case alone, or not at all.
    """
    seen: set[str] = set()
    for schedule in schedules:
        if schedule.name.lower() in seen:
            raise ValueError(f"two schedules are named {schedule.name}")
        seen.add(schedule.name.lower())
    return schedules


def readable(problem: Any, content: dict[str, Any], nearest: Any) -> str:
    """An error in a table, as a sentence: `[[schedule]] nightly: cron: has five fields …`.

    Args:
        problem: one of pydantic's errors.
        content: the file's.
        nearest: returns a hint at the known name that is most like a wrong one.
    """
    table, *rest = problem["loc"]
    where = f"[{table}]"
    if table == "schedule":
        where = "[[schedule]]"
        if rest and isinstance(rest[0], int):
            number, *rest = rest
            tables = content.get("schedule")
            entry = tables[number] if isinstance(tables, list) and isinstance(tables[number], dict) else {}
            where += f" {entry.get('name') or number + 1}"
    names = [str(part) for part in rest]
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        message = "unknown key" + nearest(names[-1], _known(str(table), names[:-1]))
    elif problem["type"] == "missing":
        message = "is missing"
    elif table == "schedule" and not isinstance(content.get("schedule"), list):
        message = "write each schedule below a line [[schedule]] of its own, with two brackets"
    return ": ".join([where, *([".".join(names)] if names else []), message])


def _known(table: str, path: list[str]) -> set[str]:
    """The keys of a table, or of one inside it."""
    if path and path[-1] == "email":
        model: type[Table] = Email
    else:
        model = Schedule if table == "schedule" and "notify" not in path else Notify
    return {field.alias or name for name, field in model.model_fields.items()}
