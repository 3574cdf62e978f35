"""A 429 that says nonsense or a day: nothing fails, status tells, resume and SIGTERM are obeyed at once."""

from __future__ import annotations

import signal
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.acceptance.conftest import FleetOf
from tests.acceptance.test_rate import busiest
from tests.support.catalog import write_catalog
from tests.support.clock import Clock
from tests.support.sandbox import SandboxServer
from tests.support.wait import wait_until

pytestmark = pytest.mark.acceptance


def asked(sandbox: SandboxServer) -> int:
    """Calls that were answered 429."""
    return int(sandbox.counters()["by_status"].get("429", 0))


@pytest.mark.long
def test_a_day_is_told_and_a_person_may_end_it(fleet: FleetOf, sandbox: SandboxServer) -> None:
    """Held until tomorrow: status says so at once, workers leave at SIGTERM, and resume calls within seconds."""
    write_catalog(fleet.command.folder, 20)
    sandbox.control(rates={"429": 1.0}, reset_headers={"retry-after": "86400"}, latency=0.05)
    with fleet.worker() as first, fleet.worker():
        fleet.wait_for_workers(2)
        run_id = fleet.submit()
        wait_until(lambda: asked(sandbox), timeout=30, description="the first 429")
        held: dict[str, Any] = wait_until(
            lambda: fleet.status(run_id)["suspension"], timeout=5, description="status to tell of the hold"
        )
        assert held["reason"] == "held"
        assert "held by the API until" in held["detail"]
        until = datetime.fromisoformat(held["until"])
        assert until - datetime.now(UTC) <= timedelta(minutes=15)
        first.send_signal(signal.SIGTERM)
        assert first.wait(timeout=10) == 0
        before = asked(sandbox)
        sandbox.control(rates={})
        began = time.monotonic()
        fleet.command("resume", run_id, "--detach")
        wait_until(lambda: sandbox.charged, timeout=8, description="calls after the resume")
        assert time.monotonic() - began < 8
        done = fleet.finished(run_id, within=60)
    assert (done["succeeded"], done["failed"], done["attempts"]) == (20, 0, 20)
    assert asked(sandbox) == before
    assert (sandbox.charged, sandbox.paid_twice) == (20, {})


FORMS = {
    "huge": {"retry-after": "900000000000"},
    "the year 9999": {"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"},
    "past": {"x-rate-limit-reset-at-utc": "1999-01-01T00:00:00Z"},
    "nothing": {"retry-after": ""},
    "not a number": {"retry-after": "nan"},
    "two": {"retry-after": "1, 2"},
    "below nothing": {"retry-after": "-5"},
    "milliseconds": {"x-ratelimit-reset": "1000000000000"},
}


@pytest.mark.long
@pytest.mark.parametrize("form", FORMS)
def test_a_reset_in_any_form_is_asked_seldom(fleet: FleetOf, sandbox: SandboxServer, form: str) -> None:
    """While the API limits, at most two calls a second come once it has said so; then all is done, nothing failed."""
    write_catalog(fleet.command.folder, 16)
    sandbox.control(rates={"429": 1.0}, reset_headers=FORMS[form])
    fleet = fleet.with_settings(RESTYLE_MAX_ATTEMPTS="1", RESTYLE_CONCURRENCY="4")
    with fleet.workers(2):
        run_id = fleet.submit()
        wait_until(lambda: asked(sandbox), timeout=30, description="the first 429")
        limited = time.time() + 0.5
        Clock(6).wait()
        begun = [at for at in sandbox.counters()["begun"] if at > limited]
        assert busiest(begun, 1.0) <= 2
        sandbox.control(rates={})
        fleet.command("resume", run_id, "--detach", expect=None)  # where the hold was short, it may have ended by now
        done = fleet.finished(run_id, within=60)
    assert (done["succeeded"], done["failed"], done["attempts"]) == (16, 0, 16)
    assert (sandbox.charged, sandbox.paid_twice) == (16, {})
