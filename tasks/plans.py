"""The plan is the truth, a message only a hint: whether a message asks for what was planned."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict

from producers.dispatch.plans import read_plan
from restyle.coordination.claim_types import Dropped
from restyle.errors import InputNotFound
from restyle.keys import Workspace
from restyle.models import Job, Message
from restyle.s3.store import Store

#: Shards that are remembered, at 16 bytes a job.
_REMEMBERED = 256


class Plans:
    """The plans of this process's runs, each shard read once. Safe among threads."""

    def __init__(self, store: Store, workspace: Workspace) -> None:
        self._store = store
        self._workspace = workspace
        self._shards: OrderedDict[tuple[str, int], list[bytes]] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, message: Message) -> None:
        """Makes sure that the message's job is the planned one, to the letter.

        Raises:
            Dropped: it is another one, or there is no such plan.
            StoreUnavailable, StoreAccessDenied: S3 does not tell.
        """
        planned = self._planned(message.run_id, message.shard)
        if not 0 <= message.index < len(planned) or planned[message.index] != _digest(message.job):
            raise Dropped("not as planned", is_released=True)  # nothing is fed again for it

    def _planned(self, run_id: str, shard: int) -> list[bytes]:
        with self._lock:  # so that a shard's first messages read it once between them
            if (run_id, shard) not in self._shards:
                try:
                    lines = read_plan(self._store, self._workspace, run_id, shard)
                except InputNotFound:
                    raise Dropped("no such plan", is_released=True) from None
                self._shards[run_id, shard] = [_digest(Job.model_validate_json(line)) for line in lines]
                if len(self._shards) > _REMEMBERED:
                    self._shards.popitem(last=False)
            return self._shards[run_id, shard]


def _digest(job: Job) -> bytes:
    return hashlib.blake2b(job.model_dump_json().encode(), digest_size=16).digest()
