"""Writes the mark of a picture's origin as XMP into a JPEG, PNG or WebP, without re-encoding it.

It says that a trained model had a part in it (Iptc4xmpExt:DigitalSourceType, IPTC Photo Metadata 2023.1), which program
made it (xmp:CreatorTool), and for which job (dc:identifier). Where XMP goes in a file: XMP Specification Part 3 (JPEG
APP1, PNG iTXt) and the WebP Container Specification (VP8X and `XMP `).
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from html import escape
from xml.etree import ElementTree as ET

SOURCE_TYPE_ROOT = "http://cv.iptc.org/newscodes/digitalsourcetype/"

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_NAMES = {
    "x": "adobe:ns:meta/",
    "rdf": _RDF,
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
}
_OURS = frozenset(
    {
        f"{{{_NAMES['Iptc4xmpExt']}}}DigitalSourceType",
        f"{{{_NAMES['xmp']}}}CreatorTool",
        f"{{{_NAMES['dc']}}}identifier",
    }
)
_BEGIN, _END = b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>', b'<?xpacket end="w"?>'
_JPEG_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_PNG_XMP = b"XML:com.adobe.xmp\0\0\0\0\0"
#: What a JPEG segment holds beside its length.
_SEGMENT = 65_533

for _prefix, _uri in _NAMES.items():
    ET.register_namespace(_prefix, _uri)


def mark(data: bytes, *, source_type: str, tool: str, job_id: str) -> bytes:
    """The picture with the mark; its pixels and its other content do not change by a byte.

    Args:
        data: a whole JPEG, PNG or WebP.
        source_type: IPTC's digital source type, e.g. `trainedAlgorithmicMedia`.
        tool: the program that made it, with its version.
        job_id: the job's id.

    Raises:
        ValueError: it is none of the three, or its structure is wrong.
    """
    ours = _description(source_type, tool, job_id)
    if data.startswith(b"\xff\xd8"):
        return _in_jpeg(data, ours)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _in_png(data, ours)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _in_webp(data, ours)
    raise ValueError("is no JPEG, PNG or WebP")


def _description(source_type: str, tool: str, job_id: str) -> str:
    names = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in _NAMES.items() if prefix not in {"x", "rdf"})
    return (
        f'<rdf:Description rdf:about="" {names} xmp:CreatorTool="{escape(tool)}" dc:identifier="{escape(job_id)}"'
        f' Iptc4xmpExt:DigitalSourceType="{SOURCE_TYPE_ROOT}{escape(source_type)}"/>'
    )


def _packet(ours: str, theirs: bytes = b"") -> bytes:
    """The XMP packet: the picture's own without the properties that are ours, and ours."""
    if theirs and (merged := _merged(ours, theirs)):
        return _BEGIN + merged + _END
    text = f'<x:xmpmeta xmlns:x="{_NAMES["x"]}"><rdf:RDF xmlns:rdf="{_RDF}">{ours}</rdf:RDF></x:xmpmeta>'
    return _BEGIN + text.encode() + _END


def _merged(ours: str, theirs: bytes) -> bytes | None:
    """Both descriptions; None where theirs cannot be read."""
    body = re.sub(rb"<\?xpacket[^>]*\?>", b"", theirs).strip(b"\0 \r\n\t")
    try:
        # The API's packet, or ours; the parser itself bounds the expansion of entities.
        root = ET.fromstring(body)  # noqa: S314 - bounded, as above
    except (ET.ParseError, ValueError):
        return None
    rdf = root if root.tag == f"{{{_RDF}}}RDF" else root.find(f"{{{_RDF}}}RDF")
    if rdf is None:
        return None
    for description in rdf.findall(f"{{{_RDF}}}Description"):
        for name in _OURS & description.attrib.keys():
            del description.attrib[name]
        for child in [child for child in description if child.tag in _OURS]:
            description.remove(child)
        if not len(description) and not description.attrib.keys() - {f"{{{_RDF}}}about"}:
            rdf.remove(description)
    rdf.append(ET.fromstring(f'<r xmlns:rdf="{_RDF}">{ours}</r>')[0])  # noqa: S314 - bounded, as above - our own text
    return ET.tostring(root)


# -- JPEG --------------------------------------------------------------------------------------------------


def _in_jpeg(data: bytes, ours: str) -> bytes:
    """Writes the packet after JFIF and EXIF, which must come first, and removes the XMP that is there."""
    if data[2:3] != b"\xff":
        raise ValueError("has no segment where one must begin")
    place, theirs, kept = 2, b"", [data[:2]]
    for start, end in _segments(data):
        if data[start + 1] == 0xE1 and data.startswith(_JPEG_XMP, start + 4):
            theirs = data[start + 4 + len(_JPEG_XMP) : end]
            kept.append(data[place:start])
            place = end
        elif data[start + 1] not in {0xE0, 0xE1}:
            break
        else:
            kept.append(data[place:end])
            place = end
    packet = _packet(ours, theirs)
    if len(packet) + len(_JPEG_XMP) > _SEGMENT:
        packet = _packet(ours)
    content = _JPEG_XMP + packet
    return b"".join((*kept, b"\xff\xe1", struct.pack(">H", len(content) + 2), content, data[place:]))


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of each segment up to the pixels."""
    place = 2
    while place + 4 <= len(data):
        if data[place] != 0xFF:
            raise ValueError("has no segment where one must begin")
        if data[place + 1] == 0xFF:  # a fill byte
            place += 1
            continue
        if data[place + 1] == 0xDA:
            return
        end = place + 2 + int.from_bytes(data[place + 2 : place + 4])
        yield place, end
        place = end


# -- PNG ---------------------------------------------------------------------------------------------------


def _in_png(data: bytes, ours: str) -> bytes:
    """Writes the packet after the header, and removes the XMP that is there."""
    kept, theirs, place = [], b"", 8
    while place + 12 <= len(data):
        end = place + 12 + int.from_bytes(data[place : place + 4])
        name, content = data[place + 4 : place + 8], data[place + 8 : end - 4]
        if name == b"iTXt" and content.startswith(b"XML:com.adobe.xmp\0"):
            theirs = content[len(_PNG_XMP) :] if content.startswith(_PNG_XMP) else b""
        else:
            kept.append(data[place:end])
        place = end
    if not kept or kept[0][4:8] != b"IHDR":
        raise ValueError("does not begin with a header")
    content = b"iTXt" + _PNG_XMP + _packet(ours, theirs)
    chunk = struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
    return b"".join((data[:8], kept[0], chunk, *kept[1:], data[place:]))


# -- WebP --------------------------------------------------------------------------------------------------

_HAS_XMP, _HAS_ALPHA = 0x04, 0x10


def _in_webp(data: bytes, ours: str) -> bytes:
    """Writes the packet at the end; a simple file becomes an extended one, whose header says that there is XMP."""
    chunks = list(_chunks(data))
    theirs = next((content for name, content in chunks if name == b"XMP "), b"")
    kept = [(name, content) for name, content in chunks if name != b"XMP "]
    if not kept:
        raise ValueError("has no chunk")
    if kept[0][0] == b"VP8X":
        header = kept[0][1]
        kept[0] = (b"VP8X", bytes([header[0] | _HAS_XMP]) + header[1:])
    else:
        kept.insert(0, (b"VP8X", _extended(*kept[0])))
    kept.append((b"XMP ", _packet(ours, theirs)))
    body = b"WEBP" + b"".join(
        name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2) for name, content in kept
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place, end = 12, min(len(data), 8 + int.from_bytes(data[4:8], "little"))
    while place + 8 <= end:
        size = int.from_bytes(data[place + 4 : place + 8], "little")
        yield data[place : place + 4], data[place + 8 : place + 8 + size]
        place += 8 + size + size % 2


def _extended(name: bytes, content: bytes) -> bytes:
    """The VP8X header of a simple file: flags, and the size from the picture's own header."""
    flags = _HAS_XMP
    if name == b"VP8L":
        bits = int.from_bytes(content[1:5], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        flags |= _HAS_ALPHA if bits >> 28 & 1 else 0
    elif name == b"VP8 " and content[3:6] == b"\x9d\x01\x2a":
        width, height = struct.unpack("<HH", content[6:10])
        width, height = width & 0x3FFF, height & 0x3FFF
    else:
        raise ValueError("has no picture in its first chunk")
    return bytes([flags, 0, 0, 0]) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
