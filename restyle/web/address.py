"""Addresses of pictures on the web: which are taken, what of one may be shown, and when a signed one ends."""

from __future__ import annotations

import hashlib
import posixpath
import re
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

#: Characters of an address.
MAX_ADDRESS = 4_000
_WEB = re.compile(r"https?://", re.IGNORECASE)
#: What an address of ASCII has; anything else is written as its bytes.
_SAFE = "%!#$&'()*+,-./:;=?@_~[]"
#: What stands for what is not shown.
MASK = "***"

#: Parameters that choose a version, a size or a form, or name the picture: no secrets, so they are shown.
_SHOWN = frozenset(
    {
        "v", "ver", "version", "rev", "revision", "t", "ts", "timestamp", "updated", "modified", "w", "h", "width",
        "height", "size", "dpr", "scale", "crop", "fit", "mode", "resize", "rotate", "trim", "auto", "q", "quality",
        "fm", "format", "ext", "type", "bg", "background", "id", "pid", "sku", "product", "product_id", "productid",
        "image", "image_id", "imageid", "file", "filename", "name", "variant", "view", "color", "colour", "lang",
        "locale", "page", "n", "no", "number", "position", "index", "x-amz-algorithm", "x-amz-date", "x-amz-expires",
        "x-amz-signedheaders", "x-goog-algorithm", "x-goog-date", "x-goog-expires", "expires", "se",
    }
)  # fmt: skip
#: A value of theirs that is shown; a longer or stranger one may be anything.
_PLAIN = re.compile(r"[\w.,:%+ -]{0,40}")
_NUMBER = re.compile(r"\d{1,20}")
#: What a path has behind a semicolon (RFC 3986, 3.3), such as a session's id.
_MATRIX = re.compile(r";[^/]*")


@dataclass(frozen=True)
class Address:
    """An address that a picture is fetched from."""

    url: str = field(repr=False)
    """All of it, which may be a secret: only who fetches it, and the plan in S3, have it."""

    @cached_property
    def name(self) -> str:
        """What it goes by in keys: its sha256."""
        return hashlib.sha256(self.url.encode()).hexdigest()

    @cached_property
    def shown(self) -> str:
        """As it may be shown to anybody: what may be a secret in it is masked."""
        parts = urlsplit(self.url)
        query = "&".join(map(_shown, parts.query.split("&"))) if parts.query else ""
        path = _MATRIX.sub(f";{MASK}", parts.path)
        return f"{parts.scheme}://{parts.netloc}{path}{'?' if query else ''}{query}"

    @property
    def host(self) -> str:
        """The server, with its port where that is not the usual one."""
        return urlsplit(self.url).netloc

    @property
    def key(self) -> str:
        """What stands for a file's name: the path, from which ids are made."""
        bare = _MATRIX.sub("", urlsplit(self.url).path)
        path = posixpath.normpath(unquote(bare, errors="replace")).strip("/")
        return self.host if path in {"", "."} else path

    @property
    def ends(self) -> datetime | None:
        """Until when it is signed, where that can be read."""
        return signed_until(self.url)


@dataclass(frozen=True)
class LostAddress:
    """An address of which only what may be shown is left: the object that has the whole of it is gone or spoilt."""

    name: str
    shown: str
    place: str
    """Of that object."""


def is_web(image: str) -> bool:
    """Whether an image is named by an address on the web."""
    return _WEB.match(image) is not None


def read_address(text: str, *, http: bool = False) -> Address:
    """An address as it is requested: ASCII, without a fragment.

    Args:
        text: as it stands in a manifest, or as a redirect has it.
        http: whether http:// is taken.

    Raises:
        ValueError: none that is fetched; the message is the reason, and has nothing of what may be a secret.
    """
    text = text.strip()
    if len(text) > MAX_ADDRESS:
        raise ValueError(f"has {len(text):,} characters; an address has {MAX_ADDRESS:,} at most")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
        host = host if ":" in host else host.encode("idna").decode("ascii")
    except ValueError:
        raise ValueError("is no address of the web") from None
    scheme = parts.scheme.lower()
    if scheme not in {"http", "https"} or not host or port == 0 or re.search(r"[\s\\]", parts.netloc):
        raise ValueError("is no address of the web")
    _check(parts, http=http)
    usual = {"http": 80, "https": 443}[scheme]
    place = f"[{host}]" if ":" in host else host
    place += f":{port}" if port and port != usual else ""
    path = quote(parts.path or "/", safe=_SAFE)
    query = f"?{quote(parts.query, safe=_SAFE)}" if parts.query else ""
    address = Address(f"{scheme}://{place.lower()}{path}{query}")
    if (longest := max(len(address.url), len(address.shown))) > MAX_ADDRESS:
        raise ValueError(f"has {longest:,} characters as it is asked for; an address has {MAX_ADDRESS:,} at most")
    return address


def _check(parts: SplitResult, *, http: bool) -> None:
    """Raises ValueError for an address of the web that is not fetched."""
    if parts.scheme.lower() == "http" and not http:
        raise ValueError(
            "http:// is not fetched, since anybody on the way may change what it sends: write https://, or set"
            " RESTYLE_FETCH_HTTP=true"
        )
    if "@" in parts.netloc:
        raise ValueError("has a user or a password in it, which are never sent; give an address without them")
    if f"={MASK}" in parts.query or f";{MASK}" in parts.path or parts.query == MASK:
        raise ValueError(
            f"has {MASK} where a report leaves out what may be a secret: plan the manifest that has the address itself"
        )


def shown(image: str) -> str:
    """A picture's name as it may be shown: of an address, without what may be a secret."""
    if not is_web(image):
        return image
    try:
        return read_address(image, http=True).shown
    except ValueError:
        return f"{image.partition('://')[0]}://{MASK}"


def signed_until(url: str) -> datetime | None:
    """When a signed address ends, as AWS, Google, Azure and CloudFront write it; None where it does not say."""
    with suppress(ValueError, OverflowError, OSError):
        given = {name.lower(): value for name, value in parse_qsl(urlsplit(url).query, max_num_fields=100)}
        for kind in ("x-amz", "x-goog"):
            if f"{kind}-date" in given and f"{kind}-expires" in given:
                signed = datetime.strptime(given[f"{kind}-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
                return signed + timedelta(seconds=int(given[f"{kind}-expires"]))
        if "sig" in given and "se" in given:
            ends = datetime.fromisoformat(given["se"])
            return ends if ends.tzinfo else ends.replace(tzinfo=UTC)
        if {"signature", "sig", "token"} & given.keys() and _NUMBER.fullmatch(given.get("expires", "")):
            return datetime.fromtimestamp(int(given["expires"]), UTC)
    return None


def _shown(parameter: str) -> str:
    name, is_pair, value = parameter.partition("=")
    if not is_pair:
        return parameter if _NUMBER.fullmatch(name) else MASK
    if unquote(name).lower() in _SHOWN and _PLAIN.fullmatch(value):
        return parameter
    return f"{name if _PLAIN.fullmatch(name) else MASK}={MASK}"
