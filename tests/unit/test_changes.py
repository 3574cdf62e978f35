"""What a job is by its input, of each kind of place that an input may lie in."""

from __future__ import annotations

import pytest

from producers.planning.compare.changes import Change, change_by_input
from producers.planning.compare.previous_runs import Known
from restyle.fingerprint import Fingerprint

SHA256 = "a" * 64
FINGERPRINT = Fingerprint(etag="e1", sha256=SHA256, request="r1")


@pytest.mark.parametrize(
    ("image", "seen", "change"),
    [
        ("s3://bucket/a.jpg", "e1", Change.UNCHANGED),
        ("s3://bucket/a.jpg", "e2", Change.INPUT_CHANGED),
        ("/catalog/a.jpg", SHA256, Change.UNCHANGED),
        ("https://shop.example/a.jpg", SHA256, Change.UNCHANGED),
        ("https://shop.example/a.jpg", "b" * 64, Change.INPUT_CHANGED),
        ("https://shop.example/a.jpg", "", Change.INPUT_CHANGED),
        ("s3://bucket/a.jpg", None, Change.MISSING),
    ],
)
def test_an_input_is_compared_by_what_its_place_tells(image: str, seen: str | None, change: Change) -> None:
    """An ETag is S3's; of a file and of the web it is the content that counts."""
    known = Known("r1", "e1", FINGERPRINT.token, "r1")
    assert change_by_input(image, known, seen) is change
