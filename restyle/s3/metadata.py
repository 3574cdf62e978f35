"""User metadata of objects, cut to what S3 takes: 2 kB for all names and values together."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from restyle.problems import printable

#: Most bytes of one value as it is sent. S3 allows 2,048 for all names and values together.
VALUE_BYTES = 200


def bounded(values: Mapping[str, str], *, longest: Mapping[str, int]) -> dict[str, str]:
    """The values, each cut to its limit and without characters that a header cannot carry.

    Args:
        values: an object's metadata.
        longest: other limits, in bytes, of single values; what exceeds one is left out rather than cut.
    """
    kept = {}
    for name, value in values.items():
        if name in longest:
            kept[name] = value if _size(value) <= longest[name] else ""
            continue
        text = printable(value, VALUE_BYTES)
        while _size(text) > VALUE_BYTES:
            text = text[:-1]
        kept[name] = text
    return kept


def _size(text: str) -> int:
    """Bytes of a value percent-encoded, as the store sends it."""
    return len(quote(text, safe=" !#$&'()*+,-./:;<=>?@[]^_`{|}~"))
