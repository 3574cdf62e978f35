"""Notifications: what is told of a run, and how it goes out. Nothing here can fail or delay a run."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any, get_args

import structlog
from pydantic import SecretStr, ValidationError

from config.schedules import Event, Notify
from config.settings import Settings
from producers.watch import Snapshot, snapshot
from restyle.advice import next_step
from restyle.errors import RestyleError
from restyle.fleet import Fleet, Suspension
from restyle.keys import Workspace
from restyle.models import Run, RunStatus, utc_now
from restyle.notices import Notice, Notices
from restyle.progress import Progress
from restyle.store import Store

if TYPE_CHECKING:
    from producers.schedule import Firing

log = structlog.get_logger("restyle.notify")

#: The second try comes after so many times RESTYLE_BACKOFF_BASE; twice as long each time, up to the longest (s).
FIRST_WAIT, LONGEST_WAIT = 5.0, 1800.0
#: Tries until a notice is given up: about three hours.
TRIES = 14
#: An outage lifts itself: it is told when it has lasted so many seconds.
OUTAGE_PATIENCE = 300.0


@dataclass(frozen=True)
class Notifications:
    """What events are told with."""

    settings: Settings
    workspace: Workspace
    store: Store
    progress: Progress
    fleet: Fleet
    #: Suspensions that this process has put on the list: they need not be looked at again.
    told: set[tuple[str, str]] = field(default_factory=set)

    @property
    def notices(self) -> Notices:
        """The list of what is to be sent."""
        return Notices(self.progress.state)

    # -- what happened -------------------------------------------------------------------------------------

    def finished(self, run: Run, last: Snapshot) -> None:
        """A run has ended and its report is written."""
        if not run.notify:
            return
        found = self.store.find(self.workspace.run(run.run_id, "diff.json"))
        told = {**_of(last, "finished", run.schedule), "changes": json.loads(found.data) if found else None}
        self._tell(run.run_id, run.schedule, run.notify, "finished", "finished", told)

    def standing_still(self, run: Run) -> None:
        """Tells each suspension of a run, the fleet's included, once."""
        if not run.notify:
            return
        for suspension in [*self.fleet.suspensions(), *self.progress.suspensions(run.run_id)]:
            if suspension.reason == "outage" and self._age(suspension) < OUTAGE_PATIENCE:
                continue
            event: Event = "awaiting_approval" if suspension.reason == "awaiting_approval" else "suspended"
            name = f"{event}-{suspension.reason}-{suspension.since:.0f}"
            if (run.run_id, name) in self.told:
                continue
            now = snapshot(run, store=self.store, workspace=self.workspace, progress=self.progress, fleet=self.fleet)
            step = next_step(suspension, run.run_id, sandbox=run.options.sandbox)
            told = {**_of(now, event, run.schedule), "reason": suspension.reason, "next": step}
            self._tell(run.run_id, run.schedule, run.notify, event, name, told)
            self.told.add((run.run_id, name))

    def not_started(self, firing: Firing, why: str) -> None:
        """A schedule's run could not be planned."""
        text = f"{firing.run_id} could not start: {why}"[:2000]
        told = {"text": text, "status": None, "next": "restyle schedules check"}
        self._tell(firing.run_id, firing.name, firing.notify, "not_started", "not_started", told)

    def _age(self, suspension: Suspension) -> float:
        return self.progress.state.clock() - suspension.since

    def _tell(
        self, run_id: str, schedule: str | None, notify: dict[str, Any], event: Event, name: str, told: dict[str, Any]
    ) -> None:
        """Puts an event on the list of what is to be sent; whatever goes wrong is logged and nothing else."""
        try:
            wanted = Notify.model_validate(notify)
        except ValidationError:
            log.warning("run.json says nothing readable of who is to be told", run=run_id)
            return
        channels = _channels(wanted)
        if event not in wanted.events or not channels:
            return
        payload = {"v": 1, "event": event, "run_id": run_id, "schedule": schedule, "at": f"{utc_now():%FT%TZ}", **told}
        notices = [
            Notice(key=f"{run_id}|{name}|{channel}", channel=channel, notify=notify, payload=payload)
            for channel in channels
            if self.store.head(self._note(run_id, name, channel)) is None
        ]
        self.notices.add(run_id, name, notices)

    # -- sending -------------------------------------------------------------------------------------------

    def send_due(self) -> None:
        """Sends what is due, one after the other; what does not arrive is tried again later."""
        for notice in self.notices.due():
            if self.notices.take(notice):
                self._send(notice)

    def _send(self, notice: Notice) -> None:
        run_id, name, channel = notice.key.split("|")
        try:
            why = self._out(notice)
        except Exception as error:
            log.exception("bug in a notification")
            why = type(error).__name__
        if why and notice.tries + 1 < TRIES:
            wait = min(LONGEST_WAIT, FIRST_WAIT * self.settings.backoff_base * 2**notice.tries)
            log.warning("notification did not arrive", run=run_id, told=name, channel=channel, reason=why, again=wait)
            self.notices.again(notice, wait)
            return
        if why:
            log.error("notification is given up", run=run_id, told=name, channel=channel, reason=why)
        else:
            log.info("notified", run=run_id, told=name, channel=channel)
        note = {"event": name, "channel": channel, "arrived": not why, "reason": why, "tries": notice.tries + 1}
        uri = self._note(run_id, name, channel)
        try:
            self.store.put(uri, json.dumps(note).encode(), content_type="application/json")
        except RestyleError as error:
            log.warning("a notification's note is not in S3", run=run_id, reason=error.message)
        self.notices.done(notice)

    def _out(self, notice: Notice) -> str:
        """Sends one notice; answers with why it did not arrive."""
        # Imported for the first one: with requests they are 5 MB of each worker.
        from restyle import mail, webhook

        wanted = Notify.model_validate(notice.notify)
        if notice.channel == "webhook" and wanted.webhook:
            body = json.dumps(notice.payload, ensure_ascii=False).encode()
            secret = _plain(self.settings.notify_secret)
            headers = {webhook.SIGNATURE: webhook.sign(body, secret, int(time.time()))} if secret else {}
            return webhook.post(wanted.webhook, body, {**headers, "X-Restyle-Event": notice.key})
        if notice.channel == "slack":
            if not (address := _plain(self.settings.notify_slack)):
                return "RESTYLE_NOTIFY_SLACK is not set for this worker"
            return webhook.post(address, json.dumps({"text": notice.payload["text"]}).encode(), {})
        if notice.channel == "email" and (email := wanted.email):
            message = EmailMessage()
            message["From"], message["To"] = email.sender, ", ".join(email.to)
            message["Subject"] = " ".join(str(notice.payload["text"]).splitlines()[0].split())[:200]
            message.set_content(str(notice.payload["text"]) + "\n\n" + json.dumps(notice.payload, indent=1) + "\n")
            return mail.send(
                message, host=email.host, port=email.port, tls=email.tls, user=email.user,
                password=_plain(self.settings.smtp_password), to=email.to,
            )  # fmt: skip
        return f"there is no channel {notice.channel}"

    def _note(self, run_id: str, name: str, channel: str) -> str:
        return self.workspace.run(run_id, "notices", f"{name}-{channel}.json")


def _channels(notify: Notify) -> list[str]:
    found = {"webhook": notify.webhook, "slack": notify.slack, "email": notify.email}
    return [channel for channel, wanted in found.items() if wanted]


def _plain(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret else ""


def _of(now: Snapshot, event: Event, schedule: str | None) -> dict[str, Any]:
    """The report's summary with links, and the same as a sentence."""
    assert event in get_args(Event)
    counts = f"{now.succeeded:,} succeeded, {now.skipped:,} skipped, {now.failed:,} failed, {now.pending:,} pending"
    counts += f"; {now.suspect:,} look wrong" if now.suspect else ""
    word = now.status.value.replace("_", " ") if event == "finished" else event.replace("_", " ")
    reason = f" ({now.suspension.reason}: {now.suspension.detail})" if now.suspension else ""
    text = f"{schedule or 'run'} {now.run_id} {word}{reason}: {counts}; {now.credits_spent:,.2f} credits spent"
    links = {"outputs": now.outputs}
    if now.report:
        links |= {kind: now.report.replace(".csv", f".{kind}") for kind in ("csv", "json", "html")}
    after = f"restyle retry {now.run_id}" if now.failed and now.status is RunStatus.FINISHED else ""
    summary = now.model_dump(mode="json")
    return {"text": text, "status": now.status.value, "summary": summary, "links": links, "next": after}
