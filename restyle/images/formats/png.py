"""Whether all pixels of a PNG are there: its reader leaves black what is missing behind compressed data that are well.

PNG 3, 7 and 8.
"""

from __future__ import annotations

import struct
import zlib

from restyle.errors import InvalidImage
from restyle.images.formats.structure import png_chunks

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
#: Adam7: where each pass begins, and its steps, across and down.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_PIECE = 1 << 20


def check_pixels(data: bytes) -> None:
    """Unpacks all of a PNG's pixels, and lets go of them.

    Raises:
        InvalidImage: there are fewer than its head says. What is no PNG is its reader's to tell.
    """
    if data[12:16] != b"IHDR" or len(data) < 33:
        return
    width, height, depth, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    left = _bytes(width, height, depth * _CHANNELS.get(colour, 0), is_interlaced=interlaced == 1)
    unpacking = zlib.decompressobj()
    try:
        for name, place, length in png_chunks(data):
            piece = memoryview(data)[place : place + length if name == b"IDAT" else place]
            while left > 0 and (piece or unpacking.unconsumed_tail):
                left -= len(unpacking.decompress(unpacking.unconsumed_tail or piece, _PIECE))
                piece = memoryview(b"")
    except zlib.error:
        return
    if left > 0 and unpacking.eof:
        raise InvalidImage("is a truncated PNG file: it has fewer pixels than its head says; export or upload it again")


def _bytes(width: int, height: int, bits: int, *, is_interlaced: bool) -> int:
    """Bytes of all rows, unpacked, each with its filter."""
    if not is_interlaced:
        return height * (1 + (width * bits + 7) // 8)
    total = 0
    for left, top, across, down in _PASSES:
        columns, rows = (width - left + across - 1) // across, (height - top + down - 1) // down
        total += rows * (1 + (columns * bits + 7) // 8) if columns > 0 and rows > 0 else 0
    return total
