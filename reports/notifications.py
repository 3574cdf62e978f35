"""Notifications: decides what is sent about a run, and sends it. Nothing here can fail or delay a run.

A notice in Redis names only the run, the event and the channel. The recipients are read from the run in S3. The text is
made from the run's state at the time of sending. The mail server, the allowed hosts of webhooks and the secrets are
settings of the worker that sends.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog

from config.schedules import Notify
from config.settings import Settings
from producers.runs.kept_report import find_object
from producers.runs.reasons import Reason, reasons_of
from producers.runs.snapshot import read_run, rows_of, snapshot
from reports.alarms import Alarm, Watch
from reports.channels import send
from reports.messages import Payload, about, recipients_of, summed
from reports.nights import against_nights
from reports.notes import Notes
from restyle.coordination.advice import next_step
from restyle.coordination.fleet import Fleet
from restyle.coordination.outbox import ALARMS, LONGEST_WAIT, Notice, Notices, event_of
from restyle.coordination.runs.progress import Progress
from restyle.coordination.suspensions import Suspension
from restyle.errors import ConfigurationError, RestyleError
from restyle.keys import Workspace
from restyle.models import ENDED, Run, utc_now
from restyle.s3.errors import S3_ERRORS
from restyle.s3.store import Store
from restyle.telemetry import metrics

if TYPE_CHECKING:
    from producers.scheduling.schedule import Firing

log = structlog.get_logger("restyle.notify")

#: Seconds until the second try, times RESTYLE_BACKOFF_BASE. Each further wait is twice as long, up to LONGEST_WAIT.
FIRST_WAIT = 5.0
#: Tries before a notice is given up; they take about three hours.
TRIES = 14
#: An outage ends by itself: it is reported only if it lasts this many seconds.
OUTAGE_PATIENCE = 300.0

#: Seconds between two checks of a run's alarms; how many runs are remembered for a time when S3 is away.
ALARMS_EVERY, REMEMBERED = 10.0, 500
#: Seconds that another process may take to note in S3 that it has sent a notice.
NOTE_WITHIN = 60.0


class Outdated(Exception):
    """A notice does not hold, or not any more: it is dropped."""


@dataclass(frozen=True)
class Notifications:
    """Lists the notices that are due about runs, and sends them."""

    settings: Settings
    workspace: Workspace
    store: Store
    progress: Progress
    fleet: Fleet
    #: Suspensions and alarms that this process has listed: run and name. They need no second check.
    listed: set[tuple[str, str]] = field(default_factory=set)
    #: Runs that this process has read lately, for a time when S3 is away.
    known: dict[str, Run] = field(default_factory=dict)
    #: When the alarms of each run were last checked; monotonic seconds.
    alarms_checked: dict[str, float] = field(default_factory=dict)
    #: Notices that this process has sent or given up, but could not note in S3 yet; with the reason if not sent.
    unnoted: dict[str, str] = field(default_factory=dict)

    @property
    def notices(self) -> Notices:
        """The outbox."""
        return Notices(self.progress.state)

    @property
    def _notes(self) -> Notes:
        return Notes(self.store, self.workspace)

    # -- what happened -------------------------------------------------------------------------------------

    def finished(self, run: Run) -> None:
        """Lists the notice that a run has ended and its report is written."""
        self._list(run.run_id, run.notify, "finished", "finished")

    def standing_still(self, run: Run) -> None:
        """Lists each suspension of a run or of the fleet, once; every ALARMS_EVERY seconds also the run's alarms."""
        if not run.notify:
            return
        self._remember(run)
        for suspension in self._suspensions(run.run_id):
            if suspension.reason == "outage" and self._age(suspension) < OUTAGE_PATIENCE:
                continue
            event = event_of(suspension.reason)
            name = f"{event}-{suspension.reason}-{suspension.since:.0f}"
            if (run.run_id, name) not in self.listed:
                self._list(run.run_id, run.notify, event, name)
                self.listed.add((run.run_id, name))
        now = time.monotonic()
        if now - self.alarms_checked.get(run.run_id, -math.inf) >= ALARMS_EVERY:
            self.alarms_checked[run.run_id] = now
            self._list_alarms(run, self._watch.alarms(run))

    def store_is_away(self, why: str) -> None:
        """Lists, for every unfinished run that is remembered, that S3 is out of reach. Sends no request to S3."""
        self._watch.store_is_away(why)
        unfinished = set(self.progress.unfinished())
        for run in [run for run_id, run in self.known.items() if run_id in unfinished]:
            self._list_alarms(run, self._watch.store(), ask=False)

    def _list_alarms(self, run: Run, alarms: Iterable[Alarm], *, ask: bool = True) -> None:
        for alarm in alarms:
            if (run.run_id, alarm.name) not in self.listed:
                self._list(run.run_id, run.notify, alarm.event, alarm.name, ask=ask)
                self.listed.add((run.run_id, alarm.name))

    @property
    def _watch(self) -> Watch:
        return Watch(self.progress, self.fleet, self.settings.low_credits_hours)

    def _remember(self, run: Run) -> None:
        """Remembers a run for a time when S3 is away."""
        self.known.pop(run.run_id, None)
        self.known[run.run_id] = run
        while len(self.known) > REMEMBERED:
            del self.known[next(iter(self.known))]

    def not_started(self, firing: Firing, why: str) -> None:
        """Writes to S3 why a schedule's run could not be planned, and lists the notice of it."""
        text = f"{firing.run_id} could not start: {why}"[:2000]
        note = {"text": text, "schedule": firing.name, "notify": firing.notify}
        try:
            uri = self._notes.not_started(firing.run_id)
            self.store.put(uri, json.dumps(note).encode(), content_type="application/json")
        except RestyleError as error:
            log.warning("why a run did not start is not in S3", run=firing.run_id, reason=error.message)
            return
        self._list(firing.run_id, firing.notify, "not_started", "not_started")

    def _age(self, suspension: Suspension) -> float:
        return self.progress.state.clock() - suspension.since

    def _suspensions(self, run_id: str) -> list[Suspension]:
        return [*self.fleet.suspensions(), *self.progress.suspensions(run_id)]

    def _list(self, run_id: str, notify: dict[str, Any], event: str, name: str, *, ask: bool = True) -> None:
        """Puts an event into the outbox, for each channel that has not had it."""
        recipients = recipients_of(run_id, notify)
        if recipients is None or event not in recipients.events:
            return
        notices = [Notice(key=f"{run_id}|{name}|{channel}") for channel in recipients.channels]
        if due := [notice for notice in notices if not (ask and self._notes.was_sent(notice))]:
            self.notices.add(due)

    # -- sending -------------------------------------------------------------------------------------------

    def send_due(self) -> None:
        """Sends the notices that are due, one after the other. One that does not arrive is tried again later."""
        for notice in self.notices.due():
            if self.notices.take(notice):
                self._send(notice)

    def _send(self, notice: Notice) -> None:
        try:
            was_sent = self._notes.was_sent(notice)
            if was_sent:
                raise Outdated("it was sent, or given up, before")
            if notice.key not in self.unnoted and self._may_be_sent_already(notice, was_sent):
                self.notices.again(notice, FIRST_WAIT, tried=False)
                return
            # An unnoted one was sent before: only its note is still to be written.
            why = self.unnoted[notice.key] if notice.key in self.unnoted else self._deliver(notice)
        except Outdated as reason:
            metrics.HINTS_DROPPED.labels("notice").inc()
            log.warning("notice dropped: it no longer holds", run=notice.run_id, notice=notice.name, reason=str(reason))
            self.notices.done(notice)
            return
        except RestyleError as error:
            why = error.message
        except Exception as error:
            log.exception("bug in a notification")
            why = type(error).__name__
        words = {"run": notice.run_id, "notice": notice.name, "channel": notice.channel}
        if why and notice.tries + 1 < TRIES:
            wait = min(LONGEST_WAIT, FIRST_WAIT * self.settings.backoff_base * 2**notice.tries)
            log.warning("notification did not arrive", reason=why, again=wait, **words)
            self.notices.again(notice, wait)
            return
        if why:
            log.error("notification is given up", reason=why, **words)
        else:
            log.info("notified", **words)
        if self._notes.write_down(notice, why):
            self.unnoted.pop(notice.key, None)
            self.notices.done(notice)
        else:
            self.unnoted[notice.key] = why
            self.notices.again(notice, FIRST_WAIT, tried=False, sent=True)

    def _may_be_sent_already(self, notice: Notice, was_sent: bool | None) -> bool:
        """Whether another process may have sent the notice, and its note in S3 is still to be waited for.

        While S3 is away the wait has no end. Where S3 answers and has no note after NOTE_WITHIN seconds, the notice is
        sent: the other process has died, or the entry in Redis is forged.
        """
        if not notice.sent_at:
            return False
        age = self.progress.state.clock() - notice.sent_at
        return was_sent is None or 0 <= age < NOTE_WITHIN

    def _deliver(self, notice: Notice) -> str:
        """Sends one notice; answers with the reason why it did not arrive, or an empty text."""
        recipients, payload = self._payload(notice)
        if recipients is None or notice.channel not in recipients.channels or notice.event not in recipients.events:
            raise Outdated("nobody is to be notified of it")
        payload = {"v": 1, "id": notice.key, "event": notice.event, "run_id": notice.run_id, **payload}
        return send(notice.channel, recipients, payload, self.settings)

    def _payload(self, notice: Notice) -> tuple[Notify | None, Payload]:
        """The recipients and the content of a notice, from the run in S3 and its present state.

        Raises:
            Outdated: there is no such run, or the notice no longer holds.
        """
        if notice.event == "not_started":
            return self._not_started_payload(notice)
        run = self._run(notice.run_id)
        if notice.event == "finished":
            if run.status not in ENDED:
                raise Outdated(f"the run is {run.status.value}")
            more: Payload = {"changes": find_object(self.workspace.run(run.run_id, "diff.json"), self.store) or None}
            why = self._reasons(run)
        elif notice.event in ALARMS:
            alarm = next((one for one in self._watch.alarms(run) if one.name == notice.name), None)
            if alarm is None:
                raise Outdated("it is over by now")
            more, why = {"reason": notice.reason, "next": alarm.next, "text": about(run, alarm.text)}, []
        else:
            standing = [one for one in self._suspensions(run.run_id) if one.reason == notice.reason]
            if not standing or round(standing[0].since) != notice.since:
                raise Outdated("it is lifted by now")
            step = next_step(
                standing[0], run.run_id, sandbox=run.options.sandbox, budget=run.budget, waits=run.wait_credits
            )
            more, why = {"reason": notice.reason, "next": step}, []
        now = snapshot(run, store=self.store, workspace=self.workspace, progress=self.progress, fleet=self.fleet)
        payload = {"schedule": run.schedule, "at": f"{utc_now():%FT%TZ}", **summed(now, notice.event, why), **more}
        if notice.event == "finished":
            payload |= against_nights(payload["text"], run, now, self.store, self.workspace, self.progress, self.fleet)
        return recipients_of(run.run_id, run.notify), payload

    def _run(self, run_id: str) -> Run:
        """The run as S3 has it; while S3 is away, as this process last read it.

        Raises:
            Outdated: there is no such run.
        """
        try:
            run = read_run(run_id, store=self.store, workspace=self.workspace)
        except ConfigurationError as error:
            raise Outdated(error.message) from None
        except S3_ERRORS:
            if run_id not in self.known:
                raise
            return self.known[run_id]
        if run.notify:
            self._remember(run)
        return run

    def _reasons(self, run: Run) -> list[Reason]:
        """Why jobs of a finished run failed."""
        rows = rows_of(run, store=self.store, workspace=self.workspace, progress=self.progress)
        return reasons_of(run, rows, store=self.store, workspace=self.workspace)

    def _not_started_payload(self, notice: Notice) -> tuple[Notify | None, Payload]:
        """The recipients and the content of the notice that a run could not start."""
        stored = self.store.find(self._notes.not_started(notice.run_id))
        if stored is None:
            raise Outdated("nothing is written down of it")
        note = json.loads(stored.data)
        payload = {
            "schedule": note["schedule"], "at": f"{utc_now():%FT%TZ}", "text": note["text"], "status": None,
            "next": "restyle schedules check",
        }  # fmt: skip
        return recipients_of(notice.run_id, note["notify"]), payload
