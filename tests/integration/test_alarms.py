"""What is told while a run goes on, and that S3 is not needed to tell it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from apps.stack.servers import free_port
from config.settings import Settings
from reports.alarms import WORKER_LOST
from reports.notifications import Notifications
from restyle.coordination.budgets import Budgets
from restyle.coordination.claim_types import Limits
from restyle.coordination.fleet import Fleet
from restyle.coordination.outbox import Notice
from restyle.coordination.periods import Periods
from restyle.coordination.redis.client import State
from restyle.coordination.runs import trends
from restyle.coordination.runs.events import note
from restyle.coordination.runs.progress import Progress
from restyle.keys import Workspace
from restyle.models import ManifestSource, Run, RunOptions, RunStatus, utc_now
from restyle.s3.store import Endpoint, Store
from tests.support.receiver import Receiver, receiving
from tests.support.servers import S3

RUN = "20260101T021500Z-nightly"


class Place:
    """A workspace with a receiver of webhooks, and any number of workers that tell."""

    def __init__(self, state: State, s3: S3, receiver: Receiver) -> None:
        self.state, self.receiver, self.store, self.workspace = state, receiver, s3.store, Workspace(s3.workspace.uri)
        self.progress = Progress(state)
        #: Nobody answers there.
        self.away = Store(embedded=Endpoint(f"http://127.0.0.1:{free_port()}", "key", "secret"), seconds=1)
        self.run = Run(
            run_id=RUN, status=RunStatus.RUNNING, created=utc_now(), options=RunOptions(), shards=1, planned=10,
            manifest=ManifestSource(uri="s3://shop/a.csv", sha256="0"), plan_digest="d", by="anna@shop", budget=10.0,
            notify={"webhook": receiver.url},
        )  # fmt: skip
        text = self.run.model_dump_json().encode()
        self.store.put(self.workspace.run(RUN), text, content_type="application/json")
        self.progress.register(self.run)

    def worker(self, *, store: Store | None = None, **budgets: Any) -> Notifications:
        """A worker's notifications."""
        host = self.receiver.url.split("/hook")[0].removesuffix("/")
        settings = Settings.model_validate({"notify_hosts": host, "backoff_base": 0.01})
        fleet = Fleet(self.state, replace(Limits(), budgets=Budgets(**budgets)), worker="w")
        return Notifications(settings, self.workspace, store or self.store, self.progress, fleet)

    def said(self) -> list[tuple[str, str]]:
        """What has come: each event with its text."""
        payloads = [json.loads(body) for _, body in self.receiver.came]
        return [(payload["event"], payload["text"]) for payload in payloads]

    def again(self) -> None:
        """What is put off is due."""
        key = self.state.key("notices")
        for field, text in self.state.ask("HGETALL", key).items():
            self.state.ask(
                "HSET", key, field, Notice.model_validate_json(text).model_copy(update={"due": 0.0}).model_dump_json()
            )


@pytest.fixture
def place(redis_url: str, s3: S3) -> Iterator[Place]:
    """Of its own."""
    state = State(redis_url, namespace=s3.workspace.namespace, account="a:")
    with receiving() as receiver:
        yield Place(state, s3, receiver)
    state.close()


def test_a_suspension_is_told_without_s3(place: Place) -> None:
    """Once, by whichever of two workers; S3 learns of it when it is back, and then nothing is on the list."""
    one, two = place.worker(store=place.away), place.worker(store=place.away)
    place.progress.suspend(RUN, "budget", "it is spent", "w")
    one.standing_still(place.run)
    two.standing_still(place.run)
    for _ in range(2):
        one.send_due()
        two.send_due()
        place.again()
    assert [event for event, _ in place.said()] == ["suspended"]
    back = replace(one, store=place.store)
    place.again()
    back.send_due()
    assert len(place.said()) == 1
    assert place.state.ask("HLEN", place.state.key("notices")) == 0
    assert len(list(place.store.list(place.workspace.run(RUN, "notices") + "/"))) == 1


def test_a_forged_word_that_it_was_sent_delays_it(place: Place) -> None:
    """By a minute, where S3 answers and knows nothing of it; one that does not know the run sends nothing."""
    place.progress.suspend(RUN, "budget", "it is spent", "w")
    worker = place.worker()
    worker.standing_still(place.run)
    key = place.state.key("notices")
    (field,) = place.state.ask("HKEYS", key)
    notice = Notice.model_validate_json(place.state.ask("HGET", key, field))
    place.state.ask("HSET", key, field, notice.model_copy(update={"sent_at": place.state.clock()}).model_dump_json())
    worker.send_due()
    assert place.said() == []
    place.worker(store=place.away).send_due()
    place.again()
    assert place.said() == []
    place.state.ask(
        "HSET", key, field, notice.model_copy(update={"sent_at": place.state.clock() - 61}).model_dump_json()
    )
    worker.send_due()
    assert [event for event, _ in place.said()] == ["suspended"]


def test_that_s3_is_away_is_told(place: Place) -> None:
    """By a worker that knows the run, once however many notice it; it is not told any more when it is over."""
    one, two = place.worker(store=place.away), place.worker(store=place.away)
    for worker in (one, two):
        worker.standing_still(place.run)
        worker.store_is_away("S3 does not answer")
        worker.store_is_away("S3 does not answer")
    two.send_due()
    one.send_due()
    ((event, text),) = place.said()
    assert event == "failing"
    assert "S3 is out of reach" in text
    place.state.ask("DEL", place.state.key("store_away"))
    place.worker().send_due()
    assert len(place.said()) == 1


def test_what_is_amiss_is_told_once(place: Place) -> None:
    """A worker lost, a variant that stands still, budgets nearly spent, and credits that will not last."""
    state = place.state
    note(state, None, WORKER_LOST, "dispatcher", "the worker w2 is lost with 3 jobs in hand")
    state.ask("HSET", state.key("run", RUN, "braked"), "oak", '{"reason": "failing", "detail": "20 of 40 failed"}')
    state.ask("HSET", state.key("run", RUN), "credits", "8.1")
    now = state.clock()
    for step in range(100):
        left = 20 - step / 10
        trends.note_fleet(state, trends.FleetPoint(now - 500 + 5 * step, left, 0.0, 0, 0, 0, 0, None))
    state.ask("HSET", f"{state.account}rate", "credits", "10.1")
    worker = place.worker(daily=100.0)
    state.ask("HSET", state.key("stock"), "server", "x")
    assert Periods(state).begin("UTC", [])
    day, _ = Periods(state).in_force() or ("", "")
    state.ask("SET", state.key("spent", day), "81")
    for _ in range(2):
        worker.alarms_checked.clear()
        worker.standing_still(place.run)
        worker.send_due()
    said = dict(place.said())
    assert len(place.said()) == 5, "of the run's budget and of the day's"
    assert said.keys() == {"worker_lost", "failing", "budget_80", "low_credits"}
    assert "w2 is lost" in said["worker_lost"]
    assert "variant oak" in said["failing"]
    assert "minutes" in said["low_credits"] or "hours" in said["low_credits"]


def test_a_forged_alarm_is_dropped(place: Place) -> None:
    """What is not so is not told, whoever has put it on the list."""
    for name in ("worker_lost-died-1767225600", "failing-store-1", "budget_80-run-10", "low_credits-hours-20000",
                 "failing-variant-7"):  # fmt: skip
        key = f"{RUN}|{name}|webhook"
        place.state.ask("HSET", place.state.key("notices"), key, Notice(key=key).model_dump_json())
    place.worker().send_due()
    assert place.said() == []
    assert place.state.ask("HLEN", place.state.key("notices")) == 0
    for wrong in ("worker_lost-store-1", "budget_80-hours-1", "low_credits", "failing-budget-1"):
        with pytest.raises(ValueError, match="its event is not of its reason"):
            Notice(key=f"{RUN}|{wrong}|webhook")
