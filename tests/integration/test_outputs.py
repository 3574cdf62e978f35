"""What comes out of whole jobs: marks, forms, names and gates, and that none of them ever costs a call or a picture."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import pytest
from PIL import Image

from apps.sandbox import styles
from restyle.errors import ConfigurationError, ManifestError
from restyle.images.xmp import SOURCE_TYPE_ROOT
from restyle.models import OutcomeKind
from restyle.s3.store import Stored
from tests.support.bench import Bench, running_bench
from tests.support.catalog import picture
from tests.support.pictures import decode, encode, photo
from tests.support.proxy import Proxy, running_proxy
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3
from tests.support.wait import wait_until

COMPOSITE, TRAINED = "compositeWithTrainedAlgorithmicMedia", "trainedAlgorithmicMedia"


@pytest.fixture
def bench(s3: S3, redis_url: str, sandbox: SandboxServer) -> Iterator[Bench]:
    """A workspace and a worker of this test alone."""
    with running_bench(s3, redis_url, sandbox) as found:
        yield found


def manifest(bench: Bench, *names: str, **cells: str) -> str:
    """A manifest of these pictures, put into S3."""
    head = ",".join(["id", "image", *cells])
    return "\n".join([head, *(",".join([name, bench.put(name), *cells.values()]) for name in names)]) + "\n"


def sent(bench: Bench, name: str, sample: int = 0) -> bytes:
    """What the API sent for a job, by its record."""
    params = bench.record(name).params
    return styles.restyle(picture(name), params, params.seed)[sample]


def marks_in(stored: Stored) -> str:
    """The XMP in a stored picture."""
    found = decode(stored.data).info.get("xmp", b"")
    return found.decode() if isinstance(found, bytes) else str(found)


def pixels(data: bytes) -> bytes:
    """A picture's pixels."""
    return decode(data).tobytes()


# -- marks -------------------------------------------------------------------------------------------------


def test_every_sample_is_marked_and_the_record_knows_its_bytes(bench: Bench) -> None:
    """Pixels are those that came, and hash, size and ETag of the record are of the bytes that lie there."""
    bench.run(manifest(bench, "mug"), sets=("samples=2",))
    record = bench.record("mug")
    assert record.marks.provenance == COMPOSITE
    for sample in range(2):
        stored = bench.output("mug", sample=sample)
        assert f"{SOURCE_TYPE_ROOT}{COMPOSITE}" in marks_in(stored)
        assert record.job_id in marks_in(stored)
        assert pixels(stored.data) == pixels(sent(bench, "mug", sample))
        assert record.outputs[sample].bytes == len(stored.data)


def test_no_mark_and_another_mark(bench: Bench, sandbox: SandboxServer) -> None:
    """Without a mark the bytes are the API's own; one that is wanted later is written without a call, and stays."""
    rows = manifest(bench, "mug")
    bench.run(rows, {"mark": "none"})
    assert bench.record("mug").marks.provenance == "none"
    assert bench.output("mug").data == sent(bench, "mug")
    first = bench.output("mug")
    for mark in (TRAINED, COMPOSITE):
        assert bench.run(rows, {"mark": mark})["mug/default"].outcome is OutcomeKind.SKIPPED
        assert bench.record("mug").marks.provenance == mark
        assert f"{SOURCE_TYPE_ROOT}{mark}" in marks_in(bench.output("mug"))
        assert bench.output("mug").metadata["fingerprint"] == first.metadata["fingerprint"]
        assert pixels(bench.output("mug").data) == pixels(first.data)
    marked = bench.output("mug")
    bench.run(rows, {"mark": "none"})
    assert bench.output("mug") == marked
    assert sandbox.charged == 1


def test_marked_outputs_without_a_record_are_found(bench: Bench, sandbox: SandboxServer) -> None:
    """A worker that dies between outputs and record costs no second call: the record comes back as it was."""
    rows = manifest(bench, "mug")
    bench.run(rows)
    before = bench.record("mug")
    bench.resources.store.delete(bench.resources.workspace.record("mug", "default"))
    assert bench.run(rows)["mug/default"].outcome is OutcomeKind.SKIPPED
    after = bench.record("mug")
    assert (after.outputs, after.marks, after.fingerprint) == (before.outputs, before.marks, before.fingerprint)
    assert sandbox.charged == 1


# -- other seeds -------------------------------------------------------------------------------------------


def test_a_picture_that_was_made_anew_stays(bench: Bench, sandbox: SandboxServer) -> None:
    """The next ordinary run neither pays for it again nor brings the picture back that it replaced."""
    here, rows = bench.resources, manifest(bench, "mug", "pot")
    bench.run(rows)
    bench.run(manifest(bench, "mug"), overwrite=True, new_seed=True)
    anew, picture_of_it = bench.record("mug"), bench.output("mug").data
    assert (sandbox.charged, sandbox.paid_twice) == (3, {})
    told = json.loads(anew.as_json())
    told["fingerprint"]["etag"] = "stored anew since"
    here.store.put(here.workspace.record("mug", "default"), json.dumps(told).encode(), content_type="application/json")
    for _ in range(2):
        assert {outcome.outcome for outcome in bench.run(rows).values()} == {OutcomeKind.SKIPPED}
    assert (bench.record("mug"), bench.output("mug").data) == (anew, picture_of_it)
    assert bench.run(rows, {"mark": TRAINED})["mug/default"].outcome is OutcomeKind.SKIPPED
    assert sandbox.charged == 3
    bench.run(rows, prompt="{id} in felt")
    assert sandbox.charged == 5
    bench.run(rows)
    assert sandbox.charged == 5
    reused = bench.record("mug").reused_from
    assert reused is not None
    assert reused.seed == anew.params.seed
    assert bench.record("mug").params.seed != anew.params.seed


def test_a_seed_of_ones_own_counts(bench: Bench, sandbox: SandboxServer) -> None:
    """A seed that was asked for makes another picture than one that was drawn, and than another that was asked for."""
    rows = manifest(bench, "mug")
    for sets in (("seed=7",), (), ("seed=7",), ("seed=8",)):
        bench.run(rows, sets=sets)
    assert sandbox.charged == 3


# -- gates -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("black", "black"), ("flat", "flat"), ("same", "same"), ("stretched", "aspect"), ("small", "small")],
)
def test_what_looks_wrong_is_put_aside(bench: Bench, sandbox: SandboxServer, fault: str, reason: str) -> None:
    """A bad picture is kept below suspect/, its job has succeeded, it is counted, and is not called again by itself."""
    rows = manifest(bench, "mug", "bowl")
    sandbox.script(fault, prompt_contains="mug")
    run = bench.begin(bench.plan(rows))
    ended = bench.work(run)
    assert ended["mug/default"].suspect == (reason,)
    assert "looks wrong" in ended["mug/default"].warning
    assert (ended["bowl/default"].suspect, ended["mug/default"].outcome) == ((), OutcomeKind.SUCCEEDED)
    totals = bench.resources.progress.totals(run.run_id)
    assert totals is not None
    assert (totals.succeeded, totals.suspect, totals.failed) == (2, 1, 0)
    workspace, store = bench.resources.workspace, bench.resources.store
    assert bench.record("mug").outputs[0].uri == workspace.suspect("mug", "default")
    assert bench.record("mug").marks.suspect == (reason,)
    assert store.head(workspace.output("mug", "default")) is None
    assert f"{SOURCE_TYPE_ROOT}{COMPOSITE}" in marks_in(bench.output("mug"))

    again = bench.run(rows)["mug/default"]
    assert (again.outcome, again.suspect) == (OutcomeKind.SKIPPED, (reason,))
    assert sandbox.charged == 2


@pytest.mark.parametrize("meanwhile", ["stays", "is another", "is gone"])
def test_an_input_that_goes_meanwhile(bench: Bench, sandbox: SandboxServer, meanwhile: str) -> None:
    """What its input showed is kept for the gates, whatever becomes of that during the call; the answer is stored."""
    large = encode(photo().resize((1024, 680)), "JPEG", quality=95)
    uri = bench.put("mug", large)
    sandbox.script("same")
    sandbox.control(latency=0.4)
    run = bench.begin(bench.plan(f"id,image\nmug,{uri}\n"))
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(bench.work, run)
        wait_until(lambda: sandbox.counters()["in_flight"] == 1, timeout=10, description="the call")
        if meanwhile == "is another":
            bench.put("mug")
        elif meanwhile == "is gone":
            bench.resources.store.delete(uri)
        ended = work.result()["mug/default"]
    assert (ended.outcome, ended.suspect) == (OutcomeKind.SUCCEEDED, ("same",))
    assert decode(bench.output("mug").data).size == (1024, 680)
    assert sandbox.charged == 1


def test_a_suspect_is_accepted_without_a_call(bench: Bench, sandbox: SandboxServer) -> None:
    """The same run without gates puts it where it was planned, and it is suspect no longer."""
    rows = manifest(bench, "mug")
    sandbox.script("black")
    bench.run(rows)
    ended = bench.run(rows, {"gates": False})["mug/default"]
    assert (ended.outcome, ended.suspect) == (OutcomeKind.SKIPPED, ())
    assert ended.outputs == (bench.resources.workspace.output("mug", "default"),)
    assert bench.record("mug").marks.suspect == ()
    assert set(pixels(bench.output("mug").data)) == {0}
    assert sandbox.charged == 1


def test_a_better_picture_of_before_stays(bench: Bench, sandbox: SandboxServer) -> None:
    """Where a redone picture looks wrong, the one of before stays; the next good one replaces it, and it is kept."""
    workspace, store = bench.resources.workspace, bench.resources.store
    rows = manifest(bench, "mug")
    bench.run(rows)
    good = bench.output("mug")
    sandbox.script("black")
    bench.run(rows, sets=("strength=0.5",))
    assert bench.record("mug").marks.suspect == ("black",)
    assert store.get(workspace.output("mug", "default")) == good
    run = bench.begin(bench.plan(rows, sets=("strength=0.4",)))
    bench.work(run)
    better = bench.record("mug")
    assert (better.marks.suspect, better.outputs[0].uri) == ((), workspace.output("mug", "default"))
    assert store.head(workspace.suspect("mug", "default")) is None
    kept = {store.get(uri).data for uri in better.replaced}
    assert good.data in kept
    assert len(kept) == 2
    assert sandbox.charged == 3


def test_suspects_without_a_record_are_found(bench: Bench, sandbox: SandboxServer) -> None:
    """What was put aside is found there too, still suspect, where a worker died before its record."""
    rows = manifest(bench, "mug")
    sandbox.script("black")
    bench.run(rows)
    bench.resources.store.delete(bench.resources.workspace.record("mug", "default"))
    ended = bench.run(rows)["mug/default"]
    assert (ended.outcome, ended.suspect) == (OutcomeKind.SKIPPED, ("black",))
    assert bench.record("mug").marks.suspect == ("black",)
    assert sandbox.charged == 1


# -- forms and names ---------------------------------------------------------------------------------------


def test_other_forms(bench: Bench, sandbox: SandboxServer) -> None:
    """Each form bears the mark; PNG has the pixels that came; a done picture is turned into it without a call."""
    rows = manifest(bench, "mug")
    for form, kind in (("webp", "WEBP"), ("jpg", "WEBP"), ("png", "WEBP")):
        bench.run(rows, {"output_format": form})
        assert Image.open(BytesIO(bench.output("mug").data)).format == kind, form
    other = manifest(bench, "bowl")
    for form, kind in (("jpg", "JPEG"), ("png", "PNG"), ("webp", "WEBP")):
        bench.run(other, {"output_format": form})
        stored, record = bench.output("bowl"), bench.record("bowl")
        assert Image.open(BytesIO(stored.data)).format == kind
        assert record.outputs[0].uri.endswith(f".{form}")
        assert record.outputs[0].content_type == stored.content_type
        assert f"{SOURCE_TYPE_ROOT}{COMPOSITE}" in marks_in(stored)
        if form != "webp":
            assert pixels(stored.data) == pixels(sent(bench, "bowl"))
    assert sandbox.charged == 2


def test_webp_quality(bench: Bench) -> None:
    """A lower quality takes fewer bytes."""
    bench.run(manifest(bench, "mug"), {"output_format": "webp", "output_quality": 95})
    bench.run(manifest(bench, "bowl"), {"output_format": "webp", "output_quality": 20})
    assert len(bench.output("bowl").data) < len(bench.output("mug").data)


def test_names_by_template(bench: Bench, sandbox: SandboxServer) -> None:
    """Samples are told apart by the template; another one copies what is done, and finds what lost its record."""
    rows = manifest(bench, "a/mug")
    sets = ("samples=2",)
    bench.run(rows, {"naming": "{run_id}/{stem}__{variant}_{sample}.jpg"}, sets=sets)
    first = [output.uri for output in bench.record("a/mug").outputs]
    run_id = bench.record("a/mug").run_id
    root = bench.resources.workspace.under("outputs")
    assert first == [f"{root}/{run_id}/mug__default_{sample}.jpg" for sample in range(2)]
    flat = {"naming": "{id}-{variant}"}
    bench.run(rows, flat, sets=sets)
    assert [output.uri for output in bench.record("a/mug").outputs] == [
        f"{root}/a/mug-default-{sample}.jpg" for sample in range(2)
    ]
    bench.resources.store.delete(bench.resources.workspace.record("a/mug", "default"))
    assert bench.run(rows, flat, sets=sets)["a/mug/default"].outcome is OutcomeKind.SKIPPED
    assert sandbox.charged == 1


@pytest.mark.parametrize(
    ("naming", "why"),
    [
        ("{sku}", "there is no {sku}"),
        ("{variant}", "every picture would have the same name"),
        ("{id", "lone {"),
        ("{id}.png", "ends in .png, and outputs are jpg"),
        ("{id:>8}", "there is no"),
    ],
)
def test_bad_templates(bench: Bench, naming: str, why: str) -> None:
    """A template that can name nothing is told before anything is planned."""
    with pytest.raises(ConfigurationError, match=why.replace("{", r"\{").replace("}", r"\}")):
        bench.plan(manifest(bench, "mug"), {"naming": naming})


def test_names_that_collide(bench: Bench) -> None:
    """Two jobs with one name are found at plan, and so are samples of one job."""
    one, two = bench.put("red/mug"), bench.put("blue/mug")
    rows = f"id,image\na,{one}\nb,{two}\n"
    with pytest.raises(ManifestError, match="b would write to the same place as line 2"):
        bench.plan(rows, {"naming": "{stem}"})
    assert bench.plan(rows, {"naming": "{stem}-{id}"}).jobs == 2
    with pytest.raises(ManifestError, match="folder that restyle keeps for itself"):
        bench.plan(rows, {"naming": "{id}"}, output=bench.resources.workspace.under("suspect"))


# -- S3 ----------------------------------------------------------------------------------------------------


#: What a run asks of S3, and what the request must say.
HELD = {
    "storage_class": ("STANDARD_IA", "x-amz-storage-class: STANDARD_IA"),
    "sse_kms_key": ("alias/shop", "x-amz-server-side-encryption-aws-kms-key-id: alias/shop"),
}
SAID = {
    "object_tags": ("team=shop, season=spring 26", "x-amz-tagging: team=shop&season=spring+26"),
    "cache_control": ("public, max-age=600", "cache-control: public, max-age=600"),
    "content_disposition": ("inline", "content-disposition: inline"),
}


def heard(proxy: Proxy, method: bytes, place: str, headers: list[str]) -> set[str]:
    """Notes which of these headers the requests for a place have, from now on."""
    found: set[str] = set()
    proxy.listen(lambda request: found.update(_said(request, method, place, headers)))
    return found


def _said(request: bytes, method: bytes, place: str, headers: list[str]) -> set[str]:
    head = request.partition(b"\r\n\r\n")[0].decode("latin-1").lower()
    first, _, rest = head.partition("\r\n")
    if not (first.startswith(method.decode().lower()) and place in first):
        return set()
    return {header for header in headers if f"\r\n{header.lower()}\r\n" in f"\r\n{rest}\r\n"}


def test_how_s3_holds_outputs(s3: S3, redis_url: str, sandbox: SandboxServer) -> None:
    """Class, key, tags and headers are sent with each output, a copy's class and key too, and nothing with a record."""
    asked = {name: value for name, (value, _) in (HELD | SAID).items()}
    held = [header for _, header in HELD.values()]
    every = held + [header for _, header in SAID.values()]
    with (
        running_proxy(s3.port) as proxy,
        running_bench(s3, redis_url, sandbox, local_s3_endpoint=f"http://127.0.0.1:{proxy.port}") as bench,
    ):
        rows = manifest(bench, "mug")
        put, record = heard(proxy, b"PUT", "/outputs/", every), heard(proxy, b"PUT", "/records/", every)
        bench.run(rows, asked)
        assert put == set(every)
        assert record == set()
        assert bench.output("mug").data
        copied = heard(proxy, b"PUT", "/shop/", [*held, "x-amz-copy-source: restyle-local"])
        bench.run(rows, asked, output=bench.resources.workspace.under("shop"))
        assert set(held) <= copied
        assert bench.output("mug").data
    assert sandbox.charged == 1
