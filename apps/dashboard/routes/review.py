"""The review room: every job of a run, paged by the server, searched and filtered; and the marks that people set there.

Each page is whole without scripts. With them, htmx puts what a form answers in its place.
"""

from __future__ import annotations

import asyncio
import io
from collections import Counter, OrderedDict
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from apps.dashboard.access.identity import Access, Identity, Refused
from apps.dashboard.access.security import Frame, Names, is_sealed, read_form, seal
from apps.dashboard.acts import actions
from apps.dashboard.live import Live
from apps.dashboard.pages import html
from apps.views.moment import Row
from apps.views.overview import Side
from apps.views.review import PER_PAGE, JobPage, Review
from apps.views.review_index import OUTCOMES, Filter
from apps.withdrawing import follow_marks, in_words
from producers.runs.review.marks import Word, mark_now
from producers.runs.review.withdrawal import Move
from reports.report import marked_csv

#: Runs whose index is kept; each takes a file of 120 bytes a job.
KEPT = 3
SET: tuple[Word, ...] = ("keep", "redo", "reject")
WORDS: tuple[Word, ...] = (*SET, "")
#: Runs among which those are sought that make again what is marked.
_NEWEST = 20
#: Characters of a run's id that tell when it was planned.
_SECOND = 16
#: Characters of a search.
_LONGEST = 200


class Reviews:
    """Answers for the jobs of runs."""

    def __init__(self, live: Live, access: Access, names: Names, frame: Frame) -> None:
        self.live, self._access, self._names, self._frame = live, access, names, frame
        self._reviews: OrderedDict[tuple[str, str], Review] = OrderedDict()
        self._opening = asyncio.Lock()

    async def page(self, request: Request, identity: Identity) -> Response:
        """`GET /runs/{run}/jobs`: a page of its jobs; to htmx the list alone."""
        side, row = await self.live.row(request.path_params["run"])
        chosen, number = _filter(request), _number(request.query_params.get("page"))
        review = await self._review(side, row)
        listing = await self.live.call(lambda: _found(review, row, chosen, number))
        count = max(1, -(-listing.count // PER_PAGE))
        values = {
            "row": row, "run": row.run, "listing": listing, "chosen": chosen, "page": min(number, count),
            "pages": count,
            "outcomes": (*OUTCOMES, "suspect"), "words": SET, "trouble": review.trouble, "here": "run",
            "query": _query(chosen), "titles": review.titles, "totals": row.totals,
            "moved": _moved(request, self._access),
            "redone": [] if identity.is_guest else await self._redone(side, row.run.run_id),
            "buttons": actions.of_run(row) if identity.may_act and row.status == "awaiting_approval" else [],
            "rest": html.cost_of("approve", row, self.live.settings), **self._frame(request, identity),
        }  # fmt: skip
        is_part = request.headers.get("hx-request") == "true" and "hx-history-restore-request" not in request.headers
        return HTMLResponse(html.single("parts/jobs" if is_part else "jobs", **values), headers={"vary": "HX-Request"})

    async def mark(self, request: Request, identity: Identity) -> Response:
        """`POST /runs/{run}/marks`: marks a job; answers with it, or leads back to its page."""
        fields = await read_form(request, self._access, self._names)
        side, row = await self.live.row(request.path_params["run"])
        word = next((word for word in WORDS if word == fields.get("mark", "")), None)
        if word is None:
            raise Refused(400, "A picture is marked keep, redo or reject, or not at all.")
        place = _number(fields.get("place"), least=-1)
        review = await self._review(side, row)
        job = await self.live.call(lambda: review.job(place, row.run))
        if job is None:
            raise Refused(404, "The run has no such job.")
        job_id = job.job_id
        given = mark_now(word, by=identity.name, note=fields.get("note", "").strip(), place=place)
        await self.live.call(lambda: review.marks.put({job_id: given}))
        await self.live.call(lambda: review.refresh(row, wait=0))
        self.live.later(review.marks.merge)
        if request.headers.get("hx-request") != "true":
            return RedirectResponse(_back(row, fields.get("back", ""), place), 303)
        job = await self.live.call(lambda: review.job(place, row.run))
        values = {
            "job": job, "run": row.run, "words": SET, "query": fields.get("back", ""), "marked": review.marked(),
            "swapped": True, "titles": review.titles, **self._frame(request, identity),
        }  # fmt: skip
        return HTMLResponse(html.single("parts/job", **values) + html.single("parts/marked", **values))

    async def withdraw(self, request: Request, identity: Identity) -> Response:
        """`POST /runs/{run}/marks/withdraw`: what is published follows the marks."""
        await read_form(request, self._access, self._names)
        side, row = await self.live.row(request.path_params["run"])
        by = f"{identity.name} (dashboard)"
        moves = await self.live.call(lambda: follow_marks(side.session, row.run, by))
        self.live.forget()
        counts = {move.name.lower(): moves[move] for move in Move if moves[move]}
        address = f"/runs/{row.run.run_id}/jobs?{urlencode({'moved': 'yes', **counts})}"
        return RedirectResponse(seal(address, request, self._access), 303)

    async def export(self, request: Request, _identity: Identity) -> Response:
        """`GET /runs/{run}/marks.csv`: the marked jobs as a manifest."""
        side, row = await self.live.row(request.path_params["run"])
        review = await self._review(side, row)
        standing = await self.live.call(review.marks.standing)
        if not standing:
            raise Refused(404, "Nothing of this run is marked.")
        out = io.StringIO(newline="")
        here = side.session
        await self.live.call(
            lambda: marked_csv(row.run, here.rows(row.run), workspace=here.workspace, marks=standing, out=out)
        )
        name = f"marks-{row.run.run_id}.csv"
        headers = {"content-disposition": f'attachment; filename="{name}"'}
        return Response("\ufeff" + out.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)

    async def _redone(self, side: Side, run_id: str) -> list[Row]:
        """Which of the newest runs make again what is marked here: pressed again, it would be paid for again."""
        moment = next(one for one in await self.live.now() if one.side == side.name)
        # Of runs of one second the ids say nothing of their order.
        later = sorted((other for other in side.ids if other[:_SECOND] >= run_id[:_SECOND]), reverse=True)[:_NEWEST]
        return [other for other in await self.live.rows(side, later, moment) if other.marked_in == run_id]

    async def _review(self, side: Side, row: Row) -> Review:
        """The index of a run, with what is new in it."""
        key = (side.name, row.run.run_id)
        async with self._opening:
            review = self._reviews.get(key)
            if review is None or review.session is not side.session:
                review = self._reviews[key] = await self.live.call(lambda: Review(side.session, row.run.run_id))
                self.live.at_the_end(review.close)
            self._reviews.move_to_end(key)
            while len(self._reviews) > KEPT:
                _, old = self._reviews.popitem(last=False)
                self.live.later(old.close)
        return review


def _found(review: Review, row: Row, chosen: Filter, page: int) -> JobPage:
    review.refresh(row)
    listing = review.find(chosen, page)
    last = max(1, -(-listing.count // PER_PAGE))
    return listing if page <= last else review.find(chosen, last)


def _filter(request: Request) -> Filter:
    """What the page's form asks for; what is none filters nothing."""
    given = request.query_params
    outcome, mark = given.get("outcome", ""), given.get("mark", "")
    return Filter(
        text=given.get("q", "")[:_LONGEST].strip(),
        outcome=outcome if outcome in {*OUTCOMES, "suspect"} else "",
        variant=given.get("variant", "")[:64],
        reason=_number(given.get("reason"), least=0),
        mark=mark if mark in {*SET, "any", "none"} else "",
    )


def _query(chosen: Filter) -> str:
    """The filter as it stands in an address."""
    pairs = {
        "q": chosen.text, "outcome": chosen.outcome, "variant": chosen.variant, "reason": chosen.reason,
        "mark": chosen.mark,
    }  # fmt: skip
    return urlencode({name: value for name, value in pairs.items() if value})


def _moved(request: Request, access: Access) -> str:
    """What became of the pictures as their marks were followed, by the numbers in the address."""
    given = request.query_params
    if given.get("moved") != "yes" or not is_sealed(request, access):
        return ""
    moves = Counter({move: _number(given.get(move.name.lower()), least=0) for move in Move})
    words = in_words(moves)
    return f"Published as marked: {words}" if words else "Nothing is marked reject or keep"


def _back(row: Row, query: str, place: int) -> str:
    clean = query if query.isascii() and query.isprintable() and len(query) < 2000 else ""
    return f"/runs/{row.run.run_id}/jobs?{clean}#job-{place}"


def _number(text: str | None, least: int = 1) -> int:
    try:
        return min(max(least, int(text or least)), 1 << 52)
    except ValueError:
        return least
