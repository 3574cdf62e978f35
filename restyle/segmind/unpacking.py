"""Finds the pictures in an answer: bytes, base64 of any alphabet, JSON of any shape, multipart bodies, links.

Pure: restyle/images decides what is a picture, and a link is returned, not followed. An answer is paid for, so every
form that can be read is read. It comes from outside, so the work for it is bounded.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import cast
from urllib.parse import unquote_to_bytes

import pybase64

from restyle.errors import MalformedResponse
from restyle.images import may_be_picture

#: Most levels of JSON, values, and groups that are searched; a picture as a list of its bytes has a value a byte.
MOST_LEVELS, MOST_VALUES, MOST_GROUPS = 12, 4_000_000, 20_000
#: Pictures of an answer; a call asks for four at most.
MOST_PICTURES = 16
#: Bytes of an answer whose pictures are written as text: four samples in base64 take about 20 MB.
MOST_TEXT = 32 * 1024 * 1024
#: Bytes beyond which a text is decoded as Latin-1, one byte a character: text that spells a picture is ASCII.
_LONG = 1_000_000

#: Keys that hold an answer's pictures, the likeliest first, and bytes before links. From Segmind's own answers and
#: those of other APIs (OpenAI, Stability, Replicate, fal, Hugging Face); in lower case, without - and _.
_NAMES = (
    "image", "images", "output", "outputs", "b64json", "base64", "b64", "imagebase64", "imageb64", "data", "result",
    "results", "artifacts", "generations", "predictions", "prediction", "picture", "pictures", "sample", "samples",
    "body", "content", "response", "payload", "file", "files", "bytes", "value", "binary", "url", "uri", "href", "src",
    "imageurl", "imageurls", "urls", "link", "links", "downloadurl", "signedurl", "generationurl",
)  # fmt: skip
#: Parts of keys that hold other pictures: what was sent, masks, previews.
_NOT_OURS = re.compile(
    r"input|init|source|original|request|mask|thumb|preview|prompt|control|avatar|logo|log|param|error"
)
_LINK = re.compile(r"https?://[^\s\"'<>\\]{3,4000}", re.IGNORECASE)
_SPACE = b" \t\n\r\v\f"
_PAGE = re.compile(rb"\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)", re.IGNORECASE | re.DOTALL)
#: A text shorter than that is a word, not a picture: the smallest GIF takes 35 bytes.
_SHORTEST = 40

#: From base64's URL-safe alphabet to its standard one (RFC 4648, section 5).
_STANDARD = bytes.maketrans(b"-_", b"+/")
_DATA = re.compile(r"data:[\w/+.;=\-\s\"]*,", re.IGNORECASE)

Item = bytes | str
"""The bytes of what looks like a picture, or the URL of one."""


def unpack(content_type: str, body: bytes) -> list[Item]:
    """The pictures and links of an answer. Its first bytes decide its form; where they cannot, its content type does.

    Raises:
        MalformedResponse: there is no picture and no link to one; its kind says what came instead.
    """
    if not body.strip():
        raise MalformedResponse("an empty body", kind="empty")
    if may_be_picture(body):
        return [body]
    if _PAGE.match(body[:4096]):
        raise MalformedResponse("an HTML page", kind="page")
    if parts := list(_parts(content_type, body)):
        return parts
    if len(body) > MOST_TEXT:
        raise MalformedResponse(f"{len(body):,} bytes that are no picture, more than text may be", kind="too large")
    text = _text(body)
    if text is None:
        raise MalformedResponse(f"{len(body):,} bytes that are no picture", kind="unknown bytes")
    if text.startswith(("{", "[", '"')) or "json" in content_type.lower():
        return _in_json(text)
    if item := _in_text(text, links=True):
        return [item]
    if items := _in_lines(text):
        return items
    raise MalformedResponse(f"{len(body):,} bytes of text that hold no picture", kind="text")


def _parts(content_type: str, body: bytes) -> Iterator[Item]:
    """The pictures in an answer of several parts (RFC 2046, 5.1)."""
    boundary = re.search(r'multipart/[^;]+;.*?boundary="?([^";,\s]{1,70})', content_type, re.IGNORECASE)
    if not boundary:
        return
    for part in body.split(b"--" + boundary.group(1).encode(), MOST_PICTURES + 1)[1 : MOST_PICTURES + 1]:
        head, _, content = part.partition(b"\r\n\r\n" if b"\r\n\r\n" in part else b"\n\n")
        content = content.removesuffix(b"\n").removesuffix(b"\r")
        header = re.search(rb"content-type:\s*([^\r\n]+)", head, re.IGNORECASE)
        kind = header.group(1).decode("latin-1") if header else ""
        if not content.strip() or "multipart" in kind.lower():
            continue
        try:
            yield from unpack(kind, content)
        except MalformedResponse:
            continue  # a part about the pictures, such as their seed


def _text(body: bytes) -> str | None:
    """The body as text, without a byte order mark; None where it is not text."""
    encoding = json.detect_encoding(body)
    body = body.removeprefix(codecs.BOM_UTF8)
    head = body[:4000].decode(encoding, "ignore").removeprefix("\ufeff").strip()
    try:
        text = body.decode("latin-1" if encoding.startswith("utf-8") and len(body) > _LONG else encoding)
    except ValueError:
        text = head = body.decode("latin-1")
    strange = sum(not char.isprintable() and not char.isspace() for char in head[:1000])
    return text.removeprefix("\ufeff").strip() if strange == 0 else None


# -- JSON --------------------------------------------------------------------------------------------------


def _in_json(text: str, level: int = 0) -> list[Item]:
    # Counted before it is parsed: JSON can take thirty bytes of memory a byte.
    if text.count(",") > MOST_VALUES or text.count("[") + text.count("{") > MOST_GROUPS:
        raise MalformedResponse("JSON of too many values", kind="JSON of too many values")
    try:
        document = json.loads(text, parse_int=_whole, strict=False)
    except (ValueError, RecursionError):
        if items := _in_lines(text):
            return items
        raise MalformedResponse("JSON that breaks off", kind="broken JSON") from None
    if items := list(islice(_search(document, links=not isinstance(document, dict), level=level), MOST_PICTURES)):
        return items
    raise MalformedResponse(f"JSON that holds no picture ({_shape(document)})", kind=f"JSON: {_shape(document)}")


def _in_lines(text: str) -> list[Item]:
    """The pictures of the last line that has any, in an answer streamed as one JSON document a line."""
    for given in reversed(text.rsplit("\n", MOST_PICTURES)[-MOST_PICTURES:]):
        line = given.removeprefix("data:").strip()
        if line.startswith("{") and line != text:
            try:
                return _in_json(line)
            except MalformedResponse:
                continue
    return []


def _whole(digits: str) -> int:
    """A whole number; -1 for one of 20 digits or more, which would take long to read and is no byte of a picture."""
    return int(digits) if len(digits) < 20 else -1


def _shape(document: object) -> str:
    """The outermost keys of a JSON answer; answers of the same keys count as the same kind."""
    if not isinstance(document, dict):
        return f"a {type(document).__name__}"
    names = sorted(name if re.fullmatch(r"[A-Za-z_][\w-]{0,30}", name) else "?" for name in document)
    return ", ".join(names[:8]) or "nothing"


def _search(node: object, *, links: bool, level: int) -> Iterator[Item]:
    """The pictures in a JSON value; with `links`, set where its key names pictures, also links to them."""
    if level > MOST_LEVELS:
        return
    if isinstance(node, str):
        if node.lstrip().startswith(("{", "[", '"')):  # JSON in JSON
            with suppress(MalformedResponse):
                yield from _in_json(node, level + 1)
        elif item := _in_text(node, links=links):
            yield item
    elif isinstance(node, list):
        if picture := _of_numbers(node):
            yield picture
            return
        for value in node:
            yield from _search(value, links=links, level=level + 1)
    elif isinstance(node, dict):
        yield from _in_object(node, links=links, level=level)


def _in_object(fields: dict[str, object], *, links: bool, level: int) -> list[Item]:
    """The pictures under the likeliest key that has any; under an unknown key, links do not count."""
    groups = dict[str, list[object]]()
    for name, value in fields.items():
        if isinstance(value, str | list | dict):
            groups.setdefault(_plain(name), []).append(value)
    likely = [(name, True) for name in _NAMES if name in groups]
    others = [(name, links and not name) for name in groups if name not in _NAMES and not _NOT_OURS.search(name)]
    for name, has_links in likely + others:
        values = groups[name]
        if items := [item for value in values for item in _search(value, links=has_links, level=level + 1)]:
            return items
    return []


def _plain(name: str) -> str:
    """A key without what varies: `imageUrl`, `image_url` and `image-url-2` are the same; a number becomes empty."""
    plain = re.sub(r"[_\-\s]", "", name.lower())
    return plain if plain in _NAMES else plain.rstrip("0123456789")


def _of_numbers(numbers: list[object]) -> bytes | None:
    """A picture as a list of its bytes, as JavaScript writes a buffer."""
    if len(numbers) < _SHORTEST or not all(isinstance(value, int) for value in numbers[:_SHORTEST]):
        return None
    try:
        picture = bytes(cast("list[int]", numbers))
    except (TypeError, ValueError):
        return None
    return picture if may_be_picture(picture) else None


# -- text --------------------------------------------------------------------------------------------------


def _in_text(text: str, *, links: bool) -> Item | None:
    """A picture or a link in a text that may be either; None: neither."""
    text = text.strip()
    if not text.isascii():  # JSON may spell half of a surrogate pair, which no bytes stand for
        text = text.encode(errors="replace").decode()
    if _LINK.fullmatch(text):
        return text if links else None
    if match := _DATA.match(text):
        content = text[match.end() :]
        picture = _decoded(content) if "base64" in match.group().lower() else unquote_to_bytes(content)
    else:
        picture = _decoded(text) if len(text) >= _SHORTEST else None
    return picture if picture and may_be_picture(picture) else None


def _decoded(text: str) -> bytes | None:
    """The bytes of a base64 text: either alphabet, with or without line breaks and padding; None where it is none."""
    with suppress(ValueError):
        return pybase64.b64decode(text, validate=True)
    if "%" in text:  # as in an address
        text = unquote_to_bytes(text).decode("latin-1")
    if text.startswith(("b'", 'b"')):  # as Python shows bytes
        text = text[2:-1]
    spelled = text.encode("ascii", "replace").replace(b"\\n", b"").replace(b"\\r", b"")
    spelled = spelled.translate(_STANDARD, _SPACE).rstrip(b"=")
    with suppress(ValueError):
        return pybase64.b64decode(spelled + b"=" * (-len(spelled) % 4), validate=True)
    return None
