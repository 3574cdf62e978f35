"""A job whose input lies on the web: from here on it is the object in S3 that its run has fetched, at every try."""

from __future__ import annotations

from dataclasses import replace

from restyle.coordination.claim_types import Dropped
from restyle.coordination.fetches import Fetches, short_name
from restyle.job.context import Tools, Work
from restyle.web.records import find_pin


def with_input(work: Work, tools: Tools) -> Work:
    """The job with its input's place in S3; any other as it is.

    Raises:
        InputNotFound, InputRefused, InputUnreachable, InvalidImage: there is no picture to be had.
        Dropped: that is not decided yet, whatever Redis says; the job is fed again when it is.
    """
    message = work.message
    job = message.job
    if not job.web:
        return work
    pin = find_pin(message.run_id, job.web, tools.store, tools.workspace)
    if pin is None:
        Fetches(tools.fleet.state).not_ready(message.run_id, message.shard, short_name(job.web))
        raise Dropped("its input is not fetched yet")
    fetched = job.model_copy(update={"image": pin.uri(tools.workspace)})
    return replace(work, message=message.model_copy(update={"job": fetched}), address=job.image)
