"""Sends a notification over HTTP: one POST; the reason where it did not arrive. Never retries."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError

from restyle.errors import ConfigurationError
from restyle.http.connecting import Terms, open_session
from restyle.http.public import check_no_credentials, inner_address, keeps_credentials
from restyle.http.trust import authorities, proxy_for
from restyle.http.unreached import cause, never_sent, unreached

#: Seconds to connect, and for the whole request up to the answer's head.
CONNECT_TIMEOUT, TIMEOUT = 5.0, 15.0
#: The header with the time and the signature.
SIGNATURE = "X-Restyle-Signature"


def sign(body: bytes, secret: str, now: int) -> str:
    """The signature's header: `t=<Unix time>,v1=<HMAC-SHA256 of "<time>.<body>" in hex>`."""
    signature = hmac.new(secret.encode(), f"{now}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={now},v1={signature}"


def post(url: str, body: bytes, headers: Mapping[str, str]) -> str:
    """Posts JSON; returns the reason where it did not arrive, else an empty text.

    The reason names the host alone, since the rest of the address may be a secret. No webhook goes to where a machine's
    credentials are kept: the address is resolved before, and compared again once connected.
    """
    split = urlsplit(url)
    host, proxy = split.hostname or "?", None
    try:
        proxy = proxy_for(url)
        port = split.port or (443 if split.scheme == "https" else 80)
        if inner := inner_address(host, port, is_proxied=proxy is not None, may=_may):
            return f"{host} leads to {inner}, which webhooks never go to"
        with (
            open_session(Terms(TIMEOUT, admit=check_no_credentials), connections=1, trusted=authorities()) as session,
            session.post(
                url,
                data=body,
                headers={"Content-Type": "application/json", "User-Agent": "restyle", **headers},
                proxies={"http": proxy.url, "https": proxy.url} if proxy else None,
                timeout=(CONNECT_TIMEOUT, TIMEOUT),
                allow_redirects=False,
                stream=True,  # the answer's body is not read, however long it is
            ) as answer,
        ):
            return "" if answer.ok and answer.status_code < 300 else f"{host} answers {answer.status_code}"
    except ConfigurationError as error:
        return f"{host} cannot be reached: {error.message}"
    except (requests.RequestException, HTTPError, ValueError) as error:
        if never_sent(error):
            return f"{host} cannot be reached: {unreached(error, proxy)}"
        return f"{host} does not answer: {cause(error)}"


def _may(address: str) -> bool:
    """Receivers may stand in the own network; what keeps a machine's credentials is none."""
    return not keeps_credentials(address)
