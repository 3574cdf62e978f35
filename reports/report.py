"""The report of a run: outcomes become report.csv (which is a manifest again), report.html and report.json.

The last step of the flow, run by `restyle.finish` and by `restyle report`. The rows of a run are streamed from S3 as
often as they are needed, so memory does not grow with the run. Formats: docs/formats.md.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import mmap
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import TextIO

from producers.manifest.cells.formulas import guarded
from producers.runs.kept_report import find_object
from producers.runs.outcomes import Row, Rows
from producers.runs.review.marks import Mark
from producers.runs.statistics import PENDING, Statistics, is_selected
from producers.runs.trials import read_trial
from reports.pages.gallery import Choice, Gallery
from reports.pages.grid import write_grid
from reports.pages.page import render
from reports.pages.thumbnails import Album
from reports.pages.withdrawn import withdrawn
from restyle.keys import Workspace
from restyle.models import Job, Outcome, OutcomeKind, Params, Run
from restyle.s3.store import Store
from restyle.web.records import in_s3

#: What a file's header begins with when it is a report.
RUN_COLUMNS = (
    "run_id", "job_id", "id", "variant", "image", "outcome", "error", "http_status", "message",
    "attempts", "in_doubt", "credits", "seed", "output", "record", "suspect",
)  # fmt: skip
#: The parameters' columns; the seed stands among the run's.
PARAM_COLUMNS = tuple(name for name in Params.model_fields if name != "seed")
#: Whole numbers from which on a spreadsheet writes 1E+11.
_SHORTENED = 10**11
_TEMPLATES = ("prompt", "negative_prompt")
#: Names that mean something to whoever reads a report as a manifest, so that no entry's column may have them.
_RESERVED = frozenset((*RUN_COLUMNS, *PARAM_COLUMNS, "mark"))


@dataclass(frozen=True)
class ReportLinks:
    """The s3:// URIs of a run's report."""

    csv: str
    html: str
    json: str


def write_report(
    run: Run, rows: Rows, *, workspace: Workspace, store: Store, snapshot: dict[str, object]
) -> ReportLinks:
    """Writes report.csv, report.html and, last, report.json into the run's folder.

    Args:
        run: the run.
        rows: its rows; streamed twice.
        workspace: where the run lies.
        store: S3.
        snapshot: the object of `status --json`; beside it `credits_before`, `credits_after` (by the account) and
            `credit_price` (US dollars a credit) where they are known.
    """
    links = ReportLinks(*(workspace.run(run.run_id, f"report.{kind}") for kind in ("csv", "html", "json")))
    statistics, choice = Statistics(), Choice()
    for job, outcome in rows():
        statistics.add(job, outcome)
        choice.add(job, outcome)
    summary = summarise(run, statistics, snapshot, links)
    if changes := find_object(workspace.run(run.run_id, "diff.json"), store):
        summary["diff"] = changes  # of a scheduled run

    # Of pictures on the web it shows what the run has fetched of them.
    fetched = partial(in_s3, run_id=run.run_id, store=store, workspace=workspace)
    gallery = Gallery(choice.entries, is_sample=choice.is_sample, in_s3=fetched)
    _put_csv(run, rows, statistics.columns, gallery, workspace, store, links.csv)
    album = Album(store, links.html)
    pictures = album.addresses(gallery.uris)
    gallery.withdrawn = withdrawn(gallery.shots, pictures, store, workspace)
    if run.trial and (trial := read_trial(run.run_id, store=store, workspace=workspace)):
        gallery.titles = trial.titles
    page = render(summary, statistics, gallery, pictures, page=links.html, heading=run.heading, sizes=album.sizes)
    store.put(links.html, page.encode(), content_type="text/html; charset=utf-8")
    if run.trial:
        write_grid(run, rows, workspace=workspace, store=store, snapshot=summary)
    body = json.dumps(summary, indent=2, ensure_ascii=False)
    store.put(links.json, body.encode(), content_type="application/json")
    return links


def _put_csv(
    run: Run, rows: Rows, columns: Iterable[str], gallery: Gallery, workspace: Workspace, store: Store, uri: str
) -> None:
    """Writes report.csv by way of a temporary file, whose pages the system may drop: a long run takes no memory.

    The gallery takes the rows that it shows on their way.
    """
    with tempfile.TemporaryFile() as spool:
        spool.write(codecs.BOM_UTF8)  # by which spreadsheets know the encoding
        text = io.TextIOWrapper(spool, encoding="utf-8", errors="backslashreplace", newline="")
        _write_rows(run, rows(), columns, workspace, text, gallery)
        text.detach()  # flushes, and leaves closing to the file
        with mmap.mmap(spool.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            store.put(uri, mapped, content_type="text/csv; charset=utf-8")


def summarise(
    run: Run, statistics: Statistics, snapshot: Mapping[str, object], links: ReportLinks
) -> dict[str, object]:
    """The content of report.json: the snapshot, and beside it what only the rows can tell."""
    totals = statistics.totals
    before, after = snapshot.get("credits_before"), snapshot.get("credits_after")
    account = None
    if isinstance(before, int | float) and isinstance(after, int | float):
        account = {"before": before, "after": after, "spent": _rounded(before - after)}
    frame = run.model_dump(mode="json", include={"run_id", "status", "created", "finished", "planned", "invalid"})
    origin = run.model_dump(mode="json", include={"manifest", "retry_of", "schedule", "by", "budget"})
    counted = {name: count for name, count in asdict(totals).items() if name != "credits"}
    counted["saved"] = _rounded(totals.saved)
    return {
        "schema_version": 1,
        **frame,
        **counted,
        "attempts": statistics.attempts,
        "in_doubt": statistics.in_doubt,
        "credits_spent": _rounded(totals.credits),
        "credits_left": None,
        "suspension": None,
        **snapshot,
        **origin,
        "sandbox": run.options.sandbox,
        "credits": {"counted": _rounded(totals.credits), "account": account},
        "variants": {
            name: asdict(variant) | {"credits": _rounded(variant.credits), "saved": _rounded(variant.saved)}
            for name, variant in statistics.variants.items()
        },
        "errors": {
            code: asdict(error) for code, error in sorted(statistics.errors.items(), key=lambda item: -item[1].count)
        },
        "reasons": [reason.model_dump(mode="json") for reason in statistics.reasons.ranked()],
        "call_seconds": {"p50": statistics.percentile(50), "p95": statistics.percentile(95)},
        "first": _stored_time(statistics.first),
        "last": _stored_time(statistics.last),
        "links": asdict(links),
    }


def _rounded(credits_: float) -> float:
    """Credits without the noise that summing floats leaves."""
    return round(credits_, 6)


def _stored_time(time: datetime | None) -> str | None:
    return time.isoformat().replace("+00:00", "Z") if time else None


def columns_of(rows: Rows) -> dict[str, None]:
    """The entries' columns in order of appearance."""
    return dict.fromkeys(name for job, _ in rows() for name in job.meta)


def slice_csv(run: Run, rows: Rows, *, workspace: Workspace, statuses: frozenset[str], out: TextIO) -> int:
    """Writes the rows of these outcomes with the columns of the whole report; returns how many.

    A file to write to must be opened with `newline=""`.
    """
    columns = columns_of(rows)
    chosen = (row for row in rows() if is_selected(row[1], statuses))
    return _write_rows(run, chosen, columns, workspace, out)


def marked_csv(run: Run, rows: Rows, *, workspace: Workspace, marks: Mapping[str, Mark], out: TextIO) -> int:
    """Writes the rows of the jobs that people have marked, with the column `mark` of a manifest; returns how many.

    A file to write to must be opened with `newline=""`.
    """
    columns = columns_of(rows)
    names = (*RUN_COLUMNS, *PARAM_COLUMNS)
    writer = csv.writer(Lines(out), lineterminator="\r\n")
    writer.writerow([*names, *(_cell(column_name(name)) for name in columns), "mark"])
    count = 0
    for job, outcome in rows():
        mark = marks.get(workspace.job_id(job.id, job.variant))
        if mark is None or not mark.mark:
            continue
        cells = run_cells(run, workspace, job, outcome) | param_cells(job.params)
        own = (_cell(job.meta.get(name)) for name in columns)
        writer.writerow([*(_cell(cells[name]) for name in names), *own, mark.mark])
        count += 1
    return count


class Lines:
    """Ends lines in LF, where the csv module was given CRLF: only then does it quote a cell with a lone CR."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        #: The last one, without its end.
        self.last = ""

    def write(self, line: str) -> None:
        """Writes one line."""
        self.last = line.removesuffix("\r\n")
        self._out.write(self.last + "\n")


def _write_rows(
    run: Run,
    rows: Iterable[Row],
    columns: Iterable[str],
    workspace: Workspace,
    out: TextIO,
    gallery: Gallery | None = None,
) -> int:
    columns, lines = tuple(columns), Lines(out)
    writer = csv.writer(lines, lineterminator="\r\n")
    writer.writerow([*RUN_COLUMNS, *PARAM_COLUMNS, *(_cell(column_name(name)) for name in columns)])
    if gallery is not None:
        gallery.header = lines.last
    count = 0
    for job, outcome in rows:
        cells = run_cells(run, workspace, job, outcome) | param_cells(job.params)
        names = (*RUN_COLUMNS, *PARAM_COLUMNS)
        writer.writerow([*(_cell(cells[name]) for name in names), *(_cell(job.meta.get(name)) for name in columns)])
        count += 1
        if gallery is not None:
            gallery.add(job, outcome, lines.last)
    return count


def run_cells(run: Run, workspace: Workspace, job: Job, outcome: Outcome | None) -> dict[str, object]:
    """The run's own cells. The seed is the planned one, so that an explicit -1 is read back as -1."""
    cells: dict[str, object] = dict.fromkeys(RUN_COLUMNS)
    cells |= {
        "run_id": run.run_id,
        "job_id": workspace.job_id(job.id, job.variant),
        "id": job.id,
        "variant": job.variant,
        "image": job.image,
        "outcome": PENDING,
        "seed": job.params.seed,
    }
    if outcome is None:
        return cells
    done = outcome.outcome is not OutcomeKind.FAILED
    return cells | {
        "outcome": outcome.outcome.value,
        "error": outcome.error,
        "http_status": outcome.http_status,
        "message": outcome.message or outcome.warning,
        "attempts": outcome.attempts,
        "in_doubt": outcome.in_doubt,
        "credits": outcome.credits,
        "output": outcome.outputs[0] if outcome.outputs else None,
        "record": workspace.record(job.id, job.variant) if done else None,
        "suspect": " ".join(outcome.suspect),
    }


def param_cells(params: Params) -> dict[str, object]:
    """The parameters; what is read back as a template has its braces doubled."""
    cells: dict[str, object] = params.model_dump(exclude={"seed"})
    return cells | {name: str(cells[name]).replace("{", "{{").replace("}", "}}") for name in _TEMPLATES}


def column_name(name: str) -> str:
    """An entry's column as it stands in the header: a name that the reader would take for its own is kept apart."""
    taken = name.lower() in _RESERVED or name.lower().startswith("meta.")
    return f"meta.{name}" if taken else name


def _cell(value: object) -> str:
    """A value as text: floats at their shortest, and no text that a spreadsheet computes or changes."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int() if value >= _SHORTENED:
            return guarded(str(value))
        case float():
            return repr(value).removesuffix(".0")
        case str():
            return guarded(value)
        case _:
            return str(value)
