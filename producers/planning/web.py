"""Pictures on the web as a plan sees them: how many addresses, of which hosts, what is known, what ends too early.

A plan asks no web server: workers do, ahead of the calls.
"""

from __future__ import annotations

import gzip
import json
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from producers.dispatch.web_inputs import read_addresses
from producers.planning.compare.lookup import etags
from producers.planning.jobs.collisions import Seen
from restyle.keys import Workspace
from restyle.models import Run, utc_now
from restyle.s3.store import Store
from restyle.web.address import Address

#: Addresses of which it is looked up how many are known; of more than that the number is not reported.
MOST_LOOKED_UP = 100_000
_HOSTS = 3


@dataclass
class WebCount:
    """What a pass over the jobs finds of addresses, each counted once."""

    addresses: int = 0
    hosts: Counter[str] = field(default_factory=Counter)
    names: list[str] = field(default_factory=list)
    """Of those that are looked up."""
    _ends: array[float] = field(default_factory=lambda: array("d"))
    _turns: array[int] = field(default_factory=lambda: array("q"))
    _first: list[int] = field(default_factory=list)
    _seen: Seen = field(default_factory=Seen)

    def add(self, url: str, turn: int, line: int) -> None:
        """Counts the address of a job, which has so many others before it."""
        if not self._seen.is_new(url):
            return
        address = Address(url)
        self.addresses += 1
        self.hosts[address.host] += 1
        if len(self.names) <= MOST_LOOKED_UP:
            self.names.append(address.name)
        if ends := address.ends:
            self._ends.append(ends.timestamp())
            self._turns.append(turn)
            self._first.append(line)

    def known(self, store: Store | None, workspace: Workspace) -> int | None:
        """How many of them an earlier run has fetched; None where that is not looked up."""
        if store is None or not self.addresses or len(self.names) > MOST_LOOKED_UP:
            return None
        uris = sorted(map(workspace.web_input, self.names))
        return sum(etag is not None for _, etag in etags(uris, store, confirm=False))

    def summary(self, known: int | None) -> str:
        """How many there are, as a plan shows it; empty where there are none."""
        if not self.addresses:
            return ""
        text = f"{self.addresses:,} address{'es' * (self.addresses != 1)} on the web"
        named = ", ".join(host for host, _ in self.hosts.most_common(_HOSTS))
        more = f" and {len(self.hosts) - _HOSTS:,} more" if len(self.hosts) > _HOSTS else ""
        text += f", of {named}{more}"
        return text + ("" if known is None else f"; {known:,} fetched before")

    def warnings(self, jobs: int, seconds: float, now: datetime | None = None) -> list[str]:
        """What to say of signed links that end before it is the turn of their jobs, by the plan's own estimate."""
        began = (now or utc_now()).timestamp()
        each = seconds / max(1, jobs)
        late = [n for n, ends in enumerate(self._ends) if ends < began + each * self._turns[n]]
        if not late:
            return []
        first = datetime.fromtimestamp(min(self._ends[n] for n in late)).astimezone()
        lines = ", ".join(str(self._first[n]) for n in late[:5]) + (", …" if len(late) > 5 else "")
        links = "1 signed link ends" if len(late) == 1 else f"{len(late):,} signed links end"
        text = f"{links} before it is the turn of their jobs, the first at {first:%Y-%m-%d %H:%M %Z} (line {lines})"
        return [f"{text}: have them signed for longer, or plan fewer with --limit"]


class Secrets:
    """The addresses of a shard that may have secrets in them: written beside it, and nowhere else."""

    def __init__(self) -> None:
        self._addresses: dict[str, str] = {}

    def add(self, address: Address) -> None:
        """Keeps one, where it has what is not shown."""
        if address.shown != address.url:
            self._addresses[address.name] = address.url

    def put(self, run_id: str, shard: int, store: Store, workspace: Workspace) -> None:
        """Writes them, and begins those of the next shard."""
        if self._addresses:
            data = gzip.compress(json.dumps(self._addresses).encode(), mtime=0)
            store.put(workspace.addresses(run_id, shard), data, content_type="application/gzip")
            self._addresses = {}


def secrets_of(run: Run, store: Store, workspace: Workspace) -> Mapping[str, str]:
    """The addresses of an earlier run that may have secrets in them, by their names; none once its plan is pruned."""

    def each() -> Iterator[Mapping[str, str]]:
        for listed in store.list(workspace.run(run.run_id, "addresses") + "/"):
            shard = listed.uri.rpartition("/")[2].partition(".")[0]
            if shard.isdecimal():
                yield read_addresses(store, workspace, run.run_id, int(shard))

    return {name: url for addresses in each() for name, url in addresses.items()}
