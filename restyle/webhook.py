"""The door by which notifications leave over HTTP: one POST, one reason where it did not arrive. Never retries."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import urlsplit

import requests

#: Seconds to connect, and between two bytes of the answer.
TIMEOUT = (5.0, 10.0)
#: The header with the time and the signature.
SIGNATURE = "X-Restyle-Signature"


def sign(body: bytes, secret: str, now: int) -> str:
    """The signature's header: `t=<Unix time>,v1=<HMAC-SHA256 of "<time>.<body>" in hex>`."""
    told = hmac.new(secret.encode(), f"{now}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={now},v1={told}"


def post(url: str, body: bytes, headers: Mapping[str, str]) -> str:
    """Posts JSON; answers with why it did not arrive, or with nothing. The reason names the host, never the address.

    An address may have a secret in it, so no more of it is told.
    """
    host = urlsplit(url).hostname or "?"
    try:
        with requests.post(
            url,
            data=body,
            headers={"Content-Type": "application/json", "User-Agent": "restyle", **headers},
            timeout=TIMEOUT,
            allow_redirects=False,
            stream=True,  # the answer's body is not read, however long it is
        ) as answer:
            return "" if answer.ok and answer.status_code < 300 else f"{host} answers {answer.status_code}"
    except requests.Timeout:
        return f"{host} does not answer in time"
    except (requests.RequestException, ValueError) as error:
        return f"{host} cannot be reached ({type(error).__name__})"
