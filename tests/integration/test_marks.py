"""Marks of a run's pictures in the workspace: two who review at once lose none, whoever dies."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from producers.runs.review.marks import Marks, Word, mark_now
from restyle.keys import Workspace
from tests.support.servers import S3

RUN = "20260131T120000Z-ab12cd"
WORDS: tuple[Word, ...] = ("keep", "redo", "reject")


def job(place: int) -> str:
    """A job's id."""
    return Workspace("s3://shop/team").job_id(f"mug-{place}", "oak")


@pytest.fixture
def reviewer(s3: S3) -> Callable[[], Marks]:
    """Makes a process that knows nothing yet."""
    workspace = s3.workspace
    return lambda: Marks(RUN, s3.store, workspace)


def test_two_who_mark_at_once(reviewer: Callable[[], Marks]) -> None:
    """Every mark is there, with who and when; of two of one job the later stands, for both."""
    anna, ben = reviewer(), reviewer()

    def mark(who: tuple[Marks, str, int]) -> None:
        marks, name, first = who
        for place in range(first, first + 40):
            marks.put({job(place): mark_now(WORDS[place % 3], by=name)})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(mark, ((anna, "anna", 0), (ben, "ben", 100), (anna, "anna", 200), (ben, "ben", 300))))
    assert anna.standing() == ben.standing() == reviewer().standing()
    assert len(anna.standing()) == 160
    assert anna.standing()[job(0)].by == "anna"
    ben.put({job(0): mark_now("reject", by="ben", note="the handle is gone")})
    for marks in (anna, ben, reviewer()):
        found = marks.standing()[job(0)]
        assert (found.mark, found.by, found.note) == ("reject", "ben", "the handle is gone")
    anna.put({job(0): mark_now("", by="anna")})
    assert job(0) not in ben.standing()
    assert len(reviewer().standing()) == 159


def test_merging_loses_none(reviewer: Callable[[], Marks], s3: S3) -> None:
    """While one merges, the other marks on: all of it is there, in few objects."""
    workspace = reviewer()._workspace
    anna, ben = (Marks(RUN, s3.store, workspace, merge_after=10) for _ in range(2))
    for place in range(20):
        anna.put({job(place): mark_now("keep", by="anna")})
    assert len(ben.standing()) == 20
    with ThreadPoolExecutor(2) as pool:
        merging = pool.submit(anna.merge)
        for place in range(20, 40):
            ben.put({job(place): mark_now("reject", by="ben")})
        merging.result()
    ben.standing()
    ben.merge()
    assert len(anna.standing()) == len(ben.standing()) == len(reviewer().standing()) == 40
    uris = list(s3.store.list(ben._workspace.marks(RUN)))
    assert len(uris) < 10


def test_what_is_no_mark(reviewer: Callable[[], Marks], s3: S3) -> None:
    """What somebody else has put there is passed over."""
    marks = reviewer()
    marks.put({job(1): mark_now("keep", by="anna")})
    for name, data in (("a.json", b"{"), ("b.json", b'{"marks": {"x": {}}}'), ("c.json", b"[]")):
        s3.store.put(marks._workspace.marks(RUN, name), data, content_type="application/json")
    assert list(reviewer().standing()) == [job(1)]
