"""Pictures on the web in whole runs: fetched once, pinned for the run, and never the reason of a second call."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from config.celery_app import QUEUES, make_celery
from producers.dispatch.feeder import Feeder
from producers.planning.plan import Plan
from producers.planning.retry import Slice, plan_retry
from restyle.coordination.fetches import Fetches, HostPace, Ticket, host_name
from restyle.errors import ManifestError
from restyle.models import Outcome, Run
from tasks.fetch import FetchTask, HostPatience
from tests.support import pictures
from tests.support.bench import Bench, running_bench
from tests.support.catalog import picture
from tests.support.holding import hold
from tests.support.network import forget_network
from tests.support.runs import write
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3
from tests.support.standin import Made
from tests.support.wait import wait_until
from tests.support.web import WebServer, serving_pictures
from workers.background.fetcher import FetchThread

QUICKLY = HostPatience(tries=3, first=0.01, most=0.02, probe_first=0.01, probe_most=0.02, whole=0.2)
PACE = HostPace(in_flight=4, per_minute=60_000)


@pytest.fixture(autouse=True)
def _no_company(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_network(monkeypatch)


@pytest.fixture
def web() -> Iterator[WebServer]:
    """A web server."""
    with serving_pictures() as found:
        yield found


@pytest.fixture
def bench(s3: S3, redis_url: str, sandbox: SandboxServer) -> Iterator[Bench]:
    """A bench that may ask this machine."""
    with running_bench(
        s3, redis_url, sandbox, fetch_http=True, fetch_private="127.0.0.1", fetch_per_minute=60_000
    ) as found:
        yield found


def feeder_of(bench: Bench) -> Feeder:
    """A dispatcher's feeder."""
    here = bench.resources
    app = make_celery(here.settings)
    return Feeder(app, here.progress, here.tools.fleet, here.store, here.workspace, 100, 60)


def taken(bench: Bench, patience: HostPatience = QUICKLY, pace: HostPace = PACE) -> list[Ticket]:
    """Works on every ticket until there is none; those that were taken, in their order."""
    fetches = Fetches(bench.resources.state)
    task, found = FetchTask(bench.resources, fetches, patience), list[Ticket]()
    while True:
        ticket = fetches.take(pace)
        if isinstance(ticket, Ticket):
            found.append(ticket)
            task.work(ticket)
        elif fetches.state.ask("EXISTS", fetches.state.key("web", "hosts")) == 0:
            return found


def manifest(*addresses: str) -> str:
    """A table of pictures."""
    return "id,image\n" + "".join(f"p{number},{url}\n" for number, url in enumerate(addresses))


def night(bench: Bench, text: str, **asked: Any) -> dict[str, Outcome]:
    """One run from its plan to its outcomes."""
    run = begun(bench, text, **asked)
    taken(bench)
    return bench.work(run)


def begun(bench: Bench, text: str, **asked: Any) -> Run:
    """A run whose inputs are asked for."""
    run = bench.begin(bench.plan(text, **asked))
    feeder_of(bench).feed(run.run_id, 0)
    return run


def errors(outcomes: dict[str, Outcome]) -> dict[str, str]:
    """How each job ended: its error, else its kind."""
    return {name.partition("/")[0]: outcome.error or outcome.outcome.value for name, outcome in outcomes.items()}


def plain(data: bytes) -> bytes:
    """What an object says, unpacked."""
    return gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data


def test_nothing_is_queued_before_its_picture_is_there(bench: Bench, web: WebServer) -> None:
    """Each address is fetched once, whatever the number of variants; then its jobs are fed, all of them."""
    url = web.put("a.jpg", picture("a"))
    text = f"id,image,variant,prompt\nmug,{url},one,photo\nmug,{url},two,photo\nbag,{url},one,photo\n"
    run = bench.begin(bench.plan(text, prompt=None))
    feeder, state = feeder_of(bench), bench.resources.state
    queue = state.key(QUEUES["normal"])
    for _ in range(2):  # asked for again, it is fetched no second time
        feeder.feed(run.run_id, 0)
        assert state.ask("LLEN", queue) == 0
    assert len(taken(bench)) == 1
    feeder.feed_fetched()
    assert state.ask("LLEN", queue) == 3
    assert web.statuses() == {200: 1}
    outcomes = bench.work(run)
    # All have one picture and one recipe: two are copies.
    assert Counter(outcome.outcome.value for outcome in outcomes.values()) == {"succeeded": 1, "skipped": 2}
    record = bench.record("mug", "one")
    assert record.input.address == url
    assert record.input.uri == bench.resources.workspace.input(record.input.sha256, ".jpg")


def test_a_picture_that_changes_between_two_tries(bench: Bench, web: WebServer) -> None:
    """What was fetched first is what a run works on, whoever asks again, and with all of Redis forgotten."""
    url, first = web.put("a.jpg", picture("first")), pictures.encode(pictures.photo())
    web.files["/a.jpg"] = lambda number: Made(first if number == 1 else picture(f"another {number}"))
    run = begun(bench, manifest(url))
    taken(bench)
    state = bench.resources.state
    for key in state.ask("KEYS", state.key("web", "*")):
        state.ask("DEL", key)
    feeder_of(bench).feed(run.run_id, 0)
    assert len(taken(bench)) == 1
    assert web.statuses() == {200: 1}, "S3 says what the run has, and the server is not asked"
    (outcome,) = bench.work(run).values()
    assert outcome.outcome.value == "succeeded"
    assert bench.resources.store.get(bench.record("p0").input.uri).data == first


def test_a_job_without_its_picture_is_let_go(bench: Bench, web: WebServer) -> None:
    """Whatever Redis says is ready: no call is made before S3 says so."""
    run = begun(bench, manifest(web.put("a.jpg", picture("a"))))
    assert bench.work(run) == {}
    assert web.statuses() == {}
    taken(bench)
    assert errors(bench.work(run)) == {"p0": "succeeded"}


def test_failures_fail_alone_and_without_a_call(bench: Bench, web: WebServer, sandbox: SandboxServer) -> None:
    """Each says what the server said; the others are made."""
    calls = sandbox.charged
    web.files |= {
        "/gone": Made(b"", status=410),
        "/secret": Made(b"", status=403),
        "/login": Made(b"<html><input type=password>"),
        "/page": Made(b"<html>sold out"),
        "/broken": Made(b"", status=500),
        "/flaky": lambda number: Made(b"", status=502) if number < 3 else Made(picture("flaky")),
        "/busy": lambda number: Made(b"", {"retry-after": "0"}, 429) if number < 5 else Made(picture("busy")),
    }
    names = ("gone", "secret", "login", "page", "broken", "flaky", "busy")
    run = begun(bench, manifest(*(f"{web.origin}/{name}?key=geheim" for name in names)))
    taken(bench)
    refused = ["input_not_found", "input_refused", "input_refused", "invalid_image", "input_unreachable"]
    assert list(errors(bench.work(run)).values()) == [*refused, "succeeded", "succeeded"]
    assert sandbox.charged - calls == 2
    assert web.asked["/broken", 500] == 3
    bench.close(run)
    store, workspace = bench.resources.store, bench.resources.workspace
    told = {found.uri for found in store.list(workspace.uri + "/") if b"geheim" in plain(store.get(found.uri).data)}
    assert told == {workspace.addresses(run.run_id, 0)}, "the whole address lies with the plan alone"


def test_nights_cost_a_304(bench: Bench, web: WebServer, sandbox: SandboxServer) -> None:
    """The next run asks each address by its validator and calls for nothing; what has changed is made anew."""
    text = manifest(*(web.put(f"{name}.jpg", picture(name)) for name in ("a", "b", "c")))
    assert set(errors(night(bench, text)).values()) == {"succeeded"}
    web.forget()
    calls = sandbox.charged
    assert set(errors(night(bench, text)).values()) == {"skipped"}
    assert web.statuses() == {304: 3}
    web.put("b.jpg", picture("another"))
    web.forget()
    assert errors(night(bench, text)) == {"p0": "skipped", "p1": "succeeded", "p2": "skipped"}
    assert web.statuses() == {304: 2, 200: 1}
    assert sandbox.charged - calls == 1


@pytest.mark.parametrize(("refetch", "statuses"), [("never", {}), ("changed", {200: 1}), ("always", {200: 1})])
def test_without_a_validator_bytes_are_compared(
    bench: Bench, web: WebServer, refetch: str, statuses: dict[int, int]
) -> None:
    """It comes whole then, unless it is not asked for at all; the same bytes are the same picture."""
    web.validates = False
    text = manifest(web.put("a.jpg", picture("a")))
    night(bench, text)
    web.forget()
    assert errors(night(bench, text, refetch=refetch)) == {"p0": "skipped"}
    assert web.statuses() == statuses


def test_a_server_that_fails_for_all_is_left_alone(bench: Bench, web: WebServer) -> None:
    """Its pictures wait, at ever longer intervals, and count as unreachable in the end; another server's go on."""
    with serving_pictures() as other:
        for name in range(12):
            web.files[f"/{name}"] = Made(b"", status=503)
        good = other.put("a.jpg", picture("a"))
        run = begun(bench, manifest(*(f"{web.origin}/{name}" for name in range(12)), good))
        taken(bench)
        ended = Counter(errors(bench.work(run)).values())
    assert ended == {"input_unreachable": 12, "succeeded": 1}
    fetches = Fetches(bench.resources.state)
    assert fetches.held() == set()


def test_a_server_that_asks_for_patience_for_ever(bench: Bench, web: WebServer) -> None:
    """It is given up in the end as one that fails for all, also where one address alone is asked for."""
    web.files["/a"] = Made(b"", {"retry-after": "0"}, status=429)
    run = begun(bench, manifest(f"{web.origin}/a"))
    taken(bench)
    (outcome,) = bench.work(run).values()
    assert outcome.error == "input_unreachable"
    assert "has not answered well" in outcome.message
    assert web.statuses()[429] >= 10


def test_a_retry_has_what_its_run_has(bench: Bench, web: WebServer) -> None:
    """It asks for no picture again that the earlier run has fetched, though that is another by now."""
    text = manifest(web.put("a.jpg", picture("a")))
    run = begun(bench, text)
    taken(bench)
    bench.work(run)
    bench.close(run)
    web.put("a.jpg", picture("another"))
    web.forget()
    here, done = bench.resources, Slice(frozenset({"succeeded"}))
    again = bench.begin(
        plan_retry(run, bench.rows(run), done, here.settings, workspace=here.workspace, store=here.store)
    )  # fmt: skip
    feeder_of(bench).feed(again.run_id, 0)
    taken(bench)
    assert errors(bench.work(again)) == {"p0": "skipped"}
    assert web.statuses() == {}


def test_tickets_of_a_run_that_stands_still(bench: Bench, web: WebServer) -> None:
    """They are let go, and ordered anew as soon as the run goes on, not after the usual silence."""
    run = begun(bench, manifest(web.put("a.jpg", picture("a"))))
    here, fetches = bench.resources, Fetches(bench.resources.state)
    here.progress.suspend(run.run_id, "operator", "a break", "me@here")
    assert isinstance(fetches.take(PACE), float)
    here.progress.lift(run.run_id, "operator")
    feeder_of(bench).advance(run.run_id)
    assert isinstance(fetches.take(PACE), Ticket)


def test_what_waits_for_a_server_takes_no_room_from_others(bench: Bench, web: WebServer) -> None:
    """The window is of jobs that can go on: shards behind those of a server that is left alone are opened."""
    here = bench.resources
    urls = [f"{web.origin}/{n}" for n in range(2)] + [bench.put(f"p{n}") for n in range(2)]
    run = write(
        bench.plan(manifest(*urls)), workspace=here.workspace, store=here.store, shard_jobs=2, by="me@here"
    )  # fmt: skip
    hold(here.state)
    here.progress.register(run)
    app = make_celery(here.settings)
    feeder = Feeder(app, here.progress, here.tools.fleet, here.store, here.workspace, 2, 60)
    feeder.advance(run.run_id)
    feeder.advance(run.run_id)
    assert [shard.shard for shard in here.progress.open_shards(run.run_id)] == [0], "the window is full"
    fetches = Fetches(here.state)
    ticket = fetches.take(PACE)
    assert isinstance(ticket, Ticket)
    fetches.end(ticket, "again", host_was="bad", wait=600)
    feeder.advance(run.run_id)
    assert [shard.shard for shard in here.progress.open_shards(run.run_id)] == [0, 1]
    assert here.state.ask("LLEN", here.state.key(QUEUES["normal"])) == 2
    assert isinstance(fetches.take(PACE), float), "nor is it asked"


def test_a_secret_stays_in_the_plan(bench: Bench, web: WebServer) -> None:
    """A signed link is fetched by all of it, and shown without; a retry of its job has it, too."""
    web.files["/a.jpg"] = lambda number: Made(b"", status=401) if number == 1 else Made(picture("a"))
    run = begun(bench, manifest(f"{web.origin}/a.jpg?v=1&sig=geheim"))
    (job,) = bench.lines(run, 0)
    assert (job.image, len(job.web)) == (f"{web.origin}/a.jpg?v=1&sig=***", 64)
    taken(bench)
    (outcome,) = bench.work(run).values()
    assert (outcome.error, outcome.message.partition(": the")[0]) == ("input_refused", job.image)
    here = bench.resources
    failed = Slice(frozenset({"failed"}))
    again = bench.begin(
        plan_retry(run, bench.rows(run), failed, here.settings, workspace=here.workspace, store=here.store)
    )  # fmt: skip
    feeder_of(bench).feed(again.run_id, 0)
    taken(bench)
    assert errors(bench.work(again)) == {"p0": "succeeded"}
    assert bench.record("p0").input.address == job.image


@pytest.mark.parametrize("spoilt", [None, b"junk", gzip.compress(b"[1]", mtime=0)], ids=["lost", "junk", "no model"])
def test_addresses_that_are_lost(bench: Bench, web: WebServer, spoilt: bytes | None) -> None:
    """Jobs whose whole address is lost fail in words that say how to go on; the others, and what is fetched, go on."""
    names = [web.put(name, picture(name)) for name in ("a.jpg", "b.jpg", "c.jpg")]
    run = begun(bench, manifest(f"{names[0]}?sig=geheim", names[1], f"{names[2]}?sig=geheim"))
    here, fetches = bench.resources, Fetches(bench.resources.state)
    uri = here.workspace.addresses(run.run_id, 0)
    kept = here.store.get(uri).data
    first = fetches.take(PACE)
    assert isinstance(first, Ticket)
    FetchTask(here, fetches, QUICKLY).work(first)
    here.store.delete(uri)
    if spoilt is not None:
        here.store.put(uri, spoilt, content_type="application/gzip")
    taken(bench)
    outcomes = bench.work(run)
    assert errors(outcomes) == {"p0": "succeeded", "p1": "succeeded", "p2": "input_not_found"}
    message = outcomes["p2/default"].message
    assert f"{names[2]}?sig=***: " in message
    assert f"{uri} is gone, or cannot be read" in message
    assert "run its manifest again" in message

    def retried(status: str) -> Plan:
        wanted = Slice(frozenset({status}))
        return plan_retry(
            run, bench.rows(run), wanted, here.settings, workspace=here.workspace, store=here.store
        )  # fmt: skip

    bench.close(run)
    with pytest.raises(ManifestError, match="p2: image: its whole address is gone"):
        bench.begin(retried("failed"))
    again = bench.begin(retried("succeeded"))
    feeder_of(bench).feed(again.run_id, 0)
    taken(bench)
    assert errors(bench.work(again)) == {"p0": "skipped", "p1": "skipped"}, "what is fetched needs no address"
    here.store.put(uri, kept, content_type="application/gzip")
    again = bench.begin(retried("failed"))
    feeder_of(bench).feed(again.run_id, 0)
    taken(bench)
    assert errors(bench.work(again)) == {"p2": "succeeded"}


@pytest.mark.long
def test_a_server_with_moods(bench: Bench, web: WebServer, sandbox: SandboxServer) -> None:
    """Each address comes once a run, four at a time; failures fail alone without a call; the next night asks by 304."""
    text, web.seconds = manifest(*web.have_moods(60, picture)), 0.02
    thread = FetchThread(bench.resources)
    thread.start()
    try:
        assert Counter(errors(_by_thread(bench, text)).values()) == {
            "succeeded": 62,
            "input_refused": 2,
            "input_not_found": 1,
        }
        assert web.most_in_flight == 4
        assert web.statuses() == {200: 63, 500: 3, 429: 3, 302: 3, 404: 1, 403: 1}
        calls = sandbox.charged
        web.forget()
        found = errors(_by_thread(bench, text))
        assert Counter(found.values()) == {
            "skipped": 60, "succeeded": 1, "input_refused": 2, "input_not_found": 1, "invalid_image": 1,
        }  # fmt: skip
        assert (found["p60"], found["p61"]) == ("succeeded", "invalid_image")
        assert web.statuses() == {304: 60, 200: 3, 302: 3, 404: 1, 403: 1}
        assert sandbox.charged - calls == 1
    finally:
        thread.stop()
        thread.join()


def _by_thread(bench: Bench, text: str) -> dict[str, Outcome]:
    """A run whose pictures a worker's thread fetches."""
    run = begun(bench, text)
    fetches = Fetches(bench.resources.state)
    wait_until(lambda: len(fetches.ready(run.run_id, 0)) == text.count("http"), timeout=60, description="all fetched")
    return bench.work(run)


def test_what_a_dead_worker_was_fetching(bench: Bench, web: WebServer) -> None:
    """It is anybody's again when its lease ends, and nothing is fetched twice while that is renewed."""
    begun(bench, manifest(web.put("a.jpg", picture("a"))))
    fetches, state = Fetches(bench.resources.state), bench.resources.state
    ticket = fetches.take(PACE)
    assert isinstance(ticket, Ticket)
    fetches.renew([ticket])
    assert isinstance(fetches.take(PACE), float)
    state.ask("ZADD", state.key("web", "flight", ticket.host), 1, ticket.place.id)
    wait_until(lambda: isinstance(fetches.take(PACE), Ticket), timeout=5, description="the ticket again")


def test_nobody_is_asked_for_what_nobody_planned(bench: Bench, web: WebServer) -> None:
    """Whoever writes to Redis names places of plans alone; what is none is dropped."""
    run = begun(bench, manifest(web.put("a.jpg", picture("a"))))
    fetches, state = Fetches(bench.resources.state), bench.resources.state
    taken(bench)
    web.forget()
    for place in (f"{run.run_id}.0.7", f"{run.run_id}.9.0", "../x.0.0", "junk", f"{run.run_id}.0.-1"):
        state.ask("SET", state.key("web", "ticket", place), 0)
        state.ask("LPUSH", state.key("web", "queue", host_name(web.origin.partition("://")[2])), place)
    state.ask("ZADD", state.key("web", "hosts"), 0, host_name(web.origin.partition("://")[2]))
    taken(bench)
    assert fetches.fetched() is not None
    assert web.statuses() == {}


def test_the_pace_of_a_host(bench: Bench, web: WebServer) -> None:
    """So many at a time and a minute, whoever asks; and others in the meantime."""
    with serving_pictures() as other:
        begun(bench, manifest(*(web.put(f"{n}.jpg", picture("a")) for n in range(6)), other.put("b.jpg", picture("b"))))
        fetches = Fetches(bench.resources.state)
        pace = HostPace(in_flight=2, per_minute=60_000)
        found = [fetches.take(pace) for _ in range(20)]
        tickets = [ticket for ticket in found if isinstance(ticket, Ticket)]
        assert Counter(ticket.host for ticket in tickets) == {
            host_name(web.origin.partition("://")[2]): 2, host_name(other.origin.partition("://")[2]): 1,
        }  # fmt: skip
        slow = HostPace(in_flight=9, per_minute=1)
        wait_until(lambda: isinstance(fetches.take(slow), Ticket), timeout=5, description="a ticket")
        again = [fetches.take(slow) for _ in range(200)]
        assert not [ticket for ticket in again if isinstance(ticket, Ticket)]
