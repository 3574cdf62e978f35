"""Jobs whose input lies on the web: fed once their address is decided in S3, and asked to be fetched until then.

Fetching begins as a shard is opened, so it is ahead of the calls by as much as the window holds.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError

from restyle.coordination.fetches import Fetches, TicketPlace, host_name, short_name
from restyle.errors import InputNotFound, InvalidImage
from restyle.keys import Workspace
from restyle.s3.store import Store

#: A job by its place in its shard, its id, and its JSON as planned (producers/dispatch/feeder.py).
PlannedJob = tuple[int, str, bytes]
_ADDRESSES = TypeAdapter(dict[str, str])
#: Bytes of a shard's addresses, packed or not: those of the largest shard have twenty million at most.
_MOST = 50_000_000


def read_addresses(store: Store, workspace: Workspace, run_id: str, shard: int) -> Mapping[str, str]:
    """The addresses of a shard that may have secrets in them, by their names; none where they are gone or spoilt."""
    try:
        packed = store.get(workspace.addresses(run_id, shard), max_bytes=_MOST).data
        unpacking = zlib.decompressobj(zlib.MAX_WBITS | 16)
        text = unpacking.decompress(packed, _MOST)
        return _ADDRESSES.validate_json(text) if unpacking.eof else {}
    except (InputNotFound, InvalidImage, ValidationError, zlib.error):
        return {}


def on_the_web(line: bytes) -> tuple[str, str]:
    """The name and the host of a planned job's address; both empty where its input lies in S3."""
    # A million jobs are looked at like this: most are none, and need not be read for that.
    if b'"web":"' not in line or b'"web":""' in line:
        return "", ""
    job = json.loads(line)
    return (job["web"], host_name(urlsplit(job["image"]).netloc)) if job.get("web") else ("", "")


@dataclass
class WebFeed:
    """What the feeder knows of inputs on the web."""

    fetches: Fetches

    def ready_or_ordered(self, run_id: str, shard: int, jobs: Iterable[PlannedJob]) -> list[PlannedJob]:
        """Those of a shard's jobs whose inputs are there, or will not be; the fetches of the others are requested."""
        ready, waiting = self._sorted(run_id, shard, jobs)
        self.fetches.order(run_id, shard, waiting.values())
        return ready

    def waiting_for(self, run_id: str, shard: int, jobs: Iterable[PlannedJob], hosts: set[str]) -> int:
        """How many of these jobs wait for one of the hosts."""
        ready = self.fetches.ready(run_id, shard) if hosts else set()
        names = (on_the_web(line) for _, _, line in jobs)
        return sum(host in hosts and short_name(name) not in ready for name, host in names if name)

    def _sorted(
        self, run_id: str, shard: int, jobs: Iterable[PlannedJob]
    ) -> tuple[list[PlannedJob], dict[str, tuple[int, str]]]:
        """The jobs that can be fed; and of the others each address once, with the first job's place and its host."""
        decided: set[str] | None = None
        ready, waiting = [], dict[str, tuple[int, str]]()
        for job in jobs:
            name, host = on_the_web(job[2])
            if name and decided is None:
                decided = self.fetches.ready(run_id, shard)
            if not name or short_name(name) in (decided or ()):
                ready.append(job)
            else:
                waiting.setdefault(name, (job[0], host))
        return ready, waiting


def by_shard(places: Iterable[TicketPlace]) -> dict[tuple[str, int], set[int]]:
    """Places by their run and shard."""
    by_place = dict[tuple[str, int], set[int]]()
    for place in places:
        by_place.setdefault((place.run_id, place.shard), set()).add(place.index)
    return by_place
