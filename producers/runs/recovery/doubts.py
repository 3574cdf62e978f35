"""What S3 knows of calls whose answers were lost, and of requests of the queue, for a Redis that has forgotten."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from producers.dispatch.feeder import Feeder
from restyle.keys import Workspace
from restyle.s3.store import Store

#: Jobs that are written to Redis, or read from it, at a time.
_BATCH = 500


def noted(run_id: str, folder: str, store: Store, workspace: Workspace) -> Iterator[str]:
    """The jobs of a run that have a note in one of its folders: `doubt`, or `requests`."""
    for listed in store.list(workspace.run(run_id, folder) + "/"):
        yield posixpath.basename(listed.uri).partition(".")[0]


def recall(feeder: Feeder) -> dict[str, int] | None:
    """Tells a server that has forgotten something what S3 has noted; no call is granted before.

    Asked at each tick of the dispatcher: as long as nothing was forgotten it is one question.

    Returns:
        How many jobs of each run were written; None where it has forgotten nothing.

    Raises:
        StoreUnavailable, StoreAccessDenied: S3 does not tell.
    """
    state = feeder.progress.state
    is_open, incarnation, recalled = state.ask("HMGET", state.key("server"), "open", "incarnation", "recalled")
    if is_open != "0" or recalled == incarnation:
        return None
    doubts = {}
    for run_id in feeder.progress.unfinished():
        forgotten = [*noted(run_id, "doubt", feeder.store, feeder.workspace), *_requests(feeder, run_id)]
        if jobs := set(forgotten) - _counted(feeder, run_id):
            for batch in _batches(sorted(jobs)):
                feeder.progress.doubt(run_id, batch)
            doubts[run_id] = len(jobs)
    state.ask("HSET", state.key("server"), "recalled", incarnation)
    return doubts


def _requests(feeder: Feeder, run_id: str) -> Iterator[str]:
    """The jobs whose requests Redis does not know of; whoever claims them next looks them up."""
    state = feeder.progress.state
    for batch in _batches(list(noted(run_id, "requests", feeder.store, feeder.workspace))):
        known = state.ask_all(*(("EXISTS", state.key("request", job_id)) for job_id in batch))
        yield from (job_id for job_id, is_known in zip(batch, known, strict=True) if not is_known)


def _counted(feeder: Feeder, run_id: str) -> set[str]:
    """The jobs of open shards that have ended, or whose doubts count already."""
    state, doubtful = feeder.progress.state, set()
    for shard in feeder.progress.open_shards(run_id):
        fields = state.ask("HGETALL", state.key("run", run_id, "shard", str(shard.shard)))
        counted = {
            name[2:] for name, value in fields.items() if name[:2] == "o:" or (name[:2] == "d:" and value != "0")
        }
        if counted:
            lines = feeder.plans.lines(run_id, shard.shard)
            doubtful |= {feeder.plans.job_id(line) for index, line in enumerate(lines) if str(index) in counted}
    return doubtful


def _batches(jobs: list[str]) -> Iterator[list[str]]:
    return (jobs[start : start + _BATCH] for start in range(0, len(jobs), _BATCH))
