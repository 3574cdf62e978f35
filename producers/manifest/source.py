"""The bytes of a manifest: fetched to this machine once, hashed, and read as text as often as needed.

A pipe's or an S3 object's content is spooled to a temporary file, so that every pass reads the same.
Used by table.py, document.py and listing.py.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import sys
import tempfile
import weakref
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, TextIO, cast

from producers.manifest.encoding import why_no_text, why_no_utf8
from restyle.errors import InputNotFound, ManifestError
from restyle.problems import Problem
from restyle.s3.store import Store

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

#: Characters that a line may have, and lines that may be empty in a row.
MAX_LINE = 1_000_000
_GZIP = b"\x1f\x8b"
_HEAD = 65536
#: Bytes that a pipe or an object may have; five million products of a feed have a third of that.
MAX_SPOOLED = 16 << 30
#: Bytes that are copied at once, and that stay free on the disk for other programs.
_CHUNK, _LEFT_FREE = 16 << 20, 1 << 30
#: A table packs to a tenth, the dullest one to a hundredth; what packs better was made to fill memory or time.
RATIO = 250
#: Bytes that any file may unpack to.
UNPACKED = 50_000_000


def wrong(name: str, reason: str, line: int = 0, column: str = "") -> ManifestError:
    """The error for a manifest that cannot be read as a whole."""
    return ManifestError([Problem(name, line, column, reason)])


class Source:
    """A manifest's bytes in a file of this machine."""

    def __init__(self, name: str, path: Path) -> None:
        """Takes the file as it is.

        Args:
            name: what messages call it.
            path: where it is.

        Raises:
            ManifestError: it cannot be read, or is empty.
        """
        self.name = name
        self.path = path
        with self._explained():
            with path.open("rb") as file:
                self.is_gzip = file.read(2) == _GZIP
            with self._bytes() as content:
                self.head = content.read(_HEAD)
            self._stamp = self._stat()
        if not self.head.strip(b"\xef\xbb\xbf \t\r\n"):
            raise wrong(name, "is empty")

    def require_text(self) -> None:
        """Makes sure that it can be read as text.

        Raises:
            ManifestError: it is none.
        """
        if reason := why_no_text(self.head):
            raise wrong(self.name, reason)

    def sha256(self) -> str:
        """Of the bytes as they lie, compressed where they are."""
        with self._explained(), self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @contextmanager
    def text(self) -> Iterator[TextIO]:
        """The decoded content, its line ends untouched.

        Raises:
            ManifestError: it cannot be decoded or decompressed, or has changed; with the line where that is known.
        """
        with self._explained():
            if self._stat() != self._stamp:
                raise wrong(self.name, "was changed while it was read; plan again")
            with io.TextIOWrapper(self._bytes(), encoding="utf-8-sig", newline="") as text:
                yield text

    def lines(self) -> Iterator[str]:
        """The lines with their ends.

        Raises:
            ManifestError: a line is too long or holds what no text has.
        """
        with self.text() as text:
            number = empty = 0
            while line := text.readline(MAX_LINE + 1):
                number += 1
                empty = empty + 1 if line.isspace() else 0
                if empty > MAX_LINE:
                    raise wrong(self.name, f"has more than {MAX_LINE:,} empty lines in a row", number)
                if len(line) > MAX_LINE:
                    raise wrong(self.name, f"the line is longer than {MAX_LINE:,} characters", number)
                if "\0" in line:
                    raise wrong(self.name, "has a NUL byte, which no text has: is the file damaged?", number)
                yield line

    def _bytes(self) -> BinaryIO:
        if not self.is_gzip:
            return self.path.open("rb")
        return cast("BinaryIO", io.BufferedReader(_Unpacked(self.name, self.path), _HEAD))

    def _stat(self) -> tuple[int, int]:
        status = self.path.stat()
        return status.st_size, status.st_mtime_ns

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except UnicodeDecodeError:
            raise self._not_utf8() from None
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise wrong(self.name, f"is not whole: gzip says {error}") from None
        except OSError as error:
            raise wrong(self.name, f"cannot be read: {error.strerror or error}") from None

    def _not_utf8(self) -> ManifestError:
        """The error for the first line that is not UTF-8, with its probable encoding."""
        with self._bytes() as content:
            number = 0
            while line := content.readline(4 * MAX_LINE):
                number += 1
                try:
                    line.decode()
                except UnicodeDecodeError:
                    return wrong(self.name, why_no_utf8(line), number)
        return wrong(self.name, why_no_utf8(b""))


def local(name: str) -> Source:
    """A local file; one that is not regular, such as a pipe, is spooled.

    Raises:
        ManifestError: it cannot be read.
    """
    path = Path(name)
    try:
        if path.is_file():
            return Source(name, path)
        with path.open("rb") as pipe:
            return _spooled(name, pipe)
    except FileNotFoundError:
        raise wrong(name, _why_not_there(name)) from None
    except (OSError, ValueError) as error:
        raise wrong(name[:200], f"cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _why_not_there(name: str) -> str:
    scheme = name.partition("://")[0].lower() if "://" in name else ""
    if scheme in {"http", "https"}:
        return "is an address on the web, and manifests are not fetched: download it, and give the file"
    return (
        f"{scheme}:// is not read: give a local path, an s3:// URI, or -"
        if scheme
        else "there is no such file or folder"
    )


def standard_input(stdin: BinaryIO | None, *, most: int = MAX_SPOOLED) -> Source:
    """What is piped into the command, of `most` bytes.

    Raises:
        ManifestError: it is empty, goes on beyond that, or does not fit on the disk.
    """
    return _spooled("-", stdin or sys.stdin.buffer, most)


def remote(uri: str, store: Store) -> Source | None:
    """An object of S3; None where there is none.

    Raises:
        ManifestError: it is no manifest.
    """

    def read() -> Source:
        with store.open(uri) as body:
            return _spooled(uri, body)

    try:
        return store.patiently(read)  # from its beginning again where S3 breaks off
    except InputNotFound:
        return None


class _Unpacked(io.RawIOBase):
    """The content of a gzip file, up to a bound in proportion to its size."""

    def __init__(self, name: str, path: Path) -> None:
        self._name = name
        self._file = gzip.GzipFile(path)
        self._left = max(UNPACKED, path.stat().st_size * RATIO)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        count = self._file.readinto(buffer)
        self._left -= count
        if self._left < 0:
            raise wrong(self._name, f"unpacks to more than {RATIO} times its size: that is no manifest")
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


class _Readable(Protocol):
    def read(self, size: int = ..., /) -> bytes: ...


def _spooled(name: str, content: _Readable, most: int = MAX_SPOOLED) -> Source:
    descriptor, path = tempfile.mkstemp(prefix="restyle-manifest-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            while chunk := content.read(_CHUNK):
                file.write(chunk)
                if file.tell() > most:
                    raise wrong(name, f"is larger than {most >> 20:,} MiB and goes on: does it ever end?")
                if shutil.disk_usage(path).free < _LEFT_FREE:
                    raise wrong(name, f"does not fit on this machine: {Path(path).parent} is nearly full")
        source = Source(name, Path(path))
    except BaseException:
        Path(path).unlink()
        raise
    # Not a TemporaryFile: each pass opens it anew, and it goes with the last one that can.
    weakref.finalize(source, Path(path).unlink, missing_ok=True)
    return source
