"""An object of the embedded S3 server that is read while it is rewritten."""

from __future__ import annotations

import hashlib
from itertools import repeat

import pytest

from restyle.errors import StoreUnavailable
from restyle.s3 import rewritten
from restyle.s3.replies import Stored
from restyle.s3.rewritten import read_whole


def stored(data: bytes, etag: str) -> Stored:
    """An object's answer."""
    return Stored(etag, len(data), "application/json", {}, data)


@pytest.mark.parametrize("etag", [hashlib.md5(b"the new content", usedforsecurity=False).hexdigest(), ""])
def test_a_content_cut_to_its_old_size_is_read_again(etag: str) -> None:
    """A new content came from rclone cut to the size of the old one, and a run was taken for damaged."""
    whole = stored(b"the new content", hashlib.md5(b"the new content", usedforsecurity=False).hexdigest())
    answers = iter([stored(b"the new", etag), whole])
    assert read_whole("s3://b/run.json", lambda: next(answers)) == whole


def test_one_that_changes_at_each_read_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an S3 that cannot be read now, not one that is asked for ever."""
    monkeypatch.setattr(rewritten, "_PAUSES", (0.001,) * len(rewritten._PAUSES))
    answers = iter(repeat(stored(b"the new", ""), 8))
    with pytest.raises(StoreUnavailable, match=r"run\.json: changes each time that it is read"):
        read_whole("s3://b/run.json", lambda: next(answers))
