"""The door to Redis, against a real one that refuses, forgets scripts, hangs up, and falls silent."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from restyle.coordination.claim_types import Claim, Dropped, Limits
from restyle.coordination.fetches import Fetches, HostPace, Ticket, TicketPlace
from restyle.coordination.fleet import Fleet
from restyle.coordination.periods import Periods
from restyle.coordination.redis.client import State
from restyle.coordination.redis.scripts import TAKEN_WHEN_FULL, texts
from restyle.coordination.runs.progress import Ended, Progress, failed
from restyle.coordination.runs.registry import Totals, Word
from restyle.errors import ConfigurationError, RunUnreadable, StateUnavailable
from restyle.job.context import Called
from restyle.job.parked import in_redis
from restyle.models import RunStatus
from restyle.segmind.responses import Answer
from tests.integration.test_fleet import RUN, WORKSPACE, a_message, a_run
from tests.support.refusing import OTHERS, REFUSALS, refusing
from tests.support.servers import Valkey, running_valkey

#: What is refused that only writes.
WRITES = ("oom", "disk", "misconf", "noreplicas", "readonly")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """A Valkey that these tests may hurt; each leaves it well."""
    with running_valkey(tmp_path_factory.mktemp("refusing")) as server:
        yield server


@pytest.fixture
def state(server: Valkey) -> Iterator[State]:
    """The door to it, emptied."""
    state = State(server.url, namespace=WORKSPACE.namespace, account="a")
    state.ask("FLUSHALL")
    yield state
    state.close()


@pytest.mark.parametrize("kind", [*REFUSALS, *OTHERS])
def test_every_refusal_is_said_and_passes(state: State, server: Valkey, kind: str) -> None:
    """Whatever asks is told that state is unavailable, in Redis's words; afterwards the same door works."""
    spells: list[StateUnavailable | None] = []
    state.spells.listen(lambda spell, _seconds: spells.append(spell))
    state.run("take_plan", run="run", worker="worker", token="token", ttl=60)
    asks: list[Callable[[], object]] = [
        lambda: state.run("fire", run="run", seconds=60),
        lambda: state.ask("SET", "some", "thing"),
        lambda: state.ask_all(("GET", "some"), ("SET", "some", "thing")),
        state.check_writes,
    ]
    with refusing(server, kind):
        for ask in asks:
            with pytest.raises(StateUnavailable, match=r"Redis (refuses|refuses writes): ") as raised:
                ask()
            assert raised.value.refusal
            assert raised.value.next
    codes = [spell.refusal for spell in spells if spell]
    assert len(codes) == len(set(codes)) == (2 if kind == "masterdown" else 1), "each code is told once"
    state.check_writes()
    for ask in asks:
        ask()
    assert spells[-1] is None, "and its end"


@pytest.mark.parametrize("kind", ["auth", "noperm"])
def test_a_login_that_is_refused_at_the_start_is_for_a_person(state: State, server: Valkey, kind: str) -> None:
    """It is a setting then; later the same is waited out."""
    with refusing(server, kind) as line:
        if kind == "noperm":
            line.acl_setuser("default", enabled=True, categories=["-@read"])
        with pytest.raises(ConfigurationError, match="RESTYLE_REDIS_URL"):
            state.log_in()
        with pytest.raises(StateUnavailable):
            state.ping()
    state.log_in()


@pytest.mark.parametrize("kind", ["oom", "misconf", "noreplicas", "readonly"])
def test_one_that_only_refuses_writes_can_be_read(state: State, server: Valkey, kind: str) -> None:
    """So `status` shows runs, and says beside them what Redis says."""
    with refusing(server, kind):
        state.log_in()
        assert state.ask_all(("GET", "a"), ("GET", "b")) == [None, None]


# -- whole or not at all ------------------------------------------------------------------------------------

ENDED = failed("bug", "words")
CALLED = Called(
    Claim("go"), Answer((b"picture",), 1.0), a_run().created, a_run().created, 0.0
)  # fmt: skip


NOTHING = Totals(RunStatus.RUNNING, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0.0, "", None, None, 0.0)


def _scripts(fleet: Fleet, progress: Progress) -> dict[str, Callable[[], object]]:
    """Each script as it is run in earnest, upon a run with a job in hand, one that calls, and one that is kept."""
    state, job = fleet.state, [a_message(index) for index in range(6)]
    run = a_run(planned=20, shards=2)
    fetches, ticket = Fetches(state), Ticket("cdn.example", TicketPlace(RUN, 0, 0), 0, 0, 0.0, 0)
    return {
        "agree": lambda: progress.agree(run, Word("operator", "words", "a person", 1)),
        "agree_fleet": lambda: state.run("agree_fleet", epoch="0", entry="", detail="words", by="a person"),
        "drop": lambda: progress.drop("another"),
        "earlier": lambda: progress.spent_earlier(RUN, {"day": 0.5}),
        "end": lambda: progress.end(run.run_id, run.status),
        "fetch_end": lambda: fetches.end(ticket, "decided", mark="mark", host_was="good"),
        "fetch_order": lambda: fetches.order(RUN, 0, [(1, "cdn.example")]),
        "fetch_take": lambda: fetches.take(HostPace(4, 600)),
        "finishing": lambda: progress.finishing("over", "worker"),
        "fleet_look": lambda: state.run("fleet_look", interest=1000, name="", here=0, number=0, beats=[]),
        "fleet_turn": lambda: state.run("fleet_turn", turn="turn", ttl=1000, beat="beat", name="name"),
        "fleet_turn_over": lambda: state.run("fleet_turn_over", turn="a turn"),
        "hold": lambda: state.run(
            "hold",
            turn="a turn",
            begun=round(state.clock() * 1000),
            lease=5000,
            name="name",
            etag="etag",
            who="who",
            since="1",
            anew=0,
            runs=0,
            number=1,
            is_renewal=0,
        ),
        "periods": lambda: Periods(state).begin("UTC", []),
        "register": lambda: progress.register(a_run(planned=1).model_copy(update={"run_id": "another"})),
        "right": lambda: state.run("right", name="admission", token="token", ttl=1000, renew=0),
        "unhold": lambda: state.run("unhold", why="", if_idle=0),
        "unreadable": lambda: state.run(
            "unreadable", worker="worker", run=RUN, job=job[1].job_id, kind="kind", call=1, detail="words", habit=3
        ),
        "call_failed": lambda: fleet.call_failed(job[1], "t1", Claim("go"), None),
        "heartbeat": lambda: fleet.heartbeat({}),
        "bury": lambda: fleet.bury("gone"),
        "claim": lambda: fleet.claim(job[0], "t0", looked=True, looked_at=time.monotonic()),
        "close_shard": lambda: progress.close_shard(RUN, 0),
        "dispatch": lambda: progress.dispatch("other", 5),
        "fire": lambda: state.run("fire", run="firing", seconds=60),
        "once": lambda: state.run("once", what="handed", which="firing", most=60),
        "free": lambda: fleet.free("gone", {"run": RUN, "shard": 0, "index": 4}, job[4].job_id),
        "leave": fleet.leave,
        "leave_plan": lambda: state.run("leave_plan", run="planned", token="token"),
        "release": lambda: fleet.release(job[1], "t1", restore_attempts=True),
        "lose_shard": lambda: state.run("lose_shard", run=RUN, shard=7),
        "loosen": lambda: fleet.loosen(job[4].job_id),
        "notice": lambda: state.run("notice", notices=["channel", "{}"]),
        "recount": lambda: progress.recount(RUN, 0, 10),
        "open_shard": lambda: progress.open_shard(RUN, 1, 10),
        "park": lambda: in_redis.park(job[1].job_id, in_redis.as_text(CALLED, "made from"), state),
        "probe": lambda: Fleet(state.of_account("in an outage"), Limits()).probe(job[2].job_id),
        "report": lambda: progress.report(fleet, job[1], "t1", Ended(ENDED.outcome, calls=1, wrote_record=True)),
        "restore": lambda: progress.restore(run.model_copy(update={"run_id": "lost"}), NOTHING, []),
        "resume": fleet.resume,
        "resolve_doubts": lambda: fleet.resolve_doubts(job[1], "t1", is_queued=True),
        "spent": lambda: fleet.spent(job[1], "t1", 0.5),
        "spool": lambda: in_redis.mark_spooled(job[1], fleet),
        "unspool": lambda: state.run("unspool", job=job[5].job_id, worker="worker"),
        "stock": lambda: state.run("stock", id="this life", process="another"),
        "submitted": lambda: fleet.submitted(job[1], "t1", "made from", "{}"),
        "suspend": lambda: fleet.suspend("operator", "words", "a person"),
        "take": lambda: fleet.take(job[2], "t2"),
        "topped_up": lambda: state.of_account("without credits").run(
            "topped_up", balance="5", least=0, price=0, worker="worker", since=1
        ),
        "take_plan": lambda: state.run("take_plan", run="firing", worker="worker", token="token", ttl=60),
        "unpark": lambda: in_redis.unpark(job[3].job_id, state),
    }


def _begin(state: State) -> tuple[Fleet, Progress]:
    """A run of two shards in the middle of its work."""
    state.ask("FLUSHALL")
    fleet, progress = Fleet(state, Limits(), worker="worker"), Progress(state)
    progress.register(a_run(planned=20, shards=2))
    progress.open_shard(RUN, 0, 10)
    fleet.heartbeat({})
    Fetches(state).order(RUN, 0, [(0, "cdn.example")])
    for index in (0, 1):
        fleet.take(a_message(index), f"t{index}")
    fleet.claim(a_message(1), "t1", looked=True, looked_at=time.monotonic(), made_from="made from")
    in_redis.park(a_message(3).job_id, in_redis.as_text(CALLED, "made from"), state)
    state.ask_all(
        ("SADD", state.key("workers"), "gone"),
        ("HSET", state.key("worker", "gone", "jobs"), a_message(4).job_id, "{}"),
        ("HSET", state.key("lease", a_message(4).job_id), "worker", "gone", "calling", "1", "token", "t4", "run", RUN),
        ("HSET", state.key("run", RUN, "shard", "0"), "d:1", "1"),
        ("ZADD", state.key("run", RUN, "open"), 1, "7"),
        ("HSET", state.key("firings"), "planned", "{}", "firing", "{}"),
        ("HSET", state.key("planner:planned"), "token", "token"),
        ("HSET", state.key("spooled", a_message(5).job_id), "worker", "worker", "run", RUN, "shard", "0"),
        ("SADD", state.key("spooled"), a_message(5).job_id),
        ("SET", state.key("holder"), "0"), ("SET", state.key("fleet", "turn"), "a turn"),
        ("HSET", state.key("stock"), "server", "this one", "id", "this life"), ("SADD", state.key("runs"), "over"),
        ("HSET", state.key("run", "over"), "planned", 1, "shards", 0, "closed", 0, "status", "running"),
        ("HSET", f"{state.of_account('in an outage').account}suspension", "outage", '{"until_ms": 1, "since": 1}'),
        ("HSET", f"{state.of_account('without credits').account}suspension", "no_credits", '{"since": 1}'),
    )  # fmt: skip
    return fleet, progress


def _everything(server: Valkey) -> dict[bytes, bytes | None]:
    """Each key with its value."""
    with redis.Redis(port=server.port) as client:
        return {key: client.dump(key) for key in client.scan_iter()}


def test_every_script_is_tried() -> None:
    """One that comes is put beside the others."""
    fleet = Fleet(State("redis://nowhere", namespace="n:", account="a"), Limits(), worker="w")
    assert set(_scripts(fleet, Progress(fleet.state))) == set(texts())
    assert set(texts()) > TAKEN_WHEN_FULL


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[] if kind in {"oom", "readonly"} else pytest.mark.long) for kind in WRITES]
)
def test_a_script_that_is_refused_has_changed_nothing(state: State, server: Valkey, kind: str) -> None:
    """A full Redis takes what ends something, whole, and refuses what begins; all others refuse whatever writes."""
    fleet, progress = _begin(state)
    taken = set()
    for name, run in _scripts(fleet, progress).items():
        with refusing(server, kind):
            before = _everything(server)
            try:
                run()
            except StateUnavailable:
                assert _everything(server) == before, name
            except Dropped:
                taken.add(name)
            else:
                taken.add(name)
        if name in taken:
            fleet, progress = _begin(state)
    if kind == "oom":
        assert taken >= TAKEN_WHEN_FULL
        assert not taken & {"take", "open_shard", "park", "fire", "notice", "restore", "take_plan", "probe"}
    else:
        assert not taken


def test_a_transaction_that_is_refused_has_changed_nothing(state: State, server: Valkey) -> None:
    """Half of several plain commands would be worse than none: here the second alone needs memory."""
    state.ask("HSET", "hash", "field", "value")
    with refusing(server, "oom"), pytest.raises(StateUnavailable):
        state.ask_all(("HDEL", "hash", "field"), ("SET", "some", "thing"))
    assert state.ask("HGETALL", "hash") == {"field": "value"}


def test_a_fault_of_a_script_is_no_refusal(state: State) -> None:
    """It is told as what it is, and nobody waits for it to pass."""
    with pytest.raises(redis.ResponseError, match="not an integer"):
        state.run("fire", run="run", seconds="no number")


@pytest.mark.parametrize("fault", ["refusal", "our own"])
def test_a_job_that_could_not_be_taken_is_in_nobodys_hands(state: State, server: Valkey, fault: str) -> None:
    """Else the heartbeat would carry it for ever, and nobody would feed it again."""
    fleet, _ = _begin(state)
    before = set(fleet.hands.snapshot())
    if fault == "refusal":
        with refusing(server, "oom"), pytest.raises(StateUnavailable):
            fleet.take(a_message(2), "t2")
    else:
        state.ask("DEL", state.key("run", RUN))
        state.ask("SET", state.key("run", RUN), "a string")
        with pytest.raises(RunUnreadable):
            fleet.take(a_message(2), "t2")
    assert set(fleet.hands.snapshot()) == before


# -- connections --------------------------------------------------------------------------------------------


def impatient(server: Valkey, seconds: float) -> State:
    """A door that waits so long."""
    state = State(server.url, namespace="restyle:scripts:", account="a")
    state.redis.connection_pool.connection_kwargs["socket_timeout"] = seconds
    return state


def test_a_script_that_redis_has_forgotten_is_told_again(state: State) -> None:
    """Also after a restart, when it knows none."""
    assert state.run("dispatch", token="token", ttl=1000) == 1
    state.ask("SCRIPT", "FLUSH")
    assert state.run("dispatch", token="token", ttl=1000) == 1


def test_an_error_of_a_script_leaves_the_connection_good(state: State) -> None:
    """It is raised, and the next answer is the next question's."""
    before = state.ask("INFO", "clients")["connected_clients"]
    with pytest.raises(redis.ResponseError):
        state.run("fire", run="run", seconds="no number")
    assert state.run("dispatch", token="token", ttl=1000) == 1
    assert state.ask("INFO", "clients")["connected_clients"] == before


def test_silence_ends_in_time_and_is_not_taken_for_the_next_answer(server: Valkey) -> None:
    """A Redis that answers too late raises; what it answers at last is nobody's."""
    state = impatient(server, 0.3)
    client = redis.Redis.from_url(server.url)
    assert state.run("dispatch", token="one", ttl=1000) == 1
    client.client_pause(1000)
    began = time.monotonic()
    with pytest.raises(StateUnavailable, match="cannot be reached"):
        state.run("dispatch", token="two", ttl=1000)
    assert 0.25 < time.monotonic() - began < 0.9
    client.client_unpause()
    assert state.run("dispatch", token="one", ttl=1000) == 1
    client.close()
    state.close()


def test_a_connection_that_was_closed_meanwhile_is_opened_again(state: State, server: Valkey) -> None:
    """It is noticed before anything is sent, and nobody is told of it."""
    client = redis.Redis.from_url(server.url)
    assert state.run("dispatch", token="token", ttl=1000) == 1
    client.client_kill_filter(_type="normal", skipme=True)
    assert state.run("dispatch", token="token", ttl=1000) == 1
    client.close()


def test_a_demoted_server_is_not_talked_to_for_ever(state: State, server: Valkey, tmp_path: Path) -> None:
    """After a failover by hand the address leads elsewhere: connections to the old primary are made anew."""
    state.run("dispatch", token="token", ttl=1000)
    with refusing(server, "readonly") as line:
        with pytest.raises(StateUnavailable, match="READONLY"):
            state.run("dispatch", token="token", ttl=1000)
        ours = [client for client in line.client_list() if client["id"] != str(line.client_id())]
        assert ours == []


@pytest.mark.parametrize(
    "address", ["redis://:p/ss@host:6379/0", "http://host", "redis://:pass@host:port/0", f"redis://{'x' * 70}/0"]
)
def test_an_address_that_cannot_be_read_is_told_without_its_password(address: str) -> None:
    """A sentence with the form that it should have."""
    with pytest.raises(ConfigurationError, match=r"RESTYLE_REDIS_URL cannot be read: write redis://USER:") as raised:
        State(address, namespace="n:", account="a")
    assert "p/ss" not in raised.value.message.replace("USER:PASSWORD", "")
