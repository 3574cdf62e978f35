"""Answers of 200 that are no picture: they may have been billed, so they count, and they end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from restyle.coordination.runs.progress import Totals
from restyle.models import OutcomeKind
from tests.support.bench import Bench, running_bench
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def bench(s3: S3, redis_url: str, sandbox: SandboxServer) -> Iterator[Bench]:
    """A workspace and a worker of this test alone, where a call costs a credit."""
    sandbox.control(price=1.0)
    with running_bench(s3, redis_url, sandbox, price=1.0) as found:
        yield found


def worked(bench: Bench, sandbox: SandboxServer, *answers: str, budget: float) -> Totals:
    """The ledger of a run of one job, after the API's first answers were these."""
    sandbox.script(*answers)
    run = bench.begin(bench.plan(f"id,image\nmug,{bench.put('mug')}\n", budget=budget))
    bench.work(run)
    totals = bench.resources.progress.totals(run.run_id)
    assert totals is not None
    return totals


@pytest.mark.parametrize("told", [True, False], ids=["cost told", "no cost told"])
@pytest.mark.parametrize("fault", ["truncated", "html"])
def test_what_was_billed_for_no_picture_counts_in_the_budget(
    bench: Bench, sandbox: SandboxServer, fault: str, told: bool
) -> None:
    """A budget of one credit pays for one answer, spoiled or not; the second call is not made."""
    sandbox.control(headers=told)
    totals = worked(bench, sandbox, *[fault] * 4, budget=1)
    assert sandbox.charged == 1
    assert (totals.pending, totals.failed, totals.succeeded) == (1, 0, 0)


def test_what_was_billed_for_no_picture_counts_as_spent(bench: Bench, sandbox: SandboxServer) -> None:
    """Where the answer told its cost, the run's credits are those of the account, of the day and the month too."""
    totals = worked(bench, sandbox, "truncated", budget=9)
    assert (totals.succeeded, totals.credits, sandbox.charged) == (1, 2.0, 2)
    state, fleet = bench.resources.state, bench.resources.tools.fleet
    for period in fleet.limits.budgets.periods():
        assert float(state.ask("GET", state.key("spent", period.name))) == 2.0


def test_an_output_that_does_not_decode_is_none(bench: Bench, sandbox: SandboxServer) -> None:
    """A worker died between output and record, and the output is broken since: its job is called again, and ends."""
    rows = f"id,image\nmug,{bench.put('mug')}\n"
    bench.run(rows)
    here = bench.resources
    uri = bench.record("mug").outputs[0].uri
    broken = here.store.get(uri)
    here.store.put(uri, broken.data[:40], content_type="image/jpeg", metadata=broken.metadata)
    here.store.delete(here.workspace.record("mug", "default"))
    assert bench.run(rows)["mug/default"].outcome is OutcomeKind.SUCCEEDED
    assert bench.output("mug").data[:40] == broken.data[:40] != bench.output("mug").data
    assert sandbox.charged == 2
