"""Why nothing came back over HTTP: whether anything was sent, and what kept it, in words for whoever can mend it."""

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
#: What tells the cause, among the words of libraries.
_WORDS = re.compile(
    r"Connection refused|Connection reset by peer|Name or service not known|Temporary failure in name resolution"
    r"|Network is unreachable|No route to host|timed out|RemoteDisconnected[^']*'[^']*"
    r"|certificate verify failed(?:: [^(\n]*[^(\s])?|IncompleteRead|Failed to resolve|informational answers"
    r"|got more than \d+ headers|is an inner address|SOCKS5 authentication failed|SOCKS server failure"
)


def never_sent(error: BaseException) -> bool:
    """Whether no connection came about, so that nothing can have been billed."""
    return any(isinstance(found, _UNSENT) for found in _causes(error))


def unreached(error: BaseException, proxy: Proxy | None) -> str:
    """What kept a request from being sent, and what to do about it where that is known."""
    text = " ".join(str(found) for found in _causes(error))
    if found := _TUNNEL.search(text):
        return refused(proxy, found.group(1))
    by = f" (by the proxy {proxy.name})" if proxy else ""
    said = f"{cause(error)}{by}"
    if "certificate verify failed" in text:
        said += f"; trusted are those in {authorities()}: SSL_CERT_FILE names a file with others"
    return said


def refused(proxy: Proxy | None, answer: str) -> str:
    """A proxy's own answer, as such."""
    said = f"the proxy {proxy.name if proxy else 'on the way'} answers {answer.strip()}"
    if answer.startswith("407"):
        variable = proxy.variable if proxy else "HTTPS_PROXY"
        said += f"; it wants to know who asks: {variable}=http://USER:PASSWORD@HOST:PORT"
    return said


def cause(error: BaseException) -> str:
    """The innermost reason, without the libraries' wrapping."""
    causes = list(_causes(error))
    for found in reversed(causes):
        if isinstance(found, IncompleteRead):
            return "IncompleteRead"
        if match := _WORDS.search(f"{type(found).__name__} {found}"):
            return match.group()
    return type(causes[-1]).__name__


def forget_frames(error: BaseException) -> None:
    """Lets go of what libraries' frames have, such as what was sent: a cycle keeps them until garbage is looked for."""
    found: BaseException | None = error
    while found is not None:
        clear_frames(found.__traceback__)
        found = found.__context__


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error, and those that it wraps."""
    found: object = error
    for _ in range(8):
        if not isinstance(found, BaseException):
            return
        yield found
        inner = getattr(found, "original_error", None) or found.__cause__
        found = inner or next((given for given in found.args if isinstance(given, BaseException)), None)
