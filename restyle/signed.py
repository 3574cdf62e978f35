"""The short way to S3: one signed GET, HEAD or PUT over a pool of connections, for the requests of every job.

botocore spends 0.9 ms of CPU on a request, of which the network's part is 0.2: rules, hooks and parsers that this way
leaves out. It learns from botocore itself where a bucket lies and how requests to it are signed, signs with
botocore's credentials, refreshed as they are there, and answers only what needs no thought: success, and a key that
is missing. Everything else goes the long way, with its retries, redirects and error messages; so does every bucket
that is behind a proxy or is signed in another manner. Why: docs/decisions/0015-short-way-to-s3.md.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from restyle.sigv4 import Signatory, sign

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from urllib3 import BaseHTTPResponse, HTTPConnectionPool

#: What of a key stands unquoted in its URL, as S3's signature demands.
_SAFE = "/~"
#: Left out of the Host header.
_PORTS = {"http": 80, "https": 443}
_OPERATIONS = ("GetObject", "HeadObject", "PutObject")


@dataclass(frozen=True)
class Route:
    """The way to a bucket: its host's connections, what its keys are put behind there, and who signs."""

    pool: HTTPConnectionPool
    host: str
    path: str
    signer: Any
    name: str
    region: str


@dataclass(frozen=True)
class Reply:
    """A success (200), or a key that is missing (404)."""

    status: int
    headers: Mapping[str, str]
    data: bytes


class TooLarge(Exception):
    """The object is larger than was asked for; its size in bytes."""


class Signed:
    """The short way beside a boto3 client. Safe to share among threads."""

    def __init__(self, client: S3Client, *, connections: int, ca_bundle: str | None) -> None:
        self._routes: dict[str, Route] = {}
        self._pools: dict[str, HTTPConnectionPool] = {}
        self._lock = threading.Lock()
        self._connections = connections
        self._ca_bundle = ca_bundle
        for operation in _OPERATIONS:
            client.meta.events.register(f"before-parameter-build.s3.{operation}", _note)
            client.meta.events.register(f"before-sign.s3.{operation}", self._learn)

    def request(
        self, verb: str, bucket: str, key: str, *, body: bytes = b"", headers: Mapping[str, str] = {},
        max_bytes: int | None = None,
        admit: Callable[[int], None] | None = None,
    ) -> Reply | None:  # fmt: skip
        """One request; None where it must go the long way. A body's digest is among its headers.

        Raises:
            TooLarge: the object has more than `max_bytes`.
        """
        route = self._routes.get(bucket)
        if route is None:
            return None
        from botocore.exceptions import BotoCoreError, ClientError
        from urllib3.exceptions import HTTPError

        try:
            response = self._send(route, verb, key, body, headers)
            with response:
                return _read(response, verb, max_bytes, admit)
        except (HTTPError, OSError, BotoCoreError, ClientError):
            # Also where the credentials cannot be renewed: the long way says what is wrong with them.
            return None

    def close(self) -> None:
        """Closes the connections."""
        for pool in self._pools.values():
            pool.close()

    def _send(self, route: Route, verb: str, key: str, body: bytes, headers: Mapping[str, str]) -> BaseHTTPResponse:
        path = route.path + quote(key, safe=_SAFE)
        # Asked for each time, since botocore renews credentials.
        keys = route.signer.get_auth_instance(route.name, route.region, "s3v4").credentials
        signatory = Signatory(keys.access_key, keys.secret_key, keys.token, route.region, route.name)
        signed = sign(verb, route.host, path, headers, signatory)
        return route.pool.urlopen(
            verb, path, body=body if verb == "PUT" else None, headers=signed,
            preload_content=False, decode_content=False, redirect=False, retries=False, assert_same_host=False,
        )  # fmt: skip

    def _pool(self, url: str) -> HTTPConnectionPool:
        """The connections to a host, shared by its buckets."""
        from botocore.httpsession import get_cert_path
        from urllib3 import Timeout, connection_from_url

        scheme, _, rest = url.partition("://")
        host = f"{scheme}://{rest.partition('/')[0]}"
        with self._lock:
            if host not in self._pools:
                tls = {"ca_certs": self._ca_bundle or get_cert_path(True)} if scheme == "https" else {}
                self._pools[host] = connection_from_url(
                    host, maxsize=self._connections, timeout=Timeout(connect=5, read=30), **tls
                )
            return self._pools[host]

    def _learn(
        self, request: Any, signing_name: str, region_name: str, signature_version: str, request_signer: Any, **_: Any
    ) -> None:
        """Notes where botocore sends a bucket's requests, and how it signs them."""
        from botocore.utils import get_environ_proxies

        bucket, key = request.context["restyle"]
        ending = quote(key, safe=_SAFE)
        region = request.context.get("signing", {}).get("region", region_name)
        if signature_version == "s3v4" and request.url.endswith(ending) and not get_environ_proxies(request.url):
            base = request.url.removesuffix(ending)
            _, _, host, path = base.split("/", 3)
            pool = self._pool(base)
            host = host.removesuffix(f":{_PORTS[pool.scheme]}")
            self._routes[bucket] = Route(pool, host, f"/{path}", request_signer, signing_name, region)
        else:
            self._routes.pop(bucket, None)


def _note(params: Mapping[str, str], context: dict[str, Any], **_: Any) -> None:
    """Hands bucket and key on to where the request is signed."""
    context["restyle"] = params["Bucket"], params["Key"]


def _read(
    response: BaseHTTPResponse, verb: str, max_bytes: int | None, admit: Callable[[int], None] | None
) -> Reply | None:
    size = int(response.headers.get("content-length") or 0)
    if response.status == 200:
        if max_bytes is not None and size > max_bytes:
            response.close()
            raise TooLarge(size)
        if admit:
            admit(size)
        data = b"" if verb == "HEAD" else response.read()
        whole = verb != "GET" or len(data) == size or "content-length" not in response.headers
        return Reply(200, response.headers, data) if whole else None
    if response.status == 404:
        told = b"" if verb == "HEAD" else response.read()
        # Where the bucket is missing, the long way says so.
        if verb == "HEAD" or b"NoSuchKey" in told:
            return Reply(404, response.headers, told)
    response.close()
    return None
