"""What the fleet shares about notifications: those that are to be sent, each until it has arrived or is given up.

Once per run and event: the note in S3 of one that was sent, or given up, keeps it from being sent again. Redis's loss
can lose one that was not sent yet.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Self

import structlog
from pydantic import Field, ValidationError, model_validator

from restyle.coordination.redis.client import State
from restyle.run_ids import is_run_id
from restyle.telemetry import metrics
from restyle.value import Value

log = structlog.get_logger("restyle.notify")

#: Bytes of a notice.
MAX_BYTES = 1_000
#: Notices that are looked at in one go; of more than that, any.
MOST = 1_000
#: Seconds by which one is put off at most.
LONGEST_WAIT = 1800.0
#: Seconds after which one who was about to send it is taken for dead.
SENDING = 90.0


#: The largest number by which an event is distinguished from an earlier one.
LATEST = 999_999_999_999
#: What is amiss while a run goes on (reports/alarms.py), with the reasons that there are.
ALARMS = {
    "worker_lost": frozenset({"died"}), "failing": frozenset({"store", "variant"}),
    "budget_80": frozenset({"run", "day", "month"}), "low_credits": frozenset({"hours"}),
}  # fmt: skip
#: `<run>|<event>|<channel>`; the event of a suspension or an alarm names its reason and when it began.
_KEY = re.compile(
    r"(?P<run>[^|]{1,100})\|(?P<name>(?P<event>finished|not_started|suspended|awaiting_approval|worker_lost|failing"
    r"|budget_80|low_credits)(?:-(?P<reason>[a-z_]{1,40})-(?P<since>0|[1-9]\d{0,11}))?)\|(?P<channel>webhook|slack|email)"
)


def event_of(reason: str | None, *, default: str = "") -> str:
    """The event that a suspension for this reason is; one that is of no suspension keeps its own."""
    if reason is None:
        return default if default in {"finished", "not_started"} else ""
    if default in ALARMS:
        return default if reason in ALARMS[default] else ""
    return "awaiting_approval" if reason == "awaiting_approval" else "suspended"


class Notice(Value):
    """One event for one channel: no more than a hint, since whoever can write to Redis can write one.

    What is sent, and to whom, is read from the run in S3 when it is sent.
    """

    key: str
    tries: int = Field(0, ge=0, le=1000)
    due: float = 0.0
    """By Redis's clock."""
    sent_at: float = 0.0
    """When it was sent without a note in S3, which was out of reach; as somebody says, by Redis's clock."""

    @model_validator(mode="after")
    def _check_key(self) -> Self:
        parts = _KEY.fullmatch(self.key)
        if parts is None or not is_run_id(parts["run"]):
            raise ValueError("its key is not <run>|<event>|<channel>")
        # One event has one name: by another it would be sent once more.
        if parts["event"] != event_of(parts["reason"], default=parts["event"]):
            raise ValueError("its event is not of its reason")
        return self

    @property
    def run_id(self) -> str:
        """The run that it is about."""
        return self._part("run")

    @property
    def name(self) -> str:
        """The event, with a suspension's reason and beginning: what it is remembered by."""
        return self._part("name")

    @property
    def event(self) -> str:
        """The event, as `[notify]` lists it."""
        return self._part("event")

    @property
    def reason(self) -> str:
        """Of a suspension, why; else empty."""
        return self._part("reason")

    @property
    def since(self) -> int:
        """Of a suspension, when it began, in Unix seconds; else 0."""
        return int(self._part("since") or 0)

    @property
    def channel(self) -> str:
        """webhook, slack or email."""
        return self._part("channel")

    def _part(self, name: str) -> str:
        parts = _KEY.fullmatch(self.key)
        return (parts[name] or "") if parts else ""


class Notices:
    """The shared list of notices to send."""

    def __init__(self, state: State) -> None:
        self.state = state

    def add(self, notices: Sequence[Notice]) -> int:
        """Puts an event's notices on the list; how many were not there before."""
        fields = [part for notice in notices for part in (notice.key, notice.model_dump_json())]
        return int(self.state.run("notice", notices=fields))

    def due(self) -> list[Notice]:
        """What is to be sent now, oldest first."""
        key = self.state.key("notices")
        if not (names := self.state.ask("HRANDFIELD", key, MOST)):
            return []
        now, texts = self.state.clock(), self.state.ask("HMGET", key, *names)
        notices = [notice for name, text in zip(names, texts, strict=True) if (notice := self._read(name, text))]
        due = [notice for notice in notices if not now < notice.due <= now + LONGEST_WAIT]
        return sorted(due, key=lambda notice: (notice.due, notice.key))

    @staticmethod
    def _read(name: str, text: str | None) -> Notice | None:
        """A notice; None where it is none, which delays no other."""
        if text is None:
            return None
        try:
            notice = Notice.model_validate_json(text[:MAX_BYTES])
        except ValidationError:
            notice = None
        if notice is None or notice.key != name:
            metrics.HINTS_DROPPED.labels("notice").inc()
            log.warning("a notice cannot be read: left alone", notice=ascii(text[:200]))
            return None
        return notice

    def take(self, notice: Notice) -> bool:
        """Takes the right to send a notice."""
        if not self.state.run("once", what="telling", which=notice.key, most=round(SENDING * 1000)):
            return False
        # Another may have sent it between the listing and this.
        return bool(self.state.ask("HEXISTS", self.state.key("notices"), notice.key))

    def done(self, notice: Notice) -> None:
        """Takes a notice off the list."""
        self.state.ask_all(
            ("HDEL", self.state.key("notices"), notice.key), ("DEL", self.state.key("telling", notice.key))
        )

    def again(self, notice: Notice, wait: float, *, tried: bool = True, sent: bool = False) -> None:
        """Leaves a notice for later.

        Args:
            notice: which.
            wait: seconds.
            tried: whether it was sent in vain.
            sent: whether it was sent, and only S3 has no note of it yet.
        """
        now = self.state.clock()
        changes = {
            "tries": notice.tries + tried,
            "due": now + wait,
            "sent_at": notice.sent_at or (now if sent else 0.0),
        }
        later = notice.model_copy(update=changes)
        self.state.ask_all(
            ("HSET", self.state.key("notices"), notice.key, later.model_dump_json()),
            ("DEL", self.state.key("telling", notice.key)),
        )
