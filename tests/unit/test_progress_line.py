"""The progress of `run` and `watch`, as text: progress, pace, variants, failures, suspension, at any width."""

from __future__ import annotations

import io
import time
from typing import Any

import pytest
from rich.console import Console

from apps.cli.runs.progress_line import Near, draw, facts
from apps.views.pace import BARS, Pace
from producers.runs.snapshot import Snapshot
from producers.runs.statistics import VariantStatistics
from restyle.models import RunStatus
from tests.support.reports import NOON
from tests.unit.test_report import a_job, failed


def a_moment(**changes: Any) -> Snapshot:
    """A run under way."""
    told = {
        "run_id": "20260131T120000Z-ab12cd", "status": RunStatus.RUNNING, "planned": 1000, "succeeded": 600,
        "skipped": 20, "failed": 3, "suspect": 0, "pending": 377, "invalid": 0, "in_doubt": 0, "attempts": 610,
        "credits_spent": 12.0, "credits_left": 87.6, "suspension": None, "report": None, "outputs": "s3://b/outputs",
        "created": NOON, "finished": None, "workers": 1, "in_flight": 8, "last_error": "",
    }  # fmt: skip
    return Snapshot.model_validate(told | changes)


class Steady(Pace):
    """A pace as it is after these counts, one every two seconds."""

    def __init__(self, counts: list[int]) -> None:
        super().__init__()
        now, done = time.monotonic() - 2.0 * len(counts), 0
        self._seen.append((now, 0))
        for place, count in enumerate(counts, 1):
            done += count
            self._seen.append((now + 2.0 * place - 0.001, done))


def drawn(now: Snapshot, pace: Pace | None = None, near: Near | None = None, width: int = 100) -> str:
    """What the terminal shows."""
    console = Console(width=width, file=io.StringIO(), record=True, color_system=None)
    console.print(draw(now, pace or Steady([1] * 10), near or Near(), 1.0))
    return "\n".join(line.rstrip() for line in console.export_text().splitlines())


NEAR = Near(
    {"oak": VariantStatistics(310, 10, 1, 0, 0, 6.2), "sea": VariantStatistics(290, 10, 2, 0, 4, 5.8)},
    [(a_job("mug-41", "sea"), failed(message="HTTP 422: prompt is not allowed\nmore")), (a_job("mug-07"), failed())],
)


def test_the_board() -> None:
    """Each thing has its line, and nothing that is not there takes one."""
    lines = drawn(a_moment(suspect=4), Steady([2, 2, 2, 2, 2, 4, 4, 4, 1, 0]), NEAR).splitlines()
    assert lines[0].split() == ["20260131T120000Z-ab12cd", lines[0].split()[1], "62%", "623", "of", "1,000"]
    assert lines[1] == "600 succeeded   20 skipped   3 failed   4 look wrong   377 pending   8 in flight"
    assert lines[2].startswith("▅▅▅▅███▃▁  69 a minute   5 min left   spent 12.00 credits ($12.00)")
    assert lines[4].split() == ["variant", "done", "failed", "look", "wrong", "credits"]
    assert lines[5].split() == ["oak", "320", "1", "0", "6.20"]
    assert lines[6].split() == ["sea", "300", "2", "4", "5.80"]
    assert lines[8:] == [
        "last failures",
        "mug-41 · sea  HTTP 422: prompt is not allowed",
        "mug-07 · oak  is damaged",
    ]


def test_a_plain_run() -> None:
    """One variant and no failure: three lines."""
    near = Near({"default": VariantStatistics(600)})
    assert len(drawn(a_moment(failed=0, pending=380), near=near).splitlines()) == 3


def test_never_done_too_early() -> None:
    """As long as a job is left the board does not say 100 %."""
    now = a_moment(planned=1000, succeeded=999, skipped=0, failed=0, pending=1)
    assert " 99%" in drawn(now)
    assert "100%" in drawn(a_moment(planned=0, succeeded=0, skipped=0, failed=0, pending=0))


def test_suspended() -> None:
    """Why it stands still and what to do is said, and no pace is claimed."""
    note = {
        "scope": "fleet", "reason": "no_credits", "detail": "HTTP 406: no credits", "since": NOON, "until": None,
        "by": "w", "next": "top up, then restyle resume",
    }  # fmt: skip
    told = drawn(a_moment(status=RunStatus.SUSPENDED, suspension=note))
    assert "suspended (no_credits): HTTP 406: no credits\nnext: top up, then restyle resume" in told
    assert "a minute" not in told


def test_what_goes_wrong_is_told_at_once() -> None:
    """Suspects, lines that were left out and a variant that stands still, on the board and in its plain lines."""
    brake = {"variant": "sea", "reason": "suspect", "detail": "25 of the last 50 pictures of variant sea look wrong"}
    now = a_moment(suspect=25, invalid=2, braked=[brake])
    shown = drawn(now)
    assert "25 look wrong   2 invalid" in shown
    assert "variant sea stopped (suspect): 25 of the last 50 pictures" in shown
    assert {"25 suspect", "2 invalid", "sea stopped: suspect"} <= {*facts(now, Steady([1] * 10), 1.0)}


def test_many_variants() -> None:
    """Of many variants those that fail most are shown, and the others counted."""
    variants = {f"v{n:02}": VariantStatistics(10, 0, n) for n in range(30)}
    told = drawn(a_moment(), near=Near(variants))
    assert "v29" in told
    assert "v05" not in told
    assert "and 22 more" in told


@pytest.mark.parametrize("width", [40, 60, 80])
def test_narrow_terminals(width: int) -> None:
    """A failure's line is cut, not broken, so that the board does not jump; markup in it is text."""
    evil = Near(failures=[(a_job("[red]" + "x" * 100), failed(message="y" * 300))])
    lines = drawn(a_moment(), near=evil, width=width).splitlines()
    assert all(len(line) <= width for line in lines)
    (line,) = [line for line in lines if "[red]xx" in line]
    assert line.endswith("…")


def test_the_sparkline_is_bounded() -> None:
    """It has thirty bars at most, none before there is anything, and the highest is the fullest."""
    assert len(Steady([1] * 100).sparkline) == BARS
    assert Steady([]).sparkline == ""
    assert Steady([0, 0, 0]).sparkline == ""
    assert set(Steady([5] * 20).sparkline) == {"█"}
