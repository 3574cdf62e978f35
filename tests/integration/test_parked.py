"""Paid answers that S3 would not take: found again by the same request of their job, and by no other."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from restyle.coordination.claim_types import Claim
from restyle.coordination.redis.client import State
from restyle.job.context import Called
from restyle.job.parked import in_redis
from restyle.models import utc_now
from restyle.segmind.responses import Answer
from tasks.image import restyle_image
from tests.support.bench import running_bench
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3
from tests.support.wait import wait_until


def test_an_answer_is_found_with_what_it_was_made_from(redis_url: str) -> None:
    """By one with another prompt it would be stored as what it is not."""
    state = State(redis_url, namespace="restyle:parked:", account="parked")
    answer = Answer((b"picture",), 1.5, request_id="r", cost=0.02)
    called = Called(Claim("go"), answer, utc_now(), utc_now(), 0.0)
    assert in_redis.park("job", in_redis.as_text(called, "one prompt"), state)
    found = in_redis.find("job", state)
    assert found is not None
    made_from, parked = found
    assert (made_from, parked.answer.images, parked.claim.verdict) == ("one prompt", (b"picture",), "parked")
    in_redis.unpark("job", state)
    assert in_redis.find("job", state) is None
    assert state.ask("GET", state.key("kept_bytes")) in {"0", None}
    state.close()


@pytest.fixture
def credentials(s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where S3's credentials are asked for at each request; while the file is not there, nobody gives any."""
    given = tmp_path / "given.json"
    soon = datetime.now(UTC) + timedelta(minutes=1)  # botocore asks again in the last ten minutes
    told = {"Version": 1, "AccessKeyId": s3.access_key, "SecretAccessKey": s3.secret_key}
    given.write_text(json.dumps(told | {"Expiration": soon.isoformat()}))
    (tmp_path / "config").write_text(f"[default]\ncredential_process = cat {given}\n")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.endpoint.url)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    return given


def test_credentials_that_expire_during_a_call_cost_no_picture(
    s3: S3, redis_url: str, sandbox: SandboxServer, credentials: Path
) -> None:
    """S3 is asked the short way, and nobody renews what it is signed with: the answer is parked until somebody does."""
    with running_bench(s3, redis_url, sandbox, workspace=f"s3://shop/{uuid4().hex}") as bench:
        manifest = f"id,image\na,{bench.put('a')}\n"
        assert [outcome.outcome.value for outcome in bench.run(manifest, prompt="first").values()] == ["succeeded"]
        run = bench.begin(bench.plan(manifest, prompt="second"))
        (message,) = bench.messages(run)
        sandbox.control(latency=0.5)
        bench.resources.tools.fleet.heartbeat({})
        worker = threading.Thread(target=restyle_image, args=(bench.resources, message))
        worker.start()
        wait_until(lambda: sandbox.counters()["in_flight"], timeout=10, description="the call")
        credentials.rename(credentials.with_suffix(".gone"))
        key = bench.resources.state.key(in_redis.KEY, message["job_id"])
        wait_until(lambda: bench.resources.state.ask("EXISTS", key), timeout=10, description="the parked answer")
        assert [found.reason for found in bench.resources.tools.fleet.suspensions()] != []
        credentials.with_suffix(".gone").rename(credentials)
        worker.join(20)
        assert not worker.is_alive()
        assert [outcome and outcome.outcome.value for _, outcome in bench.rows(run)()] == ["succeeded"]
        assert (sandbox.charged, sandbox.paid_twice) == (2, {})
        assert not bench.resources.state.ask("EXISTS", key)
