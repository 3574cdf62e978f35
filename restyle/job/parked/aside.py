"""Which jobs have paid pictures below `unplaced/`, asked once a run: nearly always there are none."""

from __future__ import annotations

import posixpath
import threading
from collections import OrderedDict, defaultdict

import structlog

from restyle.errors import ObjectRefused
from restyle.keys import Workspace
from restyle.s3.store import Store

log = structlog.get_logger("restyle.unplaced")

#: Runs of which it is remembered.
_REMEMBERED = 16


class Aside:
    """What a worker process knows of pictures that were set aside. Safe among threads."""

    def __init__(self, store: Store, workspace: Workspace) -> None:
        """Knows nothing yet."""
        self._store, self._workspace = store, workspace
        self._lock = threading.Lock()
        self._runs: OrderedDict[str, dict[str, list[str]]] = OrderedDict()

    def notes(self, run_id: str, job_id: str) -> list[str]:
        """The notes of a job's pictures, as they were when this run's first job was taken; the newest first.

        Raises:
            StoreUnavailable, StoreAccessDenied: S3 does not tell.
        """
        with self._lock:  # so that a run's first jobs ask once between them
            if run_id not in self._runs:
                self._runs[run_id] = self._listed()
                if len(self._runs) > _REMEMBERED:
                    self._runs.popitem(last=False)
            return self._runs[run_id].get(job_id, [])

    def _listed(self) -> dict[str, list[str]]:
        uris: dict[str, list[str]] = defaultdict(list)
        try:
            for listed in self._store.list(self._workspace.under("unplaced") + "/"):
                job_id, suffix = posixpath.splitext(posixpath.basename(listed.uri))
                if suffix == ".json":
                    uris[job_id].insert(0, listed.uri)
        except ObjectRefused as error:
            log.warning("pictures that were set aside cannot be listed", reason=error.message)
        return dict(uris)
