"""The runs of a workspace: their names by one listing, their run.json many at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Any

from pydantic import ValidationError

from producers.dispatch.plans import read_plan
from producers.runs.outcomes import read_part
from restyle.errors import InputNotFound
from restyle.formats import lying_at
from restyle.keys import Workspace
from restyle.models import Run
from restyle.run_ids import is_run_id
from restyle.s3.store import Store

#: Requests at a time; and runs that are requested before the first of them is looked at.
_AT_ONCE, _AHEAD = 16, 64


def run_ids(store: Store, workspace: Workspace) -> list[str]:
    """The names of the runs' folders, newest first; that of a plan that was never finished is among them."""
    return sorted(filter(is_run_id, store.folders(workspace.under("runs") + "/")), reverse=True)


def firing_ids(store: Store, workspace: Workspace) -> list[str]:
    """The runs of the firings that lie in S3: they wait to be planned, or were left there when they were over."""
    names = (
        listed.uri.rpartition("/")[2].removesuffix(".json") for listed in store.list(workspace.under("schedules/"))
    )
    return sorted(name for name in names if is_run_id(name))


def read_runs(names: Iterable[str], store: Store, workspace: Workspace) -> Iterator[Run]:
    """Runs by name, in that order; a folder without a run.json that can be read is none.

    Raises:
        NewerFormat: a later version planned one of them, whose jobs this version does not know.
    """

    def read(name: str) -> Run | None:
        stored = store.find(workspace.run(name))
        try:
            with lying_at(workspace.run(name)):
                return Run.model_validate_json(stored.data) if stored else None
        except ValidationError:
            return None

    names = iter(names)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        while batch := list(islice(names, _AHEAD)):
            yield from filter(None, pool.map(read, batch))


def shared_job(run: Run, other: Run, store: Store, workspace: Workspace) -> str:
    """The first job that both runs have, or the first place that both would write to; or nothing."""
    own = workspace.under("outputs") + "/"

    def keys(of: Run) -> Iterator[tuple[str, str]]:
        for lines in _jobs(of, store, workspace):
            with suppress(InputNotFound):  # of an unfinished run whose plan was removed by hand
                for job in lines():
                    yield workspace.job_id(job["id"], job["variant"]), f"{job['id']} {job['variant']}"
                    # Below its own folder a place is as much one's own as the job is, unless a template has named it.
                    if of.options.naming or not job["output"].startswith(own):
                        yield from ((uri, uri) for uri in job.get("outputs") or [job["output"]])

    theirs = {key for key, _ in keys(other)}
    return next((shown for key, shown in keys(run) if key in theirs), "")


def _jobs(run: Run, store: Store, workspace: Workspace) -> Iterator[Callable[[], Iterable[dict[str, Any]]]]:
    """What reads the jobs of each part of a run."""

    def unchanged(part: int) -> Iterator[dict[str, Any]]:
        return (json.loads(line)["job"] for line in read_part(store, workspace, run.run_id, part))

    def planned(shard: int) -> Iterable[dict[str, Any]]:
        return map(json.loads, read_plan(store, workspace, run.run_id, shard))

    for shard in range(run.shards):
        yield partial(planned, shard)
    for part in range(run.unchanged_parts):
        yield partial(unchanged, part)
