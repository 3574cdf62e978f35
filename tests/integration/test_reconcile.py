"""The account's bill beside the workspace's records: what differs is named, and a lost picture is fetched, not paid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from producers.planning.retry import Slice, plan_retry
from producers.planning.shards import write_shards
from producers.runs.snapshot import read_run
from reports.lost_pictures import Recovery
from reports.reconcile import Kind, Reconciled, reconcile
from restyle.models import OutcomeKind, utc_now
from restyle.segmind.history import Billed, read_billed
from restyle.segmind.v2 import SegmindQueue
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3
from tests.support.wait import wait_until
from tests.support.works import Works, running_works

#: Of `Works.catalog`, the entry whose answers are lost.
LOST = "item-001"


@pytest.fixture
def history(sandbox: SandboxServer) -> Iterator[SegmindQueue]:
    """The account's."""
    client = SegmindQueue(
        f"{sandbox.origin}/v2/sdxl-img2img", sandbox.api_key,
        history_url=f"{sandbox.origin}/inference-request/request-history",
    )  # fmt: skip
    yield client
    client.close()


@pytest.fixture
def works(s3: S3, redis_url: str, sandbox: SandboxServer) -> Iterator[Works]:
    """A fleet that leaves doubtful calls to a person; a call costs one credit."""
    with running_works(s3, redis_url, sandbox, in_doubt="hold") as running:
        yield running


def billed(history: SegmindQueue) -> dict[str, Billed]:
    """What the account says."""
    return read_billed(history.rows(utc_now() - timedelta(days=1)))


def compared(works: Works, bill: dict[str, Billed]) -> Reconciled:
    """The bill beside the workspace."""
    here, since = works.resources, utc_now() - timedelta(days=1)
    return reconcile(bill, since, store=here.store, workspace=here.workspace, rows=lambda run: works.bench.rows(run)())


def kinds(known: Reconciled) -> list[Kind]:
    """How they differ."""
    return [finding.kind for finding in known.findings]


def test_a_lost_picture_is_fetched_and_not_paid_for_again(
    works: Works, history: SegmindQueue, sandbox: SandboxServer
) -> None:
    """The answer was cut off after it was billed: the bill has it, and the job gets it without another call."""
    sandbox.script("reset_midway", prompt_contains=LOST)
    run_id = works.submit(works.catalog(3))
    ended = works.ended(run_id)
    assert (ended.succeeded, ended.failed, sandbox.charged) == (2, 1, 3)
    known = compared(works, billed(history))
    assert (known.billed, known.billed_credits, known.recorded, kinds(known)) == (3, 3.0, 2, [Kind.LOST])
    (finding,) = known.findings
    assert finding.job is not None
    assert (finding.job.id, finding.run and finding.run.run_id) == (LOST, run_id)

    here = works.resources
    recovery = Recovery(history.links.fetch, here.store, here.workspace, "me@here", "1")
    assert [recovery.fetch(finding), recovery.fetch(finding)] == ["", ""]
    run = read_run(run_id, store=here.store, workspace=here.workspace)
    wanted = Slice(frozenset({"failed"}), unreadable=True)
    plan = plan_retry(run, works.bench.rows(run), wanted, here.settings, workspace=here.workspace, store=here.store)
    assert (plan.jobs, plan.estimate.credits) == (1, 0)
    again = write_shards(plan, workspace=here.workspace, store=here.store, shard_jobs=5, by="me@here")
    works.control.submit(again, works.feeder)
    assert works.ended(again.run_id).succeeded == 1
    record = works.bench.record(LOST)
    assert (record.api.request_id, record.api.cost) == (finding.request_id, 1.0)
    assert works.bench.output(LOST).data
    assert sandbox.charged == 3
    assert kinds(compared(works, billed(history))) == []


def test_what_is_not_this_workspaces_and_what_is_not_on_the_bill(
    works: Works, history: SegmindQueue, sandbox: SandboxServer
) -> None:
    """Another program's calls, a record without a bill, and ids that the bill has differently."""
    works.ended(works.submit(works.catalog(2)))
    bill = billed(history)
    assert kinds(compared(works, bill)) == []
    # The blocking API may give ids of its own: then parameters and time tell.
    other_ids = {f"x{name}": replace(one, request_id=f"x{name}") for name, one in bill.items()}
    assert kinds(compared(works, other_ids)) == []
    late = {name: replace(one, submitted=one.submitted + timedelta(hours=1)) for name, one in other_ids.items()}
    assert sorted(kinds(compared(works, late))) == [Kind.ELSEWHERE] * 2 + [Kind.UNBILLED] * 2
    foreign = replace(next(iter(bill.values())), request_id="foreign", params="of another program")
    known = compared(works, {**bill, "foreign": foreign})
    assert (kinds(known), known.recorded_credits) == ([Kind.ELSEWHERE], 2.0)
    assert kinds(compared(works, {})) == [Kind.UNBILLED] * 2


@pytest.mark.parametrize("api", ["v1", "v2"])
def test_an_answer_that_was_lost_and_called_again(
    api: str, s3: S3, redis_url: str, sandbox: SandboxServer, history: SegmindQueue
) -> None:
    """The second call's picture is the job's; the first is on the bill, beside the record. v2 loses none."""
    sandbox.script("reset_midway", prompt_contains=LOST)
    with running_works(s3, redis_url, sandbox, api=api) as works:
        assert works.ended(works.submit(works.catalog(2))).succeeded == 2
        wait_until(lambda: len(billed(history)) == sandbox.charged, timeout=5, description="the bill")
        assert kinds(compared(works, billed(history))) == ([Kind.AGAIN] if api == "v1" else [])


def test_what_cannot_be_fetched_says_why(works: Works, history: SegmindQueue, sandbox: SandboxServer) -> None:
    """A picture whose input was replaced, whose link is gone, or whose run may still get it, is left where it is."""
    sandbox.script("reset_midway", prompt_contains=LOST)
    run_id = works.submit(works.catalog(2))
    works.ended(run_id)
    (finding,) = compared(works, billed(history)).findings
    here = works.resources
    recovery = Recovery(history.links.fetch, here.store, here.workspace, "me@here", "1")
    assert finding.run is not None
    assert finding.billed is not None
    assert finding.job is not None
    going = replace(finding, run=finding.run.model_copy(update={"finished": None}))
    assert recovery.fetch(going) == f"run {run_id} is not over, and may still get it"
    assert recovery.fetch(replace(finding, job=None)).startswith("several jobs sent the same parameters")
    gone = replace(finding, billed=replace(finding.billed, links=(f"{sandbox.origin}/files/none/0.jpg",)))
    assert "it answers 404" in recovery.fetch(gone)
    early = replace(finding, billed=replace(finding.billed, submitted=utc_now() - timedelta(hours=1)))
    assert recovery.fetch(early) == f"{finding.job.image} was replaced after the call"
    assert works.look(run_id).failed == 1
    assert OutcomeKind.FAILED in {outcome.outcome for _, outcome in works.bench.rows(finding.run)() if outcome}
