"""What runs have cost, among the dashboard's pages: the figures of `restyle costs`, as a table and as CSV."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from apps.dashboard.access.identity import Identity, Refused
from apps.dashboard.access.security import Frame
from apps.dashboard.live import Live
from apps.dashboard.pages import html
from apps.views.costs import CostTable, cost_table, is_day
from apps.views.overview import Side
from producers.runs.spending import By

#: Seconds for which sums are shown again as they are, and how many are kept: each reads the results of every run.
FRESH, KEPT = 30.0, 16


class CostPages:
    """Sums up, for one viewer at a time."""

    def __init__(self, live: Live, frame: Frame) -> None:
        self.live, self._frame = live, frame
        self._summing = asyncio.Lock()
        self._kept: OrderedDict[tuple[str, By, str], tuple[float, CostTable]] = OrderedDict()

    async def page(self, request: Request, identity: Identity) -> Response:
        """`GET /costs`: by month, unless the address says otherwise."""
        side, by, since = self._asked_for(request)
        table = await self._table(side, by, since)

        def link(path: str = "/costs", **changes: str) -> str:
            chosen = {"side": side.name if len(self.live.sides) > 1 else "", "by": by.value, "since": since, **changes}
            return f"{path}?{urlencode({name: value for name, value in chosen.items() if value})}"

        sides = [other.name for other in self.live.sides if other.ids] if len(self.live.sides) > 1 else []
        return HTMLResponse(
            html.single(
                "costs", table=table, every_by=[one.value for one in By], since=since, link=link, here="costs",
                side=side.name, sides=sides if sides not in ([], ["api"]) else [], **self._frame(request, identity),
            )
        )  # fmt: skip

    async def download(self, request: Request, _identity: Identity) -> Response:
        """`GET /costs.csv`: the same rows, as `restyle costs --csv` prints them."""
        side, by, since = self._asked_for(request)
        table = await self._table(side, by, since)
        headers = {"content-disposition": f'attachment; filename="costs-by-{by.value}.csv"'}
        return Response("\ufeff" + table.csv(), media_type="text/csv; charset=utf-8", headers=headers)

    def _asked_for(self, request: Request) -> tuple[Side, By, str]:
        """The workspace's side, what is counted by, and the first day; raises Refused where there is no such thing."""
        query = request.query_params
        side = next(
            (one for one in self.live.sides if one.name == (query.get("side") or self.live.sides[0].name)), None
        )
        by = next((one for one in By if one.value == (query.get("by") or By.MONTH.value)), None)
        since = query.get("since", "")
        if side is None or by is None:
            raise Refused(404, f"Costs are counted by {', '.join(By)}.")
        if since and not is_day(since):
            raise Refused(400, "Write the first day like 2026-01-31.")
        return side, by, since

    async def _table(self, side: Side, by: By, since: str) -> CostTable:
        key = (side.name, by, since)
        async with self._summing:
            taken, table = self._kept.get(key, (float("-inf"), None))
            if table is None or time.monotonic() - taken > FRESH:
                table = await self.live.call(lambda: cost_table(side.session, by, since=since))
                self._kept[key] = (time.monotonic(), table)
            self._kept.move_to_end(key)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            return table
