"""A run's report among the dashboard's pages: the page as it lies in S3, its pictures, and the objects it names."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from itertools import count

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from apps.dashboard.access.identity import Identity, Refused
from apps.dashboard.live import Live
from apps.dashboard.pages.reviewed import jobs_of, with_marks
from apps.dashboard.routes.gallery import give
from apps.views.overview import Side
from producers.runs.review.marks import Marks
from producers.runs.review.withdrawal import withdrawn_jobs
from reports.pages.page import objects_of, policy, relinked
from reports.pages.thumbnails import FOLDER

#: The policies of pages that this version has written.
_POLICIES = (policy(), policy(one_file=True))
_PICTURE = re.compile(r"[0-9a-f]{20}\.jpg")


class Report:
    """Gives a run's report, and no object that the report does not name."""

    def __init__(self, live: Live) -> None:
        self.live = live

    async def page(self, request: Request, _identity: Identity) -> Response:
        """`GET /runs/{run}/report`: the page, whose links to objects in full size lead through here.

        Only the script and the style of this version run, whatever somebody has put into the bucket.
        """
        run_id = request.path_params["run"]
        side, row = await self.live.row(run_id)
        if not row.run.finished and not await self.live.call(lambda: _is_written(side, run_id)):
            return RedirectResponse(f"/runs/{run_id}/jobs", 303)  # what there is of it so far
        _, text = await self._find(request)
        if not any(html.escape(known, quote=True).replace("&#x27;", "&#39;") in text for known in _POLICIES):
            again = f"This report was written by another version. To write it anew: restyle report {run_id}"
            raise Refused(404, again)
        numbers: Iterator[int] = count()
        text = relinked(text, lambda _: f"/runs/{run_id}/{FOLDER}/objects/{next(numbers)}")
        text = await self.live.call(lambda: _reviewed(side, run_id, text))
        return HTMLResponse(text, headers={"content-security-policy": f"{policy()}; frame-ancestors 'none'"})

    async def picture(self, request: Request, _identity: Identity) -> Response:
        """`GET /runs/{run}/report/{name}`: a small picture beside the page."""
        run_id, name = request.path_params["run"], request.path_params["name"]
        side, _ = await self.live.row(run_id)
        if not _PICTURE.fullmatch(name):
            raise Refused(404, "There is no such picture.")
        store, uri = side.session.store, side.session.workspace.run(run_id, FOLDER, name)
        stored = await self.live.call(lambda: store.find(uri))
        if stored is None:
            raise Refused(404, "There is no such picture.")
        headers = {"cache-control": "private, max-age=86400, immutable"}
        return Response(stored.data, media_type="image/jpeg", headers=headers)

    async def full(self, request: Request, _identity: Identity) -> Response:
        """`GET /runs/{run}/report/objects/{number}`: leads to an object in full size, by its place on the page."""
        side, text = await self._find(request)
        named = objects_of(text)
        if request.path_params["number"] >= len(named):
            raise Refused(404, "There is no such picture.")
        return await give(self.live, side, named[request.path_params["number"]], request)

    async def _find(self, request: Request) -> tuple[Side, str]:
        """The report as it was written."""
        run_id = request.path_params["run"]
        side, _ = await self.live.row(run_id)
        store, uri = side.session.store, side.session.workspace.run(run_id, "report.html")
        stored = await self.live.call(lambda: store.find(uri))
        if stored is None:
            raise Refused(404, f"There is no report yet. Of the run so far: restyle report {run_id}")
        return side, stored.data.decode(errors="replace")


def _reviewed(side: Side, run_id: str, text: str) -> str:
    """The page with what a review says of its pictures."""
    store, workspace = side.session.store, side.session.workspace
    marks = Marks(run_id, store, workspace)
    standing = marks.standing()
    named = [(job.id, job.variant) for job in jobs_of(text) if job.job_id in marks.touched()]
    return with_marks(text, run_id, standing, withdrawn_jobs(named, store, workspace))


def _is_written(side: Side, run_id: str) -> bool:
    """Whether there is a report, of a run so far: somebody typed `restyle report`."""
    return side.session.store.head(side.session.workspace.run(run_id, "report.html")) is not None
