"""Manifests that are listings of images: a folder, an S3 prefix, or an S3 inventory (inventory.py).

Each image is an entry. Used by __init__.py.
"""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
import stat
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from producers.manifest.block import Block, listed_block
from producers.manifest.entry import Entry, Problems
from producers.manifest.ids import DefaultIds
from producers.manifest.place import NO_TEXT, is_image_name, is_text
from restyle.keys import normalise_id
from restyle.s3.store import Store

#: Name of the index file in a folder that restyle downloads outputs to.
INDEX = ".restyle-download.jsonl"
#: A folder with one of these is restyle's own: its state in a project, or the pictures of a copied report.
_STATE, _PAGE, _THUMBNAILS = "hashes.sqlite", "report.html", "report"
#: Folders that operating systems make: they hold previews or deleted files.
_SYSTEM_FOLDERS = frozenset(
    {"__macosx", "@eadir", "#recycle", "#snapshot", "$recycle.bin", "system volume information", "lost+found"}
)
_HIDDEN = "hidden file{s}"
_EMPTY = "empty file{s} (0 bytes)"
_ARCHIVED = "archived object{s}, to be restored first"
_COPIED = "picture{s} that restyle has copied there"
#: Storage classes whose objects cannot be read before somebody restores them.
_ARCHIVES = frozenset({"GLACIER", "DEEP_ARCHIVE", "ARCHIVE_ACCESS", "DEEP_ARCHIVE_ACCESS", "ARCHIVE"})
_LONGEST_SUFFIX = 12
#: Images in one part of a listing.
_BATCH = 500


class ListedImage(NamedTuple):
    """One image of a listing."""

    name: str
    """Its path below the folder or prefix; its id is made from this."""
    image: str
    etag: str
    stamp: str
    """Size and time of change, or ETag and size: it changes when the image does."""


class Listing:
    """A listing as a manifest. `images` is called for each pass over it."""

    def __init__(self, source: str, images: Callable[[Problems], Iterator[ListedImage]], form: str = "") -> None:
        """Keeps the arguments; lists nothing yet.

        Args:
            source: the name of the listing in messages.
            images: lists the images, and counts those that it leaves out.
            form: the form of the listing in words, with its article.
        """
        self._source = source
        self.form = form
        self._images = images
        self._ids = DefaultIds(lambda: (image.name for image in images(Problems())))

    def entries(self, problems: Problems) -> Iterator[Entry]:
        """Streams the entries; a name that makes no id is a problem."""
        return self._entries(self._images(problems), problems)

    def parts(self, problems: Problems) -> Iterator[Block | Iterable[Entry]]:
        """The same entries in parts. Each part must be read to its end before the next one is taken."""
        images = self._images(problems)
        while batch := list(islice(images, _BATCH)):
            if block := self._block(batch):
                problems.count("pictures", len(batch))
                yield block
            else:
                yield self._entries(batch, problems)

    def _block(self, batch: Sequence[ListedImage]) -> Block | None:
        names, images, etags, _ = zip(*batch, strict=True)
        return listed_block(self._source, list(map(self._ids.of, names)), images, etags)

    def _entries(self, images: Iterable[ListedImage], problems: Problems) -> Iterator[Entry]:
        for image in images:
            try:
                entry_id = normalise_id(self._ids.of(image.name))
            except ValueError as reason:
                problems.add(self._source, 0, "id", f"{image.name}: {reason}")
                continue
            problems.count("pictures")
            yield Entry(self._source, 0, entry_id, image.image, "", {}, "", "", {}, image.etag)

    def sha256(self) -> str:
        """The SHA-256 of all URIs and stamps, in the order of the listing."""
        summed = hashlib.sha256()
        for image in self._images(Problems()):
            summed.update(f"{image.image}\0{image.stamp}\n".encode(errors="surrogateescape"))
        return summed.hexdigest()


def folder(path: Path, name: str) -> Listing:
    """The images of a local folder and its subfolders, except what is hidden, empty or restyle's own."""
    root = path.absolute()

    def images(problems: Problems) -> Iterator[ListedImage]:
        def refused(error: OSError) -> None:
            problems.add(name, 0, "", f"{error.filename} cannot be read: {error.strerror}")

        if not is_text(str(root)):
            problems.add(name, 0, "", NO_TEXT)
            return
        copies = copied_above(root)
        for place, folders, files in os.walk(root, onerror=refused):
            here = Path(place)
            relative = here.relative_to(root)
            if INDEX in files:
                copies |= copied(here)
            _leave_out_folders(here, relative, folders, files, problems)
            for file in sorted(files):
                path, shown = here / file, (relative / file).as_posix()
                status = _status(path)
                if isinstance(status, str):
                    problems.leave_out(status, shown)
                elif reason := reason_left_out(shown, status.st_size):
                    problems.leave_out(reason, shown)
                elif copies.get(str(path)) == status.st_size:
                    problems.leave_out(_COPIED, shown)
                else:
                    yield ListedImage(shown, str(path), "", f"{status.st_size} {status.st_mtime_ns}")

    return Listing(name, images)


def _status(path: Path) -> os.stat_result | str:
    """The status of a file; for anything else, its kind in words."""
    try:
        status = path.stat()
    except OSError:
        return "broken link{s}" if _is_link(path) else "file{s} that cannot be read"
    return status if stat.S_ISREG(status.st_mode) else "device{s} or pipe{s}"


def _is_link(path: Path) -> bool:
    return os.path.islink(path)  # noqa: PTH114 - Path.is_symlink raises where access is denied


def _leave_out_folders(here: Path, relative: Path, folders: list[str], files: list[str], problems: Problems) -> None:
    """Removes from `folders` those that are not searched, and sorts the others."""
    kept = []
    for name in sorted(folders):
        shown = f"{(relative / name).as_posix()}/"
        if _is_hidden(name):
            problems.leave_out("hidden folder{s}", shown)
        elif _is_link(here / name):
            problems.leave_out("link{s} to folders", shown)
        elif not isinstance(_status(here / name / _STATE), str) or (name == _THUMBNAILS and _PAGE in files):
            problems.leave_out("folder{s} of restyle's own", shown)
        else:
            kept.append(name)
    folders[:] = kept


def reason_left_out(name: str, size: int | None, storage_class: str = "") -> str:
    """Why a file or object is left out of a listing, as a kind in words; empty where it is an entry.

    Args:
        name: its path below the folder or prefix.
        size: bytes; None where the listing does not say.
        storage_class: of S3.
    """
    if any(map(_is_hidden, name.split("/"))):
        return _HIDDEN
    if not is_image_name(name):
        suffix = posixpath.splitext(name)[1].lower()
        return f"{suffix} file{{s}}" if 1 < len(suffix) <= _LONGEST_SUFFIX else "file{s} without a suffix"
    if size == 0:
        return _EMPTY
    return _ARCHIVED if storage_class in _ARCHIVES else ""


def _is_hidden(name: str) -> bool:
    return name.startswith((".", "~$")) or name.lower() in _SYSTEM_FOLDERS


def copied_above(directory: Path) -> dict[str, int]:
    """The downloaded files that indexes in the folders above name, with their sizes."""
    sizes: dict[str, int] = {}
    for parent in directory.parents:
        sizes |= copied(parent)
    return sizes


def copied(directory: Path) -> dict[str, int]:
    """The files that restyle has downloaded to a folder, with their sizes, by the index in that folder."""
    try:
        return {str(directory / path): size for path, _, size in indexed(directory)}
    except OSError:
        return {}


def indexed(directory: Path) -> Iterator[tuple[str, str, int]]:
    """The path, the ETag and the size of each file that the index in a folder lists.

    Raises:
        OSError: there is no index, or it cannot be read.
    """
    with (directory / INDEX).open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                path, etag, size = json.loads(line)
            except (ValueError, TypeError, RecursionError):  # cut off as a process died, or somebody else's
                continue
            if isinstance(path, str):
                yield path, etag, size


class _ListedOnce:
    """The objects below a prefix, listed once and kept in a file, so that every pass reads the same."""

    def __init__(self, uri: str, store: Store) -> None:
        """Keeps the arguments; lists nothing yet."""
        self._uri, self._store = uri, store

    def __iter__(self) -> Iterator[tuple[str, ListedImage]]:
        """Streams the objects, each with the reason for leaving it out; empty where it is an entry."""
        start = len(self._uri)
        with self._file.open(encoding="utf-8") as lines:
            for line in lines:
                for uri, etag, size, reason in json.loads(line):
                    yield reason, ListedImage(uri[start:], uri, etag, f"{etag} {size}")

    @cached_property
    def _file(self) -> Path:
        descriptor, name = tempfile.mkstemp(prefix="restyle-listing-")
        path = Path(name)
        weakref.finalize(self, path.unlink, missing_ok=True)
        with open(descriptor, "w", encoding="utf-8") as lines:  # noqa: PTH123 - a descriptor
            judged = self._with_reasons()
            while some := list(islice(judged, _BATCH)):
                lines.write(f"{json.dumps(some)}\n")
        return path

    def _with_reasons(self) -> Iterator[tuple[str, str, int, str]]:
        start = len(self._uri)
        for one in self._store.list(self._uri):
            if not one.uri.endswith("/"):  # S3 consoles make such an object to show a folder
                reason = reason_left_out(one.uri[start:], one.bytes, one.storage_class)
                yield one.uri, one.etag, one.bytes, reason


def prefix(uri: str, store: Store) -> Listing:
    """The images below an S3 prefix, with their ETags."""
    objects = _ListedOnce(uri, store)

    def images(problems: Problems) -> Iterator[ListedImage]:
        for reason, image in objects:
            if reason:
                problems.leave_out(reason, image.name)
            else:
                yield image

    return Listing(uri, images)
