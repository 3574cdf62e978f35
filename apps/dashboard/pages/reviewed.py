"""A run's report as it is shown on the dashboard: beside each picture what a review says of it, and who said so.

The page in S3 keeps marks in the browser of whoever reads it. Here they are everybody's, and set in the review.
"""

from __future__ import annotations

import csv
import html
import json
import re
from collections.abc import Container, Mapping
from contextlib import suppress
from typing import NamedTuple

from apps.dashboard.pages.phrases import when
from producers.runs.review.marks import Mark

_ROWS = re.compile(r'<script type="application/json" id="rows">(.*?)</script>', re.DOTALL)
_SHOT = re.compile(r'<figure class="shot" data-row="(\d{1,7})"(.*?<figcaption>.*?</b>)', re.DOTALL)


class Named(NamedTuple):
    """A job of the page."""

    job_id: str
    id: str
    variant: str


def jobs_of(page: str) -> list[Named]:
    """The jobs that a report shows, in the order of their rows; none where it does not say."""
    rows = _ROWS.search(page)
    with suppress(ValueError, TypeError, KeyError, csv.Error):
        lines = json.loads(rows[1])["lines"] if rows else []
        return [Named(*line[1:4]) for line in csv.reader(lines) if len(line) > 4]
    return []


def with_marks(page: str, run_id: str, marks: Mapping[str, Mark], withdrawn: Container[str]) -> str:
    """The page with the marks of its jobs, and with the way to where they are set."""
    jobs = jobs_of(page)

    def marked(match: re.Match[str]) -> str:
        row = int(match[1])
        job_id = jobs[row].job_id if row < len(jobs) else ""
        mark, words = marks.get(job_id), ""
        if job_id in withdrawn:
            words += '<p class="suspect">withdrawn: not published any more</p>'
        if mark:
            note = f": {html.escape(mark.note)}" if mark.note else ""
            words += f'<p class="quiet">{mark.mark or "noted"} by {html.escape(mark.by)}, {when(mark.at)}{note}</p>'
        attribute = f' data-marked="{mark.mark}"' if mark and mark.mark else ""
        return f'<figure class="shot" data-row="{match[1]}"{attribute}{match[2]}{words}'

    there = {job.job_id for job in jobs}
    counts = [
        f"{count:,} {word}"
        for word in ("keep", "redo", "reject")
        if (count := sum(1 for job_id, mark in marks.items() if mark.mark == word and job_id in there))
    ]
    counted = f": {' · '.join(counts)}" if counts else ""
    run = f"/runs/{run_id}"
    back = f'<p class="quiet"><a href="{run}">← The run</a> · <a href="{run}/jobs">Review</a>{counted}</p>'
    page = _SHOT.sub(marked, page).replace("<body ", "<body data-shared ", 1)
    page = page.replace('<div class="tray" ', '<div class="tray" hidden ', 1)
    return page.replace("<main>", f"<main>\n{back}", 1)
