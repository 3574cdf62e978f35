"""What a plan would replace that was made from another picture, and where something lies that is not its own.

Looked for before anything is queued, at some of the jobs, evenly spread, so that a million of them take no longer: of
more than there are looked at it is a sample. What is not found here is put beside by the workers all the same
(restyle/job/outputs/ownership.py).
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path

from producers.planning.compare.lookup import AT_ONCE, etag_of, made_by_us
from producers.planning.compare.previous_runs import same_source
from producers.planning.jobs.resolved import Resolved
from producers.planning.plan import Plan
from producers.planning.uploads import Hashes
from producers.runs.listing import read_runs, run_ids
from producers.runs.outcomes import RunPruned, outcomes
from restyle.errors import ObjectRefused, StoreAccessDenied
from restyle.job import recorded
from restyle.job.outputs.ownership import Owner
from restyle.keys import Workspace
from restyle.models import Job, ManifestSource, Outcome, Run
from restyle.record import Record
from restyle.s3.store import Store
from restyle.web.address import Address, is_web, read_address
from restyle.web.records import find_known

#: What outputs say of their origin, and the bytes of a local picture in which it is looked for.
_MARKED = re.compile(rb'CreatorTool="restyle\b')
_LOOKED_INTO = 4_000_000
_WORD = re.compile(r"[A-Za-z0-9_-]{1,40}")
#: How many are named.
_EXAMPLES = 3
#: How often a retry of a retry is followed back to its manifest.
_RETRIES = 10
#: Among how many runs the last ones of the manifest are looked for, and how many of these are read.
_RUNS, _LAST_RUNS = 1000, 5


@dataclass(frozen=True)
class Replaced:
    """A job whose id another manifest has for another picture."""

    id: str
    manifest: str
    """What it was last made from."""


@dataclass(frozen=True)
class Clashes:
    """What was found at the jobs that were looked at."""

    looked_at: int
    replaced: Sequence[Replaced] = ()
    taken: Sequence[str] = ()
    """Places of outputs where something lies that the job has not made."""
    made_by_us: Sequence[str] = ()
    """Listed pictures that restyle itself has made."""
    namespace: str = field(default="NAME", compare=False)
    """What the plan's ids could begin with."""
    records: Sequence[Record | None] = field(default=(), compare=False, repr=False)
    """Of the jobs that were looked at."""

    @property
    def needs_yes(self) -> bool:
        """Whether somebody would lose a picture from its place, or pay for one that is no input."""
        return bool(self.replaced or self.made_by_us)

    def sentences(self) -> list[str]:
        """What to say of them."""
        sentences = []
        if self.replaced:
            ids = ", ".join(dict.fromkeys(one.id for one in self.replaced[:_EXAMPLES]))
            manifests = ", ".join(sorted({one.manifest for one in self.replaced})[:_EXAMPLES])
            sentences.append(
                f"id {ids} was last made from {manifests}, of another picture: {self._of(self.replaced)} would replace"
                f" such pictures. To keep both, begin the ids of this one otherwise: --namespace {self.namespace}"
            )
        if self.taken:
            sentences.append(
                f"{self.taken[0]} has not been made by its job: so it is with {self._of(self.taken)}. What lies there"
                " stays, and the new picture goes beside it"
            )
        if self.made_by_us:
            sentences.append(
                f"{self.made_by_us[0]} was made by restyle: so it is with {self._of(self.made_by_us)}. They would be"
                " paid for as inputs; name a folder or prefix without outputs, or give --output a prefix of its own"
            )
        return sentences

    def _of(self, jobs: Sequence[object]) -> str:
        return f"{len(jobs):,} of {self.looked_at:,} jobs that were looked at"


def find_clashes(plan: Plan, *, store: Store, workspace: Workspace) -> Clashes:
    """Looks at some of a plan's jobs. Writes nothing.

    Raises:
        StoreUnavailable: S3 does not answer.
        StoreAccessDenied: it lets nobody look into the workspace.
    """
    if not plan.spread:
        return Clashes(0)
    looker = _Looker(plan, store, workspace)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        records = list(pool.map(looker.record, plan.spread)) if looker.has_records else [None] * len(plan.spread)
        pairs = list(zip(plan.spread, records, strict=True))
        others = list(pool.map(lambda pair: pair[1] is not None and looker.is_other(*pair), pairs))
        taken = list(pool.map(lambda pair: looker.taken(*pair), pairs)) if looker.has_own_places else []
    runs = {record.run_id for (_, record), other in zip(pairs, others, strict=True) if other and record}
    manifests = looker.manifests(runs)
    # Of two equally named manifests of this machine, one is another where no picture of it is as it was.
    is_unlike = sum(others) == len(list(filter(None, records))) > 1
    strange = [
        (job, record)
        for (job, record), other in zip(pairs, others, strict=True)
        if other and record and _is_another(manifests[record.run_id], plan.manifest, is_unlike=is_unlike)
    ]
    own = looker.own(strange)
    replaced = [
        Replaced(job.entry.id, manifests[record.run_id].uri)
        for job, record in strange
        if (job.entry.id, job.variant) not in own
    ]
    listed = (
        {job.entry.image for job in plan.spread if not is_web(job.entry.image)}
        if plan.source and not plan.source.names
        else set()
    )
    local = {image for image in listed if not image.startswith("s3://")}
    ours = sorted({*made_by_us(listed - local, store), *filter(_is_copy, local)})
    return Clashes(len(plan.spread), replaced, list(filter(None, taken)), ours, _namespace(plan.manifest.uri), records)


def _is_copy(path: str) -> bool:
    """Whether a local picture is a copy of an output, by the mark of origin in it."""
    try:
        with Path(path).open("rb") as file:
            return _MARKED.search(file.read(_LOOKED_INTO)) is not None
    except OSError:
        return False  # reported when it is uploaded


class _Looker:
    def __init__(self, plan: Plan, store: Store, workspace: Workspace) -> None:
        self._plan, self._store, self._workspace = plan, store, workspace

    @cached_property
    def has_records(self) -> bool:
        """Whether anything was ever done in the workspace."""
        return next(iter(self._store.list(self._workspace.under("records") + "/")), None) is not None

    @cached_property
    def has_own_places(self) -> bool:
        """Whether outputs go where others might write: by rows, naming or --output."""
        named = self._plan.options.naming or self._plan.request.output
        return bool(named) or any(job.entry.output for job in self._plan.spread)

    def record(self, job: Resolved) -> Record | None:
        """A job's record; one that cannot be read counts as none, as it does for a worker."""
        return recorded.find_at(self._workspace.record(job.entry.id, job.variant), self._store)

    def is_other(self, job: Resolved, record: Record) -> bool:
        """Whether a record was made from another picture than the one that is planned."""
        image = job.entry.image
        if is_web(image):
            return self._is_elsewhere(read_address(image, http=True), record)
        if image.startswith("s3://"):
            return record.input.uri != image and record.input.etag != (job.entry.etag or etag_of(image, self._store))
        hashes = Hashes(self._plan.home, self._workspace, create=False)
        try:
            sha256 = hashes.known(image) or hashlib.sha256(Path(image).read_bytes()).hexdigest()
        except OSError:
            return False  # reported when it is uploaded
        finally:
            hashes.close()
        return record.input.sha256 != sha256

    def _is_elsewhere(self, address: Address, record: Record) -> bool:
        """Whether a record was made neither from this address, in whatever version, nor from what it had last."""
        if record.input.address.partition("?")[0] == address.shown.partition("?")[0]:
            return False
        known = find_known(address.name, self._store, self._workspace)
        return known is None or known.sha256 != record.input.sha256

    def taken(self, job: Resolved, record: Record | None) -> str:
        """The first of a job's places where something lies that it has not made; empty: all are its own, or free."""
        job_id = self._workspace.job_id(job.entry.id, job.variant)
        as_planned = Job(
            id=job.entry.id, variant=job.variant, image=job.entry.image, params=job.params, output=job.output
        )
        owner = Owner(job_id, as_planned, record, self._workspace, self._store)
        try:
            return next((uri for uri in job.places if (head := owner.head(uri)) and not owner.owns(uri, head)), "")
        except (ObjectRefused, StoreAccessDenied):
            return ""

    def own(self, jobs: Sequence[tuple[Resolved, Record]]) -> set[tuple[str, str]]:
        """Those of which one of the last runs of this manifest has found that this very record is theirs as well."""
        tokens = {(job.entry.id, job.variant): record.fingerprint.token for job, record in jobs}
        own: set[tuple[str, str]] = set()
        for run in self._last_runs() if jobs else ():
            with suppress(RunPruned):
                for job, outcome in outcomes(run, workspace=self._workspace, store=self._store, open_outcomes=_unknown):
                    if outcome and outcome.fingerprint and outcome.fingerprint == tokens.get((job.id, job.variant)):
                        own.add((job.id, job.variant))
                        if len(own) == len(tokens):
                            return own
        return own

    def _last_runs(self) -> Iterator[Run]:
        """The last runs that finished this manifest, newest first."""
        manifest, schedule = self._plan.manifest, self._plan.request.schedule
        names = islice(run_ids(self._store, self._workspace), _RUNS)
        runs = read_runs(names, self._store, self._workspace)
        same = (run for run in runs if same_source(run, manifest.uri, schedule) and run.finished and not run.trial)
        return islice((run for run in same if not _lies_elsewhere(run.manifest, manifest)), _LAST_RUNS)

    def manifests(self, made_by: set[str]) -> dict[str, ManifestSource]:
        """What each run was made from: its manifest, or that of the run that it repeats."""
        names = {run_id: ManifestSource(uri=f"run {run_id}", sha256="") for run_id in made_by}
        repeats = {run_id: run_id for run_id in made_by}
        for _ in range(_RETRIES):
            runs = {run.run_id: run for run in read_runs(set(repeats.values()), self._store, self._workspace)}
            for run_id, repeated in list(repeats.items()):
                run = runs.get(repeated)
                if run is None or run.retry_of is None:
                    names[run_id] = run.manifest if run else names[run_id]
                    del repeats[run_id]
                else:
                    repeats[run_id] = run.retry_of
            if not repeats:
                break
        return names


def _unknown(_shard: int) -> Mapping[int, Outcome]:
    """What Redis knows of a shard that is not closed: of a run that has finished there is none."""
    return {}


def _is_another(one: ManifestSource, other: ManifestSource, *, is_unlike: bool) -> bool:
    """Whether two are not one manifest; of two that may be, their pictures decide."""
    if one.uri != other.uri and _plain(one.uri) != _plain(other.uri):
        return True
    return (one.uri == "-" or _lies_elsewhere(one, other)) and is_unlike


def _lies_elsewhere(one: ManifestSource, other: ManifestSource) -> bool:
    """Whether two equally named manifests lie in two folders, or on two machines."""
    return bool(one.place and other.place and one.place != other.place)


def _namespace(uri: str) -> str:
    """What the ids of a manifest could begin with, by its name."""
    name = posixpath.basename(uri.rstrip("/")).partition(".")[0]
    return name if _WORD.fullmatch(name) else "NAME"


def _plain(uri: str) -> str:
    return uri.rstrip("/") if uri.startswith("s3://") else posixpath.normpath(uri)
