"""The door to the API: one call, one answer or one error. Never sleeps, never retries, follows no redirect.

Contract: segmind.com/models/sdxl-img2img/api, and docs/formats.md for what the page leaves open.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urljoin

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError
from urllib3.util.retry import Retry

from restyle.errors import (
    ApiTimeout,
    ApiUnavailable,
    FleetError,
    JobError,
    MalformedResponse,
    Misconfigured,
    OutOfCredits,
    RateLimited,
    RequestRejected,
    RestyleError,
    TransientError,
    Unauthorized,
)
from restyle.models import Params

#: The answer's header by which the sandbox says that it is one.
SANDBOX_HEADER = "x-restyle-sandbox"
_CHUNK = 256 * 1024
#: Bytes of an answer beyond which it is no picture of ours: four samples in base64 take about 20 MB.
_MAX_ANSWER = 128 * 1024 * 1024
_PICTURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF")


@dataclass(frozen=True)
class Answer:
    """What a paid call brought; every figure is None where the API did not tell it."""

    images: tuple[bytes, ...]
    seconds: float
    request_id: str | None = None
    cost: float | None = None
    remaining_credits: float | None = None
    seed: int | None = None
    sandbox: bool = False


class Segmind:
    """A client of the API, to be shared among threads."""

    def __init__(
        self, url: str, api_key: str, *, timeout: float = 180.0, connect_timeout: float = 5.0, connections: int = 16
    ) -> None:
        self.url = url
        self._key = api_key
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        # One session for all threads: nothing of it changes after this, and its pool holds a connection a call.
        self._session = requests.Session()
        self._session.proxies = requests.utils.get_environ_proxies(url)
        # Looking the environment up at each call costs a sixth of a millisecond; it was read above.
        self._session.trust_env = False
        adapter = HTTPAdapter(pool_connections=1, pool_maxsize=connections, max_retries=Retry(0, read=False))
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)
        self._session.headers.update({"x-api-key": api_key, "user-agent": "restyle", "accept": "*/*"})

    def img2img(self, image: bytes, params: Params) -> Answer:
        """One paid call.

        Raises:
            RequestRejected, TransientError, RateLimited, FleetError: as the API's answer says; see `read_answer`.
        """
        # One bytes body around the picture: encoding it as JSON text would cost more than the rest of the call.
        body = b"".join((b'{"image":"', base64.b64encode(image), b'",', json.dumps(params.as_sent()).encode()[1:]))
        headers = {"content-type": "application/json"}
        return self._exchange("POST", self.url, headers, body)

    def credits(self) -> float:
        """What is left on the account, the free credits included; costs nothing.

        Raises:
            RestyleError: by the same table as a call.
        """
        status, headers, body, _ = self._request("GET", urljoin(self.url, "/v1/get-user-credits"), {}, b"")
        if status != 200:
            raise read_error(status, headers, body, self._key)
        try:
            found = json.loads(body)
            return float(found.get("credits", 0)) + float(found.get("free-credits", 0))
        except (ValueError, TypeError, AttributeError) as error:
            raise MalformedResponse("the API's answer about credits cannot be read") from error

    def close(self) -> None:
        """Closes the connections."""
        self._session.close()

    def _exchange(self, verb: str, url: str, headers: dict[str, str], body: bytes) -> Answer:
        status, told, content, seconds = self._request(verb, url, headers, body)
        return read_answer(status, told, content, seconds, api_key=self._key)

    def _request(
        self, verb: str, url: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, Mapping[str, str], bytes, float]:
        began = time.monotonic()
        try:
            with self._session.request(
                verb,
                url,
                headers=headers,
                data=body or None,
                stream=True,
                allow_redirects=False,
                timeout=(self._connect_timeout, self._timeout),
            ) as response:
                content = self._read(response, began)
                return response.status_code, response.headers, content, time.monotonic() - began
        except (requests.ConnectTimeout, requests.exceptions.SSLError, requests.exceptions.ProxyError) as error:
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


# -- reading answers: pure ---------------------------------------------------------------------------------


def read_answer(status: int, headers: Mapping[str, str], body: bytes, seconds: float, *, api_key: str = "") -> Answer:
    """What an answer means.

    Raises:
        RestyleError: every status but a 200 with pictures in it.
    """
    if status != 200:
        raise read_error(status, headers, body, api_key)
    return Answer(
        images=read_images(headers.get("content-type", ""), body),
        seconds=seconds,
        request_id=headers.get("x-request-id"),
        cost=_number(headers.get("x-cost")),
        remaining_credits=_number(headers.get("x-remaining-credits")),
        seed=_whole(headers.get("x-seed-value")),
        sandbox=headers.get(SANDBOX_HEADER) is not None,
    )


def read_images(content_type: str, body: bytes) -> tuple[bytes, ...]:
    """The pictures of a 200: by its content type, then by its first bytes.

    Raises:
        MalformedResponse: there are none.
    """
    if body.startswith(_PICTURES):
        return (body,)
    if not body:
        raise MalformedResponse("the API answered 200 with an empty body", 200)
    start = body[:64].lstrip().lower()
    if "json" in content_type or start.startswith((b"{", b"[")):
        return _images_in_json(body)
    if start.startswith((b"<!doctype", b"<html")):
        raise MalformedResponse("the API answered 200 with an HTML page", 200)
    raise MalformedResponse(f"the API answered 200 with {len(body):,} bytes that are no picture", 200)


def _images_in_json(body: bytes) -> tuple[bytes, ...]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise MalformedResponse("the API answered 200 with JSON that breaks off", 200) from None
    if not isinstance(found, dict):
        raise MalformedResponse("the API answered 200 with JSON that holds no picture", 200)
    for name in ("image", "images", "output"):
        given = found.get(name)
        if given:
            return tuple(_decoded(item) for item in (given if isinstance(given, list) else [given]))
    raise MalformedResponse("the API answered 200 with JSON that holds no picture", 200)


def _decoded(item: Any) -> bytes:
    if isinstance(item, dict) or (isinstance(item, str) and item.startswith(("http://", "https://"))):
        raise MalformedResponse("the API answered 200 with a link instead of a picture", 200)
    if not isinstance(item, str):
        raise MalformedResponse("the API answered 200 with JSON that holds no picture", 200)
    text = item.partition(",")[2] if item.startswith("data:") else item
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedResponse("the API answered 200 with base64 that cannot be decoded", 200) from None


def read_error(status: int, headers: Mapping[str, str], body: bytes, api_key: str = "") -> RestyleError:
    """The error that a status other than 200 stands for."""
    told = quoted(api_message(body), api_key)
    said = f"the API answers {status}" + (f": {told}" if told else "")
    if status == 429:
        return RateLimited(said, reset_wait(headers))
    if status == 406 and blames_request(told):
        return RequestRejected(said, status)
    if 300 <= status < 400:
        said += " (a redirect, which is not followed since the key would go along)"
    return _kind(status)(said, status)


def _kind(status: int) -> type[FleetError | JobError | TransientError]:
    """The class of an error by its status alone."""
    named = _NAMED.get(status)
    if named is not None:
        return named
    if 300 <= status < 400:
        return Misconfigured
    if 400 <= status < 500:
        return RequestRejected
    return ApiUnavailable if status >= 500 else MalformedResponse


_NAMED: dict[int, type[FleetError | JobError | TransientError]] = {
    401: Unauthorized,
    402: OutOfCredits,
    403: Unauthorized,
    404: Misconfigured,
    405: Misconfigured,
    406: OutOfCredits,
    408: ApiTimeout,
    410: Misconfigured,
}


def blames_request(told: str) -> bool:
    """Whether the text of a 406 clearly blames this request; anything else counts as the credits (design 6)."""
    text = told.lower()
    if any(word in text for word in ("credit", "balance", "spend", "limit", "fund", "top up")):
        return False
    return any(word in text for word in ("content type", "content-type", "parameter", "value", "must be", "invalid"))


def reset_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds until a rate limit resets, by the answer's own clock; None where it does not say."""
    now = _date(headers.get("date")) or datetime.now(UTC)
    after = headers.get("retry-after")
    if after:
        seconds = _number(after)
        at = None if seconds is not None else _date(after)
        if seconds is not None or at is not None:
            return max(0.0, seconds if seconds is not None else (at - now).total_seconds() if at else 0.0)
    at = _date(headers.get("x-rate-limit-reset-at-utc"))
    return max(0.0, (at - now).total_seconds()) if at else None


def api_message(body: bytes) -> str:
    """The API's own words in an error's body."""
    text = body[:20_000].decode("utf-8", "replace")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return re.sub(r"<[^>]*>", " ", text)
    if isinstance(found, dict):
        for name in ("error", "error_description", "detail", "message"):
            if found.get(name):
                return str(found[name])
    return str(found) if found else ""


def quoted(text: str, api_key: str = "") -> str:
    """Somebody else's words as one line of ours: short, printable, and without the key."""
    if api_key:
        text = text.replace(api_key, "***")
    text = re.sub(r"SG_[0-9A-Za-z]{8,}", "SG_***", text)
    text = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return text if len(text) <= 300 else text[:299] + "…"


def _number(text: str | None) -> float | None:
    try:
        found = float(text) if text else None
    except ValueError:
        return None
    return found if found is not None and abs(found) < 1e12 else None


def _whole(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch(r"-?\d{1,18}", text.strip()) else None


def _date(text: str | None) -> datetime | None:
    """A time from a header: HTTP's form, ISO 8601, or Unix seconds; without a zone it is UTC."""
    if not text:
        return None
    seconds = _number(text)
    if seconds is not None and seconds > 1e9:
        return datetime.fromtimestamp(seconds / 1000 if seconds > 1e11 else seconds, UTC)
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            found = read(text.strip())
        except ValueError:
            continue
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    return None
