"""Report: what the CSV's cells look like, what the counts come to, what the page shows and escapes."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from typing import Any

import pytest

from producers.runs.outcomes import Row
from producers.runs.statistics import Statistics
from reports.report import PARAM_COLUMNS, RUN_COLUMNS, ReportLinks, slice_csv, summarise
from restyle.keys import Workspace
from restyle.models import Job, ManifestSource, Outcome, OutcomeKind, Params, Run, RunOptions, RunStatus

WORKSPACE = Workspace("s3://bucket/team")
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
EVERY = frozenset({"succeeded", "skipped", "failed", "pending"})
NONE_REUSED = {"reused": 0, "saved": 0.0}


def a_run(**changes: Any) -> Run:
    """A finished run."""
    return Run(
        **{
            "run_id": "20260131T120000Z-ab12cd",
            "status": RunStatus.FINISHED,
            "created": NOON,
            "manifest": ManifestSource(uri="s3://bucket/in/spring.csv", sha256="0" * 64),
            "plan_digest": "d",
            "options": RunOptions(),
            "shards": 1,
            "planned": 3,
            **changes,
        }
    )


def a_job(entry: str = "shoe", variant: str = "oak", meta: dict[str, str] | None = None, **params: Any) -> Job:
    """A job with few words."""
    return Job(
        id=entry,
        variant=variant,
        image=f"s3://bucket/in/{entry}.jpg",
        params=Params(**{"prompt": "on oak", "seed": 7, **params}),
        output=WORKSPACE.output(entry, variant),
        meta=meta or {},
    )


def succeeded(job: Job, **changes: Any) -> Outcome:
    """How a paid job ends."""
    return Outcome(
        **{"outcome": "succeeded", "attempts": 1, "credits": 0.02, "seconds": 8.0, "outputs": (job.output,), **changes}
    )


def failed(error: str = "invalid_image", message: str = "is damaged", **changes: Any) -> Outcome:
    """How a job fails."""
    return Outcome(**{"outcome": OutcomeKind.FAILED, "error": error, "message": message, **changes})


def as_csv(rows: list[Row], statuses: frozenset[str] = EVERY) -> str:
    """The report's slice of these outcomes as text."""
    out = io.StringIO(newline="")
    slice_csv(a_run(), lambda: iter(rows), workspace=WORKSPACE, statuses=statuses, out=out)
    return out.getvalue()


def parsed(text: str) -> list[dict[str, str]]:
    """A report's rows by column."""
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_columns() -> None:
    """A report begins with the run's columns, then the parameters, then every column that any entry has."""
    text = as_csv([(a_job("a", meta={"title": "Shoe"}), None), (a_job("b", meta={"brand": "Nord"}), None)])
    assert text.startswith(
        "run_id,job_id,id,variant,image,outcome,error,http_status,message,attempts,in_doubt,credits,seed,output,record,"
        "suspect,prompt,negative_prompt,samples,scheduler,base_model,num_inference_steps,guidance_scale,strength,base64,"
        "title,brand\n"
    )
    first, second = parsed(text)
    assert (first["title"], first["brand"]) == ("Shoe", "")
    assert (second["title"], second["brand"]) == ("", "Nord")


@pytest.mark.parametrize("name", ["outcome", "Prompt", "mark", "image", "strength", "suspect", "meta.size"])
def test_columns_that_the_reader_would_take_for_its_own(name: str) -> None:
    """An entry's column with a name of the report's own is kept apart as `meta.<name>`."""
    (row,) = parsed(as_csv([(a_job(meta={name: "theirs"}), None)]))
    assert row[f"meta.{name}"] == "theirs"
    assert row["outcome"] == "pending"


def test_succeeded_row() -> None:
    """A finished job's row names its first sample, its record, and the seed that was planned."""
    job = a_job("a/b", samples=2, guidance_scale=7.0, seed=-1)
    outcome = succeeded(job, seed=99, outputs=("s3://o/x-0.jpg", "s3://o/x-1.jpg"), warning="1 of 2 samples came")
    (row,) = parsed(as_csv([(job, outcome)]))
    assert row["output"] == "s3://o/x-0.jpg"
    assert row["record"] == "s3://bucket/team/records/a/b/oak.json"
    assert row["job_id"] == WORKSPACE.job_id("a/b", "oak")
    assert row["seed"] == "-1"
    assert row["message"] == "1 of 2 samples came"
    assert (row["guidance_scale"], row["strength"], row["credits"]) == ("7", "0.65", "0.02")
    assert (row["samples"], row["base64"], row["http_status"]) == ("2", "false", "")


def test_suspect_rows() -> None:
    """What looks wrong is told by its reasons, is a slice of its own, and still counts as what it is."""
    good, bad, old = a_job("good"), a_job("bad"), a_job("old")
    rows: list[Row] = [
        (good, succeeded(good)),
        (bad, succeeded(bad, suspect=("black", "small"))),
        (old, succeeded(old, outcome="skipped", credits=0, suspect=("same",))),
    ]
    assert [row["suspect"] for row in parsed(as_csv(rows))] == ["", "black small", "same"]
    assert [row["id"] for row in parsed(as_csv(rows, frozenset({"suspect"})))] == ["bad", "old"]
    statistics = Statistics()
    for row in rows:
        statistics.add(*row)
    assert (statistics.totals.succeeded, statistics.totals.skipped, statistics.totals.suspect) == (2, 1, 2)


def test_pending_and_failed_rows() -> None:
    """A job without an outcome is pending with nothing else said; a failed one has no output and no record."""
    pending, bad = parsed(as_csv([(a_job(), None), (a_job(), failed(http_status=422))]))
    assert [pending[name] for name in ("outcome", "attempts", "credits", "output", "record")] == ["pending", *[""] * 4]
    assert [bad[name] for name in ("outcome", "error", "http_status", "output", "record")] == [
        "failed", "invalid_image", "422", "", "",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("=1+1", "'=1+1"),
        ("+49", "'+49"),
        ("-5", "'-5"),
        ("@home", "'@home"),
        ("\tx", "'\tx"),
        ("\rx", "'\rx"),
        ("\n=x", "'\n=x"),
        ("\uff1d1+1", "'\uff1d1+1"),
        ("\uff0b49", "'\uff0b49"),
        ("\uff0d5", "'\uff0d5"),
        ("\uff20home", "'\uff20home"),
        ("a=b", "a=b"),
        ("'quoted'", "'quoted'"),
        ("{size}", "{size}"),
        ("", ""),
    ],
)
def test_text_that_looks_like_a_formula(given: str, written: str) -> None:
    """A spreadsheet is given no formula: such text gets one quote, other text none."""
    (row,) = parsed(as_csv([(a_job(meta={"note": given}), None)]))
    assert row["note"] == written


def test_prompts_are_templates_again() -> None:
    """Braces in prompts are doubled, since whoever reads the report takes prompts for templates."""
    (row,) = parsed(as_csv([(a_job(prompt="=a {b}", negative_prompt="{c}"), None)]))
    assert row["prompt"] == "'=a {{b}}"
    assert row["negative_prompt"] == "{{c}}"


def test_line_ends() -> None:
    """Lines end in LF alone, and every line break within a cell is quoted, a lone CR too."""
    text = as_csv([(a_job(meta={"note": "a\rb\r\nc\nd"}), None)])
    assert text.count("\n") == 4
    assert text.endswith('"a\rb\r\nc\nd"\n')
    assert not text.startswith("\ufeff")


def test_slice() -> None:
    """A slice has the rows of its outcomes under the columns of the whole report."""
    done, bad, todo = a_job("a", meta={"title": "Shoe"}), a_job("b"), a_job("c")
    text = as_csv([(done, succeeded(done)), (bad, failed()), (todo, None)], frozenset({"failed", "pending"}))
    assert [row["id"] for row in parsed(text)] == ["b", "c"]
    assert text.partition("\n")[0].endswith(",title")


def tally_of(rows: list[Row]) -> Statistics:
    """What the rows come to."""
    statistics = Statistics()
    for row in rows:
        statistics.add(*row)
    return statistics


def links() -> ReportLinks:
    """Where a report would lie."""
    return ReportLinks("s3://r/report.csv", "s3://r/report.html", "s3://r/report.json")


def test_summary_counts() -> None:
    """report.json counts each variant and each error with one message of it, and credits by rows and by account."""
    a, b, c = a_job("a"), a_job("a", "marble"), a_job("b")
    rows: list[Row] = [
        (a, succeeded(a, credits=0.1, ended=NOON.replace(minute=5))),
        (b, failed(message="first", in_doubt=1, ended=NOON)),
        (c, failed(message="second")),
        (a_job("c", "marble"), succeeded(c, credits=0.2)),
        (a_job("d"), None),
    ]
    snapshot: dict[str, object] = {"status": "suspended", "credits_before": 10.0, "credits_after": 9.5}
    summary = summarise(a_run(), tally_of(rows), snapshot, links())
    assert summary["variants"] == {
        "oak": {"succeeded": 1, "skipped": 0, "failed": 1, "pending": 1, "suspect": 0, "credits": 0.1, **NONE_REUSED},
        "marble": {"succeeded": 1, "skipped": 0, "failed": 1, "pending": 0, "suspect": 0, "credits": 0.2} | NONE_REUSED,
    }
    assert summary["errors"] == {"invalid_image": {"count": 2, "message": "first"}}
    assert summary["credits"] == {"counted": 0.3, "account": {"before": 10.0, "after": 9.5, "spent": 0.5}}
    assert (summary["first"], summary["last"]) == ("2026-01-31T12:00:00Z", "2026-01-31T12:05:00Z")
    assert (summary["status"], summary["succeeded"], summary["in_doubt"]) == ("suspended", 2, 1)


@pytest.mark.parametrize(
    ("seconds", "p50", "p95"),
    [([], None, None), ([8.0], 8.0, 8.0), (list(range(1, 101)), 50, 95), ([8.1234, 8.1233, 200], 8.12, 200)],
)
def test_percentiles(seconds: list[float], p50: float | None, p95: float | None) -> None:
    """Percentiles of the calls' seconds are true to three digits, and none without calls."""
    statistics = tally_of([(a_job(), succeeded(a_job(), seconds=value)) for value in seconds])
    assert (statistics.percentile(50), statistics.percentile(95)) == (p50, p95)


def test_report_columns_are_the_parameters() -> None:
    """Every parameter of the API is a column, the seed among the run's own."""
    assert set(PARAM_COLUMNS) | {"seed"} == set(Params.model_fields)
    assert "seed" in RUN_COLUMNS
