"""A trial's grid among the dashboard's pages, as it fills: the same table as in grid.html, with pictures from here."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from apps.dashboard.access.identity import Access, Identity, Refused
from apps.dashboard.access.security import Frame, Names, read_form
from apps.dashboard.live import Live
from apps.dashboard.pages import html
from apps.dashboard.routes.gallery import Gallery
from apps.dashboard.routes.review import WORDS
from apps.dashboard.routes.starting import Starting
from apps.views.moment import Row
from apps.views.overview import Side
from producers.runs.review.marks import Marks, mark_now
from producers.runs.trials import read_trial
from reports.pages.grid import Grid, Line, Tile, body, gathered
from restyle.errors import ConfigurationError
from restyle.web.records import in_s3

#: Seconds for which what was read of a trial that goes on is shown to all who look.
FRESH = 1.0
#: Trials that are kept in memory.
KEPT = 8
#: Longest side of a picture, in pixels: they are shown small, and zoomed.
SIDE = 640


@dataclass(frozen=True)
class _Known:
    grid: Grid
    tiles: dict[int, Tile]
    taken: float
    ended: bool


class Trials:
    """Gives the grid of a trial, and the pictures of its jobs by their places in the run."""

    def __init__(
        self, live: Live, access: Access, names: Names, gallery: Gallery, starting: Starting, frame: Frame
    ) -> None:
        self.live, self._access, self._names = live, access, names
        self._gallery, self._starting, self._frame = gallery, starting, frame
        self._marked: OrderedDict[tuple[str, str], Marks] = OrderedDict()
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._reading = asyncio.Lock()

    async def page(self, request: Request, identity: Identity) -> Response:
        """`GET /runs/{run}/grid`."""
        side, row = await self.live.row(request.path_params["run"])
        grid = (await self._read(side, row)).grid
        run_id = row.run.run_id
        snapshot = await self.live.call(lambda: side.session.snapshot(row.run).model_dump(mode="json"))
        snapshot["credit_price"] = self.live.settings.credit_price

        def original(line: Line) -> str:
            return f"/runs/{run_id}/grid/{line.place}/before"

        def picture(tile: Tile) -> str:
            return f"/runs/{run_id}/grid/{tile.place}/after" if tile.picture else ""

        live = "" if row.ended else f"/runs/{run_id}/grid"
        frame = self._frame(request, identity)
        shared: dict[str, Any] = {}
        if identity.may_act:
            standing = await self.live.call(lambda: self._marks(side, run_id).standing())
            shared = {
                "marked": f"/runs/{run_id}/grid/marks", "form_token": frame["form_token"],
                "use": f"/runs/{run_id}/grid/use",
                "marks": {job_id: mark.mark for job_id, mark in standing.items() if mark.mark},
            }  # fmt: skip
        text = body(grid, picture, original, snapshot, live=live, **shared)
        return HTMLResponse(
            html.single("grid", body=text, title=f"Trial {row.name}", run=row.run, here="grid", **frame)
        )  # fmt: skip

    async def picture(self, request: Request, _identity: Identity) -> Response:
        """`GET /runs/{run}/grid/{place}/{which}`: a picture, before or after."""
        params = request.path_params
        side, row = await self.live.row(params["run"])
        tile = (await self._read(side, row)).tiles.get(params["place"])
        if tile is None or params["which"] not in {"before", "after"}:
            raise Refused(404, "The trial has no such picture.")
        if params["which"] == "after":
            return await self._gallery.shown(side, tile.picture, _version(tile), longest=SIDE)
        here, job = side.session, tile.job
        fetched = job if not job.web else await self.live.call(
            lambda: in_s3(job, row.run.run_id, here.store, here.workspace)
        )  # fmt: skip
        return await self._gallery.shown(side, fetched.image, job.etag, longest=SIDE)

    async def mark(self, request: Request, identity: Identity) -> Response:
        """`POST /runs/{run}/grid/marks`: marks a picture of the trial, or takes its mark back."""
        fields = await read_form(request, self._access, self._names)
        side, row = await self.live.row(request.path_params["run"])
        word = next((word for word in WORDS if word == fields.get("mark", "")), None)
        tiles = (await self._read(side, row)).tiles.values()
        if word is None or all(tile.job_id != fields.get("job") for tile in tiles):
            raise Refused(400, "This is no mark of a picture of this trial.")
        marks = self._marks(side, row.run.run_id)
        given = mark_now(word, by=identity.name)
        await self.live.call(lambda: marks.put({fields["job"]: given}))
        return Response(status_code=204)

    async def use(self, request: Request, _identity: Identity) -> Response:
        """`POST /runs/{run}/grid/use`: the chosen columns as a variants file, and what a run of it comes to."""
        fields = await read_form(request, self._access, self._names)
        side, row = await self.live.row(request.path_params["run"])
        trial, run, here = (await self._read(side, row)).grid.trial, row.run, side.session
        chosen = [column for place, column in enumerate(trial.columns) if fields.get(f"column-{place}")]
        if not chosen:
            raise Refused(409, "Choose a column first, by its box.")
        text = json.dumps([{"name": column.name, **column.params} for column in chosen], indent=1).encode()
        uri = here.workspace.input(hashlib.sha256(text).hexdigest(), ".json")
        await self.live.call(lambda: here.store.put(uri, text, content_type="application/json"))
        form = {"manifest": run.manifest.uri, "variants": uri, "name": run.name}
        # Of a single column, what would lose against the manifest's own cells is set.
        sets = [f"{name}={chosen[0].params[name]}" for name in trial.beaten if name in chosen[0].params]
        form |= {"sets": "\n".join(sets)} if len(chosen) == 1 else {}
        form |= {"columns": "\n".join(_given(trial.command, "--column")), "images": _last(trial.command, "--images")}
        return self._starting.shown(form | {"kind": "run"})

    def _marks(self, side: Side, run_id: str) -> Marks:
        """The marks of a run, as far as they are known here."""
        key = (side.name, run_id)
        marks = self._marked.get(key)
        if marks is None or marks.store is not side.session.store:
            marks = self._marked[key] = Marks(run_id, side.session.store, side.session.workspace)
            while len(self._marked) > KEPT:
                self._marked.popitem(last=False)
        return marks

    async def _read(self, side: Side, row: Row) -> _Known:
        run_id = row.run.run_id
        async with self._reading:
            known = self._known.get(run_id)
            if known is None or not (known.ended or time.monotonic() - known.taken < FRESH):
                grid = await self.live.call(lambda: _gather(side, row))
                tiles = {tile.place: tile for line in grid.lines for tile in line.tiles.values()}
                known = self._known[run_id] = _Known(grid, tiles, time.monotonic(), row.ended)
                self._known.move_to_end(run_id)
                while len(self._known) > KEPT:
                    self._known.popitem(last=False)
            return known


def _gather(side: Side, row: Row) -> Grid:
    """A trial as it stands.

    Raises:
        ConfigurationError: the run is none.
    """
    here, run = side.session, row.run
    trial = read_trial(run.run_id, store=here.store, workspace=here.workspace) if run.trial else None
    if trial is None:
        raise ConfigurationError(f"run {run.run_id} is no trial: it has no grid")
    return gathered(run, trial, here.rows(run)(), here.workspace)


def _version(tile: Tile) -> str:
    return f"{tile.outcome.fingerprint} {tile.outcome.ended}" if tile.outcome else ""


def _given(command: Sequence[str], option: str) -> list[str]:
    """The values that a command gives an option."""
    return [value for name, value in pairwise(command) if name == option]


def _last(command: Sequence[str], option: str) -> str:
    return (_given(command, option) or [""])[-1]
