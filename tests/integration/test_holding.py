"""Two Redis and one workspace in a real S3: who holds it, who follows, and what a Redis that lost it does."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import pytest

from restyle.coordination.claim_types import Limits
from restyle.coordination.fleet import Fleet
from restyle.coordination.in_hand import Grant, JobInHand
from restyle.coordination.redis.client import State
from restyle.coordination.runs.progress import Progress
from restyle.coordination.workspace.flags import Owner
from restyle.coordination.workspace.holder import Terms
from restyle.coordination.workspace.holding import Holding
from restyle.coordination.workspace.renewal import Renewal
from restyle.errors import StoreUnavailable, WorkspaceHeld
from restyle.keys import Workspace
from restyle.s3.store import Endpoint, Store
from tests.integration.test_fleet import a_run
from tests.support.proxy import Proxy, running_proxy
from tests.support.servers import S3, running_s3
from tests.support.wait import wait_until

#: A holder writes every 0.2 s, its lease lasts for 0.6 s, and after 0.9 s of silence it may be followed.
TERMS = Terms(0.9)


@dataclass
class Redis:
    """One of several databases, each the Redis of some people."""

    state: State
    store: Store
    workspace: Workspace
    who: str

    def holding(self, terms: Terms = TERMS, machine: str = "") -> Holding:
        """A process of it."""
        owner = Owner(self.who, f"{self.who}:6379/0", "1", machine)
        return Holding(self.store, self.workspace, Fleet(self.state, Limits()), owner, terms)

    def begin_run(self) -> None:
        """Something to do."""
        Progress(self.state).register(a_run())

    def holds(self) -> bool:
        """Whether calls may be begun here."""
        return Fleet(self.state, Limits()).holds_workspace

    def reasons(self) -> list[str]:
        """Why nothing moves here, in words."""
        return [found.detail for found in Fleet(self.state, Limits()).suspensions()]


People = Callable[[str], Redis]


@pytest.fixture
def people(redis_url: str, s3: S3) -> Iterator[People]:
    """Makes people with a Redis of their own, up to sixteen of them, in one workspace."""
    workspace, store = s3.workspace, s3.store
    with ExitStack() as stack:
        numbers = iter(range(16))

        def make(who: str) -> Redis:
            url = redis_url.removesuffix("/0") + f"/{next(numbers)}"
            state = State(url, namespace=workspace.namespace, account="a")
            stack.callback(state.close)
            return Redis(state, store, workspace, who)

        yield make


def records(redis: Redis) -> dict[str, dict[str, object]]:
    """The records as they lie in S3, by who wrote them."""
    found = redis.store.list(redis.workspace.under("fleets") + "/")
    texts = [json.loads(redis.store.get(listed.uri).data) for listed in found if listed.uri.endswith(".json")]
    return {str(text["who"]): text for text in texts}


def until(check: Callable[[], object], what: str, *steps: Holding) -> None:
    """Waits for a moment; these processes do meanwhile what is due."""

    def look() -> object:
        for holding in steps:
            holding.step()
        return check()

    wait_until(look, timeout=10, description=what)


def test_one_holds_it_and_the_next_goes_on_when_it_has_left(people: People) -> None:
    """The second is refused with the first one's name and changes nothing; after a clean end it need not wait."""
    anna, ben = people("anna"), people("ben")
    first, second = anna.holding(), ben.holding()
    first.hold()
    with pytest.raises(WorkspaceHeld, match=r"held by anna since .* \(Redis anna:6379/0, 0 jobs pending"):
        second.hold(patient=False)
    with pytest.raises(WorkspaceHeld):
        second.refuse_elsewhere()
    assert (anna.holds(), ben.holds()) == (True, False)
    assert list(records(anna)) == ["anna"]
    first.lose_interest()
    assert first.leave(if_idle=True)
    assert not anna.holds()
    began = time.monotonic()
    second.hold(patient=False)
    assert time.monotonic() - began < 0.5
    assert (anna.holds(), ben.holds()) == (False, True)
    assert list(records(anna)) == ["ben"], "the record of one that left is gone once another one holds it"


def test_nothing_is_left_while_there_is_something_to_do(people: People) -> None:
    """A run, a firing or a command keeps the workspace; when all is done it is left, and S3 is not asked any more."""
    anna = people("anna")
    holding = anna.holding()
    holding.hold()
    assert not holding.leave(if_idle=True), "a command has said that it needs it"
    holding.lose_interest()
    anna.begin_run()
    assert not holding.leave(if_idle=True)
    anna.state.ask("DEL", anna.state.key("runs"))
    until(lambda: not anna.holds(), "its leaving", holding)
    assert [text["state"] for text in records(anna).values()] == ["left"]
    assert holding.holder() is None


@pytest.mark.parametrize("count", [2, 3])
def test_many_at_the_same_moment(people: People, count: int) -> None:
    """Of those that come together one holds it, every time; the others are told, or find it free again."""
    several = [people(f"p{number}") for number in range(count)]
    for _ in range(3):
        start = threading.Barrier(count)

        def come(redis: Redis, start: threading.Barrier = start) -> Holding | None:
            holding = redis.holding(Terms(9))
            start.wait()
            try:
                holding.hold(patient=False)
            except WorkspaceHeld:
                return None
            return holding

        with ThreadPoolExecutor(count) as pool:
            holders = list(filter(None, pool.map(come, several)))
        assert len(holders) == 1
        assert sum(redis.holds() for redis in several) == 1
        holders[0].lose_interest()
        assert holders[0].leave(if_idle=True)


def test_a_silent_holder_is_followed_and_does_not_fight(people: People) -> None:
    """One that stood still for too long finds that another one holds it: it stops, says who, and leaves it alone."""
    anna, ben = people("anna"), people("ben")
    anna.begin_run()
    first = anna.holding()
    first.hold()
    began = time.monotonic()
    said: list[str] = []
    second = ben.holding()
    second.hold(say=said.append)
    assert TERMS.silent_after - TERMS.renew < time.monotonic() - began < 3
    assert "held by anna" in said[0]
    assert not anna.holds(), "its lease had run out before"
    ben.begin_run()
    renewal = Renewal(second)
    renewal.start()
    until(lambda: bool(anna.reasons()), "its learning of it", first)
    assert "held by ben" in anna.reasons()[0]
    for _ in range(5):
        first.step()
    states = {who: text["state"] for who, text in records(ben).items()}
    assert (anna.holds(), ben.holds(), states) == (False, True, {"anna": "left", "ben": "holder"})
    ben.state.ask("DEL", ben.state.key("runs"))
    second.lose_interest()
    until(lambda: not ben.holds(), "its leaving")
    renewal.stop()
    # What Anna's Redis believes of its run is old by now: whoever resumes it goes by S3.
    until(anna.holds, "its turn", first)
    assert Progress(anna.state).unfinished() == []
    assert Progress(anna.state).totals(a_run().run_id) is None
    (reason,) = Progress(anna.state).suspensions(a_run().run_id)
    assert (reason.reason, anna.reasons()) == ("workspace_held", [])


def test_a_pause_in_which_nobody_came_changes_nothing(people: People) -> None:
    """Frozen for long, and nobody took the workspace: its runs go on as they were."""
    anna = people("anna")
    anna.begin_run()
    holding = anna.holding()
    holding.hold()
    until(lambda: not anna.holds(), "the end of its lease")
    until(anna.holds, "its coming back", holding)
    assert Progress(anna.state).unfinished() == [a_run().run_id]
    assert anna.reasons() == []


def test_a_record_removed_by_hand_is_written_again(people: People) -> None:
    """Somebody tidies the bucket up: the holder goes on holding, and its runs stay."""
    anna = people("anna")
    anna.begin_run()
    holding = anna.holding()
    holding.hold()
    for listed in list(anna.store.list(anna.workspace.under("fleets") + "/")):
        anna.store.delete(listed.uri)
    until(lambda: bool(records(anna)), "its writing", holding)
    assert anna.holds()
    assert Progress(anna.state).unfinished() == [a_run().run_id]


@pytest.fixture
def line(s3: S3) -> Iterator[Proxy]:
    """What stands between one person and S3."""
    with running_proxy(s3.port) as proxy:
        yield proxy


def by(line: Proxy, s3: S3) -> Store:
    """S3 by that line."""
    return Store(embedded=Endpoint(f"http://127.0.0.1:{line.port}", s3.access_key, s3.secret_key))


def test_a_slow_writer_does_not_hold_it_too(people: People, line: Proxy, s3: S3) -> None:
    """One saw nobody, and its writing was held up while another took the workspace: it sees that, and steps back."""
    anna, ben = people("anna"), people("ben")
    anna.store = by(line, s3)
    line.once(b"PUT /", lambda: ben.holding(Terms(9)).hold(), when="before")
    with pytest.raises(WorkspaceHeld, match="held by ben"):
        anna.holding(Terms(9)).hold(patient=False)
    assert (anna.holds(), ben.holds(), list(records(ben))) == (False, True, ["ben"])


def test_a_lease_that_s3_confirms_too_late_is_none(people: People, line: Proxy, s3: S3) -> None:
    """The holder stood still between S3's answer and its word to Redis: the lease counts from before the request."""
    anna = people("anna")
    anna.store = by(line, s3)
    anna.begin_run()
    holding = anna.holding()
    holding.hold()
    until(lambda: not anna.holds(), "the end of its lease")
    puts: list[int] = []

    def pause(data: bytes) -> None:
        if data.startswith(b"PUT /"):
            puts.append(1)
            if len(puts) == 2:  # as the holder's, after the candidate's
                time.sleep(TERMS.lease + 0.1)

    line.listen(pause)
    holding.step()
    assert len(puts) == 2
    assert not anna.holds()


def test_s3_away_for_long(people: People, line: Proxy, s3: S3) -> None:
    """Without a word from S3 no call is begun after a while; with it, the fleet goes on by itself."""
    anna = people("anna")
    anna.store = by(line, s3)
    anna.begin_run()
    holding = anna.holding()
    holding.hold()
    line.cut()
    until(lambda: not anna.holds(), "the end of its lease")
    with pytest.raises(StoreUnavailable):
        holding.step()
    line.mend()
    until(anna.holds, "S3's word", holding)
    assert anna.reasons() == []


def test_a_redis_that_was_emptied_is_the_same_one(people: People) -> None:
    """A living process remembers the record and puts its name back: nobody waits, and others stay refused."""
    anna, ben = people("anna"), people("ben")
    worker = anna.holding(Terms(9))
    worker.hold()
    anna.begin_run()
    worker.step()
    anna.state.ask("FLUSHDB")
    worker.step()
    began = time.monotonic()
    anna.holding(Terms(9)).hold(patient=False)
    assert time.monotonic() - began < 1
    assert anna.holds()
    with pytest.raises(WorkspaceHeld):
        ben.holding(Terms(9)).hold(patient=False)


def test_a_redis_that_was_emptied_without_a_witness(people: People) -> None:
    """With nobody who remembers, its own record is as another one's: it is followed once it is silent."""
    anna = people("anna")
    anna.holding().hold()
    anna.state.ask("FLUSHDB")
    said: list[str] = []
    anna.holding().hold(say=said.append)
    assert "held by anna" in said[0]
    assert anna.holds()


def copy(source: Redis, target: Redis) -> None:
    """All that a Redis knows, as of now, in another one."""
    for key in source.state.ask("KEYS", "*"):
        target.state.ask("DEL", key)
        number = target.state.redis.connection_pool.connection_kwargs["db"]
        source.state.ask("COPY", key, key, "DB", number)


def test_a_copy_of_a_redis_is_another_one(people: People) -> None:
    """A snapshot of production that is started elsewhere knows the name, and not what was written under it since."""
    anna, copied = people("anna"), people("copy")
    anna.begin_run()
    first = anna.holding()
    first.hold()
    copy(anna, copied)
    renewal = Renewal(first)
    renewal.start()
    until(lambda: not copied.holds(), "the end of the lease that was copied along")
    second = copied.holding()
    with pytest.raises(WorkspaceHeld):
        second.hold()
    until(lambda: bool(copied.reasons()), "its own learning of it", second)
    assert anna.holds()
    renewal.stop()


def test_a_redis_of_one_machine_is_not_the_same_on_another(people: People) -> None:
    """Two machines with one RESTYLE_HOME: each has its Redis's data, and only one may work."""
    anna, ben = people("anna"), people("ben")
    anna.holding(Terms(9), machine="aaaaaaaa").hold()
    copy(anna, ben)
    elsewhere = ben.holding(Terms(9), machine="bbbbbbbb")
    with pytest.raises(WorkspaceHeld):
        elsewhere.hold(patient=False)
    assert not ben.holds(), "not even by the lease that was copied along"


def test_two_that_both_hold_it_both_stop(people: People) -> None:
    """However it came about, as by a late listing: each sees the other at its next look, and neither goes on."""
    anna, ben = people("anna"), people("ben")
    anna.begin_run()
    ben.begin_run()
    first, second = anna.holding(), ben.holding()
    first.hold()
    hidden = {
        listed.uri: anna.store.get(listed.uri).data for listed in anna.store.list(anna.workspace.under("fleets") + "/")
    }
    for uri in hidden:
        anna.store.delete(uri)
    second.hold()
    for uri, data in hidden.items():
        anna.store.put(uri, data, content_type="application/json")
    assert anna.holds()
    assert ben.holds()
    deadline = time.monotonic() + 0.5
    while time.monotonic() < deadline and (anna.holds() or ben.holds()):
        first.step()
        second.step()
    assert not (anna.holds() and ben.holds())


def test_a_take_over_waits_for_the_calls_in_flight(people: People) -> None:
    """The holder that is asked to stop begins no call, and goes when what is in its workers' hands has ended."""
    anna, ben = people("anna"), people("ben")
    anna.begin_run()
    fleet = Fleet(anna.state, Limits(), worker="w1")
    fleet.hands.add("job", JobInHand('{"run": "r", "shard": 0, "index": 0}', "t", Grant(1, since_ms=1)))
    fleet.heartbeat({})
    first = anna.holding(Terms(3))
    first.hold()
    renewal = Renewal(first)
    renewal.start()
    said: list[str] = []
    second = ben.holding(Terms(3))
    taker = threading.Thread(target=lambda: second.hold(take_over=True, say=said.append))
    taker.start()
    until(lambda: not anna.holds(), "its stop")
    until(lambda: any(text["state"] == "leaving" for text in records(anna).values()), "its word")
    assert "ben has taken" in anna.reasons()[0]
    assert not ben.holds()
    fleet.hands.remove("job", "t")
    fleet.heartbeat({})
    until(ben.holds, "the take-over")
    taker.join(5)
    renewal.stop()
    assert "asked to stop" in said[0]
    assert [listed.uri for listed in ben.store.list(ben.workspace.under("fleets") + "/") if ".stop" in listed.uri] == []


def test_what_else_lies_there_is_passed_over(people: People) -> None:
    """Folders' marks and files of people are no records; what cannot be read is a holder's, and is waited for."""
    anna = people("anna")
    for name in (".DS_Store", "notes.txt", "zz.json", "deadbeef.json"):
        anna.store.put(anna.workspace.under("fleets", name), b"x", content_type="text/plain")
    anna.holding().hold(patient=False)
    anna.holding().lose_interest()
    anna.holding().leave(if_idle=True)
    for data in (b"{}", b"x" * 10_000, b"\xff"):
        anna.store.put(anna.workspace.fleet("0" * 16), data, content_type="application/json")
        with pytest.raises(WorkspaceHeld, match="whose record this version cannot read"):
            anna.holding().hold(patient=False)


def test_a_record_that_is_seen_half_written_is_read_again(people: People) -> None:
    """A command was refused for a holder "whose record this version cannot read": its own, as it was being written."""
    anna, ben = people("anna"), people("ben")
    anna.holding().hold()
    (listed,) = anna.store.list(anna.workspace.under("fleets") + "/")
    text = anna.store.get(listed.uri).data
    anna.store.put(listed.uri, text[:40], content_type="application/json")
    writing = threading.Timer(0.2, anna.store.put, (listed.uri, text), {"content_type": "application/json"})
    writing.start()
    holder = ben.holding().holder()
    writing.join()
    assert holder is not None
    assert holder[0].record is not None
    assert holder[0].record.who == "anna"


def test_a_process_that_dies_with_the_turn_stops_nobody_for_long(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process of the same Redis passes it over; the lease stands meanwhile."""
    anna = people("anna")
    anna.state.run("fleet_turn", turn="dead", ttl=300, beat="beat", name="")
    anna.holding().hold()
    assert anna.holds()


def test_both_sides_of_a_workspace_have_a_holder_of_their_own(people: People) -> None:
    """The sandbox's runs are nobody's business on the paid side."""
    anna, ben = people("anna"), people("ben")
    anna.holding().hold()
    ben.workspace = ben.workspace.sandbox
    ben.state.namespace = ben.workspace.namespace
    ben.holding().hold(patient=False)
    assert anna.holds()
    assert ben.holds()


def test_a_redis_that_fell_back_by_a_moment_is_the_same_one(people: People) -> None:
    """A replica without the last second takes over: whoever wrote the record last knows it, and nobody gives up."""
    anna = people("anna")
    anna.begin_run()
    writer, other = anna.holding(Terms(9)), anna.holding(Terms(9))
    writer.hold()
    other.step()
    known = anna.state.ask("LRANGE", anna.state.key("fleet", "beats"), 0, -1)
    etag = anna.state.ask("HGET", anna.state.key("fleet"), "etag")
    anna.state.ask("HSET", anna.state.key("fleet"), "renewed", 0)
    until(lambda: anna.state.ask("HGET", anna.state.key("fleet"), "etag") != etag, "its writing", writer)
    anna.state.ask("DEL", anna.state.key("fleet", "beats"))
    anna.state.ask("RPUSH", anna.state.key("fleet", "beats"), *known)
    anna.state.ask("HSET", anna.state.key("fleet"), "etag", etag, "renewed", 0)
    for _ in range(3):
        other._next_try = 0
        other.step()
    assert (anna.holds(), anna.reasons()) == (True, [])
    until(lambda: anna.state.ask("HGET", anna.state.key("fleet"), "renewed") != "0", "its writing", writer)
    assert (anna.holds(), anna.reasons()) == (True, [])


def test_a_renewal_that_came_too_late_disturbs_nobody(people: People, line: Proxy, s3: S3) -> None:
    """The holder stood still in the middle of writing and was followed: its record is back, and the follower stays."""
    anna, ben = people("anna"), people("ben")
    anna.store = by(line, s3)
    anna.begin_run()
    ben.begin_run()
    first, second = anna.holding(), ben.holding()
    first.hold()
    line.once(b"PUT /", second.hold, when="before")
    anna.state.ask("HSET", anna.state.key("fleet"), "renewed", 0)
    until(ben.holds, "its being followed", first)
    assert not anna.holds(), "the lease had run out when S3 answered"
    assert records(ben)["anna"]["state"] == "holder"
    renewed = ben.state.ask("HGET", ben.state.key("fleet"), "renewed")
    until(lambda: ben.state.ask("HGET", ben.state.key("fleet"), "renewed") != renewed, "its renewal", second)
    assert ben.holds()
    until(lambda: bool(anna.reasons()), "its learning of it", first, second)
    assert ben.holds()
    assert not anna.holds()


@pytest.mark.long
def test_two_servers_over_one_disk(people: People, tmp_path: Path) -> None:
    """Two machines with a shared RESTYLE_HOME list with a delay of a second: two that came together part in seconds."""
    anna, ben = people("anna"), people("ben")
    with running_s3(tmp_path) as one, running_s3(tmp_path) as other:
        anna.store, ben.store = one.store, other.store
        holdings = []
        for redis, machine in ((anna, "aaaaaaaa"), (ben, "bbbbbbbb")):
            redis.begin_run()
            holdings.append(redis.holding(Terms(4.5), machine))
            with suppress(StoreUnavailable):  # so that each server has listed the folder
                holdings[-1].holder()
        with ThreadPoolExecutor(2) as pool, suppress(WorkspaceHeld):
            list(pool.map(lambda holding: holding.hold(patient=False), holdings))
        began = time.monotonic()
        until(lambda: not (anna.holds() and ben.holds()), "their parting", *holdings)
        assert time.monotonic() - began < 4
        assert anna.reasons() or ben.reasons() or anna.holds() != ben.holds()


class Late:
    """S3 as a process sees it whose look at the records comes after another process of its Redis has written."""

    def __init__(self, store: Store, write: Callable[[], object]) -> None:
        self._store, self._write = store, write
        self.looks = 0

    def glance(self, prefix_uri: str) -> object:
        """The records, a moment too late."""
        self._write()
        self.looks += 1
        return self._store.glance(prefix_uri)

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


def test_what_another_process_of_a_redis_writes_in_between_is_its_own(people: People) -> None:
    """Two workers are due to renew at once: the slower one took the other's record for a copy's, and all stopped."""
    anna = people("anna")
    anna.begin_run()
    quick = anna.holding()
    quick.hold()
    late = Late(anna.store, quick.step)
    slow = replace(anna, store=cast("Store", late)).holding()
    notices: list[str] = []
    slow.notice = quick.notice = notices.append
    until(lambda: late.looks >= 6, "six looks", slow)
    assert [notice for notice in notices if "no call begins here" in notice] == []
