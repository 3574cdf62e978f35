"""The client of the API's blocking mode, v1: one call, one answer or one error. No retries, no redirects.

Contract: segmind.com/models/sdxl-img2img/api, and docs/formats.md for what the page leaves open.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from typing import Self
from urllib.parse import urljoin

import pybase64

from restyle.errors import MalformedResponse
from restyle.http.exchange import Wire
from restyle.models import Params
from restyle.runtime.memory import UploadBuffer
from restyle.segmind.links import Links
from restyle.segmind.responses import Answer, read_answer, read_error
from restyle.telemetry import metrics

#: Seconds for the download of a picture that an answer links to.
LINK_TIMEOUT = 30.0


#: More credits than any account has.
MOST_CREDITS = 1e12


class Segmind:
    """A client of v1, to be shared among threads."""

    def __init__(
        self, url: str, api_key: str, *, timeout: float = 180.0, connections: int = 16, direct: bool = False
    ) -> None:
        """Connects to nobody yet; `direct` goes by no proxy.

        Raises:
            ConfigurationError: the certificates or the proxy of the environment are none that can be used.
        """
        self.url = url
        self._key = api_key
        self._wire = Wire(url, api_key, timeout=timeout, connections=connections, direct=direct)
        #: Fetches what answers only link to.
        self.links = Links(url, timeout=min(timeout, LINK_TIMEOUT), connections=connections, direct=direct)
        self._call = metrics.api(self._wire.ask)

    def img2img(self, upload: UploadBuffer, params: Params) -> Answer:
        """One paid call.

        Raises:
            RequestRejected, TransientError, RateLimited, FleetError: as the API's answer says; see `read_answer`.
        """
        with Body(upload, params) as body:
            reply = self._call("POST", self.url, body)
        return read_answer(
            reply.status, reply.headers, reply.body, reply.seconds, api_key=self._key, fetch=self.links.fetch
        )

    def credits(self) -> float:
        """The account's remaining credits, the free ones included; costs nothing.

        Raises:
            RestyleError: by the same table as a call.
        """
        status, headers, body, _ = self._wire.ask("GET", urljoin(self.url, "/v1/get-user-credits"))
        if status != 200:
            raise read_error(status, headers, body, self._key)
        return balance_in(body)

    def close(self) -> None:
        """Closes the connections."""
        self._wire.close()
        self.links.close()


def balance_in(body: bytes) -> float:
    """The credits of an answer, the free ones included.

    Raises:
        MalformedResponse: it tells none.
    """
    try:
        balance = json.loads(body)
        return _number(balance.get("credits", 0)) + _number(balance.get("free-credits", 0))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise MalformedResponse("the API's answer about credits cannot be read") from error


def _number(value: object) -> float:
    """An amount of credits; text, NaN and what no account has are none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < MOST_CREDITS:
        raise ValueError("no number")
    return float(value)


class Body:
    """A picture and its parameters as JSON, in one part that is released as soon as it is sent.

    Encoding the picture as text would cost more than the rest of a call, and a body that is kept until the answer has
    come would be most of what a call in flight takes.
    """

    def __init__(self, upload: UploadBuffer, params: Params) -> None:
        # No name is given to the picture, here or by whoever calls: what has one is kept until its function returns.
        encoded = pybase64.b64encode(upload.hand_over())
        parts = (b'{"image":"', encoded, b'",' + json.dumps(params.as_sent()).encode()[1:])
        self._parts = deque([b"".join(parts)])
        self._upload = upload
        self._length = sum(map(len, parts))

    def __len__(self) -> int:
        return self._length

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Releases what could not be sent."""
        self._parts.clear()

    def __iter__(self) -> Iterator[bytes]:
        while self._parts:
            yield self._parts.popleft()
        self._upload.sent()
