"""While the account has no credits its balance is asked for, where that is wanted; after a top-up the fleet goes on."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from restyle.coordination.fleet import Fleet
from restyle.coordination.suspensions import Suspension
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3
from tests.support.wait import wait_until
from tests.support.works import Works, running_works


@pytest.fixture
def works(s3: S3, redis_url: str, sandbox: SandboxServer) -> Iterator[Works]:
    """A fleet that asks often; a call costs one credit, and there are three."""
    with running_works(s3, redis_url, sandbox, credits_seconds=0.2, credits_max=0.8) as found:
        sandbox.control(balance=3.0)
        yield found


def asked(sandbox: SandboxServer) -> int:
    """How often the balance was asked for."""
    return int(sandbox.counters()["balance_asked"])


def test_a_top_up_is_found_by_itself(works: Works, sandbox: SandboxServer) -> None:
    """Nobody types anything; what the balance means is told, and by whom the fleet goes on."""
    run_id = works.submit(works.catalog(6), wait_credits=True)
    stands = works.stands(run_id, "no_credits")
    assert stands.suspension is not None
    assert "it goes on by itself" in stands.suspension.next
    wait_until(lambda: asked(sandbox) >= 2, timeout=10, description="looks at the balance")
    assert works.look(run_id).succeeded == 3
    sandbox.control(top_up=3.0)
    now = works.ended(run_id)
    assert (now.succeeded, now.failed, sandbox.charged, sandbox.paid_twice) == (6, 0, 6, {})


@pytest.mark.long
def test_nobody_asks_where_nobody_waits(works: Works, sandbox: SandboxServer) -> None:
    """A run of a person's stands until that person has spoken, however much there is; a suspension by hand as well."""
    run_id = works.submit(works.catalog(5))
    stands = works.stands(run_id, "no_credits")
    assert stands.suspension is not None
    assert "it goes on by itself" not in stands.suspension.next
    sandbox.control(top_up=10.0)
    time.sleep(1)  # proving a negative
    assert (asked(sandbox), works.look(run_id).succeeded) == (0, 3)
    works.control.resume(run_id)
    assert works.ended(run_id).succeeded == 5


@pytest.mark.long
def test_a_balance_that_cannot_be_changes_nothing(works: Works, sandbox: SandboxServer) -> None:
    """Nor does one that does not do for a call."""
    run_id = works.submit(works.catalog(4), wait_credits=True)
    works.stands(run_id, "no_credits")
    for lie in ('{"credits": -5}', '{"credits": NaN}', '{"credits": "100"}', '{"credits": 0, "free-credits": 0.3}'):
        sandbox.control(credits_body=lie)
        before = asked(sandbox)
        wait_until(lambda: asked(sandbox) >= before + 2, timeout=10, description="looks at the balance")  # noqa: B023
    assert works.look(run_id).succeeded == 3
    assert sandbox.counters()["by_status"].get("406", 0) <= 4


@pytest.mark.long
def test_a_balance_that_is_not_to_be_believed_stops_at_the_next_refusal(works: Works, sandbox: SandboxServer) -> None:
    """A hundred credits of which none can be spent let one call through, and not one after the other."""
    run_id = works.submit(works.catalog(4), wait_credits=True)
    works.stands(run_id, "no_credits")
    refused = sandbox.counters()["by_status"]["406"]
    sandbox.control(credits_body='{"credits": 100}')
    wait_until(lambda: sandbox.counters()["by_status"]["406"] > refused, timeout=10, description="a try")
    works.stands(run_id, "no_credits")
    before = asked(sandbox)
    wait_until(lambda: asked(sandbox) >= before + 3, timeout=10, description="looks at the balance")
    assert sandbox.counters()["by_status"]["406"] <= refused + 4  # of the calls that began together
    sandbox.control(credits_body="", top_up=1000.0)
    assert works.ended(run_id).succeeded == 4


def test_only_the_reason_that_was_looked_at_is_lifted(works: Works) -> None:
    """One that has come since stands, and so does a person's."""
    fleet: Fleet = works.resources.tools.fleet
    fleet.suspend("no_credits", "words", "w1")
    fleet.suspend("operator", "words", "a person")
    (standing,) = [one for one in fleet.suspensions() if one.reason == "no_credits"]
    other = Suspension("fleet", "no_credits", "words", standing.since - 1, 0, "w1")
    assert not fleet.topped_up(other, 50)
    assert fleet.topped_up(standing, 50)
    assert [one.reason for one in fleet.suspensions()] == ["operator"]
    works.control.resume(None)
