"""What a file is by its first bytes: a picture of a format that is read here, one of another, or something else.

Messages are ends of sentences: only the caller knows the name of the file.
"""

from __future__ import annotations

import re

#: How files begin, by the names of their formats.
FORMATS: tuple[tuple[str, bytes], ...] = (
    ("JPEG", rb"\xff\xd8\xff"),
    ("PNG", rb"\x89PNG\r\n\x1a\n"),
    ("WebP", rb"RIFF.{4}WEBP"),
    ("TIFF", rb"II[*+]\0|MM\0[*+]"),
    ("GIF", rb"GIF8[79]a"),
    ("AVIF", rb".{4}ftypavi[fs]"),
    ("BMP", rb"BM.{4}\0{4}"),
)

#: How pictures of other formats begin, which only answers may have; by Pillow's names, where its reader is there.
OTHERS: dict[str, bytes] = {
    "JPEG2000": rb"\0\0\0\x0cjP {2}|\xff\x4f\xff\x51",
    "HEIF": rb".{4}ftyp(?:hei|hev|mif|msf)",
    "JXL": rb"\xff\x0a|\0\0\0\x0cJXL ",
    "PPM": rb"P[1-6]\s",
    "PSD": rb"8BPS",
    "QOI": rb"qoif",
    "DDS": rb"DDS ",
    "ICO": rb"\0\0\x01\0",
    "ICNS": rb"icns",
}

#: Formats that are sent, and stored, as they are.
CONTENT_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WebP": "image/webp"}

#: What people take for pictures, by its first bytes.
_STRANGERS: tuple[tuple[str, bytes], ...] = (
    ("a HEIC picture, which cannot be read here; save it as JPEG or PNG", rb".{4}ftyp(?:hei|hev|mif|msf)"),
    # Of Fujifilm, Olympus, Panasonic, Canon, Sigma, Minolta; those of others are TIFFs (tiff.py).
    ("a camera's raw file; export it as JPEG", rb"FUJIFILMCCD-RAW|IIR[OS]|MMOR|IIU\0|.{4}ftypcrx |FOVb|\0MRM"),
    ("a JPEG XL picture, which cannot be read here; save it as JPEG or PNG", OTHERS["JXL"]),
    ("a JPEG 2000 picture, which cannot be read here; save it as JPEG or PNG", OTHERS["JPEG2000"]),
    (
        "a film; save one frame as JPEG or PNG",
        rb".{4}ftyp(?:isom|iso\d|mp4\d|avc1|M4V |qt  |3gp)|\x1a\x45\xdf\xa3|RIFF.{4}AVI ",
    ),
    ("a Photoshop document; save it as JPEG or PNG", rb"8BPS"),
    ("an SVG drawing; export it as PNG", rb"\s*(?:<\?xml[^>]*>\s*)?<svg"),
    ("an HTML page, not a picture", rb"\s*<(?:!doctype\s+html|html|head|body)"),
    ("an XML document, not a picture", rb"\s*<\?xml"),
    ("JSON, not a picture", rb'\s*[{\[]\s*["{\[\]}]'),
    ("a PDF document, not a picture", rb"%PDF"),
    ("a ZIP archive, not a picture", rb"PK\x03\x04"),
    ("a gzip file, not a picture", rb"\x1f\x8b"),
)


def is_picture(start: bytes) -> bool:
    """Whether a file that begins so has a format that can be read."""
    return bool(format_of(start))


def format_of(start: bytes) -> str:
    """The format of a file that begins so; empty where it is none that can be read."""
    return next((kind for kind, signature in FORMATS if re.match(signature, start, re.DOTALL)), "")


def may_be_picture(start: bytes) -> bool:
    """Whether a file that begins so may be a picture of any format, readable here or not."""
    return is_picture(start) or any(re.match(sign, start, re.DOTALL) for sign in OTHERS.values())


def what_it_is(data: bytes) -> str:
    """What bytes are that no reader takes, as the end of a sentence about them."""
    if not data:
        return "is empty: 0 bytes"
    for name, signature in _STRANGERS:
        if re.match(signature, data, re.DOTALL | re.IGNORECASE):
            return f"is {name}"
    head = data[:40].decode("utf-8", errors="replace")[:32].strip()
    if "\N{REPLACEMENT CHARACTER}" in head or not head.replace("\n", " ").isprintable():
        return f"is not a picture of a known format: it begins with the bytes {data[:8].hex(' ')}"
    return f"is not a picture: it begins with {head!r}"
