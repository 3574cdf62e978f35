"""The lines of a text, and why a file is none in UTF-8."""

from __future__ import annotations

import re
import sys
from contextlib import nullcontext
from pathlib import Path

#: First bytes of files that are often given as a manifest, and what to do about them.
_KINDS = (
    (b"PK\x03\x04", "is a ZIP file and no workbook: unpack it, and give the table or the folder that is in it"),
    (b"\xd0\xcf\x11\xe0", "is an old Office file that cannot be read: save it as .xlsx"),
    (b"SQLite format 3", "is an SQLite database: export the table as CSV and give that"),
    (b"\x28\xb5\x2f\xfd", "is compressed by zstd: only gzip is read, so decompress it first"),
    (b"BZh", "is compressed by bzip2: only gzip is read, so decompress it first"),
    (b"\xfd7zXZ", "is compressed by xz: only gzip is read, so decompress it first"),
    (b"\xff\xd8\xff", "is a picture: give the folder that it is in, or a manifest that names it"),
    (b"\x89PNG", "is a picture: give the folder that it is in, or a manifest that names it"),
    (b"%PDF", "is a PDF file: give a CSV, JSON or JSONL file"),
)
#: A table that a shop calls .xls, or the page of a login.
_PAGE = re.compile(rb"\s*<(?:!doctype\s+html|html|head|body|meta)\b", re.IGNORECASE)
_BOMS = ((b"\xff\xfe\0\0", "UTF-32"), (b"\0\0\xfe\xff", "UTF-32"), (b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"))
_WESTERN_RUN = re.compile(rb"[\x80-\xff]{4}")
_ASIAN = ("shift_jis", "gb18030", "euc_kr", "big5")


def lines_of(text: str) -> list[str]:
    """The lines of a text as editors have them: one that holds U+2028, U+0085 or a form feed is one."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def read_lines(file: str, most: int) -> list[str]:
    """The lines of a file in UTF-8, of standard input where its name is `-`.

    Raises:
        OSError: it cannot be read.
        ValueError: it is larger than `most` bytes, or no text.
    """
    with nullcontext(sys.stdin.buffer) if file == "-" else Path(file).open("rb") as stream:
        data = stream.read(most + 1)
    if len(data) > most:
        raise ValueError(f"is larger than {most:,} bytes")
    return lines_of(data.decode("utf-8-sig"))


def why_no_text(start: bytes) -> str:
    """The reason why a file that begins so cannot be a manifest, or empty."""
    for magic, reason in _KINDS:
        if start.startswith(magic):
            return reason
    if _PAGE.match(start.removeprefix(b"\xef\xbb\xbf")):
        return "is a web page (HTML), whatever its name: open it in a spreadsheet, and save it as CSV UTF-8 or .xlsx"
    for bom, name in _BOMS:
        if start.startswith(bom):
            return _convert(name)
    nulls = start[:1000].count(0)
    if nulls > len(start[:1000]) // 3:
        return _convert("UTF-16LE" if start[1:2] == b"\0" else "UTF-16BE")
    return ""


def why_no_utf8(line: bytes) -> str:
    """The reason why a line does not decode, with its probable encoding."""
    return _convert(_likely(line))


def _likely(line: bytes) -> str:
    """A line's probable encoding: western ones have single bytes beyond ASCII, Asian ones long runs of them."""
    names = ("windows-1252", *_ASIAN) if not _WESTERN_RUN.search(line) else (*_ASIAN, "windows-1252")
    for name in names:
        try:
            line.decode(name)
        except UnicodeDecodeError:
            continue
        return name
    return ""


def _convert(name: str) -> str:
    if not name:
        return "is not text in UTF-8, nor in any other encoding that is known here: is it a text file?"
    return (
        f"is not UTF-8 but probably {name.upper()}: save it as CSV UTF-8, or convert it by"
        f" `iconv -f {name.upper()} -t UTF-8 FILE > NEW`"
    )
