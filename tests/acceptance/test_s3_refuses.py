"""S3 refuses everything for minutes under a run: people are notified within a minute, and nothing is paid twice."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.acceptance.conftest import FleetOf
from tests.support.catalog import write_catalog
from tests.support.clock import Clock
from tests.support.receiver import Receiver, receiving
from tests.support.refusing_s3 import Gateway, refusing
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3
from tests.support.wait import wait_until

#: Seconds for which S3 refuses; by hand also ten minutes: RESTYLE_TESTS_S3_REFUSES=600.
REFUSES = float(os.environ.get("RESTYLE_TESTS_S3_REFUSES", "75"))
#: Seconds within which the notice has to be there.
NOTICE_WITHIN = 60.0

pytestmark = [pytest.mark.acceptance, pytest.mark.long, pytest.mark.timeout(240 + REFUSES)]


@pytest.fixture
def gateway(s3: S3) -> Iterator[Gateway]:
    """What stands between the worker and S3."""
    with refusing(s3.port) as found:
        yield found


@pytest.fixture
def webhook() -> Iterator[Receiver]:
    """Whoever is notified."""
    with receiving() as found:
        yield found


class Refusal(NamedTuple):
    """What S3 answers everything with, and what people then get."""

    status: int
    code: str
    event: str
    advice: str


@pytest.mark.parametrize(
    "refusal",
    [
        Refusal(503, "SlowDown", "failing", "restyle doctor"),
        Refusal(403, "AccessDenied", "suspended", "have S3 let the workers in"),
    ],
    ids=["unavailable", "denied"],
)
def test_a_notice_goes_out_while_s3_refuses(
    fleet: FleetOf, sandbox: SandboxServer, gateway: Gateway, webhook: Receiver, refusal: Refusal
) -> None:
    """An S3 that is unavailable is sat out; one that denies access waits for a person, as every wrong setting does."""
    write_catalog(fleet.command.folder, 60)
    sandbox.control(latency=0.4)
    (fleet.command.folder / "restyle.toml").write_text(f'[notify]\nwebhook = "{webhook.url}"\n', encoding="utf-8")
    fleet = fleet.with_settings(RESTYLE_CONCURRENCY="4")
    by_gateway = fleet.with_settings(AWS_ENDPOINT_URL_S3=gateway.url)
    with by_gateway.worker():
        run_id = fleet.submit()
        wait_until(lambda: sandbox.charged >= 12, timeout=60, description="a run under way")
        gateway.refuse = lambda _method, _path, _headers: (refusal.status, refusal.code)
        away = Clock(REFUSES)
        wait_until(
            lambda: refusal.event in webhook.events(), timeout=NOTICE_WITHIN, description=f"the notice {refusal.event}"
        )
        away.wait()
        notices = webhook.events()
        gateway.refuse = lambda _method, _path, _headers: None
        if refusal.event == "suspended":
            fleet.command("resume", run_id, "--detach")
        done = fleet.finished(run_id, within=120)
        wait_until(lambda: "finished" in webhook.events(), timeout=30, description="the last notice")
    assert notices == [refusal.event], "once, however long it lasts"
    payload = json.loads(webhook.came[0][1])
    assert (payload["run_id"], payload["v"]) == (run_id, 1)
    assert "S3" in payload["text"]
    assert payload["next"].startswith(refusal.advice)
    assert (done["succeeded"], done["failed"]) == (60, 0)
    assert (sandbox.charged, sandbox.paid_twice) == (60, {})
