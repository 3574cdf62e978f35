"""Pictures whose own place S3 refuses: paid for once, set aside, and placed later without a call; others go on."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from restyle.job.parked import in_redis
from restyle.models import Outcome
from tasks.image import restyle_image
from tests.support.answering import answering
from tests.support.bench import Bench, running_bench
from tests.support.catalog import picture
from tests.support.refusing_s3 import Gateway, refusing
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3
from tests.support.wait import wait_until

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
def gateway(s3: S3) -> Iterator[Gateway]:
    """What stands before S3."""
    with refusing(s3.port) as found:
        yield found


@pytest.fixture
def bench(
    s3: S3, gateway: Gateway, redis_url: str, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bench]:
    """A worker in a bucket of its own, which reaches S3 by the gateway."""
    for name, value in {**s3.env, "AWS_ENDPOINT_URL_S3": gateway.url}.items():
        monkeypatch.setenv(name, value)
    with a_worker(s3, redis_url, sandbox, f"s3://shop/{uuid4().hex}") as found:
        yield found


@contextmanager
def a_worker(s3: S3, redis_url: str, sandbox: SandboxServer, workspace: str) -> Iterator[Bench]:
    """A worker process's tools."""
    with running_bench(s3, redis_url, sandbox, workspace=workspace) as found:
        yield found


@pytest.fixture
def elsewhere(s3: S3) -> Iterator[str]:
    """Another bucket."""
    folder = s3.folder / f"b{uuid4().hex}"
    folder.mkdir()
    yield folder.name
    shutil.rmtree(folder)


def codes(outcomes: dict[str, Outcome]) -> dict[str, str]:
    """How the jobs of a run ended."""
    return {name.partition("/")[0]: outcome.error or outcome.outcome.value for name, outcome in outcomes.items()}


def a_manifest(bench: Bench, **outputs: str) -> str:
    """A picture each, with where it is to go."""
    rows = "".join(f"{name},{bench.put(name)},{output}\n" for name, output in outputs.items())
    return f"id,image,output\n{rows}"


def notes(bench: Bench) -> list[dict[str, Any]]:
    """What is said of the pictures that were set aside."""
    store, workspace = bench.resources.store, bench.resources.workspace
    found = store.list(workspace.under("unplaced") + "/")
    return [json.loads(store.get(listed.uri).data) for listed in found if listed.uri.endswith(".json")]


def no_metadata(method: str, _path: str, headers: Any) -> tuple[int, str] | None:
    """As S3 answers what has more metadata than it takes."""
    size = sum(len(name) + len(value) - len("x-amz-meta-") for name, value in headers.items() if "amz-meta" in name)
    return (400, "MetadataTooLarge") if method == "PUT" and size > 2048 else None


def refuses(part: str, status: int, code: str) -> Any:
    """A gateway's rule: what has this in its path is not written."""
    return lambda method, path, _headers: (status, code) if method == "PUT" and part in path else None


def test_a_bucket_that_is_not_there_fails_its_own_jobs(bench: Bench, sandbox: SandboxServer, s3: S3) -> None:
    """A typo in one row: its picture is set aside, others are stored; once the bucket is there it is placed, unpaid."""
    bucket = f"b{uuid4().hex}"
    manifest = a_manifest(bench, a=f"s3://{bucket}/a.jpg", b="", c="")
    outcomes = bench.run(manifest)
    assert codes(outcomes) == {"a": "not_stored", "b": "succeeded", "c": "succeeded"}
    assert (sandbox.charged, bench.resources.tools.fleet.suspensions()) == (3, [])
    assert bench.resources.tools.unsaved.is_set()
    told = outcomes["a/default"]
    (note,) = notes(bench)
    assert f"s3://{bucket}/a.jpg: there is no such bucket" in told.message
    assert note["images"][0] in told.message
    assert (told.credits, note["wanted"]) == (0.02, [f"s3://{bucket}/a.jpg"])
    received = bench.resources.store.get(note["images"][0]).data

    (s3.folder / bucket).mkdir()
    try:
        outcomes = bench.run(manifest)
        assert codes(outcomes) == {"a": "succeeded", "b": "skipped", "c": "skipped"}
        assert (sandbox.charged, outcomes["a/default"].credits) == (3, 0.0)
        assert bench.record("a").outputs[0].uri == f"s3://{bucket}/a.jpg"
        assert received[:2] == bench.output("a").data[:2]
        assert (notes(bench), bench.record("a").api.cost) == ([], 0.02)
    finally:
        shutil.rmtree(s3.folder / bucket)


@pytest.mark.long
def test_night_after_night_it_is_paid_for_once(bench: Bench, sandbox: SandboxServer) -> None:
    """As long as nobody mends it, further runs fail with the same words, and make no call."""
    manifest = a_manifest(bench, a="s3://shopp/a.jpg")
    messages = [bench.run(manifest)["a/default"].message for _ in range(3)]
    assert sandbox.charged == 1
    (note,) = notes(bench)
    assert all("there is no such bucket" in message for message in messages)
    assert note["images"][0].rpartition("-")[0] in messages[2]


@pytest.mark.long
def test_another_prompt_is_another_picture(bench: Bench, sandbox: SandboxServer) -> None:
    """What was set aside is placed for the request that it answers, and for no other."""
    bench.run(a_manifest(bench, a="s3://shopp/a.jpg"))
    assert codes(bench.run(a_manifest(bench, a=""), prompt="another")) == {"a": "succeeded"}
    assert (sandbox.charged, len(notes(bench))) == (2, 1)


CODES = {
    "AccessDenied": 403, "MetadataTooLarge": 400, "KeyTooLongError": 400, "EntityTooLarge": 400, "InvalidRequest": 400,
    "InvalidTag": 400, "KMS.NotFoundException": 400, "ObjectLockConflict": 409,
}  # fmt: skip


def test_whatever_is_refused_of_one_object_is_its_jobs(
    bench: Bench, gateway: Gateway, sandbox: SandboxServer, elsewhere: str
) -> None:
    """By whatever word: the picture is set aside, nothing stands still, nothing is called again."""

    def refuse(method: str, path: str, _headers: Any) -> tuple[int, str] | None:
        code = path.rpartition("/")[2].removesuffix(".jpg")
        return (CODES[code], code) if method == "PUT" and path.startswith(f"/{elsewhere}/") else None

    gateway.refuse = refuse
    run = bench.begin(bench.plan(a_manifest(bench, **{code: f"s3://{elsewhere}/{code}.jpg" for code in CODES}, b="")))
    bench.resources.tools.fleet.heartbeat({})
    with ThreadPoolExecutor(len(CODES)) as pool:
        list(pool.map(partial(restyle_image, bench.resources), bench.messages(run)))
    outcomes = {f"{job.id}/{job.variant}": outcome for job, outcome in bench.rows(run)() if outcome}
    assert codes(outcomes) == {**dict.fromkeys(CODES, "not_stored"), "b": "succeeded"}
    assert all(code in outcomes[f"{code}/default"].message for code in CODES)
    assert (sandbox.charged, bench.resources.tools.fleet.suspensions()) == (9, [])
    assert bench.resources.tools.unsaved.is_set()


def test_a_bucket_that_is_out_of_reach_holds_nobody_up(
    bench: Bench, gateway: Gateway, sandbox: SandboxServer, elsewhere: str
) -> None:
    """One bucket throttles, or its name does not resolve, while the workspace is well: calls of other jobs begin."""
    gateway.refuse = refuses(f"/{elsewhere}/", 503, "SlowDown")
    run = bench.begin(bench.plan(a_manifest(bench, a=f"s3://{elsewhere}/a.jpg", b="")))
    here = bench.resources
    here.tools.fleet.heartbeat({})
    first, second = bench.messages(run)
    worker = threading.Thread(target=restyle_image, args=(here, first))
    worker.start()
    wait_until(
        lambda: here.state.ask("EXISTS", here.state.key(in_redis.KEY, first["job_id"])),
        timeout=30,
        description="parked",
    )
    restyle_image(here, second)
    gateway.refuse = refuses("nothing", 503, "SlowDown")
    worker.join(30)
    outcomes = {f"{job.id}/{job.variant}": outcome for job, outcome in bench.rows(run)() if outcome}
    assert codes(outcomes) == {"a": "succeeded", "b": "succeeded"}
    assert sandbox.charged == 2


def test_an_output_of_the_workspace_that_is_refused_is_its_jobs(
    bench: Bench, gateway: Gateway, sandbox: SandboxServer
) -> None:
    """A key that S3 does not take, say."""
    gateway.refuse = refuses("/outputs/a/", 400, "KeyTooLongError")
    assert codes(bench.run(a_manifest(bench, a="", b=""))) == {"a": "not_stored", "b": "succeeded"}
    assert (sandbox.charged, bench.resources.tools.fleet.suspensions()) == (2, [])


def test_a_key_of_the_run_that_is_refused_is_no_sign_of_the_workspace(
    bench: Bench, gateway: Gateway, sandbox: SandboxServer
) -> None:
    """AccessDenied, in the workspace's own bucket, for the KMS key that one run wants its outputs encrypted with."""

    def refuse(method: str, _path: str, headers: Any) -> tuple[int, str] | None:
        wants = method == "PUT" and "x-amz-server-side-encryption-aws-kms-key-id" in headers
        return (403, "AccessDenied") if wants else None

    gateway.refuse = refuse
    assert codes(bench.run(a_manifest(bench, a=""), {"sse_kms_key": "alias/none"})) == {"a": "not_stored"}
    assert codes(bench.run(a_manifest(bench, b=""))) == {"b": "succeeded"}
    assert (sandbox.charged, bench.resources.tools.fleet.suspensions()) == (2, [])


def test_a_request_id_of_3000_characters_is_cut(s3: S3, redis_url: str, gateway: Gateway, bench: Bench) -> None:
    """Metadata have 2 kB in S3: what comes from outside gets its part of them, and the picture is stored."""
    gateway.refuse = no_metadata
    body = picture("made")
    head = f"HTTP/1.1 200 OK\r\ncontent-type: image/jpeg\r\nx-request-id: {'r' * 3000}\r\ncontent-length: {len(body)}"
    workspace = bench.resources.workspace.uri
    with answering(f"{head}\r\n\r\n".encode() + body) as api:
        address = f"http://127.0.0.1:{api.port}/v1/sdxl-img2img"
        with running_bench(
            s3, redis_url, SandboxServer(f"http://127.0.0.1:{api.port}", "key"), workspace=workspace
        ) as own:
            assert own.resources.tools.segmind.url == address
            assert codes(own.run(a_manifest(own, a=""))) == {"a": "succeeded"}
            assert (own.record("a").api.request_id or "").startswith("r" * 150)
            assert 150 <= len(own.output("a").metadata["request_id"]) <= 200
