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
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    told = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
    told |= {"host": host, "x-amz-date": now}
    digest = told.setdefault("x-amz-content-sha256", EMPTY)
    if signatory.token:
        told["x-amz-security-token"] = signatory.token
    names = sorted(told)
    listed = ";".join(names)
    lines = "".join(f"{name}:{told[name]}\n" for name in names)
    request = hashlib.sha256(f"{verb}\n{path}\n\n{lines}\n{listed}\n{digest}".encode()).hexdigest()
    scope = f"{now[:8]}/{signatory.region}/{signatory.service}/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{request}"
    key = _key(signatory.secret_key, now[:8], signatory.region, signatory.service)
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    told["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={signatory.access_key}/{scope}, SignedHeaders={listed}, Signature={signature}"
    )
    return told


@functools.lru_cache(maxsize=8)
def _key(secret: str, day: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
