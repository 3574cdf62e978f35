"""Makes odd bytes out of good ones, for a while: the same ones for the same seed, so that a fault comes again."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

#: Numbers at which readers turn: limits of their integers, and what is next to them.
_TURNS = (0, 1, 127, 128, 255, 256, 32_767, 32_768, 65_535, 65_536, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)
#: Pieces that formats are made of.
_PIECES = (
    b"\x00", b"\xff", b"\xff\xd8", b"\xff\xda", b"IHDR", b"IDAT", b"\r\n", b"\n\n", b'"', b"'", b"{", b"}", b"[", b"]",
    b":", b",", b";", b"=", b"\\", b"\\u0000", b"\\ud800", b"%00", b"../", b"\xc3\x28", b"\xed\xa0\x80",
    b"\xef\xbb\xbf", b"null", b"NaN", b"Infinity", b"1e999", b"-0", b"9" * 400, b"true", b"data:image/png;base64,",
    b"s3://", b"https://", b"\x1b[2J", "\u202e".encode(), b"[" * 300, b'{"a":' * 300, b" " * 500,
)  # fmt: skip


def mutated(data: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """The bytes with a few changes."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        place = rng.randrange(len(changed) + 1)
        length = rng.choice((1, 2, 4, 16, 100))
        match rng.randrange(8):
            case 0 if place < len(changed):
                changed[place] ^= 1 << rng.randrange(8)
            case 1:
                del changed[place : place + length]
            case 2:
                changed[place:place] = rng.choice(_PIECES)
            case 3:
                changed[place : place + length] = rng.choice(_PIECES)
            case 4:
                changed[place:place] = bytes(changed[place : place + length]) * rng.choice((1, 2, 50))
            case 5:
                size, order = rng.choice((1, 2, 4, 8)), rng.choice(("little", "big"))
                number = rng.choice(_TURNS) % 256**size
                changed[place : place + size] = number.to_bytes(size, "little" if order == "little" else "big")
            case 6:
                other = rng.choice(others)
                changed[place:] = other[rng.randrange(len(other) + 1) :]
            case _:
                del changed[place:]
    return bytes(changed[:200_000])


def fuzz(
    target: Callable[[bytes], object], corpus: Path, *, seconds: float, seed: int = 0, slowest: float = 5.0
) -> int:
    """Feeds a target with what is in a folder, and with what becomes of it; how many inputs that were.

    Args:
        target: raises where it breaks.
        corpus: a folder of good and bad inputs, one a file.
        seconds: for how long.
        seed: another one gives other inputs.
        slowest: seconds of CPU that one input may take.

    Raises:
        AssertionError: it broke, or was slow; the input lies in build/fuzz/, and belongs into the corpus once mended.
    """
    given = [path.read_bytes() for path in sorted(corpus.iterdir())]
    assert given, f"there is nothing in {corpus}"
    rng, until, count = random.Random(seed), time.monotonic() + seconds, 0
    while time.monotonic() < until or count < len(given):
        data = given[count] if count < len(given) else mutated(rng.choice(given), given, rng)
        began = time.thread_time()
        try:
            target(data)
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {error}; input kept as {_keep(data)}") from error
        took = time.thread_time() - began
        assert took < slowest, f"{took:.1f} s of CPU; input kept as {_keep(data)}"
        count += 1
    return count


def _keep(data: bytes) -> Path:
    folder = Path("build/fuzz").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / hashlib.sha256(data).hexdigest()[:16]
    path.write_bytes(data)
    return path
