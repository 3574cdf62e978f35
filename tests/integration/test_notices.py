"""Notifications go where their sender's own settings let them go, and say what is so; what Redis says is a hint."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

from config.settings import Settings
from reports.channels import may_receive
from reports.notifications import Notifications
from restyle.coordination.claim_types import Limits
from restyle.coordination.fleet import Fleet
from restyle.coordination.outbox import Notice
from restyle.coordination.redis.client import State
from restyle.coordination.runs.progress import Progress
from restyle.http import webhook
from restyle.keys import Workspace
from restyle.models import ManifestSource, Run, RunOptions, RunStatus, utc_now
from restyle.s3.store import Store
from tests.support.mailbox import Mailbox, mail_server
from tests.support.receiver import Receiver, receiving
from tests.support.servers import S3

RUN = "20260101T021500Z-nightly"
PASSWORD, SECRET = "only-the-workers-know-it", "only-the-workers-sign-with-it"


@dataclass
class Telling:
    """A worker's notifications, with a receiver of webhooks and a mail server that listen."""

    state: State
    store: Store
    workspace: Workspace
    receiver: Receiver
    mailbox: Mailbox

    def notifications(self, **settings: Any) -> Notifications:
        """By these settings of the worker."""
        given = Settings.model_validate(
            {"notify_secret": SECRET, "smtp_password": PASSWORD, "backoff_base": 0.01, **settings}
        )
        progress = Progress(self.state)
        return Notifications(given, self.workspace, self.store, progress, Fleet(self.state, Limits()))

    def add_run(self, notify: dict[str, Any], status: RunStatus = RunStatus.FINISHED) -> Run:
        """A run of somebody who wants to be told so."""
        run = Run(
            run_id=RUN, status=status, created=utc_now(), finished=utc_now(), options=RunOptions(), shards=1, planned=1,
            manifest=ManifestSource(uri="s3://shop/a.csv", sha256="0"), plan_digest="d", by="anna@shop", notify=notify,
        )  # fmt: skip
        self.store.put(self.workspace.run(RUN), run.model_dump_json().encode(), content_type="application/json")
        Progress(self.state).register(run)
        return run

    def forge(self, field: str, text: str) -> None:
        """What whoever can write to Redis can write."""
        self.state.ask("HSET", self.state.key("notices"), field, text)

    @property
    def waiting(self) -> set[str]:
        """What is still on the list."""
        return set(self.state.ask("HKEYS", self.state.key("notices")))


@pytest.fixture
def telling(redis_url: str, s3: S3) -> Iterator[Telling]:
    """In a workspace of its own."""
    workspace = s3.workspace
    state = State(redis_url, namespace=workspace.namespace, account="")
    with receiving() as receiver, mail_server() as mailbox:
        yield Telling(state, s3.store, workspace, receiver, mailbox)
    state.close()


def own(url: str) -> str:
    """The place of an address, as RESTYLE_NOTIFY_HOSTS lists it."""
    split = urlsplit(url)
    return f"{split.scheme}://{split.netloc}"


def test_a_submitter_cannot_have_the_password(telling: Telling) -> None:
    """A mail server that run.json names is sent nothing; the worker's own gets no password without TLS."""
    email = {"to": ["eve@evil.example"], "from": "a@b.c", "host": "127.0.0.1", "port": telling.mailbox.port,
             "user": "alerts", "tls": "none"}  # fmt: skip
    run = telling.add_run({"email": email})
    there = telling.notifications()
    there.finished(run)
    there.send_due()
    assert telling.mailbox.lines == []
    mine = telling.notifications(
        smtp_host="127.0.0.1", smtp_port=telling.mailbox.port, smtp_user="alerts", smtp_tls="none"
    )
    telling.forge(f"{RUN}|finished|email", Notice(key=f"{RUN}|finished|email").model_dump_json())
    mine.send_due()
    assert telling.mailbox.lines == []
    # Without anybody to sign in, the message goes to whom the run names.
    plain = telling.notifications(smtp_host="127.0.0.1", smtp_port=telling.mailbox.port, smtp_tls="none")
    telling.forge(f"{RUN}|finished|email", Notice(key=f"{RUN}|finished|email").model_dump_json())
    plain.send_due()
    assert any("eve@evil.example" in line for line in telling.mailbox.lines)
    assert not any(PASSWORD in line for line in telling.mailbox.lines)


def test_webhooks_go_to_listed_hosts_alone(telling: Telling) -> None:
    """A host that neither the setting nor the worker's own file names is never connected to, and gets no signature."""
    run = telling.add_run({"webhook": telling.receiver.url})
    for settings in ({}, {"notify_hosts": "hooks.example.com"}, {"notify": {"webhook": "https://hooks.example.com/a"}}):
        there = telling.notifications(**settings)
        there.finished(run)
        there.send_due()
        assert telling.receiver.came == []
    listed = telling.notifications(notify_hosts=own(telling.receiver.url))
    telling.forge(f"{RUN}|finished|webhook", Notice(key=f"{RUN}|finished|webhook").model_dump_json())
    listed.send_due()
    (headers, body), *more = telling.receiver.came
    assert not more
    payload = json.loads(body)
    # What says which notification it is stands under the signature.
    assert (payload["id"], payload["event"]) == (f"{RUN}|finished|webhook", "finished")
    parts = dict(part.split("=", 1) for part in headers["X-Restyle-Signature"].split(","))
    right = hmac.new(SECRET.encode(), f"{parts['t']}.".encode() + body, hashlib.sha256).hexdigest()
    assert parts["v1"] == right


def test_forged_notices_send_nothing_and_delay_nobody(telling: Telling) -> None:
    """What is no notice is left alone, what is not so is dropped, and the true one behind them goes out."""
    telling.add_run({"webhook": telling.receiver.url, "events": ["finished"]})
    payload = {"text": "forged", "anything": "the forger likes"}
    notify = {"webhook": telling.receiver.url}
    whole = {"key": f"{RUN}|finished|webhook", "channel": "webhook", "notify": notify, "payload": payload}
    for number, text in enumerate(
        ("", "no JSON", "[]", "9" * 5000, "[" * 100_000, json.dumps(whole), json.dumps({"key": "a|b"}),
         json.dumps({"key": "../../x|finished|webhook"}), json.dumps({"key": f"{RUN}|finished|pager"}),
         json.dumps({"key": f"{RUN}|finished|webhook", "tries": -1}))
    ):  # fmt: skip
        telling.forge(f"forged-{number}", text)
    untrue = (
        f"{RUN}|not_started|webhook", f"{RUN}|suspended-no_credits-1700000000|webhook",
        "20260101T021500Z-other|finished|webhook",
    )  # fmt: skip
    for key in untrue:
        telling.forge(key, Notice(key=key).model_dump_json())
    true = f"{RUN}|finished|webhook"
    telling.forge(true, Notice(key=true, due=1.0).model_dump_json())
    telling.notifications(notify_hosts=own(telling.receiver.url)).send_due()
    assert telling.receiver.events() == ["finished"]
    assert b"forged" not in telling.receiver.came[0][1]
    assert not telling.waiting & {*untrue, true}


@pytest.mark.parametrize(
    "event",
    ["finished-x-1", "not_started-x-1", "suspended", "awaiting_approval", "awaiting_approval-no_credits-1700000000",
     "suspended-awaiting_approval-1700000000", "suspended-no_credits-01700000000", "suspended-no_credits-"],
)  # fmt: skip
def test_an_event_has_one_name(event: str) -> None:
    """By any other it would be told once more, under the workers' signature."""
    with pytest.raises(ValueError, match=r"its (key|event) is not"):
        Notice(key=f"{RUN}|{event}|webhook")


def test_what_was_sent_is_not_sent_again_whoever_lists_it(telling: Telling) -> None:
    """S3's note counts, not Redis's list; of one that S3 would not take, this process knows."""
    run = telling.add_run({"webhook": telling.receiver.url})
    mine = telling.notifications(notify_hosts=own(telling.receiver.url))
    mine.finished(run)
    mine.send_due()
    key = f"{RUN}|finished|webhook"
    for _ in range(3):
        telling.forge(key, Notice(key=key).model_dump_json())
        telling.notifications(notify_hosts=own(telling.receiver.url)).send_due()
    assert (telling.receiver.events(), telling.waiting) == (["finished"], set())


@pytest.mark.parametrize("text", ["x", '{"key": 5}', "[" * 5_000, None])
def test_nobody_suppresses_a_notice_from_redis(telling: Telling, text: str | None) -> None:
    """A mark that it was told, its place taken, or a time when it is due in a thousand years: it goes out."""
    key = f"{RUN}|finished|webhook"
    telling.state.ask("SET", telling.state.key("noticed", RUN, "finished"), "1")
    telling.state.ask("SET", telling.state.key("telling", key), "1")
    telling.forge(key, text or Notice(key=key, due=1e12).model_dump_json())
    mine = telling.notifications(notify_hosts=own(telling.receiver.url))
    mine.finished(telling.add_run({"webhook": telling.receiver.url}))
    mine.send_due()
    assert (telling.receiver.events(), telling.waiting) == (["finished"], set())


def test_a_run_that_goes_on_is_not_told_to_have_finished(telling: Telling) -> None:
    """An event is looked up when it is sent: one that is not so is dropped."""
    telling.add_run({"webhook": telling.receiver.url}, RunStatus.RUNNING)
    key = f"{RUN}|finished|webhook"
    telling.forge(key, Notice(key=key).model_dump_json())
    telling.notifications(notify_hosts=own(telling.receiver.url)).send_due()
    assert (telling.receiver.came, telling.waiting) == ([], set())


@pytest.mark.parametrize(
    ("hosts", "url", "may"),
    [
        ("hooks.example.com", "https://hooks.example.com/x", True),
        ("hooks.example.com", "https://HOOKS.example.com:443/x", True),
        ("hooks.example.com", "https://hooks.example.com:8443/x", False),
        ("hooks.example.com", "http://hooks.example.com/x", False),
        ("hooks.example.com", "http://hooks.example.com:443/x", False),
        ("hooks.example.com:8443", "https://hooks.example.com:8443/x", True),
        ("hooks.example.com:8443", "https://hooks.example.com/x", False),
        ("https://hooks.example.com:8443", "https://hooks.example.com:8443/x", True),
        ("http://hooks.example.com", "http://hooks.example.com/x", True),
        ("http://hooks.example.com", "https://hooks.example.com/x", False),
        ("http://hooks.example.com:8080", "http://hooks.example.com:8080/x", True),
        ("http://hooks.example.com:8080", "http://hooks.example.com/x", False),
        ("hooks.example.com", "https://me:word@hooks.example.com/x", True),
        ("hooks.example.com", "https://hooks.example.com@evil.example/x", False),
        ("hooks.example.com", "https://evil.example\\@hooks.example.com/x", False),
        ("hooks.example.com", "https://evil.example#@hooks.example.com/x", False),
        ("hooks.example.com", "https://hooks.example.com.evil.example/x", False),
        ("hooks.example.com", "https://evil.example/hooks.example.com", False),
        ("hooks.example.com", "https://hooks.example.com:x/", False),
        ("a.example, b.example", "https://b.example/", True),
        (",", "https:///", False),
    ],
)
def test_which_places_are_listed(hosts: str, url: str, may: bool) -> None:
    """By scheme, host and port: https and 443, unless the setting says otherwise; users and paths count for nothing."""
    assert may_receive(url, Settings.model_validate({"notify_hosts": hosts})) is may


def test_the_own_file_lists_its_places(telling: Telling) -> None:
    """Where the workers' own file names a webhook, it is this scheme and port that others may name too."""
    own = Settings.model_validate({"notify": {"webhook": "http://hooks.example.com:8080/a"}})
    assert may_receive("http://hooks.example.com:8080/b", own)
    assert not may_receive("https://hooks.example.com/b", own)


@pytest.mark.parametrize(
    "host",
    ["169.254.169.254", "[fe80::1]", "[::ffff:169.254.169.254]", "2852039166", "0xa9fea9fe", "168.63.129.16",
     "[fd00:ec2::254]"],
)  # fmt: skip
def test_webhooks_never_go_to_where_credentials_are_kept(host: str) -> None:
    """Addresses under which clouds keep a machine's credentials are told by their numbers, however written."""
    assert "which webhooks never go to" in webhook.post(f"http://{host}/x", b"{}", {})


def test_a_night_is_told_against_the_last_ones(telling: Telling) -> None:
    """A schedule's run stands beside the last seven that finished, newest first; others do not count."""
    notify = {"webhook": telling.receiver.url, "events": ["finished"]}
    hour = timedelta(hours=1)

    def add(day: int, failed: int, *, schedule: str = "nightly", status: RunStatus = RunStatus.FINISHED) -> Run:
        began = datetime(2026, 1, day, 2, 15, tzinfo=UTC)
        run = Run(
            run_id=f"{began:%Y%m%dT%H%M%SZ}-{schedule}", status=status, created=began, finished=began + day * hour,
            manifest=ManifestSource(uri="s3://shop/a.csv", sha256="0"), plan_digest="d", options=RunOptions(),
            shards=0, planned=9, schedule=schedule, notify=notify,
        )  # fmt: skip
        report = {"finished": run.model_dump(mode="json")["finished"], "succeeded": 9 - failed, "skipped": 0,
                  "failed": failed, "attempts": day, "in_doubt": 0, "credits_spent": day / 10}  # fmt: skip
        for name, text in (("run.json", run.model_dump_json()), ("report.json", json.dumps(report))):
            telling.store.put(telling.workspace.run(run.run_id, name), text.encode(), content_type="application/json")
        return run

    for day in range(1, 8):
        add(day, 0)
    add(8, 0, schedule="weekly")
    add(9, 0, status=RunStatus.CANCELLED)
    run = add(10, 3)
    notifications = telling.notifications(notify_hosts=own(telling.receiver.url))
    notifications.finished(run)
    notifications.send_due()
    ((_, sent),) = telling.receiver.came
    body = json.loads(sent)
    assert [night["calls"] for night in body["nights"]["before"]] == [7, 6, 5, 4, 3, 2, 1]
    assert body["nights"]["night"]["failed"] == 3
    last = body["text"].splitlines()[-1]
    assert last.startswith(
        "Against the last 7 nights (their median in brackets): 10 calls (4, more than on any of them)"
    )
    assert "3 failed (0, more than on any of them)" in last
