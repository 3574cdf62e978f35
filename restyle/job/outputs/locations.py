"""Where the pictures of a job lie: as planned, or aside where they look wrong; with the suffix that fits them."""

from __future__ import annotations

import posixpath

from restyle.keys import Workspace, sample_uri
from restyle.models import Job

#: Bytes of a part of a key: file systems below S3 servers take 255, and samples add two.
LONGEST_PART = 250
#: The suffixes of each content type; the first is given where none of them is there.
SUFFIXES = {"image/jpeg": (".jpg", ".jpeg"), "image/png": (".png",), "image/webp": (".webp",)}


def suffix_of(content_type: str) -> str:
    """The suffix of a picture, with its dot; empty for what is none."""
    return SUFFIXES.get(content_type, ("",))[0]


def place(job: Job, sample: int, content_type: str, aside: Workspace | None = None) -> str:
    """The URI of one sample.

    Args:
        job: whose.
        sample: which one, from 0.
        content_type: what it is.
        aside: the workspace below whose suspect/ it goes; None: it goes where it was planned.
    """
    # An answer with more pictures than were requested: none of them takes the place of the first.
    samples = max(job.params.samples, sample + 1)
    if aside is not None:
        uri = sample_uri(aside.suspect(job.id, job.variant), sample, samples)
    elif sample < len(job.outputs):
        uri = job.outputs[sample]
    else:
        uri = sample_uri(job.output, sample, samples)
    return fitted(uri, content_type)


def fitted(uri: str, content_type: str) -> str:
    """A planned place with the suffix that fits what is put there."""
    fitting = SUFFIXES.get(content_type, ())
    stem, suffix = posixpath.splitext(uri)
    return uri if not fitting or suffix.lower() in fitting else f"{stem}{fitting[0]}"
