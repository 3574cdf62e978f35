"""One catalog on the S3 that the tests run on, reached and set up in each way that users have: paid for once."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from producers.runs.review.marks import Marks, mark_now
from restyle.keys import Workspace, split_uri
from restyle.s3.client import open_client
from restyle.s3.store import Store
from tests.acceptance.conftest import FleetOf
from tests.support.catalog import write_catalog
from tests.support.certificates import write_authority
from tests.support.chosen import S3_SERVER
from tests.support.refusing_s3 import Gateway, refusing
from tests.support.sandbox import SandboxServer
from tests.support.servers import BUCKETS, S3, running_s3
from tests.support.tls import tls_before

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = [pytest.mark.acceptance, pytest.mark.long, pytest.mark.timeout(180)]

#: Names below it are buckets; `python -m tests.matrix` has them resolve to this machine.
HOST = "s3.localhost"
#: What AWS says where a bucket locks its objects and the digest of a new one is not sent along.
UNDIGESTED = "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock"
CONDITIONS = frozenset({"if-match", "if-none-match"})


@dataclass
class Way:
    """How a fleet reaches its S3, and how that is set up."""

    s3: S3
    stack: ExitStack
    folder: Path
    url: str = ""
    bucket: str = BUCKETS[0]
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def client(self) -> S3Client:
        """Whoever set up the server."""
        return open_client(self.s3.endpoint, connections=1, seconds=20).client

    def gateway(self) -> Gateway:
        """What stands between the fleet and S3."""
        gateway = self.stack.enter_context(refusing(self.s3.port))
        self.url = gateway.url
        return gateway

    def new_bucket(self, **parameters: Any) -> None:
        """A bucket of the test's own; the test is skipped where the server has nothing of the kind."""
        self.bucket = f"b{uuid4().hex[:12]}"
        with skipped_without("buckets of this kind"):
            self.client.create_bucket(Bucket=self.bucket, **parameters)


class skipped_without:  # noqa: N801 - reads as a word
    """Skips the test where the server refuses what it is asked to have."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, ClientError | BotoCoreError):
            pytest.skip(f"the server has no {self.what}")


def path(_way: Way) -> None:
    """The bucket is the first part of the path."""


def host(way: Way) -> None:
    """The bucket is the first part of the host's name."""
    with suppress(OSError):
        assert socket.gethostbyname(f"{way.bucket}.{HOST}").startswith("127.")
        way.s3 = way.stack.enter_context(running_s3(way.folder / "s3-by-host", HOST))
        way.url = f"http://{HOST}:{way.s3.port}"
        config = way.folder / "aws-config"
        config.write_text("[default]\ns3 =\n  addressing_style = virtual\n")
        way.settings["AWS_CONFIG_FILE"] = str(config)
        return
    pytest.skip(f"names below {HOST} do not resolve here")


def tls(way: Way) -> None:
    """HTTPS, by a certificate of a private authority."""
    authority, certificate, key = write_authority(way.folder)
    way.url = f"https://localhost:{way.stack.enter_context(tls_before(way.s3.port, certificate, key))}"
    way.settings["AWS_CA_BUNDLE"] = str(authority)


def ignored(way: Way) -> None:
    """Conditions of writes do not reach the server: it writes as if there were none."""
    if S3_SERVER.name != "moto":
        pytest.skip("the server ignores conditions by itself")
    way.gateway().drop = CONDITIONS


def refused(way: Way) -> None:
    """A write under a condition is answered 501, as some servers do."""

    def refuse(_method: str, _path: str, headers: Any) -> tuple[int, str] | None:
        return (501, "NotImplemented") if CONDITIONS & {name.lower() for name in headers} else None

    way.gateway().refuse = refuse


def versioned(way: Way) -> None:
    """The bucket keeps every version."""
    way.new_bucket()
    with skipped_without("versions"):
        way.client.put_bucket_versioning(Bucket=way.bucket, VersioningConfiguration={"Status": "Enabled"})
        if way.client.get_bucket_versioning(Bucket=way.bucket).get("Status") != "Enabled":
            pytest.skip("the server has no versions")


def locked(way: Way) -> None:
    """The bucket locks each version for a day, and asks for digests as AWS does."""
    way.new_bucket(ObjectLockEnabledForBucket=True)
    with skipped_without("object lock"):
        way.client.put_object_lock_configuration(
            Bucket=way.bucket,
            ObjectLockConfiguration={
                "ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1}},
            },
        )  # fmt: skip
        way.client.get_object_lock_configuration(Bucket=way.bucket)

    def refuse(method: str, _path: str, headers: Any) -> tuple[int, str] | None:
        is_new = method == "PUT" and "x-amz-copy-source" not in headers
        return (400, "InvalidRequest") if is_new and "content-md5" not in headers else None

    def add(headers: Any) -> dict[str, str]:
        # Of a copy AWS asks for no digest, which boto3 could not send; moto does.
        return {"x-amz-sdk-checksum-algorithm": "SHA256"} if "x-amz-copy-source" in headers else {}

    gateway = way.gateway()
    gateway.refuse, gateway.message, gateway.add = refuse, UNDIGESTED, add


STORED = {
    "RESTYLE_STORAGE_CLASS": "STANDARD_IA", "RESTYLE_SSE_KMS_KEY": "alias/pictures",
    "RESTYLE_OBJECT_TAGS": "shop=mugs,team=a b", "RESTYLE_CACHE_CONTROL": "public, max-age=60",
    "RESTYLE_CONTENT_DISPOSITION": "inline",
}  # fmt: skip


def kms(way: Way) -> None:
    """Outputs have a storage class, a KMS key, tags and headers."""
    with skipped_without("tags"):
        way.client.put_object(Bucket=way.bucket, Key="probe", Body=b"x", Tagging="a=b", StorageClass="STANDARD_IA")
        if not way.client.get_object_tagging(Bucket=way.bucket, Key="probe")["TagSet"]:
            pytest.skip("the server has no tags")
    way.settings |= STORED


def once(way: Way) -> None:
    """The bucket of outputs takes each key once, and lets nothing be removed, as archives do."""
    bucket, written = BUCKETS[1], set[str]()

    def refuse(method: str, path: str, _headers: Any) -> tuple[int, str] | None:
        if not path.startswith(f"/{bucket}/") or method not in {"PUT", "DELETE"}:
            return None
        if method == "DELETE":
            return (403, "AccessDenied")
        if path in written:
            return (409, "ObjectLocked")
        written.add(path)
        return None

    way.gateway().refuse = refuse


WAYS = (path, host, tls, ignored, refused, versioned, locked, kms)


@dataclass(frozen=True)
class Proved:
    """A fleet whose S3 is reached in a way."""

    fleet: FleetOf
    way: Way

    def outputs(self) -> list[str]:
        """The keys of the outputs that a listing has."""
        prefix = self.fleet.workspace.under("outputs") + "/"
        return [split_uri(listed.uri)[1] for listed in self.fleet.store.list(prefix)]


@pytest.fixture
def proved(
    request: pytest.FixtureRequest, fleet: FleetOf, s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Proved]:
    """The fleet on the S3 that is reached in the way that the test names."""
    with ExitStack() as stack:
        way = Way(s3, stack, tmp_path)
        request.param(way)
        env = {**way.s3.env, "AWS_ENDPOINT_URL_S3": way.url or way.s3.endpoint.url, **way.settings}
        for name, value in env.items():
            if name.startswith("AWS_"):
                monkeypatch.setenv(name, value)
        workspace = Workspace(f"s3://{way.bucket}/{uuid4().hex[:8]}")
        changed = fleet.with_settings(RESTYLE_WORKSPACE=workspace.uri, **env)
        store = Store()
        stack.callback(store.close)
        yield Proved(replace(changed, store=store, workspace=workspace), way)


def each(*ways: Callable[[Way], None]) -> pytest.MarkDecorator:
    """The test once for each of these ways."""
    return pytest.mark.parametrize("proved", ways, indirect=True, ids=[way.__name__ for way in ways])


@each(*WAYS)
def test_a_catalog_is_paid_for_once(proved: Proved, sandbox: SandboxServer, request: pytest.FixtureRequest) -> None:
    """A run of which a job fails, its retry, the same again, all of it anew, a withdrawal, a download, an audit."""
    fleet = proved.fleet
    write_catalog(fleet.command.folder, 6)
    sandbox.script(400, prompt_contains="item-005")
    paid: dict[str, int] = {}

    def counted(step: str, run_id: str, **ends: int) -> str:
        ended = fleet.finished(run_id, within=40)
        assert {name: ended[name] for name in ends} == ends, ended
        paid[step] = sandbox.charged
        return run_id

    with fleet.worker():
        first = counted("a run", fleet.submit(), succeeded=5, failed=1)
        counted("its retry", fleet.command("retry", first, "--yes", "--detach").out.split()[-1], succeeded=1)
        counted("the same again", fleet.submit(), skipped=6)
        last = counted("anew", fleet.submit("photo of {id}", "--overwrite", "--new-seed"), succeeded=6)
        assert len(proved.outputs()) == 6
        pictures_are_held(proved)
        fleet.command("download", last, "pictures")
        assert len(list((fleet.command.folder / "pictures").rglob("*.jpg"))) == 6
        assert withdrawn(fleet, last, "item-000") == 1
        assert len(proved.outputs()) == 5
        counted("after a withdrawal", fleet.submit(), skipped=6)
    assert list(paid.values()) == [5, 6, 6, 12, 12], paid
    fleet.command("audit")
    doctor = fleet.command("doctor", expect=None)
    conditions = re.search(r"(heeds|ignores) conditional\s+writes", doctor.out + doctor.err)
    assert conditions, doctor
    calls = ", ".join(map(str, paid.values()))
    request.node.user_properties += [("calls", calls), ("conditions", conditions[1])]


def withdrawn(fleet: FleetOf, run_id: str, entry: str) -> int:
    """Marks a picture and has it withdrawn; how many were."""
    job_id = fleet.workspace.job_id(entry, "default")
    Marks(run_id, fleet.store, fleet.workspace).put({job_id: mark_now("reject", by="anna")})
    return int(fleet.command("withdraw", run_id, "--json").json["withdrawn"])


def pictures_are_held(proved: Proved) -> None:
    """Every output has at the server what the settings say, and so has what it replaced."""
    asked: Mapping[str, str] = proved.way.settings
    if "RESTYLE_SSE_KMS_KEY" not in asked:
        return
    client, bucket = proved.way.client, proved.way.bucket
    replaced = [split_uri(found.uri)[1] for found in proved.fleet.store.list(proved.fleet.workspace.under("replaced/"))]
    assert len(replaced) == 6
    for key in (*proved.outputs(), *replaced):
        head: Any = client.head_object(Bucket=bucket, Key=key)
        tags = {tag["Key"]: tag["Value"] for tag in client.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]}
        assert tags == {"shop": "mugs", "team": "a b"}
        assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", asked["RESTYLE_SSE_KMS_KEY"])
        assert (head["StorageClass"], head["ContentDisposition"]) == ("STANDARD_IA", "inline")
        assert head["CacheControl"] == asked["RESTYLE_CACHE_CONTROL"]


@each(versioned)
def test_a_delete_marker_is_no_output(proved: Proved, sandbox: SandboxServer) -> None:
    """What somebody has removed counts as gone, though its versions are there: it alone is made again, if asked for."""
    fleet, bucket = proved.fleet, proved.way.bucket
    write_catalog(fleet.command.folder, 3)
    with fleet.worker():
        run_id = fleet.submit()
        fleet.finished(run_id, within=40)
        (key,) = [key for key in proved.outputs() if "item-001" in key]
        assert proved.way.client.delete_object(Bucket=bucket, Key=key)["DeleteMarker"]
        missing = fleet.command("download", run_id, "pictures", expect=1)
        assert f"missing: s3://{bucket}/{key} is not there any more" in missing.err
        assert fleet.finished(fleet.submit(), within=40)["skipped"] == 3
        assert sandbox.charged == 3
        assert fleet.finished(fleet.submit("photo of {id}", "--verify-outputs"), within=40)["skipped"] == 2
    assert sandbox.charged == 4
    assert len(proved.outputs()) == 3
    versions = proved.way.client.list_object_versions(Bucket=bucket, Prefix=key)
    assert (len(versions["Versions"]), len(versions["DeleteMarkers"])) == (2, 1)


@each(once)
def test_what_may_not_be_replaced_is_not_paid_for_again(proved: Proved, sandbox: SandboxServer) -> None:
    """Made anew on request, the pictures are refused, set aside and named; further runs make no call."""
    fleet = proved.fleet
    write_catalog(fleet.command.folder, 3)
    place = f"s3://{BUCKETS[1]}/{uuid4().hex[:8]}"

    def submitted(*options: str) -> tuple[dict[str, Any], str]:
        prompt = ("--prompt", "photo of {id}")
        done = fleet.command("submit", "manifest.csv", *prompt, "--output", place, "--yes", *options)
        return fleet.finished(done.out.strip(), within=40), done.err

    with fleet.worker():
        ended, warning = submitted()
        assert ended["succeeded"] == 3
        assert re.search(r"cannot\s+be\s+removed", warning), warning
        assert submitted()[0]["skipped"] == 3
        assert sandbox.charged == 3
        ended, _ = submitted("--overwrite", "--new-seed")
        assert (ended["failed"], sandbox.charged) == (3, 6)
        report = fleet.store.get(fleet.workspace.run(ended["run_id"], "report.csv")).data.decode()
        assert report.count("409 ObjectLocked") == report.count("The picture was paid for and lies at") == 3, report
        assert submitted()[0]["pending"] == 0
    assert sandbox.charged == 6
    assert sum(listed.uri.endswith(".jpg") for listed in fleet.store.list(fleet.workspace.under("unplaced") + "/")) == 3
    assert sum(1 for _ in fleet.store.list(place)) - 4 == 3, "three pictures and a probe a plan"
