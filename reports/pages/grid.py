"""grid.html: a trial for people, its entries as rows and its columns side by side, in one file that opens offline.

The dashboard shows the same grid while it fills (`body`). Everything that came from a manifest is escaped.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from producers.runs.outcomes import Row, Rows
from producers.runs.trials import Column, Trial, letter, read_trial
from reports.pages.page import asset, policy_of, templates
from restyle import images
from restyle.errors import RestyleError
from restyle.keys import Workspace
from restyle.models import Job, Outcome, OutcomeKind, Run
from restyle.s3.store import Store
from restyle.web.records import in_s3

#: The page's name in its run's folder.
GRID = "grid.html"
#: Pictures of a page, and the longest side that so many have: all of them are in one file.
_SIDES = ((40, 768), (120, 640), (300, 448))
_LEAST_SIDE = 320
_QUALITY = 78
_THREADS, _MOST_BYTES = 4, 60_000_000
#: An entry's columns that tell people which product it is, from the best on.
_TITLES = ("title", "name", "product", "label", "description")


@dataclass(frozen=True)
class Tile:
    """A job in its column."""

    job: Job
    job_id: str
    outcome: Outcome | None
    place: int
    """Which row of the run it is, from 0 on."""

    @property
    def is_done(self) -> bool:
        """Whether there is a picture."""
        return self.outcome is not None and self.outcome.outcome is not OutcomeKind.FAILED

    @property
    def picture(self) -> str:
        """The picture's URI; empty where there is none."""
        return self.outcome.outputs[0] if self.outcome and self.is_done and self.outcome.outputs else ""

    @property
    def seed(self) -> int:
        """The seed that made the picture."""
        return self.job.params.seed if self.outcome is None or self.outcome.seed is None else self.outcome.seed


@dataclass
class Line:
    """An entry, and one draw of it."""

    job: Job
    """Any of its jobs."""
    draw: int
    place: int
    tiles: dict[str, Tile] = field(default_factory=dict)
    """By the name of their column."""

    @property
    def title(self) -> str:
        """What people call it, beside its id; empty where nothing tells."""
        cells = {name.lower(): value for name, value in self.job.meta.items()}
        return next((cells[name] for name in _TITLES if cells.get(name)), "")


@dataclass(frozen=True)
class Sums:
    """What a column has come to."""

    done: int = 0
    failed: int = 0
    credits: float = 0.0
    """Of its pictures, also of those that were paid for before."""
    seconds: float = 0.0
    """Of a call, on average; 0: not known."""


@dataclass(frozen=True)
class Grid:
    """A trial with what has come of it so far."""

    run: Run
    trial: Trial
    lines: Sequence[Line]
    sums: Mapping[str, Sums]

    @property
    def done(self) -> int:
        """Jobs that have ended."""
        return sum(one.done + one.failed for one in self.sums.values())

    @property
    def pictures(self) -> list[str]:
        """Every picture that it shows, once each."""
        uris = [line.job.image for line in self.lines if line.draw == 1]
        uris += [tile.picture for line in self.lines for tile in line.tiles.values() if tile.picture]
        return list(dict.fromkeys(uris))


def gathered(run: Run, trial: Trial, rows: Iterable[Row], workspace: Workspace) -> Grid:
    """The jobs of a trial in their lines and columns."""
    lines: dict[tuple[str, int], Line] = {}
    whose = {
        variant: (column, draw) for column in trial.columns for draw, variant in enumerate(column.variants, 1)
    }  # fmt: skip
    for place, (job, outcome) in enumerate(rows):
        if job.variant in whose:
            column, draw = whose[job.variant]
            line = lines.setdefault((job.id, draw), Line(job, draw, place))
            line.tiles[column.name] = Tile(job, workspace.job_id(job.id, job.variant), outcome, place)
    first = list(dict.fromkeys(entry for entry, _ in lines))
    ordered = sorted(lines.items(), key=lambda item: (first.index(item[0][0]), item[0][1]))
    in_order = [line for _, line in ordered]
    return Grid(run, trial, in_order, {column.name: _summed(column, in_order) for column in trial.columns})


def _summed(column: Column, lines: Sequence[Line]) -> Sums:
    tiles = [line.tiles[column.name] for line in lines if column.name in line.tiles]
    done = [tile.outcome for tile in tiles if tile.outcome and tile.is_done]
    timed = [outcome.seconds for outcome in done if outcome.seconds]
    return Sums(
        done=len(done),
        failed=sum(1 for tile in tiles if tile.outcome and not tile.is_done),
        credits=round(sum(outcome.credits or outcome.saved or column.credits for outcome in done), 6),
        seconds=round(sum(timed) / len(timed), 1) if timed else 0.0,
    )


def write_grid(
    run: Run, rows: Rows, *, workspace: Workspace, store: Store, snapshot: Mapping[str, object]
) -> str:  # fmt: skip
    """Writes a trial's page into its run's folder; answers with its URI, empty where its columns are gone."""
    trial = read_trial(run.run_id, store=store, workspace=workspace)
    if trial is None:
        return ""
    grid = gathered(run, trial, rows(), workspace)
    if any(line.job.web for line in grid.lines):
        fetched = partial(in_s3, run_id=run.run_id, store=store, workspace=workspace)
        grid = replace(grid, lines=[replace(line, job=fetched(line.job)) for line in grid.lines])
    uri = workspace.run(run.run_id, GRID)
    page = render(grid, embedded(grid.pictures, store), snapshot)
    store.put(uri, page.encode(), content_type="text/html; charset=utf-8")
    return uri


def embedded(uris: Sequence[str], store: Store) -> dict[str, str]:
    """Pictures as they stand in a page, by their URIs; one that cannot be read is left out."""
    side = next((side for most, side in _SIDES if len(uris) <= most), _LEAST_SIDE)

    def small(uri: str) -> str:
        try:
            data = images.thumbnail(store.get(uri, max_bytes=images.MAX_INPUT_BYTES).data, side, quality=_QUALITY)
        except (RestyleError, ValueError):  # the page is worth more than one picture in it
            return ""
        return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"

    pictures: dict[str, str] = {}
    room = _MOST_BYTES
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="grid") as pool:
        for uri, address in zip(uris, pool.map(small, uris), strict=True):
            room -= len(address)
            if address and room > 0:
                pictures[uri] = address
    return pictures


def render(grid: Grid, pictures: Mapping[str, str], snapshot: Mapping[str, object]) -> str:
    """The page, as one file.

    Args:
        grid: what to show.
        pictures: addresses of pictures by their URIs.
        snapshot: the object of `status --json`.
    """
    style, script = asset("static/look.css") + asset("static/grid.css"), asset("static/grid.js")
    return templates().get_template("grid.html.j2").render(
        body=body(grid, lambda tile: pictures.get(tile.picture, ""), lambda line: pictures.get(line.job.image, ""),
                  snapshot),
        run=grid.run, style=style, script=script, policy=policy_of(style, script, pictures="data:"),
    )  # fmt: skip


def body(
    grid: Grid,
    picture: Callable[[Tile], str],
    original: Callable[[Line], str],
    snapshot: Mapping[str, object],
    **more: Any,
) -> str:
    """What the page has in it.

    Args:
        grid: what to show.
        picture: a tile's picture as an address; empty where there is none.
        original: the picture before, of a line.
        snapshot: the object of `status --json`.
        more: where marks are sent to, and what of the run is possible, on the dashboard.
    """
    trial = grid.trial
    facts = {
        "columns": [
            {"name": column.name, "title": trial.title_of(column), "prompt": column.prompt, "params": column.params,
             "credits": column.credits, "seconds": grid.sums[column.name].seconds}
            for column in trial.columns
        ],
        "prompts": trial.prompts, "rest": max(0, trial.catalog - trial.entries), "seconds": trial.seconds,
        "command": trial.command, "beaten": trial.beaten, "sandbox": grid.run.options.sandbox,
        "price": snapshot.get("credit_price") or 1.0, "run": grid.run.run_id, "draws": trial.draws,
        "marks": more.get("marks"), "form_token": more.get("form_token", ""),
    }  # fmt: skip
    return templates().get_template("grid_body.html.j2").render(
        grid=grid, trial=trial, run=grid.run, picture=picture, original=original, snapshot=snapshot, data=facts,
        letters=[letter(place) for place in range(len(trial.prompts))],
        more={"marked": "", "live": "", "use": "", **more},
    )  # fmt: skip
