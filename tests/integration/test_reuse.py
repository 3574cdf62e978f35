"""Pay once by content: one picture and one recipe are paid for once, whoever asks, under whatever id or run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from producers.planning.clashes import find_clashes
from producers.planning.copies import find_copies
from reports.audit import audit
from restyle.coordination.claim_types import Claim
from restyle.fingerprint import Fingerprint
from restyle.job.context import Called
from restyle.job.parked import in_redis
from restyle.models import Outcome, OutcomeKind, utc_now
from restyle.request_digest import request_digest
from restyle.segmind.responses import Answer
from tasks.image import restyle_image
from tests.support.bench import Bench, running_bench
from tests.support.catalog import picture
from tests.support.dying import Died, DyingStore
from tests.support.proxy import running_proxy
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3

FELT, WOOL = "{id} in felt", "{id} in wool"
#: A prompt that is the same for every entry.
SAME = "a mug in felt"


@pytest.fixture
def bench(s3: S3, redis_url: str, sandbox: SandboxServer) -> Iterator[Bench]:
    """A workspace and a worker of this test alone."""
    sandbox.control(price=1.0)
    with running_bench(s3, redis_url, sandbox, price=1.0) as found:
        yield found


def rows(bench: Bench, *names: str, folder: str = "") -> str:
    """A manifest of these pictures, each of its own."""
    return "id,image\n" + "".join(f"{name},{bench.put(folder + name)}\n" for name in names)


def twins(bench: Bench, *names: str) -> str:
    """A manifest of these ids, which all have the same picture in places of their own."""
    return "id,image\n" + "".join(f"{name},{bench.put(name, picture('the same'))}\n" for name in names)


def kinds(outcomes: dict[str, Outcome]) -> list[str]:
    """How jobs ended; reused ones are told from skipped ones."""
    return ["reused" if one.reused else one.outcome.value for one in outcomes.values()]


def at_once(bench: Bench, *messages: dict[str, Any]) -> None:
    """Does jobs at the same time."""
    bench.resources.tools.fleet.heartbeat({})
    with ThreadPoolExecutor(len(messages)) as pool:
        list(pool.map(partial(restyle_image, bench.resources), messages))


def test_back_to_an_earlier_prompt(bench: Bench, sandbox: SandboxServer) -> None:
    """A -> B -> A: ten jobs are paid for twice, not three times, and the pictures of A are back where they were."""
    names = [f"mug-{number}" for number in range(10)]
    manifest = rows(bench, *names)
    first = bench.run(manifest, prompt=FELT)
    pictures = {name: bench.output(name).data for name in names}
    paid = [sandbox.charged]
    bench.run(manifest, prompt=WOOL)
    paid.append(sandbox.charged)
    for _ in range(2):
        again = bench.run(manifest, prompt=FELT)
        paid.append(sandbox.charged)
        assert {name: bench.output(name).data for name in names} == pictures
        assert {name: one.outputs for name, one in again.items()} == {name: one.outputs for name, one in first.items()}
    assert paid == [10, 20, 20, 20]
    assert kinds(again) == ["skipped"] * 10
    told = bench.record("mug-1").reused_from
    assert told is not None
    assert (told.id, told.cost) == ("mug-1", 1.0)
    assert kinds(bench.run(manifest, prompt=WOOL)) == ["reused"] * 10
    assert sandbox.charged == 20


def test_what_is_copied_is_known_before_the_yes(bench: Bench) -> None:
    """Back to an earlier prompt, or another catalog with the same pictures: the plan says what costs nothing."""
    names = [f"mug-{number}" for number in range(4)]
    manifest, here = rows(bench, *names), bench.resources

    def copies(text: str, prompt: str, **options: Any) -> str:
        plan = bench.plan(text, prompt=prompt, **options)
        records = find_clashes(plan, store=here.store, workspace=here.workspace).records
        return str(find_copies(plan, records, store=here.store, workspace=here.workspace))

    assert copies(manifest, FELT) == ""
    bench.run(manifest, prompt=FELT)
    assert copies(manifest, FELT) == "", "these are done"
    bench.run(manifest, prompt=WOOL)
    assert copies(manifest, FELT).startswith("4 are paid for as other results")
    assert copies(manifest, FELT, overwrite=True, new_seed=True) == ""
    assert copies(manifest, "{id} in silk") == ""
    Path("a.jpg").write_bytes(picture("mug-1"))
    assert copies("id,image\nmug-1,a.jpg\nnew,a.jpg\n", FELT).startswith("1 are paid")


def test_six_rows_of_one_picture(bench: Bench, sandbox: SandboxServer) -> None:
    """One call, six outputs that name their own jobs, six records; the ledger says what it saved."""
    names = [f"sku-{number}" for number in range(6)]
    run = bench.begin(bench.plan(twins(bench, *names), prompt=SAME))
    outcomes = bench.work(run)
    assert kinds(outcomes) == ["succeeded", *["reused"] * 5]
    assert sandbox.charged == 1
    assert len({bench.record(name).outputs[0].uri for name in names}) == 6
    assert len({bench.output(name).data for name in names}) == 1
    assert all(bench.output(name).metadata["job_id"] == bench.record(name).job_id for name in names)
    totals = bench.resources.progress.totals(run.run_id)
    assert totals is not None
    assert (totals.succeeded, totals.skipped, totals.reused, totals.saved, totals.credits) == (1, 5, 5, 5.0, 1.0)
    assert kinds(bench.run(twins(bench, *names), prompt=SAME)) == ["skipped"] * 6
    assert sandbox.charged == 1


def test_twins_at_the_same_time_in_two_runs(bench: Bench, sandbox: SandboxServer) -> None:
    """While one job's call is out, others with the same result wait without a call, and take its picture."""
    sandbox.control(latency=0.4)
    runs = [bench.begin(bench.plan(twins(bench, *names), prompt=SAME)) for names in (("a", "b", "c"), ("d", "e", "f"))]
    at_once(bench, *(message for run in runs for message in bench.messages(run)))
    assert sandbox.calls == 1
    ended = sorted(kind for run in runs for kind in kinds(outcomes_of(bench, run)))
    assert ended == ["reused"] * 5 + ["succeeded"]


def test_a_twin_takes_over_where_the_first_fails(bench: Bench, sandbox: SandboxServer) -> None:
    """A call that is refused for its job alone ends the wait of the others, of whom the next one calls."""
    sandbox.control(latency=0.2)
    sandbox.script(400)
    run = bench.begin(bench.plan(twins(bench, "a", "b", "c"), prompt=SAME))
    at_once(bench, *bench.messages(run))
    assert sorted(kinds(outcomes_of(bench, run))) == ["failed", "reused", "succeeded"]
    assert (sandbox.calls, sandbox.charged) == (2, 1)


@pytest.mark.parametrize("is_own", [True, False])
def test_an_answer_of_ones_own_that_waits(bench: Bench, sandbox: SandboxServer, *, is_own: bool) -> None:
    """Parked and paid for, it is stored, though another's result is there; one to an earlier request bars nothing."""
    bench.run(twins(bench, "a"), prompt=SAME)
    run = bench.begin(bench.plan(twins(bench, "b"), prompt=SAME))
    (message,) = bench.messages(run)
    job, here = bench.message(message).job, bench.resources
    request = request_digest(job.params, run.options.model, run.options.preparation)
    made_from = Fingerprint(etag="", sha256=bench.record("a").input.sha256, request=request if is_own else "x").token
    answer = Answer((picture("its own"),), 1.0, request_id="own", cost=1.0)
    called = Called(Claim("go"), answer, utc_now(), utc_now(), 0.0)
    assert in_redis.park(message["job_id"], in_redis.as_text(called, made_from), here.state)
    assert kinds(bench.work(run)) == ["succeeded" if is_own else "reused"]
    assert (bench.record("b").api.request_id == "own", sandbox.charged) == (is_own, 1)
    assert not here.state.ask("EXISTS", here.state.key(in_redis.KEY, message["job_id"]))
    kept = here.workspace.unplaced(f"{run.run_id}.parked", message["job_id"])
    assert (here.store.find(kept) is None) == is_own, "an answer to an earlier request is put aside"


def outcomes_of(bench: Bench, run: Any) -> dict[str, Outcome]:
    """The outcomes of a run so far."""
    return {f"{job.id}/{job.variant}": outcome for job, outcome in bench.rows(run)() if outcome}


def test_folders_of_equal_names(bench: Bench, sandbox: SandboxServer) -> None:
    """Two catalogs that share ids replace each other's pictures every night, and pay for each of them once."""
    shoes, hats = (rows(bench, "1", "2", folder=folder) for folder in ("shoes-", "hats-"))
    pictures: dict[str, list[bytes]] = {}
    for night in range(3):
        for name, manifest in (("shoes", shoes), ("hats", hats)):
            outcomes = bench.run(manifest, prompt=FELT)
            assert kinds(outcomes) == ["succeeded" if night == 0 else "reused"] * 2
            found = [bench.output(entry).data for entry in ("1", "2")]
            assert pictures.setdefault(name, found) == found
    assert sandbox.charged == 4


def test_a_picture_of_ones_own(bench: Bench, sandbox: SandboxServer) -> None:
    """Without reuse each job pays for its own picture, once: it is found again after another prompt."""
    manifest, alone = twins(bench, "a", "b"), {"reuse": False}
    assert kinds(bench.run(manifest, alone, prompt=SAME)) == ["succeeded"] * 2
    bench.run(manifest, alone, prompt="another")
    assert kinds(bench.run(manifest, alone, prompt=SAME)) == ["reused"] * 2
    assert len({bench.output(name).data for name in ("a", "b")}) == 2
    assert sandbox.charged == 4


def test_another_seed_is_another_picture(bench: Bench, sandbox: SandboxServer) -> None:
    """--new-seed, a chosen seed and -1 are paid for; what was made anew is what comes back."""
    manifest = rows(bench, "mug")
    bench.run(manifest, prompt=SAME)
    bench.run(manifest, prompt=SAME, new_seed=True)
    anew = bench.output("mug").data
    assert sandbox.charged == 2
    for count, seed in ((3, "7"), (4, "-1")):
        assert kinds(bench.run(manifest, prompt=SAME, sets=(f"seed={seed}",))) == ["succeeded"]
        assert sandbox.charged == count
    assert kinds(bench.run(manifest, prompt=SAME)) == ["reused"]
    assert bench.output("mug").data == anew
    assert kinds(bench.run(manifest, prompt=SAME, sets=("seed=7",))) == ["reused"]
    assert kinds(bench.run(manifest, prompt=SAME, sets=("seed=-1",))) == ["succeeded"]
    assert sandbox.charged == 5


def test_other_places_and_forms(bench: Bench, sandbox: SandboxServer) -> None:
    """A reused picture goes where, and comes in the form that, its own run wants; then it stays so."""
    bench.run(twins(bench, "a"), prompt=SAME)
    shop = bench.resources.workspace.under("shop")
    for _ in range(2):
        ended = bench.run(twins(bench, "b"), {"output_format": "png"}, prompt=SAME, output=shop)
        assert ended["b/default"].outputs == (f"{shop}/b/default.png",)
    assert bench.output("b").data.startswith(b"\x89PNG")
    assert bench.record("b").reused_from is not None
    assert sandbox.charged == 1


@pytest.mark.parametrize("lie", ["nonsense", "elsewhere", "changed", "another", "huge"])
def test_the_index_is_only_a_hint(bench: Bench, sandbox: SandboxServer, lie: str) -> None:
    """An entry that is none, or leads to what is not its picture, is not believed: the job is called for."""
    store, here = bench.resources.store, bench.resources.workspace
    bench.run(twins(bench, "a"), prompt=SAME)
    (listed,) = store.list(here.under("results/"))
    told = json.loads(store.get(listed.uri).data)
    if lie == "nonsense":
        told = {"key": told["key"]}
    elif lie == "huge":
        told["more"] = "x" * 200_000
    elif lie == "elsewhere":
        told["record"]["outputs"][0]["uri"] = bench.put("a secret")
    elif lie == "changed":
        store.put(bench.record("a").outputs[0].uri, picture("mine"), content_type="image/jpeg")
    else:
        told["record"]["params"]["prompt"] = "another"
    store.put(listed.uri, json.dumps(told).encode(), content_type="application/json")
    assert kinds(bench.run(twins(bench, "b"), prompt=SAME)) == ["succeeded"]
    assert sandbox.charged == 2


def test_without_what_was_replaced(bench: Bench, sandbox: SandboxServer) -> None:
    """Who keeps nothing that is replaced pays for it again."""
    manifest, forgetful = rows(bench, "mug"), {"keep_replaced": False}
    for prompt in (FELT, WOOL, FELT):
        assert kinds(bench.run(manifest, forgetful, prompt=prompt)) == ["succeeded"]
    assert sandbox.charged == 3


def test_a_removed_record_costs_nothing(bench: Bench, sandbox: SandboxServer) -> None:
    """Its job finds its own picture by the index, also after another one has taken its place."""
    manifest = rows(bench, "mug")
    bench.run(manifest, prompt=FELT)
    first = bench.output("mug").data
    bench.resources.store.delete(bench.resources.workspace.record("mug", "default"))
    assert kinds(bench.run(manifest, prompt=FELT)) == ["reused"]
    bench.resources.store.delete(bench.resources.workspace.record("mug", "default"))
    bench.run(manifest, prompt=WOOL)
    assert kinds(bench.run(manifest, prompt=FELT)) == ["reused"]
    assert bench.output("mug").data == first
    assert sandbox.charged == 2


@pytest.mark.parametrize("after", [False, True])
def test_a_death_at_any_write_of_a_copy(bench: Bench, sandbox: SandboxServer, after: bool) -> None:
    """However far a reuse came before its worker was killed: the next try ends it rightly, without a call."""
    manifest = rows(bench, "mug")
    bench.run(manifest, prompt=FELT)
    felt = bench.output("mug").data
    bench.run(manifest, prompt=WOOL)
    wool = bench.output("mug").data
    for number in range(20):
        prompt, expected = ((FELT, felt), (WOOL, wool))[number % 2]
        run = bench.begin(bench.plan(manifest, prompt=prompt))
        (message,) = bench.messages(run)
        dying = DyingStore(bench.resources.store, writes=number, after=after)
        bench.resources.tools.fleet.heartbeat({})
        try:
            restyle_image(replace(bench.resources, tools=replace(bench.resources.tools, store=dying)), message)
        except Died:
            assert kinds(bench.work(run))[0] in {"reused", "skipped"}
            assert bench.output("mug").data == expected
            assert list(audit(bench.resources.store, bench.resources.workspace)) == []
        else:
            assert number >= 3
            break
    assert sandbox.charged == 2


@pytest.mark.parametrize("after", [False, True])
def test_a_death_at_any_write_of_a_paid_answer(bench: Bench, sandbox: SandboxServer, after: bool) -> None:
    """Once the outputs lie in S3 nothing is called again, whether the index and the record were written or not."""
    fleet = bench.resources.tools.fleet
    for number in range(1, 20):
        run = bench.begin(bench.plan(rows(bench, f"mug-{number}"), prompt=FELT))
        (message,) = bench.messages(run)
        dying = DyingStore(bench.resources.store, writes=number, after=after)
        fleet.heartbeat({})
        before = sandbox.charged
        try:
            restyle_image(replace(bench.resources, tools=replace(bench.resources.tools, store=dying)), message)
        except Died:
            bench.resources.state.ask("DEL", bench.resources.state.key("worker", fleet.worker))
            place = {"run": run.run_id, "shard": 0, "index": 0}
            assert fleet.free(fleet.worker, place, message["job_id"])[0]
            (ended,) = bench.work(run).values()
            assert ended.outcome is OutcomeKind.SUCCEEDED
            assert bench.record(f"mug-{number}").reused_from is None
            assert list(audit(bench.resources.store, bench.resources.workspace)) == []
        assert sandbox.charged == before + 1
        if number > 3:
            break
    twin = bench.put("twin", picture("mug-1"))
    assert kinds(bench.run(f"id,image\ntwin,{twin}\n", prompt="mug-1 in felt")) == ["reused"]


def test_what_it_costs(s3: S3, redis_url: str, sandbox: SandboxServer) -> None:
    """One GET and one PUT of the index for a paid job, and none where the job is done."""
    with (
        running_proxy(s3.port) as proxy,
        running_bench(s3, redis_url, sandbox, local_s3_endpoint=f"http://127.0.0.1:{proxy.port}") as bench,
    ):
        manifest, asked = rows(bench, "mug"), list[bytes]()

        def listen(request: bytes) -> None:
            line = request.partition(b"\r\n")[0]
            if b"/results/" in line and b"/runs/" not in line:
                asked.append(line[:3])

        proxy.listen(listen)
        bench.run(manifest)
        assert sorted(asked) == [b"GET", b"PUT"]
        asked.clear()
        bench.run(manifest)
        assert asked == []
