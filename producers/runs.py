"""The runs of a workspace: their names by one listing, their run.json many at a time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from typing import Any

from pydantic import ValidationError

from producers.enqueue import read_plan
from restyle.errors import InputNotFound
from restyle.keys import Workspace, is_run_id
from restyle.models import Run
from restyle.store import Store

#: Requests at a time; and runs that are asked for before the first of them is looked at.
_AT_ONCE, _AHEAD = 16, 64


def run_ids(store: Store, workspace: Workspace) -> list[str]:
    """The names of the runs' folders, newest first; that of a plan that was never finished is among them."""
    return sorted(filter(is_run_id, store.folders(workspace.under("runs") + "/")), reverse=True)


def read_runs(names: Iterable[str], store: Store, workspace: Workspace) -> Iterator[Run]:
    """Runs by name, in that order; a folder without a run.json that can be read is none."""

    def read(name: str) -> Run | None:
        found = store.find(workspace.run(name))
        try:
            return Run.model_validate_json(found.data) if found else None
        except ValidationError:
            return None

    names = iter(names)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        while batch := list(islice(names, _AHEAD)):
            yield from filter(None, pool.map(read, batch))


def shared_job(run: Run, other: Run, store: Store, workspace: Workspace) -> str:
    """The first job that both runs have, or nothing."""

    def jobs(of: Run) -> Iterator[dict[str, Any]]:
        for shard in range(of.shards):
            with suppress(InputNotFound):  # of an unfinished run whose plan was removed by hand
                yield from map(json.loads, read_plan(store, workspace, of.run_id, shard))

    theirs = {workspace.job_id(job["id"], job["variant"]) for job in jobs(other)}
    for job in jobs(run):
        if workspace.job_id(job["id"], job["variant"]) in theirs:
            return f"{job['id']} {job['variant']}"
    return ""
