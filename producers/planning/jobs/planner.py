"""How entries become jobs, the same way in both passes over a manifest."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, count, islice

from producers.manifest import Block, Entry, Manifest, Problems
from producers.planning.jobs.batch import Batch
from producers.planning.jobs.naming import OWN_FOLDERS
from producers.planning.jobs.resolve import Resolver
from producers.planning.jobs.resolved import Resolved
from producers.planning.web import WebCount


@dataclass
class FirstPass:
    """What the first pass over a manifest has learned: problems, counts, and which entries are left out."""

    problems: Problems = field(default_factory=Problems)
    #: Positions of the entries that are not planned.
    rejected: set[int] = field(default_factory=set)
    #: How many entries were rejected when the rest was counted; -1: nothing has been counted yet.
    counted: int = -1
    #: Position and variant of each job of `--sample`; None: every job.
    chosen: frozenset[tuple[int, str]] | None = None
    entries: int = 0
    jobs: int = 0
    #: How many results the jobs need: jobs with the same input and recipe share one, where that is known (distinct.py).
    distinct: int = 0
    samples: int = 0
    #: Steps of all samples together: the API's price depends on them.
    steps: int = 0
    uploads: int = 0
    upload_bytes: int = 0
    #: Jobs that run first, before a person approves the rest; 0: nobody is asked.
    ask_after: int = 0
    #: Hash of ids and variants in their order; the second pass must see the same.
    sequence: bytes = b""
    schedulers: set[str] = field(default_factory=set)
    base_models: set[str] = field(default_factory=set)
    variants: dict[str, None] = field(default_factory=dict)
    #: Ids of `--only-ids` that no entry has.
    unknown_ids: set[str] = field(default_factory=set)
    #: Positions of entries that are left out because their picture is one of restyle's own outputs.
    ours: set[int] = field(default_factory=set)
    #: Buckets that outputs go to, each with the first job that writes there.
    buckets: dict[str, Resolved] = field(default_factory=dict)
    #: Some of the jobs, evenly spread, to be looked at before anything is queued.
    spread: Sequence[Resolved] = ()
    #: The addresses of inputs on the web.
    web: WebCount = field(default_factory=WebCount)


@dataclass(frozen=True)
class Planner:
    """How entries become jobs, the same way in both passes."""

    manifest: Manifest
    resolver: Resolver
    limit: int | None = None
    sample: int | None = None
    then_ask: bool = False
    """Whether the rest follows once a person has approved the sample; else the sample is the whole plan."""
    only_ids: frozenset[str] | None = None
    """Only entries with these ids; None: all."""
    made_by_us: Callable[[Collection[str]], set[str]] = lambda _uris: set()
    """Which of these objects restyle has made."""
    reuse: bool = True
    """Whether jobs share pictures."""
    places: frozenset[int] | None = None
    """Positions of the entries that a trial takes; None: all."""

    def entries(self, problems: Problems) -> Iterator[tuple[int, Entry]]:
        """The entries with their places, up to the limit."""
        entries = self._of_manifest(problems)
        if self.only_ids is not None:
            only_ids = self.only_ids
            entries = (entry for entry in entries if entry.id in only_ids)
        numbered = enumerate(islice(entries, self.limit))
        if self.places is None:
            return numbered
        places = self.places
        return ((place, entry) for place, entry in numbered if place in places)

    def parts(self, problems: Problems) -> Iterator[Batch | Iterable[tuple[int, Entry]]]:
        """The same in parts. Plain entries come as their jobs; where entries are chosen from, they come one by one."""
        if self.manifest.parts is None or self._chooses:
            yield self.entries(problems)
            return
        places = count()
        for part in self._not_ours(self.manifest.parts(problems), problems):
            if isinstance(part, Block) and (batch := self.resolver.batch(part)):
                first = next(places)
                places = count(first + batch.rows)
                yield replace(batch, first=first)
            else:
                entries = part.entries() if isinstance(part, Block) else part
                yield ((place, entry) for entry, place in zip(entries, places, strict=False))

    @property
    def _chooses(self) -> bool:
        return any(one is not None for one in (self.limit, self.sample, self.only_ids, self.places))

    def jobs(self, first_pass: FirstPass) -> Iterator[Resolved]:
        """The jobs to run, after the first pass."""
        if first_pass.chosen is None:
            parts = self.jobs_by_parts(first_pass)
            return chain.from_iterable(part.resolved() if isinstance(part, Batch) else part for part in parts)
        sample = (job for place, job in self._good(first_pass) if place in first_pass.chosen)
        rest = (job for place, job in self._good(first_pass) if place not in first_pass.chosen)
        return chain(sample, rest) if self.then_ask else sample

    def jobs_by_parts(self, first_pass: FirstPass) -> Iterator[Batch | Iterable[Resolved]]:
        """The same jobs in parts."""
        if first_pass.chosen is not None:
            yield self.jobs(first_pass)
            return
        nothing = Problems()
        for part in self.parts(nothing):
            if not isinstance(part, Batch):
                yield (job for _, job in self._resolved(part, first_pass))
            elif first_pass.rejected and not first_pass.rejected.isdisjoint(range(part.first, part.first + part.rows)):
                yield (job for _, job in self._resolved(enumerate(part.block.entries(), part.first), first_pass))
            else:
                yield part

    def counted(self, first_pass: FirstPass) -> Iterator[Resolved]:
        """The same jobs, so that all jobs of an entry follow one another."""
        return (job for _, job in self._good(first_pass)) if self.then_ask else self.jobs(first_pass)

    def left_out(self, first_pass: FirstPass) -> Iterator[str]:
        """The ids of entries that are not planned because something is wrong with them."""
        if not first_pass.rejected:
            return iter(())
        return (entry.id for ordinal, entry in self.entries(Problems()) if ordinal in first_pass.rejected)

    def _good(self, first_pass: FirstPass) -> Iterator[tuple[tuple[int, str], Resolved]]:
        """Every job that can be planned, with its entry's position and its variant."""
        return self._resolved(self.entries(Problems()), first_pass)

    def _resolved(
        self, entries: Iterable[tuple[int, Entry]], first_pass: FirstPass
    ) -> Iterator[tuple[tuple[int, str], Resolved]]:
        nothing = Problems()
        for ordinal, entry in entries:
            if ordinal not in first_pass.rejected:
                for job in self.resolver.jobs(entry, nothing):
                    yield (ordinal, job.variant), job

    def _of_manifest(self, problems: Problems) -> Iterator[Entry]:
        """The manifest's entries. Of a listing, pictures that restyle itself has put there are left out."""
        entries = self.manifest.entries(problems)
        if not self.manifest.is_listing:
            yield from entries
            return
        others = _Others(self._own_places)
        yield from others.among(entries)
        others.warn(problems)

    def _not_ours(
        self, parts: Iterator[Block | Iterable[Entry]], problems: Problems
    ) -> Iterator[Block | Iterable[Entry]]:
        """The same for entries that are read in parts."""
        if not self.manifest.is_listing:
            yield from parts
            return
        others = _Others(self._own_places)
        for part in parts:
            if isinstance(part, Block):
                yield part if others.are_all(part) else others.among(part.entries())
            else:
                yield others.among(part)
        others.warn(problems)

    @cached_property
    def _own_places(self) -> tuple[str, ...]:
        """Where restyle writes: the workspace's folders, and the prefix of outputs if it is a part of the listing."""
        root = self.resolver.workspace.uri.removesuffix("/sandbox")
        ours = tuple(f"{root}/{folder}/" for folder in (*OWN_FOLDERS, "outputs"))
        outputs = f"{self.resolver.output.rstrip('/')}/"
        if not self.resolver.output or outputs.startswith(ours):
            return ours
        # Where everything lies below the prefix, the outputs go among their inputs.
        others = (entry for entry in self.manifest.entries(Problems()) if not entry.image.startswith((*ours, outputs)))
        return (*ours, outputs) if next(others, None) is not None else ours


class _Others:
    """The pictures of a listing that restyle itself has not put there."""

    def __init__(self, ours: tuple[str, ...]) -> None:
        """Args: the prefixes below which restyle writes."""
        self._ours = ours
        self._left_out = 0

    def are_all(self, block: Block) -> bool:
        """Whether a block has none of restyle's own pictures."""
        return not any(image.startswith(self._ours) for image in block.images)

    def among(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """The entries but for restyle's own pictures."""
        for entry in entries:
            if entry.image.startswith(self._ours):
                self._left_out += 1
            else:
                yield entry

    def warn(self, problems: Problems) -> None:
        """Warns of how many of restyle's own pictures were left out, where any were."""
        if self._left_out:
            problems.warn(f"{self._left_out:,} pictures are left out, since they lie where restyle writes")
