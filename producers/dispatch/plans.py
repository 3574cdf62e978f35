"""The jobs of shards as they were planned, read from S3 and kept for the next ticks."""

from __future__ import annotations

import gzip
import json
from collections import OrderedDict

from restyle.keys import Workspace
from restyle.s3.store import Store

#: Shards whose jobs are kept in memory.
CACHED_SHARDS = 32


def read_plan(store: Store, workspace: Workspace, run_id: str, shard: int) -> list[bytes]:
    """The jobs of a shard as planned, each as its JSON: as values they would take ten times the memory."""
    return gzip.decompress(store.get(workspace.shard(run_id, shard)).data).splitlines()


class Plans:
    """The shards that were read last."""

    def __init__(self, store: Store, workspace: Workspace, *, most: int = CACHED_SHARDS) -> None:
        self._most = most
        self._store = store
        self._workspace = workspace
        self._shards: OrderedDict[tuple[str, int], list[bytes]] = OrderedDict()

    def lines(self, run_id: str, shard: int) -> list[bytes]:
        """A shard's jobs as `read_plan` has them, from S3 or from memory."""
        key = (run_id, shard)
        if key not in self._shards:
            self._shards[key] = read_plan(self._store, self._workspace, run_id, shard)
            while len(self._shards) > self._most:
                self._shards.popitem(last=False)
        return self._shards[key]

    def job_id(self, line: bytes) -> str:
        """The id of a planned job."""
        job = json.loads(line)
        return self._workspace.job_id(job["id"], job["variant"])

    def drop(self, run_id: str, shard: int) -> None:
        """Forgets a shard that is closed."""
        self._shards.pop((run_id, shard), None)

    def clear(self) -> None:
        """Forgets all: what is in S3 counts."""
        self._shards.clear()
