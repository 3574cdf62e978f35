"""Copies a run's pictures from S3 to a folder, only what is new: `restyle download RUN DIR`.

The folder is `<id>/<variant>.jpg`, with the ids as they stand in S3 keys, or as the run's naming template has it. What
was copied is noted in an index in the folder, a line a file, so that a second download costs one HEAD a picture and an
interrupted one loses nothing.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import posixpath
import threading
from collections import deque
from collections.abc import Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from producers.manifest import listing
from producers.runs.outcomes import Rows
from producers.runs.statistics import SUSPECT, is_selected, outcome_word
from restyle.keys import escape, sample_uri
from restyle.models import Job, Outcome, Run
from restyle.s3.store import Head, Store

#: By it the folder's pictures are known as copies, and are no inputs.
INDEX = listing.INDEX
#: Outcomes that leave a picture.
DONE = frozenset({"succeeded", "skipped"})
#: Names that Windows keeps for devices, whatever their suffix.
_DEVICES = frozenset({"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))})


State = Literal["copied", "unchanged", "missing", "refused", "suspect"]


@dataclass(frozen=True)
class Downloaded:
    """What became of one picture."""

    id: str
    variant: str
    uri: str
    """Where it lies in S3; empty where the job has no output."""
    path: Path
    """Where it lies in the folder, or would."""
    state: State
    """Suspect: left out, since it looks wrong."""
    bytes: int = 0
    reason: str = ""
    """Why it is missing or refused."""
    made_since: str = ""
    """The later run that has made it anew: it is not the picture that this run left."""


@dataclass(frozen=True)
class PlannedCopy:
    """One picture to copy; `path` is relative to the folder, `uri` empty where the job has no output."""

    job: Job
    uri: str
    path: str
    reason: str = ""
    is_left_out: bool = False
    """It looks wrong, and such pictures were not selected."""
    fingerprint: str = ""
    """Of what this run left."""

    def made_since(self, head: Head) -> str:
        """The run that has made it anew since; empty: none has, or nobody can tell."""
        token = head.metadata.get("fingerprint", "")
        return head.metadata.get("run_id", "") if token and self.fingerprint not in {"", token} else ""


class Selection(NamedTuple):
    """Which of a run's jobs are copied."""

    statuses: Collection[str] = DONE
    """Those with one of these outcomes; pictures that look wrong only where `suspect` is among them."""
    variants: Collection[str] | None = None
    """Those of these variants; None is all."""
    only_ids: Collection[str] | None = None
    """Those of these entries; None is all."""

    def pictures(self, run: Run, rows: Rows) -> Iterator[PlannedCopy]:
        """The copies of the run's pictures, in its order."""
        for job, outcome in rows():
            is_variant = self.variants is None or job.variant in self.variants
            is_entry = self.only_ids is None or job.id in self.only_ids
            if is_variant and is_entry and is_selected(outcome, self.statuses):
                yield from pictures(run, job, outcome, left_out=SUSPECT not in self.statuses)


#: What is copied without a word.
ALL_DONE = Selection()


def download(
    run: Run, rows: Rows, directory: Path, *, store: Store, selection: Selection = ALL_DONE, threads: int = 8
) -> Iterator[Downloaded]:
    """Copies every sample of the chosen jobs and tells of each, in the run's order.

    Args:
        run: the run, named in the reasons.
        rows: its rows.
        directory: the folder; made where it is missing. Nothing outside it is written.
        store: S3.
        selection: which of its jobs.
        threads: copies at a time.

    Raises:
        StoreUnavailable: S3 does not answer; what was copied stays, and another download goes on from there.
        StoreAccessDenied: S3 refuses to let the pictures be read.
        OSError: the folder cannot be written, or the disk is full.
    """
    directory.mkdir(parents=True, exist_ok=True)
    folder = Folder(directory.resolve(), store)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="download")
    waiting: deque[Future[Downloaded]] = deque()
    try:
        for picture in selection.pictures(run, rows):
            waiting.append(pool.submit(folder.take, picture))
            if len(waiting) >= threads * 4:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def pictures(run: Run, job: Job, outcome: Outcome | None, *, left_out: bool) -> Iterator[PlannedCopy]:
    """What to copy for a job: its samples, or one line saying that there are none."""
    outputs = outcome.outputs if outcome else ()
    folder = "/".join(_portable(part) for part in escape(job.id).split("/"))
    root = f"{run.options.root}/"
    for number, uri in enumerate(outputs):
        name = sample_uri(job.variant, number, job.params.samples, posixpath.splitext(uri)[1])
        path = f"{folder}/{name}"
        if run.options.naming and uri.startswith(root):
            path = "/".join(_portable(part) for part in uri.removeprefix(root).split("/"))
        fingerprint = outcome.fingerprint if outcome else ""
        yield PlannedCopy(job, uri, path, "", left_out and bool(outcome and outcome.suspect), fingerprint)
    if not outputs:
        reason = f"no output: the job is {outcome_word(outcome)} in run {run.run_id}"
        yield PlannedCopy(job, "", f"{folder}/{job.variant}", reason)


def _portable(segment: str) -> str:
    """A part of an id as a folder's name, should any file system refuse it as it is."""
    if segment.partition(".")[0].rstrip().lower() in _DEVICES or segment == INDEX:
        return f"%{ord(segment[0]):02X}{segment[1:]}"
    return segment


@dataclass
class Folder:
    """The folder that is downloaded to, and its index: path -> ETag and size of what was copied there."""

    root: Path
    store: Store
    known: dict[str, tuple[str, int]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        index = self.root / INDEX
        if index.is_symlink():
            raise OSError(errno.ELOOP, "is a link; remove it and download again", str(index))
        if index.exists():
            self.known = {path: (etag, size) for path, etag, size in listing.indexed(self.root)}

    def take(self, picture: PlannedCopy) -> Downloaded:
        """Copies one picture unless it is there."""

        def became(state: State, size: int, reason: str, made_since: str = "") -> Downloaded:
            job = picture.job
            return Downloaded(
                job.id, job.variant, picture.uri, self.root / picture.path, state, size, reason, made_since
            )

        if not picture.uri:
            return became("missing", 0, picture.reason)
        if picture.is_left_out:
            return became("suspect", 0, "looks wrong")
        if not self._inside(picture.path):
            return became("refused", 0, f"{picture.path} would lie outside the folder")
        held = self._held(picture.path)
        if held and (head := self.store.head(picture.uri)) and held == (head.etag, head.bytes):
            return became("unchanged", head.bytes, "", picture.made_since(head))
        stored = self.store.find(picture.uri)
        if stored is None:
            return became("missing", 0, f"{picture.uri} is not there any more")
        try:
            self._write(picture.path, stored.data)
        except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
            return became("refused", 0, f"{error.filename} is in the way; move it and download again")
        self._note(picture.path, stored.etag, len(stored.data))
        return became("copied", len(stored.data), "", picture.made_since(stored))

    def _inside(self, path: str) -> bool:
        """Whether the file would lie in the folder, links in it followed."""
        try:
            parent = (self.root / path).parent.resolve()
        except (ValueError, RuntimeError):  # a NUL in the name, a loop of links
            return False
        return parent.is_relative_to(self.root) and Path(path).name not in {"", ".", ".."} and "\0" not in path

    def _held(self, path: str) -> tuple[str, int] | None:
        """What the index says of the file, if the file is still there at that size."""
        held = self.known.get(path)
        try:
            return held if held and (self.root / path).stat().st_size == held[1] else None
        except OSError:
            return None

    def _write(self, path: str, content: bytes) -> None:
        """Writes the file whole or not at all."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        # Of fixed length, whatever the picture's name: one that just fits on the disk would not with more behind it.
        partial = target.with_name(f".{hashlib.sha256(target.name.encode()).hexdigest()[:16]}.{os.getpid()}.part")
        try:
            with partial.open("xb") as file:  # never through a link that somebody laid there
                file.write(content)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)

    def _note(self, path: str, etag: str, size: int) -> None:
        line = json.dumps([path, etag, size])
        with self.lock:
            self.known[path] = (etag, size)
            with (self.root / INDEX).open("a", encoding="utf-8") as index:
                index.write(f"\n{line}")  # not after what may be a line cut off
