"""Answers of an API that has lost its mind, or is somebody else: generated, the same ones for the same number."""

from __future__ import annotations

import base64
import gzip
import json
import random
import zlib
from functools import cache

from tests.support.catalog import picture

#: Figures in headers, for costs and for all else.
FIGURES = (
    "0.02", "-5", "1e308", "nan", "inf", "-inf", "9" * 5000, "0x10", "", " ", "1,5", "\u0661", "1e-400", "0.02\x85",
    "9" * 20, "-0", "1_000", "true", "1e999", "12.5.1",
)  # fmt: skip
_STATUSES = (200,) * 12 + (201, 206, 299, 400, 402, 403, 404, 406, 408, 413, 422, 429, 500, 502, 503, 599)
_TYPES = ("image/jpeg", "application/json", "text/html", "multipart/mixed; boundary=b", "", "x" * 300, "image/png")
#: Bytes that a large answer unpacks to: about the most that is read as text.
LARGE = 33_400_000


def odd_answer(number: int) -> bytes:
    """A whole answer as it goes over the line; every tenth one is large, packed or not."""
    rng = random.Random(number)
    body = _large(number // 10 % 16) if number % 10 == 0 else rng.choice(_SMALL)(rng)
    headers = {"content-type": rng.choice(_TYPES), "x-cost": rng.choice(FIGURES)}
    for name in ("x-remaining-credits", "x-seed-value", "x-request-id", "retry-after", "x-generation-time"):
        if rng.random() < 0.3:
            headers[name] = rng.choice((*FIGURES, "r" * 3000, "\x1b[2J"))
    if body[:2] != b"\x1f\x8b" and rng.random() < 0.2:
        body, headers["content-encoding"] = gzip.compress(body, 1), "gzip"
    if rng.random() < 0.05:
        headers["content-encoding"] = rng.choice(("deflate", "br", "zstd", "gzip, gzip", "x"))
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    first = f"HTTP/1.1 {rng.choice(_STATUSES)} Odd\r\ncontent-length: {len(body)}\r\nconnection: close\r\n"
    return f"{first}{head}\r\n".encode("latin-1", "replace") + body


@cache
def _large(kind: int) -> bytes:
    """What unpacks to much, and would come to more as objects."""
    kinds = (
        b"[" + b"[]," * (LARGE // 3) + b"[]]", b'{"image":"' + b"A" * LARGE + b'"}', b"\0" * (4 * LARGE),
        b'{"a":' * (LARGE // 5), b"[" + b"1," * (LARGE // 2) + b"1]", b'["' + b'","' * (LARGE // 3) + b'"]',
        b'{"a":"' + "\U0001f600".encode() + b"a" * LARGE + b'"}', b"<html>" + b" " * LARGE,
        b'{"image":"' + b"\\u0041" * (LARGE // 6) + b'"}', b" " * LARGE + b"{}", b"data: {}\n" * (LARGE // 9),
        b'{"image":"data:image/png;base64,' + base64.b64encode(picture("large") * 8000)[:LARGE] + b'"}',
        b'"' + b'\\"' * (LARGE // 2) + b'"', b"--b\r\n\r\n" * (LARGE // 7), bytes(range(256)) * (LARGE // 256),
        b'{"image":[' + b"255,216,255," * (LARGE // 12) + b"0]}",
    )  # fmt: skip
    return gzip.compress(kinds[kind], 1)


def _shaped(rng: random.Random) -> bytes:
    """JSON of some shape with pictures, links and rubbish in it."""

    def value(level: int) -> object:
        picked = rng.randrange(9)
        if level > 5 or picked < 4:
            return rng.choice((
                None, True, -1, 1e300, "", "x" * 100, "https://169.254.169.254/latest", "http://127.0.0.1:1/a.png",
                "\ud800", "\x1b[2J", base64.b64encode(picture("odd")).decode(), "data:image/png;base64,AAAA",
                list(picture("odd")[:200]),
            ))  # fmt: skip
        names = ("image", "images", "output", "error", "x" * 50, "url", "")
        if picked < 7:
            return {rng.choice(names): value(level + 1) for _ in range(rng.randrange(4))}
        return [value(level + 1) for _ in range(rng.randrange(4))]

    text = json.dumps(value(0))
    for _ in range(rng.randrange(3)):
        text = json.dumps({"body": text})
    return text.encode()


def _cut(rng: random.Random) -> bytes:
    whole = picture(f"cut {rng.randrange(20)}")
    return whole[: rng.randrange(len(whole))] + rng.choice((b"", b"\xff\xd9", b"\0" * 100, whole))


_SMALL = (
    lambda rng: picture(f"good {rng.randrange(20)}"),
    _shaped, _shaped, _shaped, _cut, _cut,
    lambda rng: base64.b64encode(_cut(rng)),
    lambda rng: b"[" * rng.randrange(200_000),
    lambda rng: rng.randbytes(rng.randrange(5000)),
    lambda _rng: b"",
    lambda rng: b"<!doctype html>" + rng.randbytes(100),
    lambda rng: b"--b\r\ncontent-type: image/jpeg\r\n\r\n" + _cut(rng) + b"\r\n--b--",
    lambda rng: b"9" * rng.randrange(100_000),
    lambda rng: zlib.compress(_shaped(rng)),
    lambda rng: b"\x1f\x8b" + rng.randbytes(300),
)  # fmt: skip
