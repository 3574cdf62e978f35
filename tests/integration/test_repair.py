"""What somebody has put into Redis in our own's place: removed where it can be told again, told where it cannot."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

import pytest

from restyle.coordination.claim_types import Claim, Dropped, Limits
from restyle.coordination.fleet import Fleet
from restyle.coordination.outbox import Notice, Notices
from restyle.coordination.redis.client import State
from restyle.coordination.redis.repair import ACCOUNT, NAMED, OF_STATUS, WORKSPACE, Form
from restyle.coordination.redis.repair import RUN as RUN_FORMS
from restyle.coordination.runs.firings import Ending, FiringEnd, Firings
from restyle.coordination.runs.progress import Ended, Progress, failed
from restyle.coordination.runs.registry import Totals
from restyle.coordination.runs.trends import RunPoint, note_runs
from restyle.errors import OutOfCredits, RunUnreadable
from restyle.job.parked import in_redis
from restyle.models import RunStatus
from tests.integration.test_fleet import DONE, RUN, a_message, a_run
from tests.integration.test_state import _begin, _scripts
from tests.support.holding import hold

JOB = a_message(0).job_id
SETTLED = FiringEnd(
    schedule="nightly", run_id=RUN, at=a_run().created, ending=Ending.STARTED, settled=a_run().created
)  # fmt: skip


@pytest.fixture
def state(redis_url: str) -> Iterator[State]:
    """A client of Redis."""
    state = State(redis_url, namespace="restyle:repair:", account="a")
    yield state
    state.close()


@pytest.fixture
def there(state: State) -> dict[str, str]:
    """Every key of ours but those of runs, and its kind: what scripts write, and what else the tables name."""
    found = {state.key(name): form.kind for name, form in WORKSPACE.items()}
    found |= {f"{state.account}{name}": form.kind for name, form in ACCOUNT.items()}
    for name, form in NAMED.items():
        names = ("w",) if "worker" in name else (JOB, a_message(1).job_id)
        found |= {state.key(name.format(who)): form.kind for who in names}
    return found | {key: kind for key, kind in written(state).items() if not key.startswith(state.key("run", ""))}


@pytest.fixture
def progress(state: State) -> Progress:
    """A run of two shards, the first of them open."""
    progress = Progress(state)
    progress.register(a_run(planned=20, shards=2))
    progress.open_shard(RUN, 0, 10)
    return progress


@pytest.fixture
def fleet(state: State, progress: Progress) -> Fleet:
    """A worker that lives, in a workspace that is held."""
    fleet = Fleet(state, Limits(max_rpm=600, outage_failures=4, outage_jobs=2), worker="w")
    fleet.heartbeat({})
    hold(state)
    return fleet


#: A way to put something there, by the kind that Redis has for it.
PLANTS: dict[str, Callable[[State, str], object]] = {
    "string": lambda state, key: state.ask("SET", key, "\x1b[2J"),
    "hash": lambda state, key: state.ask("HSET", key, "x", "\x1b[2J"),
    "list": lambda state, key: state.ask("RPUSH", key, "\x1b[2J"),
    "set": lambda state, key: state.ask("SADD", key, "\x1b[2J"),
    "zset": lambda state, key: state.ask("ZADD", key, 1, "\x1b[2J"),
}


def written(state: State) -> dict[str, str]:
    """Every key that stands there while each script does its work, and its kind; as `w`, the worker of these tests."""
    found: dict[str, str] = {}
    fleet, progress = _begin(state)
    hold(state)
    firings, notices, trouble = Firings(state), Notices(state), json.dumps({"reason": "words", "next": "words"})
    key = f"{RUN}|finished|webhook"
    beside: list[Callable[[], object]] = [
        lambda: note_runs(state, {RUN: RunPoint(1.0, 1, 0, 0.5, None)}), lambda: progress.note_trouble(RUN, trouble),
        lambda: firings.look(["nightly"], a_run().created), lambda: firings.close(SETTLED),
        lambda: notices.add([Notice(key=key)]), lambda: notices.take(Notice(key=key)),
        lambda: state.ask("SET", state.key("account"), ""),
        *(partial(refuse, fleet, index) for index in (5, 6, 7)),
    ]  # fmt: skip
    for step in [*beside, *_scripts(fleet, progress).values()]:
        with suppress(Dropped, RunUnreadable):
            step()
        names = [name for prefix in (state.namespace, state.account) for name in state.redis.scan_iter(f"{prefix}*")]
        found |= dict(zip(names, state.ask_all(*(("TYPE", name) for name in names)), strict=True))
    state.ask("FLUSHALL")
    return {key.replace(":worker:worker", ":worker:w"): kind for key, kind in found.items() if kind != "none"}


def refuse(fleet: Fleet, index: int) -> None:
    """A call that is refused alike, as one of three."""
    fleet.take(a_message(index), f"t{index}")
    granted = patiently(fleet, index)
    fleet.call_failed(a_message(index), f"t{index}", granted, OutOfCredits("words", 402))


def pattern(name: str) -> str:
    """What keys a name of the tables stands for."""
    return re.escape(name).replace(re.escape("{}"), "[^:]+")


def forms(state: State) -> dict[str, Form]:
    """Each form, by the keys that it is of."""
    tables = {state.namespace: {**WORKSPACE, **NAMED}, state.account: {**ACCOUNT, **OF_STATUS}}
    found = {pattern(prefix + name): form for prefix, table in tables.items() for name, form in table.items()}
    runs = {f"run:{{}}{suffix}": form for suffix, form in RUN_FORMS.items()}
    runs |= {"run:{}:shard:{}": Form("hash"), "run:{}:unreadable:{}": Form("set")}
    return {**found, **{pattern(state.namespace + name): form for name, form in runs.items()}}


def test_every_key_that_is_written_has_its_form(state: State) -> None:
    """Else what somebody puts in its place would be removed by nobody, and fail whoever meets it."""
    known, there = forms(state), written(state)
    assert len(there) > 50
    for key, kind in there.items():
        found = [form for name, form in known.items() if re.fullmatch(name, key)]
        assert [form.kind for form in found] == [kind], key


def plant(state: State, there: dict[str, str], kind: str) -> None:
    """Puts something of another kind in the place of every key but those of runs.

    The hold of the workspace and what the server remembers stay: without them claims wait for both threads.
    """
    for key, own in there.items():
        if own != kind and not key.endswith(("holder", ":fleet", "fleet:turn", ":server")):
            state.ask("DEL", key)
            PLANTS[kind](state, key)


def work(fleet: Fleet, progress: Progress) -> None:
    """The life of a job that fails and of one that ends, and of a worker beside them."""
    ended = failed("bug", "words")
    for index in (0, 1):
        token = f"t{index}"
        fleet.heartbeat({})
        fleet.take(a_message(index), token)
        granted = patiently(fleet, index)
        fleet.call_failed(a_message(index), token, granted, None)
        if patiently(fleet, index).verdict == "go":
            progress.report(fleet, a_message(index), token, Ended(ended.outcome, calls=1, wrote_record=True))


def patiently(fleet: Fleet, index: int) -> Claim:
    """A claim, asked for until it is granted."""
    message, began = a_message(index), time.monotonic()
    while True:
        claim = fleet.claim(message, f"t{index}", looked=True, looked_at=time.monotonic())
        if claim.verdict == "go":
            return claim
        if claim.verdict == "parked":
            fleet.state.run("unpark", job=message.job_id)
        assert time.monotonic() - began < 10, claim


@pytest.mark.parametrize("kind", PLANTS)
def test_keys_of_another_kind(state: State, there: dict[str, str], fleet: Fleet, progress: Progress, kind: str) -> None:
    """A list where a hash belongs is no more than a loss: each script and each reader goes on."""
    plant(state, there, kind)
    state.ask("SADD", state.key("workers"), "w") if state.ask("TYPE", state.key("workers")) == "none" else None
    work(fleet, progress)
    totals = progress.totals(RUN)
    assert totals is not None
    plant(state, there, kind)
    fleet.heartbeat({})
    assert fleet.workers()["w"] == {}
    assert (progress.troubles(), fleet.suspensions(), fleet.credits_left(), fleet.held()) == ({}, [], None, None)
    assert progress.unfinished() in ([], [RUN])
    note_runs(state, {RUN: RunPoint(1.0, 1, 0, 0.5, None)})


@pytest.mark.parametrize("text", ["words", "nan", "9" * 500, "", "\x00"])
def test_fields_that_are_no_numbers(state: State, fleet: Fleet, progress: Progress, text: str) -> None:
    """Words in the place of the rate's numbers fail no job: they go, and the next claim is granted."""
    names = """hold hold_ms next limited_since gap asked_at credits call_ms unit lag lag_dev streak good_began waits:0
        held_back held_back_at rounds lost unreachable credits_seen"""
    state.ask("HSET", f"{state.account}rate", *(part for name in names.split() for part in (name, text)))
    for key in ("reserved", "holder"):
        state.ask("SET", state.key(key), text)
    hold(state)
    state.ask("SET", f"{state.account}epoch", text)
    work(fleet, progress)
    for reader in (fleet.credits_left, fleet.held, fleet.standing):
        assert not reader()


def test_a_suspension_that_cannot_be_read_stands(state: State, fleet: Fleet) -> None:
    """Whatever is written in the place of its reason, the fleet stands still until a person lets it go on."""
    state.ask("HSET", f"{state.account}suspension", "operator", "{", "x", "[" * 100_000)
    assert [standing.reason for standing in fleet.suspensions()] == ["operator", "x"]
    fleet.resume()
    assert fleet.suspensions() == []


@pytest.mark.parametrize(
    ("key", "field", "text"),
    [("", "budget", "much"), ("", "attempts", "some"), ("", "reserved", "x"), (":shard:0", "c:0", "x"), ("", "", "x")],
)
def test_what_is_wrong_with_a_run_is_told_of_it(
    state: State, fleet: Fleet, progress: Progress, key: str, field: str, text: str
) -> None:
    """Of a run nothing is removed: its job is left without an outcome, and its totals say why."""
    name = state.key("run", RUN) + key
    if field:
        state.ask("HSET", name, field, text)
    else:
        state.ask("DEL", name)
        state.ask("SET", name, text)
    with pytest.raises(RunUnreadable, match=RUN):
        work(fleet, progress)
    assert state.ask("EXISTS", name)
    assert progress.ledgers().keys() <= {RUN}


@pytest.mark.parametrize("lacking", ["status", "planned", "shards"])
def test_a_run_that_lacks_a_field_is_told_of(state: State, fleet: Fleet, progress: Progress, lacking: str) -> None:
    """A script that cannot do without it says which run that is, and nothing of Redis's own words."""
    state.ask("HSET", state.key("run", RUN), "max_failures", "1", "closed", 0)
    state.ask("HDEL", state.key("run", RUN), lacking)
    state.run("open_shard", run=RUN, shard=1, size=10, probing=False)
    fleet.heartbeat({})
    with suppress(Dropped, RunUnreadable):
        work(fleet, progress)
    state.ask("DEL", state.key("run", RUN, "open"))
    with suppress(RunUnreadable):
        progress.finishing(RUN, "w")


def test_a_shard_whose_outcomes_are_gone_is_opened_again(state: State, progress: Progress) -> None:
    """Its key was deleted: it is open no more, and among those that are to be opened."""
    state.ask("DEL", state.key("run", RUN, "shard", "0"))
    assert progress.open_shards(RUN) == []
    assert progress.gaps(RUN, 1) == [0]
    assert progress.open_shard(RUN, 0, 10)


@pytest.mark.parametrize("broken", [("endings",), ("braked",), ()])
def test_what_a_call_cost_is_counted_whatever_else_is_broken(
    state: State, fleet: Fleet, progress: Progress, broken: tuple[str, ...]
) -> None:
    """The report fails by what somebody made of the brakes or the counts, after the money."""
    fleet.take(a_message(0), "t0")
    assert patiently(fleet, 0).verdict == "go"
    key = state.key("run", RUN, *broken)
    state.ask("SET", key, "x") if broken else state.ask("HSET", key, "succeeded", "x")
    cost = DONE.outcome.credits
    failed_so = Ended(DONE.outcome.model_copy(update={"suspect": ("black",)}), calls=1, wrote_record=True)
    with suppress(RunUnreadable):
        progress.report(fleet, a_message(0), "t0", failed_so)
    assert float(state.ask("HGET", state.key("run", RUN), "credits") or 0) == cost
    spent = [float(state.ask("GET", found)) for found in state.redis.scan_iter(state.key("spent", "*"))]
    assert spent == [cost] * len(spent) != []


@pytest.mark.parametrize("ends", ["before", "after"])
def test_a_run_that_is_rebuilt_has_set_aside_what_its_calls_may_cost(
    state: State, fleet: Fleet, progress: Progress, ends: str
) -> None:
    """No less than nothing, whenever the calls end that were out as it was dropped: else its budget would grow."""

    def end() -> None:
        progress.report(fleet, a_message(0), "t0", DONE)

    def reserved() -> float:
        return float(state.ask("HGET", state.key("run", RUN), "reserved") or 0)

    fleet.take(a_message(0), "t0")
    assert patiently(fleet, 0).verdict == "go"
    assert (out := reserved()) > 0
    progress.drop(RUN)
    end() if ends == "before" else None
    told = Totals(RunStatus.RUNNING, 20, 2, 0, 0, 0, 0, 0, 0, 0, 0.0, "", None, None, 0.0)
    assert progress.restore(a_run(planned=20, shards=2), told, [])
    assert reserved() == (out if ends == "after" else 0)
    end() if ends == "after" else None
    assert reserved() == 0


def test_lists_are_read_with_bounds(state: State, fleet: Fleet, progress: Progress) -> None:
    """Names that are none of ours, and values of megabytes, are passed over."""
    large = "x" * 2_000_000
    state.ask("SADD", state.key("runs"), "x:suspension", large, "../x")
    state.ask("HSET", state.key("troubles"), RUN, large, "x", "{}")
    state.ask("SADD", state.key("workers"), "other")
    state.ask("SET", state.key("worker", "other"), large, "PX", 60_000)
    state.ask("HSET", state.key("worker", "other", "jobs"), "a", large, "b", json.dumps({"run": "x:y"}))
    state.ask("ZADD", state.key("run", RUN, "open"), 1, "minus one")
    assert progress.unfinished() == [RUN]
    assert (progress.troubles(), fleet.jobs_of("other"), fleet.workers()["other"]) == ({}, {}, {})
    with pytest.raises(RunUnreadable):
        progress.open_shards(RUN)


@pytest.mark.parametrize("ends", [(), ("EX", 10**8)])
def test_a_lock_without_an_end_is_nobodys(state: State, progress: Progress, ends: tuple[str, ...]) -> None:
    """Somebody has put it there so that no run is moved: it is taken like one that is free."""
    for name in ("dispatcher", "right:admission", "fleet:turn"):
        state.ask("SET", state.key(name), "somebody", *ends)
    assert progress.dispatch("token", 5)
    assert state.run("right", name="admission", token="token", ttl=1000, renew=0) == 1
    assert state.run("fleet_turn", turn="turn", ttl=1000, beat="beat", name="") != []
    assert not progress.dispatch("other", 5)


@pytest.mark.parametrize("ends", [(), ("PX", 10**10)])
def test_a_heartbeat_without_an_end_is_none(
    state: State, fleet: Fleet, progress: Progress, ends: tuple[str | int, ...]
) -> None:
    """Somebody has made a dead worker live for ever: it counts as dead, its jobs are freed, and it is forgotten."""
    message = a_message(0)
    fleet.take(message, "t")
    assert fleet.claim(message, "t", looked=True, looked_at=time.monotonic()).verdict == "go"
    state.ask("SET", state.key("worker", "w"), "{}", *ends)
    assert fleet.workers() == {"w": None}
    assert fleet.living_jobs == set()
    state.ask("HSET", state.key("run", RUN), "writer", "w", "closed", 2)
    state.ask("DEL", state.key("run", RUN, "open"))
    assert progress.finishing(RUN, "other")
    (place,) = fleet.jobs_of("w").values()
    assert fleet.free("w", place, message.job_id)[0]
    fleet.bury("w")
    assert fleet.workers() == {}


def test_a_run_that_is_not_over_is_not_ended_by_a_message(state: State, fleet: Fleet, progress: Progress) -> None:
    """The right to write its end is taken in the step that sees all its shards closed; a key beside it is no run."""
    assert not progress.finishing(RUN, "w")
    for name in (f"{RUN}:suspension", "../x", "x"):
        assert not progress.finishing(name, "w")
    assert state.ask("EXISTS", state.key("run", RUN, "suspension")) == 0
    fleet.heartbeat({})


@pytest.mark.parametrize("key", ["lease", "run", "closed"])
def test_a_worker_lives_whatever_one_run_has_become(state: State, fleet: Fleet, progress: Progress, key: str) -> None:
    """What it calls for cannot be read any more: its heartbeat goes out all the same."""
    fleet.take(a_message(0), "t0")
    assert patiently(fleet, 0).verdict == "go"
    name = {"lease": state.key("lease", JOB), "run": state.key("run", RUN), "closed": state.key("run", RUN, "closed")}
    state.ask("DEL", name[key], *([state.key("lease", JOB)] if key == "run" else []))
    state.ask("RPUSH", name[key], "x")
    state.ask("DEL", state.key("worker", "w"))
    fleet.heartbeat({})
    assert fleet.workers() == {"w": {}}


@pytest.mark.parametrize("lacking", ["since", "least", "most", "incarnation", "id", "open"])
def test_a_server_of_which_a_field_is_gone_is_a_loss(
    state: State, fleet: Fleet, progress: Progress, lacking: str
) -> None:
    """Claims wait for what may have been forgotten, and fail nobody."""
    state.ask("HSET", state.key("server"), "open", "0")
    state.ask("HDEL", state.key("server"), lacking)
    fleet.take(a_message(0), "t")
    assert fleet.claim(a_message(0), "t", looked=True, looked_at=time.monotonic()).verdict in {"go", "wait"}
    fleet.heartbeat({})


def test_counts_of_a_shard_are_made_true_to_its_outcomes(state: State, progress: Progress, fleet: Fleet) -> None:
    """Somebody has written other numbers there: it is neither closed early nor left open for ever."""
    key = state.key("run", RUN, "shard", "0")
    state.ask("HSET", key, "size", 999, "n", 998, "o:0", "{}", "o:x", "{}", "o:77", "{}")
    assert progress.recount(RUN, 0, 10) == 1
    (shard,) = progress.open_shards(RUN)
    assert (shard.size, shard.ended) == (10, 1)


@pytest.mark.parametrize(("field", "number"), [("closed", 10**9), ("closed", 1), ("cursor", 10**9), ("shards", 10**9)])
def test_counts_of_shards_that_cannot_be_are_told(state: State, progress: Progress, field: str, number: int) -> None:
    """A run that says it has closed what it has not is not ended, and nobody counts to a thousand million."""
    state.ask("HSET", state.key("run", RUN), field, number)
    assert not progress.is_sound(RUN)


def test_answers_on_disks_are_listed_whatever_stands_there(state: State, fleet: Fleet) -> None:
    """One key of somebody else's stops no dispatcher."""
    state.ask("SET", state.key("spooled"), "x")
    assert in_redis.spooled(state) == []
    state.ask("SET", state.key("kept_bytes"), "x")
    state.run("unpark", job=JOB)
