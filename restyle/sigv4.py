"""AWS's signature, version 4, of one plain request to S3: no query, and a body that is signed with it.

After docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html. botocore's own signer comes to the same,
which a test compares, in five times the CPU: it is made for every service and for any request.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import time
from collections.abc import Mapping
from typing import NamedTuple

#: The digest of a request without a body.
EMPTY = hashlib.sha256(b"").hexdigest()


class Signatory(NamedTuple):
    """Whose request it is, and for where; no token where the keys are lasting ones."""

    access_key: str
    secret_key: str
    token: str | None
    region: str
    service: str = "s3"


def sign(verb: str, host: str, path: str, headers: Mapping[str, str], signatory: Signatory) -> dict[str, str]:
    """The headers of a request, with its signature, which is good for 15 minutes.

    Args:
        verb: the HTTP method.
        host: as the Host header has it.
        path: quoted, from the first slash on.
        headers: further ones, all of which are signed; x-amz-content-sha256 is the body's digest, if there is a body.
        signatory: who signs.
    """
    now = _told(int(time.time()))
    told = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
    told["host"], told["x-amz-date"] = host, now
    digest = told.setdefault("x-amz-content-sha256", EMPTY)
    if signatory.token:
        told["x-amz-security-token"] = signatory.token
    names = sorted(told)
    listed = ";".join(names)
    lines = "\n".join([f"{name}:{told[name]}" for name in names])
    request = hashlib.sha256(f"{verb}\n{path}\n\n{lines}\n\n{listed}\n{digest}".encode()).hexdigest()
    scope, begun = _begun(signatory, now[:8])
    signature = begun.copy()
    signature.update(f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{request}".encode())
    signed = f"SignedHeaders={listed}, Signature={signature.hexdigest()}"
    told["authorization"] = f"AWS4-HMAC-SHA256 Credential={signatory.access_key}/{scope}, {signed}"
    return told


@functools.lru_cache(maxsize=2)
def _told(second: int) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))


@functools.lru_cache(maxsize=8)
def _begun(signatory: Signatory, day: str) -> tuple[str, hmac.HMAC]:
    """What a day's signatures are for, and their beginning, to be copied."""
    scope = f"{day}/{signatory.region}/{signatory.service}/aws4_request"
    key = f"AWS4{signatory.secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return scope, hmac.new(key, digestmod="sha256")
