"""A client of a bucket by obstore: by the route that boto3 takes, with boto3's credentials and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from obstore.store import S3Store

    from restyle.s3.client import Opened


#: A whole exchange may take this many times as long as a server may be silent.
_ALL = 10


#: Connections that are kept idle: each keeps up to 0.4 MB of what it read last.
_IDLE = 8


#: An address where nothing listens, as the proxy for all hosts but the bucket's: so no redirect leaves that host.
_NOWHERE = "http://127.0.0.1:1"


@dataclass
class Route:
    """How to reach a bucket: taken from a request of boto3's."""

    base: str
    """Its URL, without a slash at the end."""
    region: str
    store: S3Store | None = None
    errors: int = 0
    rests_until: float = 0.0

    def is_same(self, other: Route) -> bool:
        """Whether both lead to the same place."""
        return (self.base, self.region) == (other.base, other.region)


def open_bucket(bucket: str, route: Route, opened: Opened, connections: int, seconds: float) -> S3Store:
    """A client of a bucket. Every option is set, so that obstore takes none from the environment.

    Raises:
        BaseError, OSError: it cannot be made.
    """
    from obstore.store import S3Store

    is_tls = route.base.startswith("https:")
    options: dict[str, Any] = {
        "allow_http": not is_tls,
        "connect_timeout": timedelta(seconds=5),
        # Of an answer's head, the sending of the request included; and of each piece of its body.
        "read_timeout": timedelta(seconds=seconds),
        "timeout": timedelta(seconds=_ALL * seconds),
        "pool_max_idle_per_host": str(min(connections, _IDLE)),
        "proxy_url": _NOWHERE,
        "proxy_excludes": (urlsplit(route.base).hostname or "").strip("[]"),
        "user_agent": "restyle",
        "disable_system_certificates": True,
    }
    if is_tls:
        options["root_certificate"] = Path(opened.authorities).read_bytes()
    return S3Store(
        bucket,
        client_options=options,  # type: ignore[arg-type] # its types leave the last one out
        retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=1)},
        credential_provider=Renewed(opened.credentials),
        # The bucket is in the URL already, in whichever style.
        config={
            "endpoint": route.base,
            "aws_endpoint_url_s3": route.base,
            "virtual_hosted_style_request": True,
            "region": route.region,
            "s3_express": False,
            "skip_signature": False,
            "unsigned_payload": False,
            "request_payer": False,
        },
    )


class Renewed:
    """botocore's credentials for obstore, which asks for them again before they are a minute old."""

    refresh_threshold = timedelta(0)

    def __init__(self, credentials: Any) -> None:
        self._credentials = credentials

    def __call__(self) -> Any:
        """As they are now: botocore renews what is about to expire."""
        frozen = self._credentials.get_frozen_credentials()
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": datetime.now(UTC) + timedelta(seconds=30),
        }
