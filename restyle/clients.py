"""boto3's client of S3, which decides where S3 is, who asks, whom to trust, and by which proxy.

Imported where a client is opened, and not before.
"""

from __future__ import annotations

import functools
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit
from urllib.request import getproxies

from botocore.awsrequest import AWSHTTPConnection, AWSHTTPSConnection
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError
from botocore.handlers import add_expect_header
from botocore.session import Session, get_session

from restyle import trust
from restyle.errors import ConfigurationError
from restyle.informational import FinalResponse

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from restyle.store import Endpoint


@dataclass(frozen=True)
class Opened:
    """A client, and what it goes by, for whoever asks the same S3 in another way."""

    client: S3Client
    credentials: Any
    """botocore's, which renew themselves; None where there are none."""
    authorities: str
    """The file of certificates to trust; it may be missing where S3 is plain HTTP."""
    has_proxy: bool


def open_client(endpoint: Endpoint | None, *, connections: int, seconds: float) -> Opened:
    """A client of the embedded S3 server, or with None of the S3 of boto3's own chain.

    Args:
        endpoint: the embedded server, or None.
        connections: that are kept.
        seconds: for which a server may be silent; each request is tried three times, after pauses of seconds.

    Raises:
        ConfigurationError: AWS's own settings are wrong, or the certificates or the proxy cannot be used.
    """
    read_final_answers()
    try:
        return _opened(endpoint, connections, seconds)
    except (BotoCoreError, ValueError) as error:
        told = str(error).rstrip(".")
        raise ConfigurationError(f"S3 cannot be opened: {told}. Look at the AWS_ variables and ~/.aws/config") from None


def read_final_answers() -> None:
    """Has botocore's connections skip what may precede an answer (`informational.py`)."""
    for connection in (AWSHTTPConnection, AWSHTTPSConnection):
        connection.response_class = FinalResponse  # type: ignore[assignment] # its stubs take one class alone


def _opened(endpoint: Endpoint | None, connections: int, seconds: float) -> Opened:
    config = Config(
        # Who can wait for longer waits above this (`throttling.py`).
        retries={"mode": "standard", "total_max_attempts": 3},
        connect_timeout=5,
        read_timeout=seconds,
        max_pool_connections=connections,
        tcp_keepalive=True,
        # Links too are signed the way that every region takes.
        signature_version="s3v4",
        # The default adds a checksum to each request, which not every S3 server understands.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    session = get_session()
    authorities = _trusting(session)
    asked: dict[str, Any] = {"region_name": session.get_config_variable("region") or "us-east-1"}
    if endpoint is None:
        credentials = session.get_credentials()
        client, has_proxy = _proxied(session, asked, config)
    else:
        credentials, has_proxy = Credentials(endpoint.access_key, endpoint.secret_key), False
        asked |= {
            "endpoint_url": endpoint.url,
            "aws_access_key_id": endpoint.access_key,
            "aws_secret_access_key": endpoint.secret_key,
        }
        client = _client(session, asked, config.merge(Config(s3={"addressing_style": "path"}, proxies={})))
    if client.meta.endpoint_url.startswith("https:") and not Path(authorities).is_file():
        raise ConfigurationError(f"the certificates to trust for S3 cannot be read: there is no file {authorities}")
    return Opened(client, credentials, authorities, has_proxy)


def _client(session: Session, asked: dict[str, Any], config: Config) -> S3Client:
    # As boto3 makes it, without boto3's resources and transfers, which take 2 MB and nobody asks for.
    client = cast("S3Client", session.create_client("s3", config=config, **asked))
    # With it botocore would read the head of an answer by itself, and take an informational one for final.
    client.meta.events.unregister("before-call.s3", add_expect_header)
    return client


def _trusting(session: Session) -> str:
    """Has all clients of a session, also those that fetch credentials, trust one file, and tells which."""
    path = session.get_config_variable("ca_bundle") or trust.authorities()
    if Path(path).is_dir():
        path = _together(path).name
    session.set_config_variable("ca_bundle", path)
    return str(path)


@functools.cache
def _together(folder: str) -> Any:
    """The certificates of a folder in one file, since botocore takes no folder; it is gone with the process."""
    file = tempfile.NamedTemporaryFile(prefix="restyle-", suffix=".pem")  # noqa: SIM115 - kept for as long as it is used
    for name in sorted(Path(folder).iterdir()):
        if name.is_file() and b"-----BEGIN CERTIFICATE-----" in (pem := name.read_bytes()):
            file.write(pem.rstrip() + b"\n")
    file.flush()
    return file


def _proxied(session: Session, asked: dict[str, Any], config: Config) -> tuple[S3Client, bool]:
    """A client by way of the environment's proxy, if its endpoint has one, and whether it has."""
    client = _client(session, asked, config)
    if not getproxies():
        return client, False
    # botocore knows HTTPS_PROXY and NO_PROXY, but no networks in it, and not ALL_PROXY: here they mean what they mean
    # for requests.
    from requests.utils import get_environ_proxies, select_proxy

    url = client.meta.endpoint_url
    proxy = select_proxy(url, get_environ_proxies(url))
    if proxy and "://" in proxy and urlsplit(proxy).scheme not in {"http", "https"}:
        raise ConfigurationError(
            f"S3 cannot be reached by a proxy of the kind {urlsplit(proxy).scheme}: set HTTPS_PROXY and HTTP_PROXY to"
            f" an http:// one, or add {urlsplit(url).hostname} to NO_PROXY"
        )
    client.close()
    scheme = urlsplit(url).scheme
    return _client(session, asked, config.merge(Config(proxies={scheme: proxy} if proxy else {}))), bool(proxy)
