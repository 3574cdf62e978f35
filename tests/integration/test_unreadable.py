"""Paid answers in every dress: read where they can be, else kept, paid for once more at most, and read again later."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from producers.dispatch.ledger import mark_opened
from producers.planning.retry import Slice, plan_retry
from producers.runs.recovery.rebuild import Rebuilder
from restyle.job.parked import in_redis
from restyle.job.parked.unreadable import Note
from restyle.models import Outcome, OutcomeKind, Run
from tasks.image import restyle_image
from tests.support import pictures
from tests.support.bench import Bench, running_bench
from tests.support.holding import hold
from tests.support.network import forget_network
from tests.support.proxy import running_proxy
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3
from tests.support.standin import Answering, Made, StandIn, standing_in
from tests.support.wait import wait_until

pytestmark = pytest.mark.timeout(60)

SMALL = pictures.photo().convert("RGB").resize((64, 48))
COST = {"x-cost": "0.02", "x-request-id": "r-1", "set-cookie": "session=secret"}


@pytest.fixture(autouse=True)
def _no_company(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_network(monkeypatch)


@contextmanager
def bench_of(
    answering: Answering, s3: S3, redis_url: str, sandbox: SandboxServer, **settings: Any
) -> Iterator[tuple[Bench, StandIn]]:
    """A worker whose API answers so."""
    with standing_in(answering) as api, running_bench(s3, redis_url, sandbox, api_url=api.url, **settings) as bench:
        yield bench, api


def rows(bench: Bench, count: int) -> str:
    """A manifest of so many jobs."""
    return "id,image\n" + "".join(f"mug-{number},{bench.put(f'mug-{number}')}\n" for number in range(count))


def made(form: str = "JPEG", **how: Any) -> bytes:
    """What the API makes."""
    return pictures.encode(SMALL, form, **how)


def pixels(data: bytes) -> bytes:
    """What a picture shows, whatever its form and marks."""
    with Image.open(io.BytesIO(data)) as picture:
        return picture.convert("RGB").tobytes()


def kept(bench: Bench, run: Run) -> dict[str, bytes]:
    """What is kept of a run's unreadable answers, by the names behind the run's id."""
    store, prefix = bench.resources.store, bench.resources.workspace.under("unreadable", run.run_id) + "/"
    return {listed.uri.removeprefix(prefix): store.get(listed.uri).data for listed in store.list(prefix)}


def begun(bench: Bench, manifest: str, **asked: Any) -> tuple[Run, dict[str, Outcome]]:
    """A run of a manifest with its outcomes."""
    run = bench.begin(bench.plan(manifest, **asked))
    return run, bench.work(run)


def animation() -> bytes:
    """A GIF of two frames."""
    file, frames = io.BytesIO(), [SMALL.convert("P") for _ in range(2)]
    frames[1].putpixel((0, 0), 7)
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    return file.getvalue()


FORMS = {
    "GIF": lambda: made("GIF"), "BMP": lambda: made("BMP"), "TIFF": lambda: made("TIFF"), "AVIF": lambda: made("AVIF"),
    "JPEG2000": lambda: made("JPEG2000"), "PPM": lambda: made("PPM"), "an animation": animation,
}  # fmt: skip


def test_a_picture_of_any_format_is_stored(s3: S3, redis_url: str, sandbox: SandboxServer) -> None:
    """What is not stored as it is becomes a PNG of the same pixels; one call, and nothing is kept aside."""
    forms = [make() for make in FORMS.values()]

    def answer(asked: dict[str, Any], _: int) -> Made:
        return Made(forms[int(asked["prompt"].split("mug-")[1].split()[0])], COST)

    with bench_of(answer, s3, redis_url, sandbox) as (bench, api):
        run, ended = begun(bench, rows(bench, len(forms)))
        assert {(outcome.outcome, outcome.error) for outcome in ended.values()} == {(OutcomeKind.SUCCEEDED, "")}
        for number, data in enumerate(forms):
            stored, record = bench.output(f"mug-{number}"), bench.record(f"mug-{number}")
            assert (record.outputs[0].content_type, stored.content_type) == ("image/png", "image/png")
            assert pixels(stored.data) == pixels(data)
        assert (sum(api.calls.values()), kept(bench, run)) == (len(forms), {})


def test_base64_in_odd_dress_costs_one_call(s3: S3, redis_url: str, sandbox: SandboxServer) -> None:
    """Line breaks and the other alphabet: what was bought up to five times is read at once."""
    text = base64.urlsafe_b64encode(made()).decode().rstrip("=")
    lines = "\n".join(text[place : place + 76] for place in range(0, len(text), 76))

    def answer(asked: dict[str, Any], _: int) -> Made:
        return Made(json.dumps({"output": [{"b64_json": lines}]}).encode(), {**COST, "content-type": "image/jpeg"})

    with bench_of(answer, s3, redis_url, sandbox) as (bench, api):
        _, ended = begun(bench, rows(bench, 2))
        assert {outcome.outcome for outcome in ended.values()} == {OutcomeKind.SUCCEEDED}
        assert sum(api.calls.values()) == 2
        assert pixels(bench.output("mug-0").data) == pixels(made())


def test_a_link_is_followed_without_the_key(s3: S3, redis_url: str, sandbox: SandboxServer) -> None:
    """A file that is late by a moment is tried for again: no second call is paid."""

    def answer(asked: dict[str, Any], _: int) -> Made:
        number = len(api.files)
        api.files[f"/files/{number}.jpg"] = Made(made(quality=80 + number))
        return Made(json.dumps({"image": f"{api.origin}/files/{number}.jpg"}).encode(), COST)

    with bench_of(answer, s3, redis_url, sandbox) as (bench, api):
        _, ended = begun(bench, rows(bench, 2))
        assert {outcome.outcome for outcome in ended.values()} == {OutcomeKind.SUCCEEDED}
        assert pixels(bench.output("mug-1").data) == pixels(made(quality=81))
        assert api.fetched == [("/files/0.jpg", False), ("/files/1.jpg", False)]
        assert sum(api.calls.values()) == 2


def test_a_link_to_the_inside_is_not_followed(s3: S3, redis_url: str, sandbox: SandboxServer) -> None:
    """The API's word has no worker look around: such an answer cannot be read, and is kept."""
    metadata = json.dumps({"image": "https://169.254.169.254/latest/meta-data"}).encode()
    with bench_of(lambda _, __: Made(metadata, COST), s3, redis_url, sandbox) as (bench, api):
        run, ended = begun(bench, rows(bench, 1))
        (outcome,) = ended.values()
        assert (outcome.outcome, outcome.error) == (OutcomeKind.FAILED, "unreadable")
        assert "not followed: 169.254.169.254 is an inner address" in outcome.message
        assert sum(api.calls.values()) == 2
        assert len(kept(bench, run)) == 4


UNKNOWN = json.dumps({"status": "ok", "asset": {"sealed": "AAECAwQ="}}).encode()


def test_an_unreadable_answer_is_kept_and_paid_for_once_more(s3: S3, redis_url: str, sandbox: SandboxServer) -> None:
    """Bytes, headers and what it was the answer to lie in S3; the outcome names them; the account was billed twice."""
    with bench_of(lambda _, __: Made(UNKNOWN, COST), s3, redis_url, sandbox) as (bench, api):
        run, ended = begun(bench, rows(bench, 1))
        (outcome,) = ended.values()
        assert (outcome.outcome, outcome.error, outcome.http_status) == (OutcomeKind.FAILED, "unreadable", 200)
        assert (outcome.attempts, sum(api.calls.values())) == (2, 2)
        (job_id,) = {name.partition(".")[0] for name in kept(bench, run)}
        assert f"{bench.resources.workspace.unreadable(run.run_id, job_id)}" in outcome.message
        assert f"restyle retry {run.run_id} --unreadable" in outcome.message
        found = kept(bench, run)
        assert sorted(found) == [job_id, f"{job_id}.2", f"{job_id}.2.json", f"{job_id}.json"]
        assert (found[job_id], found[f"{job_id}.2"]) == (UNKNOWN, UNKNOWN)
        note = Note.read(found[f"{job_id}.json"])
        assert (note.id, note.status, note.cost, note.request_id, note.bytes) == (
            "mug-0",
            200,
            0.02,
            "r-1",
            len(UNKNOWN),
        )
        assert note.kind == "JSON: asset, status"
        assert note.headers["x-cost"] == "0.02"
        assert "secret" not in found[f"{job_id}.json"].decode()
        totals = bench.resources.progress.totals(run.run_id)
        assert totals is not None
        assert totals.credits == 0.04


def test_a_good_second_answer_ends_it(s3: S3, redis_url: str, sandbox: SandboxServer) -> None:
    """An accident is worth one more call."""
    answers = {1: Made(made()[:-200], COST), 2: Made(made(), COST)}
    with bench_of(lambda _, number: answers[number], s3, redis_url, sandbox) as (bench, api):
        run, ended = begun(bench, rows(bench, 5))
        assert {outcome.outcome for outcome in ended.values()} == {OutcomeKind.SUCCEEDED}
        assert set(api.calls.values()) == {2}
        assert len(kept(bench, run)) == 10


def test_a_habit_of_the_api_stops_the_run(s3: S3, redis_url: str, sandbox: SandboxServer) -> None:
    """Three jobs with one kind of answer and no picture between: no job gets a further call, the rest none at all."""
    with bench_of(lambda _, __: Made(UNKNOWN, COST), s3, redis_url, sandbox) as (bench, api):
        run = bench.begin(bench.plan(rows(bench, 12)))
        ended = bench.work(run)
        assert {outcome.error for outcome in ended.values()} == {"unreadable"}
        assert len(ended) == 3
        # One job after the other: the first two had their second call before the third made it a habit.
        assert sorted(api.calls.values()) == [1, 2, 2]
        (suspension,) = bench.resources.progress.suspensions(run.run_id)
        assert (suspension.reason, suspension.scope) == ("unreadable", "run")
        assert "JSON that holds no picture" in suspension.detail
        assert "restyle resume" in suspension.next
        # Once resumed, each job gets one call, and three in a row stop it again.
        bench.resources.progress.resume(run.run_id)
        assert len(bench.work(run)) == 6
        assert sorted(api.calls.values()) == [1, 1, 1, 1, 2, 2]
        assert [one.reason for one in bench.resources.progress.suspensions(run.run_id)] == ["unreadable"]


def test_what_some_jobs_bring_stops_no_run(s3: S3, redis_url: str, sandbox: SandboxServer) -> None:
    """Where pictures come between, the run goes on; from the third such job on, none gets a further call."""

    def answer(asked: dict[str, Any], _: int) -> Made:
        return Made(UNKNOWN if int(asked["prompt"].split("mug-")[1].split()[0]) % 2 else made(), COST)

    with bench_of(answer, s3, redis_url, sandbox) as (bench, api):
        run, ended = begun(bench, rows(bench, 12))
        assert [outcome.outcome is OutcomeKind.SUCCEEDED for outcome in ended.values()] == [True, False] * 6
        assert not bench.resources.progress.suspensions(run.run_id)
        assert sorted(api.calls.values()) == [1] * 10 + [2] * 2


def test_a_job_that_brought_it_before_gets_no_further_call(s3: S3, redis_url: str, sandbox: SandboxServer) -> None:
    """In another run too: a retry by hand is one call, not two."""
    with bench_of(lambda _, __: Made(UNKNOWN, COST), s3, redis_url, sandbox) as (bench, api):
        manifest = rows(bench, 1)
        begun(bench, manifest)
        _, ended = begun(bench, manifest)
        assert [outcome.error for outcome in ended.values()] == ["unreadable"]
        assert sum(api.calls.values()) == 3


def retried(bench: Bench, run: Run) -> dict[str, Outcome]:
    """What `restyle retry RUN --unreadable` does, without the command."""
    here = bench.resources
    wanted = Slice(frozenset({"failed"}), unreadable=True)
    plan = plan_retry(run, bench.rows(run), wanted, here.settings, workspace=here.workspace, store=here.store)
    assert (plan.estimate.calls, plan.estimate.credits) == (0, 0)
    return bench.work(bench.begin(plan))


def turn_readable(bench: Bench, run: Run) -> None:
    """Has a later version read what is kept: to this one, it is put in a form that this one reads."""
    for name in kept(bench, run):
        if not name.endswith(".json"):
            uri = bench.resources.workspace.under("unreadable", run.run_id, name)
            body = json.dumps({"image": base64.b64encode(made()).decode()}).encode()
            bench.resources.store.put(uri, body, content_type="application/octet-stream")


def test_kept_answers_are_read_again_without_a_call(s3: S3, redis_url: str, sandbox: SandboxServer) -> None:
    """A later version that reads them stores their pictures, with the record of the call that was paid for."""
    with bench_of(lambda _, __: Made(UNKNOWN, COST), s3, redis_url, sandbox) as (bench, api):
        run, _ = begun(bench, rows(bench, 2))
        calls = dict(api.calls)
        again = retried(bench, run)
        assert {outcome.error for outcome in again.values()} == {"unreadable"}
        assert {"this version cannot read" in outcome.message for outcome in again.values()} == {True}
        turn_readable(bench, run)
        again = retried(bench, run)
        assert {outcome.outcome for outcome in again.values()} == {OutcomeKind.SUCCEEDED}
        assert {(outcome.credits, outcome.attempts) for outcome in again.values()} == {(0.0, 0)}
        record = bench.record("mug-0")
        assert (record.api.cost, record.api.request_id, record.run_id == run.run_id) == (0.02, "r-1", False)
        assert pixels(bench.output("mug-0").data) == pixels(made())
        # And it is done: neither another reading nor another run makes a call.
        assert {outcome.outcome for outcome in retried(bench, run).values()} == {OutcomeKind.SKIPPED}
        assert api.calls == calls


def test_an_answer_to_another_picture_is_not_taken(s3: S3, redis_url: str, sandbox: SandboxServer) -> None:
    """The input has changed since: what was made from the old one is no result of the new one."""
    with bench_of(lambda _, __: Made(UNKNOWN, COST), s3, redis_url, sandbox) as (bench, api):
        run, _ = begun(bench, rows(bench, 1))
        turn_readable(bench, run)
        bench.put("mug-0", pictures.encode(SMALL.resize((80, 80))))
        (outcome,) = retried(bench, run).values()
        assert outcome.error == "unreadable"
        assert "made from another picture" in outcome.message
        assert sum(api.calls.values()) == 2


@pytest.mark.parametrize("cost", ["-5", "nan", "1e9"])
def test_a_budget_holds_whatever_the_costs(cost: str, s3: S3, redis_url: str, sandbox: SandboxServer) -> None:
    """A forged cost neither makes calls free nor ends a run at once: the configured price counts, and it is said."""
    headers = {**COST, "x-cost": cost}
    with bench_of(lambda _, __: Made(made(), headers), s3, redis_url, sandbox, price=1.0) as (bench, api):
        run, ended = begun(bench, rows(bench, 6), budget=3)
        assert sum(api.calls.values()) == 3
        assert {outcome.credits for outcome in ended.values()} == {1.0}
        assert all("is not believed" in outcome.warning for outcome in ended.values())
        assert [one.reason for one in bench.resources.progress.suspensions(run.run_id)] == ["budget"]
        state, periods = bench.resources.state, bench.resources.tools.fleet.limits.budgets.periods()
        assert [float(state.ask("GET", state.key("spent", period.name))) for period in periods] == [3.0, 3.0]
        assert bench.record("mug-0").api.cost is None


def test_a_budget_holds_for_unreadable_answers_too(s3: S3, redis_url: str, sandbox: SandboxServer) -> None:
    """Their costs are judged by the same bounds."""
    headers = {**COST, "x-cost": "-5"}
    with bench_of(lambda _, __: Made(UNKNOWN, headers), s3, redis_url, sandbox, price=1.0) as (bench, api):
        begun(bench, rows(bench, 6), budget=1)
        assert sum(api.calls.values()) == 1


def test_a_long_request_id_stops_nothing(s3: S3, redis_url: str, sandbox: SandboxServer) -> None:
    """S3 takes two kilobytes with an object: what is stored of it is bounded."""
    headers = {**COST, "x-request-id": "r" * 3000}
    with bench_of(lambda _, __: Made(made(), headers), s3, redis_url, sandbox) as (bench, _):
        _, ended = begun(bench, rows(bench, 1))
        assert {outcome.outcome for outcome in ended.values()} == {OutcomeKind.SUCCEEDED}
        assert bench.record("mug-0").api.request_id == "r" * 200
        assert len(bench.output("mug-0").metadata["request_id"]) == 200


def test_an_answer_that_s3_does_not_take_is_not_lost(s3: S3, redis_url: str, sandbox: SandboxServer) -> None:
    """S3 is away as it comes, and the worker drains: it waits in Redis, and whoever comes next keeps it."""
    with running_proxy(s3.port) as way:

        def answer(_asked: dict[str, Any], _number: int) -> Made:
            if sum(api.calls.values()) == 1:
                way.cut()
            return Made(UNKNOWN, COST)

        endpoint = f"http://127.0.0.1:{way.port}"
        with bench_of(answer, s3, redis_url, sandbox, local_s3_endpoint=endpoint) as (bench, api):
            run = bench.begin(bench.plan(rows(bench, 1)))
            tools, (message,) = bench.resources.tools, bench.messages(run)
            tools.fleet.heartbeat({})
            worker = threading.Thread(target=restyle_image, args=(bench.resources, message))
            worker.start()
            wait_until(lambda: not tools.unsaved.is_set(), timeout=30, description="S3 missed")
            tools.stopping.set()
            worker.join(30)
            way.mend()
            assert (kept(bench, run), sum(api.calls.values())) == ({}, 1)
            tools.stopping.clear()
            (outcome,) = bench.work(run).values()
            assert (outcome.error, sum(api.calls.values())) == ("unreadable", 2)
            assert [body for name, body in sorted(kept(bench, run).items()) if ".json" not in name] == [UNKNOWN] * 2
            (job_id,) = {name.partition(".")[0] for name in kept(bench, run)}
            assert not tools.fleet.state.ask("EXISTS", tools.fleet.state.key(in_redis.KEY, job_id))


def test_one_that_neither_s3_nor_redis_takes_lies_on_disk(
    s3: S3, redis_url: str, sandbox: SandboxServer, tmp_path: Path
) -> None:
    """From the first failure on, for a kill to find it there: what it was is known by a later version alone."""
    with running_proxy(s3.port) as way:

        def answer(_asked: dict[str, Any], _number: int) -> Made:
            if sum(api.calls.values()) == 1:
                way.cut()
                bench.resources.state.ask("CONFIG", "SET", "maxmemory", "1")
            return Made(UNKNOWN, COST)

        endpoint, home = f"http://127.0.0.1:{way.port}", str(tmp_path / "home")
        with bench_of(answer, s3, redis_url, sandbox, local_s3_endpoint=endpoint, home=home) as (bench, api):
            run = bench.begin(bench.plan(rows(bench, 1)))
            tools, (message,) = bench.resources.tools, bench.messages(run)
            tools.fleet.heartbeat({})
            worker = threading.Thread(target=restyle_image, args=(bench.resources, message))
            worker.start()
            try:
                (path,) = wait_until(tools.spool.waiting, timeout=30, description="the answer on disk")
                assert base64.b64encode(UNKNOWN) in path.read_bytes()
            finally:
                bench.resources.state.ask("CONFIG", "SET", "maxmemory", "0")
            wait_until(lambda: not tools.spool.waiting(), timeout=30, description="the answer in Redis")
            way.mend()
            worker.join(60)
            assert (max(kept(bench, run).values()), tools.spool.waiting()) == (UNKNOWN, [])


def test_they_outlive_redis(s3: S3, redis_url: str, sandbox: SandboxServer) -> None:
    """Redis is empty: what they cost counts, and a job that brought two gets no third call."""
    answers = {"mug-0": [UNKNOWN, UNKNOWN], "mug-1": [made()[:-200]]}

    def answer(asked: dict[str, Any], number: int) -> Made:
        given = answers[asked["prompt"].split("photo of ")[1].split()[0]]
        return Made(given[number - 1] if number <= len(given) else made(), COST)

    with bench_of(answer, s3, redis_url, sandbox) as (bench, api):
        run, ended = begun(bench, rows(bench, 2))
        assert sorted(outcome.outcome.value for outcome in ended.values()) == ["failed", "succeeded"]
        here = bench.resources
        mark_opened(run.run_id, 0, here.store, here.workspace)
        here.state.ask("FLUSHALL")
        hold(here.state)
        assert Rebuilder(here.store, here.workspace, here.progress, here.tools.fleet).restore(run.run_id)
        totals = here.progress.totals(run.run_id)
        assert totals is not None
        assert (totals.failed, totals.succeeded, totals.attempts, totals.credits) == (1, 1, 4, 0.08)
        bench.work(run)
        assert sum(api.calls.values()) == 4


def test_results_of_the_queue_are_read_and_kept_alike(s3: S3, redis_url: str, sandbox: SandboxServer) -> None:
    """A result in base64, or a file of another format, is a picture; what is neither is kept, and paid for once."""
    result = dict[str, Any]()

    def accept(_asked: dict[str, Any], _number: int) -> Made:
        place = f"/v2/requests/r{sum(api.calls.values())}"
        api.files[f"{place}/status"] = Made(b'{"status": "COMPLETED"}')
        api.files[place] = Made(json.dumps({"status": "COMPLETED", "metrics": {"cost": 0.02}, **result}).encode())
        return Made(json.dumps({"request_id": place.rpartition("/")[2]}).encode())

    with bench_of(accept, s3, redis_url, sandbox, api="v2", poll_seconds=0.02) as (bench, api):
        result |= {"output": {"b64": base64.b64encode(made()).decode()}}
        _, ended = begun(bench, rows(bench, 1))
        assert {outcome.outcome for outcome in ended.values()} == {OutcomeKind.SUCCEEDED}
        api.files["/files/a.gif"] = Made(made("GIF"))
        result["output"] = f"{api.origin}/files/a.gif"
        _, ended = begun(bench, rows(bench, 1), overwrite=True, new_seed=True)
        assert {outcome.outcome for outcome in ended.values()} == {OutcomeKind.SUCCEEDED}
        assert bench.record("mug-0").outputs[0].content_type == "image/png"
        result["output"] = {"asset": "sealed"}
        run, ended = begun(bench, f"id,image\ncup,{bench.put('cup')}\n")
        (outcome,) = ended.values()
        assert (outcome.error, outcome.attempts, sum(api.calls.values())) == ("unreadable", 1, 3)
        (body,) = (data for name, data in kept(bench, run).items() if "." not in name)
        assert json.loads(body)["output"] == {"asset": "sealed"}
