"""Both doors of the API on a real Valkey, S3 and sandbox: what is submitted, asked for, looked up, and paid."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from apps.sandbox import styles
from restyle.coordination.claim_types import Dropped, Limits
from restyle.coordination.fleet import Fleet
from restyle.coordination.redis.client import State
from restyle.coordination.runs.progress import Ended, Progress
from restyle.errors import ApiTimeout, ApiUnavailable, RequestFailed, RequestLost, RestyleError, ResultGone
from restyle.job.modes import Call, Patience
from restyle.job.queued import Queued
from restyle.keys import Workspace, derived_seed
from restyle.models import (
    Job,
    ManifestSource,
    Message,
    Outcome,
    OutcomeKind,
    Params,
    Run,
    RunOptions,
    RunStatus,
    utc_now,
)
from restyle.runtime.memory import MemoryBudget, Reservation, UploadBuffer
from restyle.s3.store import Store
from restyle.segmind.history import CannotTell
from restyle.segmind.polls import NotThere, Request, read_request
from restyle.segmind.responses import Answer
from restyle.segmind.v2 import SegmindQueue
from tests.support.catalog import picture
from tests.support.holding import hold
from tests.support.proxy import running_proxy
from tests.support.refusing import refusing
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3, running_valkey
from tests.support.wait import wait_until

RUN = "20260101T000000Z-abcdef"
PATIENCE = Patience(answer=0.6, poll=0.02, history=0.1, leave=0.05)
DONE = Ended(Outcome(outcome=OutcomeKind.SUCCEEDED, credits=0.02), calls=1, wrote_record=True, call_succeeded=True)


def upload(name: str) -> UploadBuffer:
    """A picture on its way."""
    return UploadBuffer(picture(name), Reservation(MemoryBudget()))


@dataclass
class Fixture:
    """One worker with its doors, and a run with one job."""

    fleet: Fleet
    progress: Progress
    door: Queued
    message: Message
    token: str = "t1"

    def claim(self) -> Call:
        """Claims the job, looking where it is told to."""
        for looked in (False, True):
            claim = self.fleet.claim(
                self.message, self.token, looked=looked, looked_at=time.monotonic(), made_from="this picture"
            )
            if claim.verdict != "look":
                break
        return Call(upload("a"), self.message, self.token, claim, "this picture")

    def attempt(self) -> Answer:
        """One attempt as the pipeline makes it."""
        call = self.claim()
        if call.claim.verdict == "go" and call.claim.doubts:
            assert self.door.resolve(call), "nobody can tell"
            self.fleet.call_failed(self.message, self.token, call.claim, None)
            call = self.claim()
        try:
            return self.door.img2img(call)
        except RestyleError as error:
            self.fleet.call_failed(self.message, self.token, call.claim, error)
            raise

    def doubts(self) -> int:
        """How many calls of the job are in doubt."""
        found = self.progress.state.ask("HGET", self.progress.state.key("run", RUN, "shard", "0"), "d:0")
        return int(found or 0)

    def lost(self) -> float:
        """What counts as spent although nobody has seen a picture for it."""
        return float(self.progress.state.ask("HGET", self.progress.state.key("run", RUN), "lost") or 0)


@pytest.fixture
def job(redis_url: str, s3: S3, workspace: Workspace, sandbox: SandboxServer) -> Iterator[Fixture]:
    """A job in hand, whose seed is derived as a plan's is."""
    state = State(redis_url, namespace=workspace.namespace, account="account")
    progress, store = Progress(state), s3.store
    job_id = workspace.job_id("sku", "v")
    params = Params(prompt="p", seed=derived_seed(job_id))
    job = Job(id="sku", variant="v", image="s3://b/i.jpg", params=params, output="s3://b/o.jpg")
    message = Message(run_id=RUN, shard=0, index=0, job_id=job_id, job=job)
    progress.register(
        Run(
            run_id=RUN, status=RunStatus.RUNNING, created=utc_now(), manifest=ManifestSource(uri="m.csv", sha256="0"),
            plan_digest="d", options=RunOptions(), shards=1, planned=1,
        )
    )  # fmt: skip
    progress.open_shard(RUN, 0, 1)
    hold(state)
    fleet = Fleet(state, Limits(), worker="w1")
    fleet.heartbeat({})
    fleet.take(message, "t1")
    door = door_to(sandbox.origin, fleet, store, workspace, sandbox.api_key)
    yield Fixture(fleet, progress, door, message)
    door.close()
    store.close()
    state.close()


def door_to(origin: str, fleet: Fleet, store: Store, workspace: Workspace, key: str, **how: Any) -> Queued:
    """The queue's door at this address."""
    history = how.get("history", f"{origin}/inference-request/request-history")
    api = SegmindQueue(f"{origin}/v2/sdxl-img2img", key, history_url=history, timeout=5)
    return Queued(api, fleet, store, workspace, threading.Event(), PATIENCE)


def test_a_request_is_noted_before_it_is_asked_for(job: Fixture, s3: S3, sandbox: SandboxServer) -> None:
    """Its id stands in Redis and in S3 while it is made; at the end its picture and cost are told, and it is over."""
    sandbox.control(latency=0.3)
    answers: list[Answer] = []
    waiting = threading.Thread(target=lambda: answers.append(job.attempt()))
    waiting.start()
    key = job.progress.state.key("request", job.message.job_id)
    wait_until(lambda: job.progress.state.ask("EXISTS", key), timeout=5, description="the note in Redis")
    waiting.join()
    (answer,) = answers
    note = s3.store.get(job.door.workspace.request(RUN, job.message.job_id)).data.decode()
    assert answer.request_id
    assert answer.request_id in note
    assert (answer.cost, answer.remaining_credits, answer.sandbox) == (0.02, 999.98, True)
    job.progress.report(job.fleet, job.message, "t1", DONE)
    assert not job.progress.state.ask("EXISTS", key)


def test_time_running_out_costs_nothing(job: Fixture, sandbox: SandboxServer) -> None:
    """An attempt that gave up waiting is followed by one that asks for the same request; what it may cost counts."""
    sandbox.control(latency=3)
    with pytest.raises(ApiTimeout) as caught:
        job.attempt()
    assert not caught.value.in_doubt
    assert (job.doubts(), job.lost()) == (0, 0.02)
    job.door = replace(job.door, patience=replace(PATIENCE, answer=20))
    assert job.attempt().request_id
    assert (sandbox.calls, sandbox.charged, job.lost()) == (1, 1, 0)


@pytest.mark.parametrize("fault", ["polls", "downloads"])
def test_looks_that_fail_are_repeated(job: Fixture, sandbox: SandboxServer, fault: str) -> None:
    """Errors of looks and downloads end an attempt when time is up, never the request."""
    sandbox.control(**{fault: {"500": 0.5, "reset": 0.5}})
    with pytest.raises((ApiUnavailable, ApiTimeout)) as caught:
        job.attempt()
    assert not caught.value.in_doubt
    sandbox.control(**{fault: {}})
    assert job.attempt().images
    assert (sandbox.calls, sandbox.charged) == (1, 1)


def test_a_look_may_be_answered_202(job: Fixture, sandbox: SandboxServer) -> None:
    """What its body says counts: the request stands, and its picture is not waited for in vain."""
    sandbox.control(polls={"202": 1.0})
    assert job.attempt().images
    assert (sandbox.calls, sandbox.charged) == (1, 1)


def test_a_page_in_place_of_the_file_is_fetched_again(job: Fixture, sandbox: SandboxServer) -> None:
    """200 with what is no picture comes of the file's host: the paid request stands until its picture is there."""
    sandbox.control(downloads={"html": 1.0})
    with pytest.raises(ApiUnavailable, match="no picture") as caught:
        job.attempt()
    assert not caught.value.in_doubt
    assert not caught.value.ends_request
    sandbox.control(downloads={})
    assert job.attempt().images == (sandbox_picture(job),)
    assert (sandbox.calls, sandbox.charged, sandbox.paid_twice) == (1, 1, {})


def test_a_history_that_cannot_be_read_tells_nothing(job: Fixture, sandbox: SandboxServer) -> None:
    """Whatever comes with a 200, only a list of requests can say that there is none; else the call may be paid for."""
    since, params = utc_now(), job.message.job.params
    for page in (b"", b"<html>busy</html>", b"{}", b"[", b"[1]", b'"x"', b"null", b'{"data": [{}]}', b"\xff\xfe"):
        with serving(page) as origin, history_at(origin, job, sandbox) as api:
            with pytest.raises(CannotTell):
                api.find(picture("a"), params, since, is_ours=True)
            with pytest.raises(CannotTell):
                api.recall(Request("r-1", since))
    for page in (b"[]", b'{"data": []}', b'{"rows": [], "page": 1}'):
        with serving(page) as origin, history_at(origin, job, sandbox) as api:
            assert api.find(picture("a"), params, since, is_ours=True) is None


def test_a_lost_request_is_found_in_whatever_order_the_history_is(job: Fixture, sandbox: SandboxServer) -> None:
    """The order is not documented: requests of before that come first are no sign that there are none of since."""
    since, params = utc_now(), job.message.job.params

    def row(number: int, minutes: int) -> dict[str, Any]:
        at = (since + timedelta(minutes=minutes)).isoformat()
        sent = params.as_sent() | {"seed": params.seed + number % 7 * (minutes < 0)}
        return {"request_id": f"r-{number}", "model_status": "COMPLETED", "model_created": at, "request_body": sent}

    rows = [row(number, -90 + number // 4) for number in range(40)] + [row(77, 0)]
    for ordered in (rows, rows[::-1]):
        page = json.dumps({"data": ordered}).encode()
        with serving(page) as origin, history_at(origin, job, sandbox) as api:
            found = api.find(picture("a"), params, since, is_ours=True)
            assert found is not None
            assert found.request_id == "r-77"


@contextmanager
def client_of(origin: str) -> Iterator[SegmindQueue]:
    """The queue's client of somebody else's API."""
    api = SegmindQueue(f"{origin}/v2/sdxl-img2img", "key", history_url=f"{origin}/history", timeout=5)
    yield api
    api.close()


def test_a_404_that_the_api_did_not_write_is_no_word_on_a_request() -> None:
    """Of a gateway that has lost the API for a moment: the request stands, and is polled again, not paid for again."""
    request = Request("r-1", utc_now())
    for page in (b"<html>404", b"404 page not found\n", b"default backend - 404"):
        with serving(page, 404) as origin, client_of(origin) as api:
            for look in (api.poll, api.recall):
                with pytest.raises(ApiUnavailable, match="a gateway before the API answers 404 with a page of its own"):
                    look(request)
    for page in (b'{"error": "Request not found"}', b""):
        with serving(page, 404) as origin, client_of(origin) as api:
            with pytest.raises(NotThere):
                api.poll(request)
            with pytest.raises(CannotTell):
                api.recall(request)


@contextmanager
def history_at(origin: str, job: Fixture, sandbox: SandboxServer) -> Iterator[SegmindQueue]:
    """The queue's client with a history that somebody else serves."""
    history = f"{origin}/history"
    door = door_to(sandbox.origin, job.fleet, job.door.store, job.door.workspace, sandbox.api_key, history=history)
    yield door.api
    door.close()


@contextmanager
def serving(page: bytes, status: int = 200) -> Iterator[str]:
    """A server that answers everything with this page."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def sandbox_picture(job: Fixture) -> bytes:
    """What the API makes for the job."""
    params = job.message.job.params
    (made,) = styles.restyle(picture("a"), params, params.seed)
    return made


def test_a_download_that_breaks_off_is_made_again(job: Fixture, sandbox: SandboxServer) -> None:
    """Half a file is no picture, and no reason to pay for another."""
    sandbox.script("reset_midway")
    job.door = replace(job.door, patience=replace(PATIENCE, answer=20))
    assert job.attempt().images
    assert (sandbox.calls, sandbox.charged) == (1, 1)


def test_a_failed_request_is_over(job: Fixture, sandbox: SandboxServer) -> None:
    """It is not billed, and the next attempt submits another one."""
    sandbox.script("failed", 200)
    with pytest.raises(RequestFailed):
        job.attempt()
    assert job.attempt().images
    assert (sandbox.calls, sandbox.charged, job.lost()) == (2, 1, 0)


def test_a_lost_id_is_found_in_the_history(job: Fixture, sandbox: SandboxServer) -> None:
    """The next attempt takes up what was accepted, late as the history may be; the doubt and its cost are gone."""
    sandbox.control(history_lag=0.05)
    sandbox.script("lost")
    with pytest.raises(ApiTimeout) as caught:
        job.attempt()
    assert caught.value.in_doubt
    assert (job.doubts(), job.lost()) == (1, 0.02)
    assert job.attempt().images
    assert (sandbox.calls, sandbox.charged, job.doubts(), job.lost()) == (1, 1, 0, 0)


def test_a_submit_that_never_arrived_is_made_again(job: Fixture, sandbox: SandboxServer) -> None:
    """The history has no such request once it must have: it is submitted, and nothing is in doubt."""
    sandbox.script("reset", 200)
    with pytest.raises(ApiTimeout):
        job.attempt()
    assert job.attempt().images
    assert (sandbox.charged, job.doubts(), job.lost()) == (1, 0, 0)


@pytest.mark.parametrize("why", ["off", "refused", "failing"])
def test_without_a_history_nobody_can_tell(job: Fixture, s3: S3, sandbox: SandboxServer, why: str) -> None:
    """Switched off, refused, or failing for as long as one may wait: the doubt stays."""
    sandbox.script("lost")
    with pytest.raises(ApiTimeout):
        job.attempt()
    if why == "off":
        workspace = job.door.workspace
        job.door = door_to(sandbox.origin, job.fleet, s3.store, workspace, sandbox.api_key, history="")
    sandbox.control(history=why != "refused", polls={"503": 1.0} if why == "failing" else {})
    call = job.claim()
    assert call.claim.doubts == 1
    assert not job.door.resolve(call)
    assert job.doubts() == 1


def test_another_jobs_request_is_never_taken(job: Fixture, sandbox: SandboxServer) -> None:
    """Where other jobs ask for the same parameters, only the picture could tell, and the history leaves it out."""
    params = job.message.job.params.model_copy(update={"seed": 7})
    job.door.api.submit(upload("of another product"), params)
    since = utc_now() - timedelta(minutes=1)
    with pytest.raises(CannotTell, match="its own seed"):
        job.door.api.find(picture("a"), params, since, is_ours=False)
    other = params.model_copy(update={"prompt": "another"})
    assert job.door.api.find(picture("a"), other, since, is_ours=False) is None, "nobody asked for this"
    assert sandbox.calls == 1


def test_an_expired_request_is_read_from_the_history(job: Fixture, sandbox: SandboxServer) -> None:
    """The queue knows it no more; its picture is in the history, paid once."""
    sandbox.script("expired")
    assert job.attempt().images
    assert (sandbox.calls, sandbox.charged) == (1, 1)


def test_an_expired_request_without_a_history_is_in_doubt(job: Fixture, sandbox: SandboxServer) -> None:
    """It may have been billed, and is not asked for again."""
    sandbox.script("expired")
    sandbox.control(history=False)
    with pytest.raises(RequestLost) as caught:
        job.attempt()
    assert caught.value.in_doubt
    assert caught.value.since is not None
    assert job.doubts() == 1


def test_a_result_whose_file_is_gone(job: Fixture, sandbox: SandboxServer) -> None:
    """It was billed, so it is not made again by itself."""
    sandbox.control(downloads={"404": 1.0})
    job.door = replace(job.door, patience=replace(PATIENCE, answer=4))
    with pytest.raises(ResultGone):
        job.attempt()
    assert sandbox.charged == 1


def test_a_worker_that_drains_leaves_the_request_to_the_next(job: Fixture, sandbox: SandboxServer) -> None:
    """It waits a moment, then parts with the job; whoever claims it next asks for the same request."""
    sandbox.control(latency=3)
    job.door.stopping.set()
    with pytest.raises(Dropped):
        job.attempt()
    job.fleet.release(job.message, "t1")
    other = Fleet(job.progress.state, Limits(), worker="w2")
    other.heartbeat({})
    other.take(job.message, "t2")
    door = replace(job.door, fleet=other, stopping=threading.Event(), patience=replace(PATIENCE, answer=20))
    assert Fixture(other, job.progress, door, job.message, "t2").attempt().images
    assert (sandbox.calls, sandbox.charged) == (1, 1)


def test_a_request_for_another_picture_is_not_taken(job: Fixture) -> None:
    """What was asked for under other parameters is given up; the claim allows a new call."""
    assert job.fleet.submitted(job.message, "t1", "another picture", '{"request_id": "r"}')
    assert job.claim().claim.verdict == "go"
    assert not job.fleet.has_request(job.message.job_id)


def test_redis_losing_the_note(job: Fixture, sandbox: SandboxServer) -> None:
    """After Redis came back empty, the note in S3 leads to what was paid."""
    sandbox.control(latency=3)
    with pytest.raises(ApiTimeout):
        job.attempt()
    job.progress.state.ask("DEL", job.progress.state.key("request", job.message.job_id))
    job.progress.doubt(RUN, [job.message.job_id])
    job.door = replace(job.door, api=SegmindQueue(job.door.url, sandbox.api_key), patience=replace(PATIENCE, answer=20))
    assert job.attempt().images
    assert (sandbox.calls, sandbox.charged) == (1, 1)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x.jpg", "ftp://files/x.jpg", "file:///etc/passwd"])
def test_results_are_fetched_from_safe_addresses_only(job: Fixture, sandbox: SandboxServer, url: str) -> None:
    """https, or the API's own origin: nothing else is opened."""
    with pytest.raises(RestyleError, match="not followed"):
        job.door.api._fetched(url)


def test_the_key_stays_with_the_api(job: Fixture, sandbox: SandboxServer) -> None:
    """Submits and looks carry it; the download of a result does not."""
    seen: list[bytes] = []
    with running_proxy(int(sandbox.origin.rpartition(":")[2])) as proxy:
        proxy.listen(seen.append)
        api = SegmindQueue(f"http://127.0.0.1:{proxy.port}/v2/sdxl-img2img", sandbox.api_key)
        request = api.submit(upload("a"), Params(prompt="p"))
        answer = wait_until(lambda: api.poll(request), timeout=5, description="the result")
        api.close()
    assert answer.images
    files = [data for data in seen if data.startswith(b"GET /files/")]
    rest = [data for data in seen if data.startswith((b"POST /v2", b"GET /v2"))]
    assert files
    assert all(sandbox.api_key.encode() not in data for data in files)
    assert all(sandbox.api_key.encode() in data for data in rest)


def test_a_request_survives_its_note(job: Fixture) -> None:
    """What is written down can be read again."""
    request = Request("2c7f59ea", utc_now())
    assert read_request(request.as_json()) == request


# -- a Redis that refuses ------------------------------------------------------------------------------------


def test_the_id_of_what_is_billed_is_in_s3_whatever_redis_says(job: Fixture, tmp_path: Path) -> None:
    """While Redis refuses, S3 has it at once; and Redis as soon as it takes writes again, before anything is asked."""
    fleet, call = job.fleet, job.claim()
    answered = threading.Event()

    def ask() -> None:
        job.door.img2img(call)
        answered.set()

    with running_valkey(tmp_path / "valkey") as server:
        fleet.state = refused = State(server.url, namespace=job.progress.state.namespace, account="account")
        try:
            with refusing(server, "noreplicas"):
                answers = threading.Thread(target=ask, daemon=True)
                answers.start()
                note = job.door.workspace.request(RUN, job.message.job_id)
                wait_until(lambda: job.door.store.head(note), timeout=10, description="a note in S3")
                assert not fleet.has_request(job.message.job_id)
                assert not answered.is_set()
            assert answered.wait(10), "the picture, once Redis has the note"
            assert fleet.has_request(job.message.job_id)
            answers.join(5)
        finally:
            refused.close()


def test_a_note_is_written_as_soon_as_either_store_takes_it(job: Fixture, tmp_path: Path, s3: S3) -> None:
    """Redis refuses and S3 is out of reach: each is tried again, and the one that comes back first has it."""
    fleet, call = job.fleet, job.claim()
    with running_valkey(tmp_path / "valkey") as server, running_proxy(s3.port) as proxy:
        fleet.state = refused = State(server.url, namespace=job.progress.state.namespace, account="account")
        away = Store(embedded=replace(s3.endpoint, url=f"http://127.0.0.1:{proxy.port}"))
        door = replace(job.door, store=away)
        try:
            with refusing(server, "noreplicas"):
                proxy.cut()
                answers = threading.Thread(target=lambda: door.img2img(call), daemon=True)
                answers.start()
                wait_until(lambda: refused.spells.now, timeout=10, description="a refusal")
                proxy.mend()
                note = door.workspace.request(RUN, job.message.job_id)
                wait_until(lambda: job.door.store.head(note), timeout=15, description="a note in S3")
            wait_until(lambda: fleet.has_request(job.message.job_id), timeout=10, description="a note in Redis")
            answers.join(5)
        finally:
            refused.close()
            away.close()
