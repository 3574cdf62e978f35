"""Where an image is, when a row names it. Read by rows.py."""

from __future__ import annotations

import posixpath
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urljoin

from producers.manifest.names import Names
from restyle.images import MAX_INPUT_BYTES
from restyle.images.formats.kinds import is_picture
from restyle.keys import split_uri
from restyle.models import utc_now
from restyle.web.address import is_web, read_address

#: Suffixes that make an object or file of a listing an entry: all that the workers read have one of these.
SUFFIXES = frozenset(
    {
        ".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".pjpeg", ".pjp", ".png", ".apng", ".webp", ".avif", ".avifs",
        ".tif", ".tiff", ".bmp", ".dib", ".gif",
    }
)  # fmt: skip

#: What is wrong with a path that is no text.
NO_TEXT = "has a folder or a file in its path whose name is not text in UTF-8; rename it"

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_DATA = re.compile(r"data:[\w/+.-]*[;,]", re.IGNORECASE)


#: An object whose name is plainly fine, so that a million of them are looked at in no time.
_PLAIN_OBJECT = re.compile(r"s3://[a-z0-9.-]+/[A-Za-z0-9._/ -]*[A-Za-z0-9]")
#: A line each.
_PLAIN_OBJECTS = re.compile(rf"(?:{_PLAIN_OBJECT.pattern}\n)*+")


def is_plain_object(image: str) -> bool:
    """Whether this is the whole URI of one object in S3, with no character that means anything elsewhere."""
    return _PLAIN_OBJECT.fullmatch(image) is not None


def are_plain_objects(images: Sequence[str]) -> bool:
    """The same of many at once."""
    text = "\n".join((*images, ""))
    return text.count("\n") == len(images) and _PLAIN_OBJECTS.fullmatch(text) is not None


def is_image_name(name: str) -> bool:
    """Whether a file or key has the suffix of a picture."""
    return posixpath.splitext(name)[1].lower() in SUFFIXES


def names_a_picture(cell: str) -> bool:
    """Whether a cell has the form of a picture's name or address."""
    return bool(cell) and (is_image_name(cell) or _SCHEME.match(cell) is not None)


@dataclass(frozen=True)
class Place:
    """Where the relative images of a manifest begin: a local folder, or a prefix in S3 or on the web with a slash."""

    base: str
    names: Names | None = None
    """What lies there, for names that are not there."""
    is_checked: bool = True
    """Whether files are looked for."""
    is_listed: bool = False
    """Whether objects are looked for in that listing before anything is queued."""
    http: bool = False
    """Whether http:// is fetched."""

    @property
    def is_remote(self) -> bool:
        """Whether the manifest lies in S3."""
        return self.base.startswith("s3://")

    def resolve(self, image: str) -> tuple[str, str]:
        """The image's s3:// URI, address or absolute path, and the whole key or relative path that it is named by.

        Raises:
            ValueError: images cannot come from there; the message is the reason.
        """
        if image.startswith("s3://"):
            return image, _checked_key(image)
        if scheme := _SCHEME.match(image):
            return self._other_scheme(scheme[1].lower(), image)
        if _DATA.match(image):
            raise ValueError("a picture inside the manifest is not read; save it as a file and name that")
        if is_web(self.base):
            return self._on_the_web(urljoin(self.base, quote(image.replace("\\", "/"))))
        return self._in_prefix(image) if self.is_remote else self._in_folder(image)

    def _other_scheme(self, scheme: str, image: str) -> tuple[str, str]:
        if scheme == "s3":
            return self.resolve(f"s3{image[2:]}")
        if scheme in {"http", "https"}:
            return self._on_the_web(image)
        raise ValueError(
            f"{scheme}:// is not read: name a local file, an object as s3://bucket/key, or an address as https://…"
        )

    def _on_the_web(self, image: str) -> tuple[str, str]:
        address = read_address(image, http=self.http)
        if self.is_checked and (ends := address.ends) and ends <= utc_now():
            raise ValueError(f"is a signed link that ended at {ends:%Y-%m-%d %H:%M} UTC: export the manifest anew")
        return address.url, address.key

    def _in_prefix(self, image: str) -> tuple[str, str]:
        if image.startswith("/"):
            raise ValueError("a local file means nothing in a manifest that lies in S3: upload it and name its key")
        bucket, prefix = split_uri(self.base)
        key = prefix + image
        if image.startswith(("./", "../")) or "/./" in image or "/../" in image:
            key = posixpath.normpath(key)
            if key.startswith(".."):
                raise ValueError("leads out of the bucket")
        uri = f"s3://{bucket}/{key}"
        return uri, _checked_key(uri)

    def _in_folder(self, image: str) -> tuple[str, str]:
        key = posixpath.normpath(image)
        path = posixpath.normpath(posixpath.join(self.base, key))
        while key.startswith("../"):
            key = key[3:]
        return path, key.lstrip("/")

    def check(self, where: str, image: str) -> None:
        """Makes sure that there is a picture, where that can be seen at once.

        Args:
            where: its URI or path.
            image: as the row names it.

        Raises:
            ValueError: there is none, or it cannot be sent; the message is the reason.
        """
        if where.startswith("s3://"):
            if self.is_listed and self.names and where.startswith(self.base):
                name = where.removeprefix(self.base)
                if not self.names.has(name) and self.names.is_whole:
                    raise ValueError(self._with_hint(f"there is no object {where}", name))
            return
        if not self.is_checked or is_web(where):
            return  # what is on the web is fetched by workers alone
        try:
            check_file(where)
        except FileNotFoundError:
            raise ValueError(self._with_hint(f"there is no file {where}", image)) from None

    def _with_hint(self, reason: str, name: str) -> str:
        if name.startswith("="):
            return f"{reason}; it is a formula: have the table exported with what it shows"
        hint = self.names.meant(name) if self.names else ""
        return f"{reason}; {hint}" if hint else reason


def check_file(path: str) -> None:
    """Makes sure that there is a file to send; only one whose name is no picture's is opened.

    What is submitted is uploaded: without this, a manifest from elsewhere could name a key file and have it sent.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it cannot be sent; the message is the reason.
    """
    if not is_text(path):
        raise ValueError(NO_TEXT)
    try:
        status = Path(path).stat()
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if stat.S_ISDIR(status.st_mode):
        raise ValueError("is a folder; to restyle all in it, give the folder itself as the manifest")
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("is no file, but a device or a pipe")
    if not status.st_size:
        raise ValueError("is empty (0 bytes)")
    if status.st_size > MAX_INPUT_BYTES:
        raise ValueError(f"is {status.st_size / 1e6:,.0f} MB; at most {MAX_INPUT_BYTES / 1e6:,.0f} MB can be sent")
    if not is_image_name(path) and not _begins_as_picture(path):
        raise ValueError("is no picture, neither by its name nor by its first bytes; it is not sent")


def is_text(path: str) -> bool:
    """Whether a path can be written down: file systems take any bytes for names."""
    return path.isascii() or not any("\ud800" <= char <= "\udfff" for char in path)


def _begins_as_picture(path: str) -> bool:
    try:
        with Path(path).open("rb") as file:
            return is_picture(file.read(32))
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None


def _checked_key(uri: str) -> str:
    key = split_uri(uri)[1]
    if not key or key.endswith("/"):
        raise ValueError("names a whole bucket or prefix; to restyle all in it, give it as the manifest")
    return key
