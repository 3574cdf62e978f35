"""`restyle prune`: what old runs no longer need. Never outputs, records, inputs, reports or run.json.

The last run of each manifest stays whole, since a diff compares with its results.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import chain

from restyle.coordination.runs.progress import Progress
from restyle.keys import Workspace
from restyle.models import ENDED, Run, RunStatus
from restyle.s3.store import Listed, Store

#: Folders of a run that go.
#: Results go first: without them a run counts as pruned, wherever this is cut off.
FOLDERS = ("results", "unchanged", "plan", "addresses", "web", "doubt", "requests")
#: Rows that were wrong, whole, with what may be a secret in their addresses.
INVALID = "invalid.csv"
_AT_ONCE = 16


@dataclass(frozen=True)
class Leftover:
    """A run with what is to be removed of it."""

    run: Run
    objects: Sequence[Listed]

    @property
    def bytes(self) -> int:
        """How much that is."""
        return sum(listed.bytes for listed in self.objects)


def prunable(runs: Iterable[Run], before: datetime) -> list[Run]:
    """The runs that had ended by then, but for the last one of each manifest and schedule."""
    newest = sorted(runs, key=lambda run: run.created, reverse=True)
    needed, seen = set(), set()
    for run in newest:
        for mark in _needed_as(run):
            if mark not in seen:
                seen.add(mark)
                needed.add(run.run_id)
    return [
        run
        for run in newest
        if run.run_id not in needed and run.status in ENDED and run.finished and run.finished < before
    ]


def _needed_as(run: Run) -> Iterable[tuple[str, ...]]:
    """What later runs may need a run as: the last of its manifest or schedule, and the last that finished."""
    if run.retry_of:
        return
    sources = [("manifest", run.manifest.uri)] + ([("schedule", run.schedule)] if run.schedule else [])
    for source in sources:
        if not run.options.partial:
            yield (*source, "last")
        if run.status is RunStatus.FINISHED:
            yield (*source, "finished", "part" if run.options.partial else "whole")


def leftovers(runs: Iterable[Run], store: Store, workspace: Workspace) -> list[Leftover]:
    """What there is to remove of each run; one whose report is missing keeps everything."""

    def look(run: Run) -> Leftover | None:
        folders = (workspace.run(run.run_id, folder) + "/" for folder in FOLDERS)
        objects = list(chain.from_iterable(map(store.list, folders)))
        objects += [one for one in store.list(workspace.run(run.run_id, INVALID)) if one.uri.endswith(f"/{INVALID}")]
        if not objects or store.head(workspace.run(run.run_id, "report.json")) is None:
            return None
        return Leftover(run, objects)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(filter(None, pool.map(look, runs)))


def remove(leftovers: Sequence[Leftover], store: Store, progress: Progress) -> None:
    """Removes it; cut off, it is gone on with by the next time."""
    progress.forget([leftover.run.run_id for leftover in leftovers])
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for leftover in leftovers:
            for _ in pool.map(store.delete, (listed.uri for listed in leftover.objects)):
                pass
