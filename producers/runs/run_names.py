"""Which run is meant: by its id, the beginning of one, a name, or `latest`."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping, Sequence
from heapq import merge
from itertools import islice

from producers.runs.listing import read_runs, run_ids
from restyle.errors import ConfigurationError
from restyle.keys import Workspace
from restyle.models import Run
from restyle.problems import printable
from restyle.run_ids import LATEST, is_run_id
from restyle.s3.store import Store

#: Runs that a refusal names, and characters of what was typed that it repeats.
_NAMED, _QUOTED = 8, 80

#: A run's id, and the side of the workspace that it lies on.
Found = tuple[str, Workspace]


def find_run(typed: str, sides: Sequence[Workspace], store: Store) -> Found:
    """The run that somebody means.

    Args:
        typed: a run's id, the beginning of one id alone, a name (the newest run of that name or schedule), or `latest`.
        sides: where runs are looked for: the workspace, and its sandbox's side.
        store: S3.

    Raises:
        ConfigurationError: no run is meant by it, or several are.
    """
    if is_run_id(typed):
        for side in sides:
            if store.head(side.run(typed)):
                return typed, side
    ids = {run_id: side for side in reversed(sides) for run_id in run_ids(store, side)}
    if typed and (alike := [run_id for run_id in ids if run_id.startswith(typed)]):
        return _only(typed, {run_id: ids[run_id] for run_id in alike}, store)
    names = set[str]()
    for run, side in _newest_first(ids, store):
        own = {run.name, run.schedule or ""} - {""}
        if typed in own | {LATEST}:
            return run.run_id, side
        names |= own
    raise ConfigurationError(_unknown(typed, names, sides[0]))


def _only(typed: str, alike: Mapping[str, Workspace], store: Store) -> Found:
    """The only run whose id begins so; a folder without a run.json is none."""
    runs = list(islice(_newest_first(alike, store), _NAMED + 1))
    if not runs:
        raise ConfigurationError(_unknown(typed, (), next(iter(alike.values()))))
    if len(runs) == 1:
        return runs[0][0].run_id, runs[0][1]
    listed = ", ".join(_described(run) for run, _ in runs[:_NAMED])
    raise ConfigurationError(
        f"{printable(typed, _QUOTED)} is the beginning of several runs' ids: {listed}{', …' * (len(runs) > _NAMED)}."
        " Type more of the one that is meant"
    )


def _newest_first(ids: Mapping[str, Workspace], store: Store) -> Iterator[tuple[Run, Workspace]]:
    """The runs of these ids, newest first, read as they are needed."""

    def of(side: Workspace) -> Iterator[tuple[Run, Workspace]]:
        own = sorted((run_id for run_id, its in ids.items() if its == side), reverse=True)
        return ((run, side) for run in read_runs(own, store, side))

    return merge(*map(of, set(ids.values())), key=lambda pair: pair[0].run_id, reverse=True)


def _described(run: Run) -> str:
    title = f"{run.title}, " if run.title else ""
    return f"{run.run_id} ({title}{run.status.value})"


def _unknown(typed: str, names: Collection[str], workspace: Workspace) -> str:
    close = difflib.get_close_matches(typed[:_QUOTED], names, 1)
    meant = f"; did you mean {close[0]}?" if close else ""
    return (
        f"there is no run {printable(typed, _QUOTED)} in {workspace.uri}{meant}; `restyle runs` lists those there are,"
        " with their names"
    )
