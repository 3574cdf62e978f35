"""Which entries a trial takes: a few that differ in folder, kind of product and form of file, the same each time."""

from __future__ import annotations

import heapq
import posixpath
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import blake2b

from producers.manifest import Entry, Problems
from producers.planning.jobs.planner import Planner
from producers.planning.request import TrialRequest
from restyle.errors import ConfigurationError

#: Entries that are tried where nobody says how many.
ENTRIES = 6
#: Jobs whose pictures one page can hold.
MOST_JOBS = 600
#: Columns that tell kinds of products.
_KINDS = frozenset({"category", "categories", "type", "product_type", "product category", "google_product_category"})
#: Kinds beyond this many share a place, which bounds memory.
_MOST_KINDS = 300


@dataclass
class Choice:
    """Sees every entry once, and chooses a few that differ in folder, kind and form; the same ones each time."""

    count: int
    seen: int = 0
    given: set[str] = field(default_factory=set)
    """Parameters that any entry has of its own."""
    #: kind -> the entries of the lowest hashes, negated for the heap.
    _kept: dict[tuple[str, str, str], list[tuple[int, int, Entry]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, place: int, entry: Entry) -> None:
        """Notes an entry."""
        self.seen += 1
        self.given.update(entry.params)
        kind = _kind(entry)
        if kind not in self._kept and len(self._kept) >= _MOST_KINDS:
            kind = ("", "", "")
        kept, item = self._kept[kind], (-_hash(entry.id), -place, entry)
        if len(kept) < 2 * self.count:
            heapq.heappush(kept, item)
        elif item[:2] > kept[0][:2]:
            heapq.heapreplace(kept, item)

    def chosen(self, fits: Callable[[Entry], bool]) -> dict[int, Entry]:
        """The entries by their places, of each id and picture one; what fits no column only where nothing does."""
        left = [(-rank, -place, entry) for kept in self._kept.values() for rank, place, entry in kept]
        used: tuple[Counter[str], Counter[str], Counter[str]] = (Counter(), Counter(), Counter())
        chosen: dict[int, Entry] = {}
        unfit: list[tuple[int, int, Entry]] = []
        seen: set[str] = set()
        while left and len(chosen) < self.count:
            best = min(left, key=lambda one: (*_shares(one[2], used), one[:2]))
            left.remove(best)
            if {best[2].id, best[2].image} & seen:
                continue
            if not fits(best[2]):
                unfit.append(best)
                continue
            seen |= {best[2].id, best[2].image}
            chosen[best[1]] = best[2]
            for counter, part in zip(used, _kind(best[2]), strict=True):
                counter[part] += 1
        # What is wrong with them is reported then.
        return chosen or {place: entry for _, place, entry in unfit[: self.count]}


def _shares(entry: Entry, used: tuple[Counter[str], ...]) -> tuple[int, int]:
    """How much an entry has in common with those that are chosen."""
    counts = [counter[part] for counter, part in zip(used, _kind(entry), strict=True)]
    return max(counts[:2]), sum(counts)


def _kind(entry: Entry) -> tuple[str, str, str]:
    """Folder, kind of product, form of file."""
    kind = next((value for name, value in entry.meta.items() if name.lower() in _KINDS), "")
    name = entry.image.partition("?")[0]
    return posixpath.dirname(name), kind.strip().lower(), posixpath.splitext(name)[1].lower()


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest())


@dataclass(frozen=True)
class Narrowed:
    """A planner of the chosen entries alone."""

    planner: Planner
    entries: int
    catalog: int
    given: frozenset[str]
    """Parameters that any entry has of its own."""
    warnings: tuple[str, ...] = ()


def narrowed_to_trial(planner: Planner, trial: TrialRequest) -> Narrowed:
    """Chooses the entries that are tried.

    Raises:
        ConfigurationError: there would be too many jobs.
    """
    columns = len(planner.resolver.variants)
    count = trial.entries or (len(planner.only_ids) if planner.only_ids else ENTRIES)
    if count * columns > MOST_JOBS:
        raise ConfigurationError(
            f"{count:,} entries in {columns:,} columns are {count * columns:,} jobs, and a trial has {MOST_JOBS} at"
            f" most: add --entries {max(1, MOST_JOBS // columns)}, or try fewer prompts, values or seeds"
        )
    choice = Choice(count)
    for place, entry in planner.entries(Problems()):
        choice.add(place, entry)

    def fits(entry: Entry) -> bool:
        problems = Problems()
        return len(planner.resolver.jobs(entry, problems)) == columns and not problems

    chosen = choice.chosen(fits)
    catalog = choice.seen
    if planner.only_ids is not None:
        catalog = sum(1 for _ in replace(planner, only_ids=None).entries(Problems()))
    lacking = trial.entries and len(chosen) < trial.entries
    warnings = (f"there are only {len(chosen):,} entries to try",) if lacking else ()
    return Narrowed(replace(planner, places=frozenset(chosen)), len(chosen), catalog, frozenset(choice.given), warnings)
