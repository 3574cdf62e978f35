"""What runs have cost, from what S3 keeps of them: each part once, whatever it is counted by."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from producers.dispatch.ledger import put_spent
from producers.runs.listing import read_runs, run_ids
from producers.runs.reasons import reasons_of
from producers.runs.snapshot import read_run, rows_of, write_run
from producers.runs.spending import NONE, By, Spending, spending
from reports.prune import leftovers, remove
from restyle.models import utc_now
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3
from tests.support.works import Works, running_works


@pytest.fixture
def works(s3: S3, redis_url: str, sandbox: SandboxServer) -> Iterator[Works]:
    """A small fleet; a call costs one credit."""
    with running_works(s3, redis_url, sandbox) as found:
        yield found


def summed(works: Works, by: By, since: str = "", zone: str = "UTC") -> Spending:
    """What all runs of the workspace have cost."""
    here = works.resources
    runs = read_runs(run_ids(here.store, here.workspace), here.store, here.workspace)
    return spending(runs, by, store=here.store, workspace=here.workspace, zone=zone, since=since)


def test_a_lost_answer_stands_apart_and_a_pruned_run_still_counts(works: Works, sandbox: SandboxServer) -> None:
    """By whatever it is counted, the parts are the whole; a run's report takes the place of results that are gone."""
    rows, here = works.catalog(8), works.resources
    sandbox.script("reset_midway", prompt_contains="item-002")
    first = works.submit(rows, name="spring", labels={"team": "home", "kind": "new"}, limit=6)
    works.ended(first)
    assert sandbox.charged == 7
    second = works.submit(rows, labels={"team": "shop"}, only_ids=frozenset({"item-006", "item-007"}))
    works.ended(second)

    def look() -> None:
        told = summed(works, By.RUN)
        assert {name: (cost.pictures, cost.credits, cost.in_doubt) for name, cost in told.groups.items()} == {
            f"{first} spring": (6, 6, 1), second: (2, 2, 0),
        }  # fmt: skip
        for by in By:
            told = summed(works, by)
            assert (told.total.credits, told.total.in_doubt) == (8, 1)
            if by is not By.LABEL:
                assert sum(cost.credits + cost.in_doubt for cost in told.groups.values()) == sandbox.charged
        labels = {name: cost.credits for name, cost in summed(works, By.LABEL).groups.items()}
        assert labels == {"team=home": 6, "kind=new": 6, "team=shop": 2}
        assert summed(works, By.SCHEDULE).groups.keys() == {NONE}
        tomorrow = f"{utc_now() + timedelta(days=2):%F}"
        assert summed(works, By.DAY, since=tomorrow).total.credits == 0

    look()
    runs = list(read_runs([first, second], here.store, here.workspace))
    found = leftovers(runs, here.store, here.workspace)
    assert len(found) == 2
    remove(found, here.store, here.progress)
    look()


def test_what_cannot_be_summed_is_named_and_hides_nothing_else(works: Works) -> None:
    """A damaged shard, a report that is none; and a run that is under way is said to be."""
    rows, here = works.catalog(3), works.resources
    ids = [f"item-00{number}" for number in range(3)]
    broken, bare, fine = (works.submit(rows, only_ids=frozenset({entry})) for entry in ids)
    for run_id in (broken, bare, fine):
        works.ended(run_id)
    here.store.put(here.workspace.results(broken, 0), b"no gzip", content_type="application/gzip")
    here.store.delete(here.workspace.results(bare, 0))
    here.store.put(here.workspace.run(bare, "report.json"), b'{"variants": [1]}', content_type="application/json")
    going = works.planned(rows, new_seed=True, overwrite=True)
    works.control.admit(going)
    works.control.suspend(going.run_id)
    told = summed(works, By.DAY)
    assert told.total.credits == 1
    assert told.unread.keys() == {broken, bare}
    assert told.under_way == [going.run_id]


def test_days_are_those_of_the_budgets(works: Works) -> None:
    """Where a shard's jobs were paid for on one day, the ledger says which; else each job counts when it ended."""
    run_id = works.submit(works.catalog(2))
    works.ended(run_id)
    here = works.resources
    (entry,) = here.store.list(here.workspace.ledger(run_id) + "/000000_")
    today = entry.uri.rpartition("/")[2].split("_")[1]
    here.store.delete(entry.uri)
    put_spent(run_id, 0, {"2026-01-31": 2.0}, here.store, here.workspace)
    assert {day: cost.credits for day, cost in summed(works, By.DAY).groups.items()} == {"2026-01-31": 2}
    assert summed(works, By.MONTH).groups.keys() == {"2026-01"}
    put_spent(run_id, 0, {today: 0.5}, here.store, here.workspace)
    told = summed(works, By.DAY)
    assert told.groups[today].credits == 2
    assert (told.total.credits, told.total.in_doubt) == (2, 0.5)


def test_a_prune_that_was_cut_off_hides_nothing(works: Works) -> None:
    """While some of a run's results are gone and others are not, what it has cost is what its report says."""
    run_id = works.submit(works.catalog(7))  # five in a shard
    works.ended(run_id)
    here = works.resources
    assert summed(works, By.RUN).total.credits == 7
    here.store.delete(here.workspace.results(run_id, 0))
    told = summed(works, By.DAY)
    assert (told.total.pictures, told.total.credits, told.total.in_doubt) == (7, 7, 0)


def test_a_pruned_run_without_a_ledger_counts_on_its_day_there(works: Works) -> None:
    """The day on which it was planned is one of the zone that the sums are in: a night of Auckland's may be two."""
    run_id = works.submit(works.catalog(1))
    works.ended(run_id)
    here = works.resources
    run = next(iter(read_runs([run_id], here.store, here.workspace)))
    write_run(
        run.model_copy(update={"created": datetime(2026, 1, 31, 20, tzinfo=UTC)}), store=here.store,
        workspace=here.workspace,
    )  # fmt: skip
    remove(leftovers([run], here.store, here.workspace), here.store, here.progress)
    for listed in here.store.list(here.workspace.ledger(run_id) + "/"):
        here.store.delete(listed.uri)
    assert summed(works, By.DAY).groups.keys() == {"2026-01-31"}
    assert summed(works, By.MONTH, zone="Pacific/Auckland").groups.keys() == {"2026-02"}


@pytest.mark.parametrize("report", [b'{"planned": 1, "succ', b"[]", b'{"finished": null}', b"\xff\xfe"])
def test_a_damaged_report_is_none(works: Works, report: bytes) -> None:
    """What Redis has forgotten and the report does not tell any more is counted from the results."""
    run_id = works.submit(works.catalog(2))
    works.ended(run_id)
    here = works.resources
    here.progress.forget([run_id])
    uri = here.workspace.run(run_id, "report.json")
    finished = works.look(run_id).model_dump(mode="json")["finished"]
    for cut in (report, b'{"finished": "%s"}' % str(finished).encode()):
        here.store.put(uri, cut, content_type="application/json")
        now = works.look(run_id)
        assert (now.succeeded, now.credits_spent) == (2, 2)
        run = read_run(run_id, store=here.store, workspace=here.workspace)
        rows = rows_of(run, store=here.store, workspace=here.workspace, progress=here.progress)
        assert reasons_of(run, rows, store=here.store, workspace=here.workspace) == []
