"""From a firing to its run on a real Redis and S3: claimed once, planned once, and told where it comes to nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from config.reading import load_settings
from config.schedules import Notify, Schedule
from config.settings import Settings
from producers.runs.control import Control
from producers.scheduling.beat import Beat
from producers.scheduling.fired import MAX_BYTES, Fired
from producers.scheduling.schedule import Firing, fire
from producers.scheduling.start import Starter
from reports.notifications import Notifications
from restyle.coordination.claim_types import Limits
from restyle.coordination.fleet import Fleet
from restyle.coordination.redis.client import State
from restyle.coordination.runs.firings import Ending, Firings
from restyle.coordination.runs.progress import Progress
from restyle.errors import ConfigurationError
from restyle.keys import Workspace
from restyle.models import Run, RunStatus
from restyle.s3.store import EMBEDDED_BUCKET, Store
from restyle.telemetry import metrics
from tests.support.catalog import picture
from tests.support.holding import hold
from tests.support.servers import S3


@dataclass
class Night:
    """One workspace with a schedule, and the worker that plans its runs."""

    state: State
    store: Store
    workspace: Workspace
    images: str
    settings: Settings
    queued: list[str] = field(default_factory=list)

    @property
    def progress(self) -> Progress:
        return Progress(self.state)

    @property
    def firings(self) -> Firings:
        return Firings(self.state)

    @property
    def fired_in_s3(self) -> Fired:
        return Fired(self.store, self.workspace)

    @property
    def beat(self) -> Beat:
        return Beat(self.settings, self.firings, self.store, self.workspace)

    def worker(self, name: str) -> Starter:
        """A living worker."""
        fleet = Fleet(self.state, Limits(max_rpm=0, heartbeat_ttl=60), worker=name)
        fleet.heartbeat({})
        hold(self.state)
        told = Notifications(self.settings, self.workspace, self.store, self.progress, fleet)
        return Starter(self.settings, self.workspace, self.store, self.progress, fleet, on_error=told.not_started)

    def fired(self, minute: int = 0, **more: Any) -> Firing:
        """A firing of this night, claimed."""
        schedule = self.settings.schedule[0].model_copy(update=more)
        firing = fire(schedule, datetime(2026, 1, 10, 1, minute, tzinfo=UTC), self.settings)
        assert self.beat.fire(firing)
        return firing

    def start(self, firing: Firing) -> None:
        """As the dispatcher and a worker do it."""
        worker = self.worker("one")
        worker.hand_out(self.queued.append)
        assert self.queued[-1:] == [firing.run_id]
        worker.start(firing.run_id)

    def run(self, firing: Firing) -> Run | None:
        """Its run.json."""
        found = self.store.find(self.workspace.run(firing.run_id))
        return Run.model_validate_json(found.data) if found else None

    def last(self) -> tuple[str, str]:
        """How the schedule fired last, which Redis and S3 agree on."""
        end = self.firings.last()["nightly"]
        assert self.fired_in_s3.end_of("nightly") == end
        return end.run_id, end.ending.value


@pytest.fixture
def night(redis_url: str, s3: S3) -> Iterator[Night]:
    """Two pictures, no run yet."""
    workspace, store = s3.workspace, s3.store
    images = f"s3://{EMBEDDED_BUCKET}/{workspace.uri[-8:]}-shop/"
    for name in ("a", "b"):
        store.put(f"{images}{name}.jpg", picture(name), content_type="image/jpeg")
    schedule = Schedule(
        name="nightly", cron="0 2 * * *", time_zone="Europe/Berlin", manifest=images, prompt="photo of {id}"
    )
    settings = load_settings(redis_url=redis_url, workspace=workspace.uri, schedule=(schedule,), start_again=0.001)
    state = State(redis_url, namespace=workspace.namespace, account="")
    yield Night(state, store, workspace, images, settings)
    state.close()


def test_a_firing_is_claimed_once_and_planned_once(night: Night) -> None:
    """A second beat finds it taken; the message may come again, in whatever order."""
    firing = night.fired(budget=5.0, finish_by="06:00")
    assert not night.beat.fire(firing)
    night.start(firing)
    run = night.run(firing)
    assert run is not None
    assert (run.schedule, run.planned, run.budget, run.by) == ("nightly", 2, 5.0, "schedule nightly")
    assert night.progress.unfinished() == [firing.run_id]
    night.worker("two").start(firing.run_id)
    assert night.run(firing) == run
    night.worker("two").hand_out(night.queued.append)
    assert night.queued == [firing.run_id]
    assert night.last() == (firing.run_id, "started")
    assert not night.beat.fire(firing)


def test_two_planners_are_one(night: Night) -> None:
    """While a living worker plans it nobody else does; of a dead one, the next takes over."""
    firing = night.fired()
    worker = night.worker("one")
    token = night.firings.take(firing.run_id, "one")
    assert token
    for other in ("one", "two"):
        night.worker(other).start(firing.run_id)
    worker.hand_out(night.queued.append)
    assert (night.run(firing), night.queued) == (None, [])
    worker.fleet.leave()
    night.worker("two").hand_out(night.queued.append)
    assert night.queued == [firing.run_id]
    night.worker("two").start(firing.run_id)
    assert night.run(firing) is not None
    assert not night.firings.mine(firing.run_id, token)


def test_nothing_is_planned_while_the_workspace_may_be_anothers(night: Night) -> None:
    """Without the hold a worker plans nothing, and the firing waits; with it, the same firing starts."""
    firing, worker = night.fired(), night.worker("one")
    night.state.ask("DEL", night.state.key("holder"))
    worker.start(firing.run_id)
    assert night.run(firing) is None
    assert night.firings.waiting() == [firing.run_id]
    hold(night.state)
    worker.start(firing.run_id)
    assert night.run(firing) is not None


def test_a_plan_that_was_cut_off_before_its_run_was_known(night: Night) -> None:
    """run.json is there, Redis knows nothing: the next try makes the very same run known."""
    firing = night.fired()
    night.start(firing)
    run = night.run(firing)
    night.state.ask("FLUSHALL")
    night.store.delete(night.workspace.schedule("nightly"))
    again = night.fired()
    assert again.run_id == firing.run_id
    night.start(again)
    assert night.run(firing) == run
    assert night.progress.unfinished() == [firing.run_id]


@pytest.mark.parametrize(
    ("overlap", "ending", "first"),
    [("skip", "skipped", RunStatus.RUNNING), ("queue", None, RunStatus.RUNNING), ("cancel", "started", "cancelled")],
)
def test_a_run_that_is_still_going(night: Night, overlap: Any, ending: str | None, first: str) -> None:
    """The next firing is skipped, waits, or ends the run."""
    before = night.fired()
    night.start(before)
    after = night.fired(30, overlap=overlap)
    worker = night.worker("one")
    worker.hand_out(night.queued.append)
    if ending == "started":
        worker.start(after.run_id)
    assert night.last() == ((after.run_id, ending) if ending else (before.run_id, "started"))
    totals = night.progress.totals(before.run_id)
    assert totals is not None
    assert totals.status.value == first
    if overlap == "queue":
        night.progress.end(before.run_id, RunStatus.FINISHED)
        night.start(after)
        assert night.run(after) is not None


def test_of_firings_that_wait_the_newest_stays(night: Night) -> None:
    """Nights do not pile up behind one that takes long."""
    night.start(night.fired())
    second, third = night.fired(20, overlap="queue"), night.fired(40, overlap="queue")
    night.worker("one").hand_out(night.queued.append)
    assert night.last() == (second.run_id, "skipped")
    assert night.firings.waiting() == [third.run_id]


@pytest.mark.parametrize("reason", ["operator", "budget", "deadline"])
def test_what_a_suspension_ended_is_planned_afresh(night: Night, reason: str) -> None:
    """The earlier run is cancelled, and its pending jobs are the next one's."""
    before = night.fired()
    night.start(before)
    night.progress.suspend(before.run_id, reason, "", "test")
    after = night.fired(30)
    night.start(after)
    run = night.run(before)
    assert run is not None
    assert run.status is RunStatus.CANCELLED
    assert night.last() == (after.run_id, "started")


def test_a_run_of_somebody_else_with_the_same_jobs(night: Night) -> None:
    """Nothing is started beside it, and it is named; of the refused run nothing is left, not even a cancelled one."""
    first = night.fired()
    night.start(first)
    other = Firing.model_validate_json(
        first.model_dump_json(by_alias=True).replace('"nightly"', '"other"').replace("-nightly", "-other")
    )
    assert night.beat.fire(other)
    night.start(other)
    end = night.firings.last()["other"]
    assert end.ending == "not_started"
    assert first.run_id in end.detail
    assert night.progress.totals(other.run_id) is None
    assert list(night.store.list(night.workspace.run(other.run_id, ""))) == []


def test_what_cannot_be_planned_is_kept_and_told_once(night: Night) -> None:
    """The reason is where `restyle schedules` looks for it, and on the list of notifications."""
    firing = night.fired(manifest=f"{night.images}nothing/", notify=Notify(webhook="https://example.invalid/"))
    night.start(firing)
    worker = night.worker("one")
    assert night.last() == (firing.run_id, "not_started")
    assert night.run(firing) is None
    [notice] = Notifications(
        night.settings, night.workspace, night.store, night.progress, worker.fleet
    ).notices.due()  # fmt: skip
    assert (notice.event, notice.run_id) == ("not_started", firing.run_id)
    note = json.loads(night.store.get(night.workspace.under("schedules", firing.run_id, "not_started.json")).data)
    assert firing.run_id in note["text"]


def test_a_night_says_what_changed(night: Night) -> None:
    """Its diff.json counts what is new and what is gone since the last night of this schedule."""
    first = night.fired()
    night.start(first)
    night.store.delete(f"{night.images}b.jpg")
    night.store.put(f"{night.images}c.jpg", picture("c"), content_type="image/jpeg")
    night.progress.suspend(first.run_id, "operator", "", "test")
    after = night.fired(30)
    night.start(after)
    told = json.loads(night.store.get(night.workspace.run(after.run_id, "diff.json")).data)
    assert (told["since"], told["new"]["jobs"]) == (first.run_id, 2)
    assert told["removed"]["examples"] == ["b/default"]


def test_a_worker_plans_with_the_settings_of_the_beat(night: Night) -> None:
    """Whatever restyle.toml a worker has."""
    beat = night.settings.model_copy(update={"defaults": {"strength": 0.25}, "max_side": 256})
    firing = fire(beat.schedule[0], datetime(2026, 1, 10, 1, tzinfo=UTC), beat)
    assert night.beat.fire(firing)
    night.start(firing)
    run = night.run(firing)
    assert run is not None
    assert run.options.preparation.max_side == 256


def test_the_beat_looks_in_s3_where_redis_is_empty(night: Night) -> None:
    """How far was looked is known again from the last firing; a new schedule counts from now on."""
    assert night.beat.tick() <= night.settings.beat_seconds
    assert night.firings.waiting() == []
    night.start(night.fired())
    night.state.ask("FLUSHALL")
    late = night.settings.schedule[0].model_copy(update={"catch_up": True})
    beat = Beat(
        night.settings.model_copy(update={"schedule": (late,)}), night.firings, night.store, night.workspace
    )  # fmt: skip
    beat.tick()
    beat.tick()
    [run_id] = night.firings.waiting()
    assert run_id > "20260110"
    now = datetime.fromtimestamp(night.state.clock(), UTC)
    assert timedelta() <= now - datetime.fromisoformat(run_id[:15] + "Z") < timedelta(days=1, hours=2)


def test_check_of_other_runs_leaves_ended_ones_alone(night: Night) -> None:
    """A finished run with the same jobs is no hindrance; cancelling twice is an error of the caller's."""
    first = night.fired()
    night.start(first)
    control = Control(night.store, night.workspace, night.progress, night.worker("one").fleet, "test")
    control.cancel(first.run_id)
    with pytest.raises(ConfigurationError):
        control.cancel(first.run_id)
    after = night.fired(30)
    night.start(after)
    assert json.loads(night.store.get(night.workspace.run(after.run_id)).data)["planned"] == 2


def put(night: Night, run_id: str) -> None:
    """Puts a name on Redis's list of firings, as anybody can who may write there."""
    night.state.ask("HSET", night.state.key("firings"), run_id, "{}")


def refused(night: Night, run_id: str) -> None:
    """Nothing is planned for a name, by the dispatcher or by a message, and it leaves the list."""
    before = metrics.HINTS_DROPPED.labels("firing")._value.get()
    put(night, run_id)
    night.worker("one").hand_out(night.queued.append)
    put(night, run_id)
    night.worker("two").start(run_id)
    assert night.queued == []
    assert night.firings.names() == []
    assert night.progress.unfinished() == []
    assert list(night.store.list(night.workspace.under("runs", ""))) == []
    assert metrics.HINTS_DROPPED.labels("firing")._value.get() == before + 2


@pytest.mark.parametrize(
    "run_id", ["20260110T010000Z-nightly", "20260110T010000Z-evil", "x:suspension", "../../x", "\x1b[2J", "x" * 5_000]
)
def test_a_firing_that_only_redis_has_is_none(night: Night, run_id: str) -> None:
    """What fires lies in S3: a name on Redis's list alone is dropped, logged escaped and counted, and pays nothing."""
    refused(night, run_id)


#: What is wrong with a firing in S3 -> how its JSON is changed.
SPOILED: dict[str, Callable[[dict[str, Any]], object]] = {
    "a setting that no schedule has": lambda told: told["settings"].update(api_url="https://example.invalid/"),
    "a setting of another kind": lambda told: told["settings"].update(price="free"),
    "a negative price": lambda told: told["settings"].update(price=-1),
    "another run": lambda told: told.update(run_id="20260110T020000Z-nightly"),
    "another schedule": lambda told: told["schedule"].update(name="other"),
    "a local manifest": lambda told: told["schedule"].update(manifest="/etc/passwd"),
    "a cron that never comes": lambda told: told["schedule"].update(cron="x"),
    "recipients that are none": lambda told: told.update(notify={"email": {"to": []}}),
    "no schedule": lambda told: told.pop("schedule"),
}


@pytest.mark.parametrize("what", SPOILED)
def test_a_firing_that_no_schedule_makes_is_none(night: Night, what: str) -> None:
    """A firing in S3 is read by the models that read restyle.toml, and may set what a schedule may set."""
    firing = fire(night.settings.schedule[0], datetime(2026, 1, 10, 1, tzinfo=UTC), night.settings)
    told = json.loads(firing.model_dump_json(by_alias=True))
    SPOILED[what](told)
    night.store.put(
        night.workspace.firing(firing.run_id), json.dumps(told).encode(), content_type="application/json"
    )  # fmt: skip
    refused(night, firing.run_id)


@pytest.mark.parametrize("text", [b"", b"{broken", b"[" * 50_000, b"9" * 50_000, b" " * MAX_BYTES + b"{}"])
def test_a_firing_that_cannot_be_read_is_none(night: Night, text: bytes) -> None:
    """Of whatever bytes lie there, few are read, and the next firing goes on."""
    firing = fire(night.settings.schedule[0], datetime(2026, 1, 10, 1, tzinfo=UTC), night.settings)
    night.store.put(night.workspace.firing(firing.run_id), text, content_type="application/json")
    refused(night, firing.run_id)
    night.start(night.fired(30))


def test_a_newer_version_plans_its_own_firings(night: Night) -> None:
    """A field that this version does not know is a newer beat's: the firing waits for a newer worker."""
    firing = fire(night.settings.schedule[0], datetime(2026, 1, 10, 1, tzinfo=UTC), night.settings)
    told = {**json.loads(firing.model_dump_json(by_alias=True)), "v": 2, "weather": "fine"}
    night.store.put(
        night.workspace.firing(firing.run_id), json.dumps(told).encode(), content_type="application/json"
    )  # fmt: skip
    put(night, firing.run_id)
    night.worker("one").hand_out(night.queued.append)
    night.worker("one").start(firing.run_id)
    assert (night.queued, night.firings.names()) == ([], [firing.run_id])


@pytest.mark.parametrize("forged", [("SET", "1"), ("SET", "1", "EX", 10**8), ("RPUSH", "x")])
def test_a_forged_turn_silences_no_firing(night: Night, forged: tuple[str, ...]) -> None:
    """That it was fired, and handed out, is what Redis says: without an end, or of another kind, it says nothing."""
    firing = fire(night.settings.schedule[0], datetime(2026, 1, 10, 1, tzinfo=UTC), night.settings)
    for kind in ("fired", "handed"):
        night.state.ask(forged[0], night.state.key(kind, firing.run_id), *forged[1:])
    night.beat.fire(firing)
    night.start(firing)
    assert night.run(firing)
    assert night.last() == (firing.run_id, "started")


@pytest.mark.parametrize("ends", [(), ("PEXPIRE", 10**10)])
def test_a_planner_without_an_end_is_none(night: Night, ends: tuple[Any, ...]) -> None:
    """Somebody has named a worker that lives: it plans nothing, and the firing is planned all the same."""
    firing = night.fired()
    night.worker("another")
    key = night.state.key("planner", firing.run_id)
    night.state.ask("HSET", key, "worker", "another", "token", "x")
    if ends:
        night.state.ask(ends[0], key, ends[1])
    night.start(firing)
    assert night.last() == (firing.run_id, "started")


def test_a_missed_firing_is_told_though_its_claim_was_forged(night: Night) -> None:
    """Its beat takes it for another's; the dispatcher settles what S3 says of it."""
    firing = fire(night.settings.schedule[0], datetime(2026, 1, 10, 1, tzinfo=UTC), night.settings, missed=True)
    night.state.ask("SET", night.state.key("fired", firing.run_id), "1")
    assert not night.beat.fire(firing)
    night.worker("one").hand_out(night.queued.append)
    assert (night.queued, night.firings.names(), night.last()) == ([], [], (firing.run_id, "missed"))


def test_a_firing_that_is_over_fires_no_more(night: Night) -> None:
    """Put on Redis's list again, with its claim removed, a night that was skipped starts no run."""
    night.start(night.fired())
    after = night.fired(30)
    night.worker("one").hand_out(night.queued.append)
    assert night.last() == (after.run_id, "skipped")
    night.state.ask("DEL", night.state.key("fired", after.run_id))
    night.progress.end(night.queued[0], RunStatus.FINISHED)
    del night.queued[:]
    assert not night.beat.fire(after)
    night.fired_in_s3.put(after)
    put(night, after.run_id)
    night.worker("one").hand_out(night.queued.append)
    put(night, after.run_id)
    night.worker("one").start(after.run_id)
    assert (night.queued, night.firings.names(), night.run(after)) == ([], [], None)
    night.start(night.fired(40))


def test_a_firing_whose_end_redis_does_not_know_yet_is_closed_with_it(night: Night) -> None:
    """One worker has closed it in S3, another looks: it was dropped as unknown, and `schedules run` said "it waits"."""
    firing = night.fired()
    end = firing.ended(Ending.STARTED)
    night.fired_in_s3.close(end)
    dropped = metrics.HINTS_DROPPED.labels("firing")._value.get()
    night.worker("other").hand_out(night.queued.append)
    assert (night.queued, night.firings.waiting()) == ([], [])
    assert night.firings.last()[firing.name] == end
    assert metrics.HINTS_DROPPED.labels("firing")._value.get() == dropped


def test_thousands_of_forged_firings_delay_none(night: Night) -> None:
    """Of a list that somebody fills, a bounded part is looked at in each tick, and what was fired is planned."""
    forged = [f"20260110T01{second // 60:02d}{second % 60:02d}Z-x" for second in range(300)]
    night.state.ask("HSET", night.state.key("firings"), *(part for name in forged for part in (name, "")))
    firing = night.fired()
    worker = night.worker("one")
    for _ in range(6):
        worker.hand_out(night.queued.append)
    assert set(night.queued) == {firing.run_id}
    assert night.firings.names() == [firing.run_id]


@pytest.mark.parametrize("looked", ["never", "nan", "1e400", "9" * 400, str(4e9), "-5"])
def test_a_beat_outlives_what_redis_says_of_its_looks(night: Night, looked: str) -> None:
    """How far was looked is a hint: what cannot be read, or lies ahead, is asked of S3; nothing fires twice."""
    night.start(night.fired())
    night.state.ask("HSET", night.state.key("schedules", "looked"), "nightly", looked)
    night.state.ask("HSET", night.state.key("schedules", "last"), "nightly", '{"schedule": 5}', "x", "\x1b")
    night.state.ask("DEL", *(night.state.key("fired", run) for run in night.queued))
    night.beat.tick()
    assert night.firings.last().keys() <= {"nightly"}
    assert all(run_id > night.queued[0] for run_id in night.firings.names())
    assert night.firings.looked()["nightly"].timestamp() <= night.state.clock()
