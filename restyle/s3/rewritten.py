"""Reading an object from the embedded S3 server while somebody rewrites it."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable

from restyle.errors import StoreUnavailable
from restyle.s3.replies import Stored

_MD5 = re.compile("[0-9a-f]{32}")
#: Together 2.5 seconds: rclone, as the embedded stack runs it, knows a file's size for a second.
_PAUSES = (0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28)


def read_whole(uri: str, read: Callable[[], Stored]) -> Stored:
    """One version of an object.

    For a moment rclone serves a new content cut to the old one's size. Its ETags are MD5 digests, and
    empty where it could not take one, so that shows.

    Raises:
        StoreUnavailable: the object changes at each read.
    """
    for pause in (*_PAUSES, None):
        stored = read()
        if stored.etag and (not _MD5.fullmatch(stored.etag) or _md5(stored.data) == stored.etag):
            return stored
        if pause:
            time.sleep(pause)
    raise StoreUnavailable(f"{uri}: changes each time that it is read")


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
