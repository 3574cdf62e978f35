"""Nobody overwrites: an output is replaced only by the job that it belongs to, and everybody else's stays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from restyle.job.outputs.ownership import beside
from restyle.models import OutcomeKind
from tests.support.bench import Bench, running_bench
from tests.support.proxy import running_proxy
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3, running_s3

#: What a person has put somewhere.
MINE = b"a file of somebody's own"


@pytest.fixture
def bench(s3: S3, redis_url: str, sandbox: SandboxServer) -> Iterator[Bench]:
    """A workspace and a worker of this test alone."""
    with running_bench(s3, redis_url, sandbox) as found:
        yield found


def manifest(bench: Bench, *names: str) -> str:
    """A manifest of these pictures, put into S3."""
    return "id,image\n" + "".join(f"{name},{bench.put(name)}\n" for name in names)


def aside(bench: Bench, uri: str, name: str) -> str:
    """Where a job's picture goes that may not go there."""
    return beside(uri, bench.resources.workspace.job_id(name, "default")[:8])


def test_a_persons_own_file_is_never_replaced(bench: Bench, sandbox: SandboxServer) -> None:
    """The picture is put beside it, said in outcome and record; the next run finds it, and replaces its own alone."""
    store, rows = bench.resources.store, manifest(bench, "mug")
    place = bench.resources.workspace.output("mug", "default")
    store.put(place, MINE, content_type="text/plain")
    ended = bench.run(rows)["mug/default"]
    assert (ended.outcome, ended.outputs) == (OutcomeKind.SUCCEEDED, (aside(bench, place, "mug"),))
    assert "put beside" in ended.warning
    assert place in ended.warning
    assert bench.record("mug").beside == (place,)
    first = bench.output("mug")
    assert first.metadata["job_id"] == bench.record("mug").job_id

    again = bench.run(rows)["mug/default"]
    assert (again.outcome, again.outputs, "put beside" in again.warning) == (OutcomeKind.SKIPPED, ended.outputs, True)
    anew = bench.run(rows, prompt="{id} in felt")["mug/default"]
    assert anew.outputs == ended.outputs
    assert bench.output("mug").data != first.data
    assert [store.get(uri).data for uri in bench.record("mug").replaced] == [first.data]
    assert store.get(place).data == MINE
    assert sandbox.charged == 2

    store.delete(place)
    assert bench.run(rows, prompt="{id} in felt")["mug/default"].outputs == (place,)
    assert bench.record("mug").beside == ()
    assert sandbox.charged == 2


def test_two_manifests_of_one_naming(bench: Bench, sandbox: SandboxServer) -> None:
    """The second one's pictures go beside the first one's, and both stay whole, whatever is run again."""
    naming = {"naming": "{stem}_{variant}"}
    shoes, hats = (
        "id,image\n" + "".join(f"{d}-{n},{bench.put(f'{d}/{n}')}\n" for n in (1, 2)) for d in ("shoes", "hats")
    )
    first = bench.run(shoes, naming)
    pictures = {name: bench.output(name).data for name in ("shoes-1", "shoes-2")}
    second = bench.run(hats, naming)
    assert {outcome.outcome for outcome in second.values()} == {OutcomeKind.SUCCEEDED}
    places = [uri for ended in (first, second) for outcome in ended.values() for uri in outcome.outputs]
    assert len(set(places)) == 4
    assert {name: bench.output(name).data for name in pictures} == pictures
    for lines, names in ((shoes, ("shoes-1", "shoes-2")), (hats, ("hats-1", "hats-2"))):
        ended = bench.run(lines, naming, prompt="{id} in felt")
        assert [ended[f"{name}/default"].outputs[0] in places for name in names] == [True, True]
    assert sandbox.charged == 8


def test_what_a_person_has_put_in_an_outputs_place(bench: Bench) -> None:
    """A picture that somebody has retouched and put back is somebody's: the next one goes beside it."""
    rows = manifest(bench, "mug")
    bench.run(rows)
    place = bench.record("mug").outputs[0].uri
    bench.resources.store.put(place, MINE, content_type="text/plain")
    ended = bench.run(rows, prompt="{id} in felt")["mug/default"]
    assert ended.outputs == (aside(bench, place, "mug"),)
    assert bench.resources.store.get(place).data == MINE
    assert bench.record("mug").replaced == ()


def test_a_worker_that_died_before_the_record(bench: Bench, sandbox: SandboxServer) -> None:
    """What it had put beside somebody's file is found there, and nothing is paid again."""
    rows, place = manifest(bench, "mug"), bench.resources.workspace.output("mug", "default")
    bench.resources.store.put(place, MINE, content_type="text/plain")
    before = bench.run(rows)["mug/default"].outputs
    bench.resources.store.delete(bench.resources.workspace.record("mug", "default"))
    ended = bench.run(rows)["mug/default"]
    assert (ended.outcome, ended.outputs) == (OutcomeKind.SKIPPED, before)
    assert bench.record("mug").beside == (place,)
    assert sandbox.charged == 1


def test_outputs_of_a_version_that_named_no_job(bench: Bench) -> None:
    """What a job's record names, and what lies where only this job writes, is replaced where it lies."""
    rows, store = manifest(bench, "mug"), bench.resources.store
    bench.run(rows)
    for has_record in (True, False):
        stored, place = bench.output("mug"), bench.record("mug").outputs[0].uri
        told = {name: value for name, value in stored.metadata.items() if name not in {"job_id", "mtime"}}
        store.put(place, stored.data, content_type=stored.content_type, metadata=told)
        if not has_record:
            store.delete(bench.resources.workspace.record("mug", "default"))
        ended = bench.run(rows, prompt=f"{{id}} in felt, {has_record}")["mug/default"]
        assert (ended.outputs, ended.warning) == ((place,), "")


@pytest.mark.parametrize("mark", [pytest.param("compositeWithTrainedAlgorithmicMedia", marks=pytest.mark.long), "none"])
def test_a_server_that_forgets_metadata(tmp_path: Path, redis_url: str, sandbox: SandboxServer, mark: str) -> None:
    """As the embedded one does at its end: the record, or the picture's own mark, says whose it is."""
    with running_s3(tmp_path) as s3, running_bench(s3, redis_url, sandbox) as bench:
        rows, form = manifest(bench, "mug"), {"mark": mark}
        place = bench.run(rows, form)["mug/default"].outputs
        for prompt in ("{id} in felt", "{id} in wool"):
            s3.kill()
            s3.start()
            assert "job_id" not in bench.output("mug").metadata
            if prompt == "{id} in wool":
                bench.resources.store.delete(bench.resources.workspace.record("mug", "default"))
            ended = bench.run(rows, form, prompt=prompt)["mug/default"]
            # Without any of the three nobody can say that it is not a person's.
            assert (ended.outputs == place) is (prompt == "{id} in felt" or mark != "none")


def test_a_copy_to_another_place_replaces_nobody(bench: Bench, sandbox: SandboxServer) -> None:
    """Outputs that are wanted elsewhere are copied beside what lies there, without a call."""
    rows, store = manifest(bench, "mug"), bench.resources.store
    bench.run(rows)
    shop = bench.resources.workspace.under("shop")
    store.put(f"{shop}/mug/default.jpg", MINE, content_type="text/plain")
    for _ in range(2):
        ended = bench.run(rows, output=shop)["mug/default"]
        assert ended.outputs == (aside(bench, f"{shop}/mug/default.jpg", "mug"),)
        assert "put beside" in ended.warning
    assert bench.output("mug").data
    assert store.get(f"{shop}/mug/default.jpg").data == MINE
    assert sandbox.charged == 1


def test_only_the_sample_in_question_goes_beside(bench: Bench) -> None:
    """Of several samples each has its own place."""
    place = bench.resources.workspace.under("outputs", "mug", "default-1.jpg")
    bench.resources.store.put(place, MINE, content_type="text/plain")
    uris = bench.run(manifest(bench, "mug"), sets=("samples=3",))["mug/default"].outputs
    assert [uri.rpartition("/")[2] for uri in uris] == [
        "default-0.jpg", aside(bench, place, "mug").rpartition("/")[2], "default-2.jpg",
    ]  # fmt: skip


def test_verified_outputs_are_ones_own(bench: Bench, sandbox: SandboxServer) -> None:
    """With --verify-outputs a picture that is gone, or another's by now, is made again; else nobody looks."""
    rows, store = manifest(bench, "mug", "pot"), bench.resources.store
    bench.run(rows)
    store.delete(bench.record("mug").outputs[0].uri)
    store.put(bench.record("pot").outputs[0].uri, MINE, content_type="text/plain", metadata={"job_id": "another"})
    assert {outcome.outcome for outcome in bench.run(rows).values()} == {OutcomeKind.SKIPPED}
    ended = bench.run(rows, verify_outputs=True)
    assert {outcome.outcome for outcome in ended.values()} == {OutcomeKind.SUCCEEDED}
    assert bench.output("mug").data
    assert bench.output("pot").data != MINE
    assert sandbox.charged == 4
    assert {outcome.outcome for outcome in bench.run(rows, verify_outputs=True).values()} == {OutcomeKind.SKIPPED}


def test_what_it_costs(s3: S3, redis_url: str, sandbox: SandboxServer) -> None:
    """One HEAD for a new output, and none where the job is done."""
    with (
        running_proxy(s3.port) as proxy,
        running_bench(s3, redis_url, sandbox, local_s3_endpoint=f"http://127.0.0.1:{proxy.port}") as bench,
    ):
        rows, heads = manifest(bench, "mug"), list[bytes]()
        proxy.listen(
            lambda request: heads.extend([request] if request.startswith(b"HEAD") and b"/outputs/" in request else [])
        )
        bench.run(rows)
        assert len(heads) == 1
        heads.clear()
        bench.run(rows)
        assert heads == []


def test_names_beside_fit_file_systems() -> None:
    """The longest name that is planned leaves room for what tells it apart, in bytes."""
    long = "ü" * 124
    made = beside(f"s3://shop/{long}.jpg", "0123456789abcdef01234567")
    name = made.rpartition("/")[2]
    assert len(name.encode()) <= 250
    assert name.endswith(".0123456789abcdef01234567.jpg")
    assert beside("s3://shop/a.b/front", "01") == "s3://shop/a.b/front.01"
