"""The door to the API: one call, one answer or one error. Never sleeps, never retries, follows no redirect.

Contract: segmind.com/models/sdxl-img2img/api, and docs/formats.md for what the page leaves open.
"""

from __future__ import annotations

import json
import re
import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast
from urllib.parse import urljoin

import pybase64
import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import DEFAULT_ACCEPT_ENCODING
from urllib3.exceptions import HTTPError
from urllib3.util.retry import Retry

from restyle import metrics
from restyle.answers import Answer, quoted, read_answer, read_error
from restyle.errors import ApiTimeout, ApiUnavailable, MalformedResponse
from restyle.models import Params

_CHUNK = 256 * 1024
#: Bytes of an answer beyond which it is no picture of ours: four samples in base64 take about 20 MB.
_MAX_ANSWER = 128 * 1024 * 1024


class Reply(NamedTuple):
    """What came back, however it is to be read."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    #: How long it took.
    seconds: float


class Wire:
    """HTTP as both doors of the API need it: one request, one reply or one error. To be shared among threads."""

    def __init__(self, url: str, api_key: str, *, timeout: float, connect_timeout: float = 5.0, connections: int = 16):
        """Connections to this address.

        Args:
            url: decides on the proxy.
            api_key: goes along with each request; empty: none does.
            timeout: seconds for a whole reply.
            connect_timeout: seconds for a connection.
            connections: how many are kept open.
        """
        self._key = api_key
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._proxies = requests.utils.get_environ_proxies(url)
        # The adapter alone, for all threads: a session around it merges settings, cookies and the environment at each
        # request, for more CPU than the request itself takes.
        self._adapter = HTTPAdapter(pool_connections=2, pool_maxsize=connections, max_retries=Retry(0, read=False))
        self._headers = {"user-agent": "restyle", "accept": "*/*", "accept-encoding": DEFAULT_ACCEPT_ENCODING}
        if api_key:
            self._headers["x-api-key"] = api_key

    def close(self) -> None:
        """Closes the connections."""
        self._adapter.close()

    def _prepared(self, verb: str, url: str, body: Body | bytes) -> requests.PreparedRequest:
        request = requests.PreparedRequest()
        request.prepare_url(url, None)
        request.method, request.headers = verb, CaseInsensitiveDict(self._headers)
        if body:
            request.headers["content-type"] = "application/json"
            request.headers["content-length"] = str(len(body))
            request.body = cast("Any", body)
        return request

    def ask(self, verb: str, url: str, body: Body | bytes = b"") -> Reply:
        """One request; a body is JSON.

        Raises:
            ApiUnavailable: it was not sent.
            ApiTimeout: in doubt: it may have been sent.
            MalformedResponse: the reply is too large.
        """
        began, has_answered = time.monotonic(), False
        try:
            with self._adapter.send(
                self._prepared(verb, url, body), stream=True, timeout=(self._connect_timeout, self._timeout),
                proxies=self._proxies,
            ) as response:  # fmt: skip
                has_answered = True
                content = self._read(response, began)
                return Reply(response.status_code, response.headers, content, time.monotonic() - began)
        except (requests.ConnectTimeout, requests.exceptions.SSLError, requests.exceptions.ProxyError) as error:
            if has_answered or _broke_later(error):
                raise ApiTimeout(self._clean(f"the answer broke off: {_cause(error)}"), in_doubt=True) from None
            raise ApiUnavailable(self._clean(f"the API cannot be reached: {_cause(error)}")) from None
        except requests.ConnectionError as error:
            if _never_sent(error):
                raise ApiUnavailable(self._clean(f"the API cannot be reached: {_cause(error)}")) from None
            raise ApiTimeout(
                self._clean(f"the connection broke before the answer came: {_cause(error)}"), in_doubt=True
            ) from None
        except requests.Timeout:
            raise ApiTimeout(f"no answer within {self._timeout:g} s", in_doubt=True) from None
        except (requests.RequestException, HTTPError, OSError) as error:
            raise ApiTimeout(self._clean(f"the answer broke off: {_cause(error)}"), in_doubt=True) from None

    def _read(self, response: requests.Response, began: float) -> bytes:
        """The whole answer, within the one time limit: the library's own counts anew with each packet."""
        chunks, size = [], 0
        for chunk in response.iter_content(_CHUNK):
            chunks.append(chunk)
            size += len(chunk)
            if time.monotonic() - began > self._timeout:
                raise requests.Timeout
            if size > _MAX_ANSWER:
                raise MalformedResponse(
                    f"the answer is larger than {_MAX_ANSWER // 1_000_000} MB", response.status_code
                )
        promised = response.headers.get("content-length")
        if promised is not None and promised.isdigit() and not response.headers.get("content-encoding"):
            missing = int(promised) - size
            if missing > 0:
                raise requests.ConnectionError(f"{missing} bytes are missing")
        return b"".join(chunks)

    def _clean(self, text: str) -> str:
        return quoted(text, self._key)


class Segmind:
    """A client of the API's blocking door, v1; to be shared among threads."""

    def __init__(
        self, url: str, api_key: str, *, timeout: float = 180.0, connect_timeout: float = 5.0, connections: int = 16
    ) -> None:
        self.url = url
        self._key = api_key
        self._wire = Wire(url, api_key, timeout=timeout, connect_timeout=connect_timeout, connections=connections)

    def img2img(self, image: bytes, params: Params) -> Answer:
        """One paid call.

        Raises:
            RequestRejected, TransientError, RateLimited, FleetError: as the API's answer says; see `read_answer`.
        """
        reply = metrics.api(self._wire.ask)("POST", self.url, Body(image, params))
        return read_answer(reply.status, reply.headers, reply.body, reply.seconds, api_key=self._key)

    def credits(self) -> float:
        """What is left on the account, the free credits included; costs nothing.

        Raises:
            RestyleError: by the same table as a call.
        """
        status, headers, body, _ = self._wire.ask("GET", urljoin(self.url, "/v1/get-user-credits"))
        if status != 200:
            raise read_error(status, headers, body, self._key)
        try:
            found = json.loads(body)
            return float(found.get("credits", 0)) + float(found.get("free-credits", 0))
        except (ValueError, TypeError, AttributeError) as error:
            raise MalformedResponse("the API's answer about credits cannot be read") from error

    def close(self) -> None:
        """Closes the connections."""
        self._wire.close()


class Body:
    """A picture and its parameters as JSON, part by part; each is let go as soon as it is sent.

    Encoding the picture as text would cost more than the rest of a call, and a body that is kept until the answer has
    come would be most of what a call in flight takes.
    """

    def __init__(self, image: bytes, params: Params) -> None:
        parts = (b'{"image":"', pybase64.b64encode(image), b'",' + json.dumps(params.as_sent()).encode()[1:])
        self._parts = deque(parts)
        self._length = sum(map(len, parts))

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        while self._parts:
            yield self._parts.popleft()


def _cause(error: BaseException) -> str:
    """The innermost reason, without the library's wrapping."""
    text = str(getattr(error, "args", [error])[0] if getattr(error, "args", None) else error)
    found = re.search(r"(Connection refused|Connection reset by peer|Name or service not known|timed out"
                      r"|Connection aborted|RemoteDisconnected[^']*'[^']*|certificate verify failed"
                      r"|IncompleteRead|bytes are missing|Failed to resolve)", text)  # fmt: skip
    return found.group(1) if found else type(error).__name__


def _never_sent(error: requests.ConnectionError) -> bool:
    """Whether no connection came about, so that nothing can have been billed."""
    text = repr(error)
    return "NewConnectionError" in text or "NameResolutionError" in text or "ConnectTimeoutError" in text


#: What errors of TLS say that end a connection before anything was sent over it.
_HANDSHAKE = (
    "CERTIFICATE", "HANDSHAKE", "WRONG_VERSION", "PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL", "NO_PROTOCOLS", "HOSTNAME",
)  # fmt: skip


def _broke_later(error: requests.RequestException) -> bool:
    """Whether TLS failed after its handshake, when the request may have been sent and billed."""
    said = repr(error).upper()
    return isinstance(error, requests.exceptions.SSLError) and not any(word in said for word in _HANDSHAKE)
