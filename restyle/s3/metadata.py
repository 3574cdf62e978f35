"""User metadata of objects, within what S3 takes: 2 kB in all, of which each value gets its part."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from restyle.errors import printable

#: Bytes of one value as it is sent. S3 counts names and values: 2,048 in all.
VALUE_BYTES = 200


def bounded(values: Mapping[str, str], *, longest: Mapping[str, int] = {}) -> dict[str, str]:
    """The values, none longer than it may be, without what a header cannot carry.

    Args:
        values: what is to be said of an object.
        longest: values that get another part than the others, and that are left out rather than cut.
    """
    found = {}
    for name, value in values.items():
        if name in longest:
            found[name] = value if _size(value) <= longest[name] else ""
            continue
        text = printable(value, VALUE_BYTES)
        while _size(text) > VALUE_BYTES:
            text = text[:-1]
        found[name] = text
    return found


def _size(text: str) -> int:
    """Bytes that it takes percent-encoded, as the store sends what is not plain."""
    return len(quote(text, safe=" !#$&'()*+,-./:;<=>?@[]^_`{|}~"))
