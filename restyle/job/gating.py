"""Takes an answer through the quality gates; pictures of which a part does not tell are looked at whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import structlog

from restyle import images
from restyle.errors import RestyleError
from restyle.images import Look, Picture, Prepared
from restyle.job import quality
from restyle.job.context import Called, Tools, Work
from restyle.s3.store import Stored

log = structlog.get_logger("restyle.gates")

#: Bytes of an input beyond which it is not read a second time, since there may be no room for it.
_AGAIN = 16_000_000


def look(work: Work) -> Look:
    """How closely the gates look at a picture at first."""
    return "none" if work.options.outputs.gates is None else "sample"


def suspect(
    work: Work, source: Stored, prepared: Prepared, called: Called, pictures: Sequence[Picture], tools: Tools
) -> tuple[str, ...]:
    """Why the pictures look wrong; empty where they do not, or nobody can tell any more."""
    limits = work.options.outputs.gates
    reasons = quality.reasons(prepared, pictures, limits)
    if reasons is None:
        whole = [images.verify(picture, look="whole") for picture in called.answer.images]
        reasons = quality.reasons(_whole(work, source, prepared, tools), whole, limits)
    return reasons or ()


def _whole(work: Work, source: Stored, prepared: Prepared, tools: Tools) -> Prepared:
    """The input as all of it looks: it was let go as it was sent, so it is read again, unless it has changed."""
    if prepared.glance is None or prepared.glance.is_whole:
        return prepared
    seen = None
    try:
        again = tools.store.get(work.message.job.image, max_bytes=_AGAIN)
        if again.etag == source.etag:
            seen = images.prepare(again.data, work.options.preparation, look="whole").glance
    except RestyleError as error:  # the answer has been paid for: it is stored, whatever becomes of its input
        log.warning("the input cannot be looked at again", reason=error.message)
    return replace(prepared, glance=seen)
