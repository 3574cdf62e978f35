"""A link to one run: made by who may act, and followed by whoever has it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from apps.dashboard.access.identity import Access, Identity, Refused
from apps.dashboard.access.security import Frame, Names, read_form
from apps.dashboard.access.sharing import DAYS, Shares
from apps.dashboard.live import Live
from apps.dashboard.pages import html, phrases


class Sharing:
    """Answers for links to runs."""

    def __init__(self, live: Live, access: Access, names: Names, shares: Shares, frame: Frame) -> None:
        self.live, self._access, self._names, self._shares, self._frame = live, access, names, shares, frame

    async def ask(self, request: Request, identity: Identity) -> Response:
        """`GET /runs/{run}/share`: for how long."""
        return await self._page(request, identity)

    async def make(self, request: Request, identity: Identity) -> Response:
        """`POST /runs/{run}/share`: the link, and a line in the run's log."""
        fields = await read_form(request, self._access, self._names)
        days = next((days for days in DAYS if str(days) == fields.get("days")), None)
        if days is None:
            raise Refused(400, "This form cannot be read.")
        side, row = await self.live.row(request.path_params["run"])
        text = self._shares.made(row.run.run_id, days)
        until = phrases.when(datetime.fromtimestamp(self._shares.until(text), UTC))
        control = replace(side.session.control, by=f"{identity.name} (dashboard)")
        await self.live.call(lambda: control.note(row.run.run_id, "shared", f"until {until}"))
        base = self._names.public or str(request.base_url).rstrip("/")
        return await self._page(request, identity, f"{base}/shared/{text}", until)

    async def follow(self, request: Request) -> Response:
        """`GET /shared/{text}`: to the run, with a cookie that opens it and nothing else."""
        text = request.path_params["text"]
        run_id = self._shares.run_of(text)
        if not run_id:
            raise Refused(404, "This link has ended, or is none of this dashboard. Ask whoever sent it for another.")
        answer = RedirectResponse(f"/runs/{run_id}/jobs", 303)
        left = max(1, self._shares.until(text) - int(self._shares.clock()))
        # Not strict: a link in a mail is followed from another site.
        answer.set_cookie(
            self._shares.cookie(request), text, max_age=left, httponly=True, samesite="lax", path="/",
            secure=self._access.is_secure,
        )  # fmt: skip
        return answer

    async def _page(self, request: Request, identity: Identity, link: str = "", until: str = "") -> Response:
        _, row = await self.live.row(request.path_params["run"])
        page = html.single("share", row=row, run=row.run, link=link, until=until, days=DAYS, here="run",
                           asks=self._access.asks, **self._frame(request, identity))  # fmt: skip
        return HTMLResponse(page)
