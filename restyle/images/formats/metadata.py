"""What leaves of a picture whose stored pixels are sent: these and its colours, and nothing else that a file has."""

from __future__ import annotations

from dataclasses import replace

from restyle.images.formats import jpeg
from restyle.images.formats.structure import PNG_END, png_chunks, png_end

#: Chunks of a PNG that make its picture (PNG 3, table 8).
_PNG = frozenset(
    {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP", b"sBIT", b"bKGD",
     b"pHYs"}
)  # fmt: skip
_WEBP = frozenset({b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ICCP"})
#: Flags of EXIF and XMP in a WebP's head.
_WEBP_METADATA = 0x08 | 0x04


def removed(kind: str, data: bytes, layout: jpeg.Layout | None, *, keep: bool) -> tuple[bytes, tuple[str, ...]]:
    """A picture as it leaves, its pixels untouched, and what was done to it; the same bytes where that is nothing.

    Args:
        kind: its format.
        data: the whole picture.
        layout: of a JPEG.
        keep: whether metadata stay.
    """
    steps: tuple[str, ...] = ()
    if layout is not None:
        if not layout.is_closed and layout.scans:
            data, steps = data[: layout.end] + jpeg.END, ("end marker added",)
            layout = replace(layout, is_closed=True)
        sent = data if keep or not layout.scans else jpeg.without_metadata(data, layout)
    else:
        sent = data if keep else {"PNG": _png, "WebP": _webp}[kind](data)
    return sent, steps if sent is data else (*steps, "metadata removed")


def _png(data: bytes) -> bytes:
    if end := png_end(data):
        data = data[:end] + PNG_END
    parts = [data[:8]]
    for name, place, length in png_chunks(data):
        if name in _PNG:
            parts.append(data[place - 8 : place + length + 4])
        if name == b"IEND":
            break
    return data if sum(map(len, parts)) == len(data) else b"".join(parts)


def _webp(data: bytes) -> bytes:
    parts, place, end = [], 12, min(len(data), 8 + int.from_bytes(data[4:8], "little"))
    while place + 8 <= end:
        name, length = data[place : place + 4], int.from_bytes(data[place + 4 : place + 8], "little")
        following = place + 8 + length + length % 2
        chunk = data[place:following]
        if name == b"VP8X":
            chunk = chunk[:8] + bytes([chunk[8] & ~_WEBP_METADATA]) + chunk[9:]
        parts += [chunk] if name in _WEBP else []
        place = following
    body = b"WEBP" + b"".join(parts)
    made = b"RIFF" + len(body).to_bytes(4, "little") + body
    return data if len(made) == len(data) else made
