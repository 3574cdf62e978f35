"""A request that the API's queue has accepted, and what polls of it may meet."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from restyle.errors import (
    ApiTimeout,
    ApiUnavailable,
    JobError,
    MalformedResponse,
    RestyleError,
)
from restyle.reply import Reply


class NotThere(Exception):
    """The API does not know the request's id."""


class FileGone(NotThere):
    """The picture was made, but its URL answers that it is gone (404, 410) or forbidden (403)."""


@dataclass(frozen=True)
class Request:
    """A request that the API's queue has accepted. It is billed once its picture is made."""

    request_id: str
    submitted: datetime

    def as_json(self) -> str:
        """The request as JSON, which `read_request` reads."""
        return json.dumps({"request_id": self.request_id, "submitted": self.submitted.isoformat()})


def read_request(text: str | bytes) -> Request:
    """A request from the JSON of `Request.as_json`."""
    fields = json.loads(text)
    return Request(fields["request_id"], datetime.fromisoformat(fields["submitted"]))


def patient(ask: Callable[[], Reply]) -> Reply:
    """The reply to a poll. A poll costs nothing and may be repeated, so its errors are never in doubt."""
    try:
        reply: Reply = ask()
    except ApiTimeout as error:
        raise ApiTimeout(error.message, error.http_status) from None
    except MalformedResponse as error:
        if error.reply is None:  # a link that is not followed
            raise
        raise ApiUnavailable(error.message, error.http_status) from None  # the request stands all the same
    return reply


def again(error: RestyleError) -> RestyleError:
    """The error of a poll: one that would fail the job (a wrong request) becomes one that has it polled again."""
    return ApiUnavailable(error.message, error.http_status) if isinstance(error, JobError) else error
