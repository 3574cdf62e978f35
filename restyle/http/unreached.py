"""Why an HTTP request failed: whether anything was sent, and the cause, in words for the person who can repair it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from http.client import IncompleteRead
from traceback import clear_frames

from requests import exceptions

from restyle.http.connecting import NotConnected
from restyle.http.trust import Proxy, authorities

_UNSENT = (NotConnected, exceptions.InvalidURL, exceptions.InvalidSchema)
_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3}[^\n'\")]*)")
#: Those words in libraries' messages that name a cause.
_WORDS = re.compile(
    r"Connection refused|Connection reset by peer|Name or service not known|Temporary failure in name resolution"
    r"|Network is unreachable|No route to host|timed out|RemoteDisconnected[^']*'[^']*"
    r"|certificate verify failed(?:: [^(\n]*[^(\s])?|IncompleteRead|Failed to resolve|informational answers"
    r"|got more than \d+ headers|is an inner address|no name of a host|SOCKS5 authentication failed"
    r"|SOCKS server failure"
)


def never_sent(error: BaseException) -> bool:
    """Whether no connection came about, so that nothing can have been billed."""
    return any(isinstance(wrapped, _UNSENT) for wrapped in _causes(error))


def unreached(error: BaseException, proxy: Proxy | None) -> str:
    """Why a request was not sent, and what to do about it where that is known."""
    text = " ".join(str(wrapped) for wrapped in _causes(error))
    if tunnel := _TUNNEL.search(text):
        return refused(proxy, tunnel.group(1))
    by = f" (by the proxy {proxy.name})" if proxy else ""
    reason = f"{cause(error)}{by}"
    if "certificate verify failed" in text:
        reason += f"; trusted are those in {authorities()}: SSL_CERT_FILE names a file with others"
    return reason


def refused(proxy: Proxy | None, answer: str) -> str:
    """A sentence about an answer that the proxy itself gave."""
    reason = f"the proxy {proxy.name if proxy else 'on the way'} answers {answer.strip()}"
    if answer.startswith("407"):
        variable = proxy.variable if proxy else "HTTPS_PROXY"
        reason += f"; it wants to know who asks: {variable}=http://USER:PASSWORD@HOST:PORT"
    return reason


def cause(error: BaseException) -> str:
    """The innermost reason, without the libraries' wrapping."""
    causes = list(_causes(error))
    for wrapped in reversed(causes):
        if isinstance(wrapped, IncompleteRead):
            return "IncompleteRead"
        if match := _WORDS.search(f"{type(wrapped).__name__} {wrapped}"):
            return match.group()
    return type(causes[-1]).__name__


def forget_frames(error: BaseException) -> None:
    """Releases the variables of libraries' frames, such as the body sent; a cycle would keep them until collected."""
    wrapped: BaseException | None = error
    while wrapped is not None:
        clear_frames(wrapped.__traceback__)
        wrapped = wrapped.__context__


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error, and those that it wraps."""
    wrapped: object = error
    for _ in range(8):
        if not isinstance(wrapped, BaseException):
            return
        yield wrapped
        inner = getattr(wrapped, "original_error", None) or wrapped.__cause__
        wrapped = inner or next((given for given in wrapped.args if isinstance(given, BaseException)), None)
