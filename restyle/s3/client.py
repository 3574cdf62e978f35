"""Opens boto3's client of S3. Its chain decides the endpoint, the credentials, the certificates and the proxy.

Imported only where a client is opened: botocore takes a fifth of a second to import.
"""

from __future__ import annotations

import functools
import re
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

from restyle.errors import ConfigurationError
from restyle.http import trust
from restyle.http.informational import FinalResponse
from restyle.s3.pages import take_in_quickly

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from restyle.s3.store import Endpoint


#: A user and a password in an address, as an error may quote it.
_LOGIN = re.compile(r"[^\s/\"']*@")

#: How OpenSSL finds a certificate in a folder.
_HASHED = re.compile(r"[0-9a-f]{8}\.\d+")


@dataclass(frozen=True)
class Opened:
    """A client with its credentials and certificates, which restyle/s3/objects.py uses too."""

    client: S3Client
    credentials: Any
    """botocore's, which renew themselves; None where there are none."""
    authorities: str
    """The file of certificates to trust; empty where S3 is plain HTTP and there is none."""
    has_proxy: bool


def open_client(endpoint: Endpoint | None, *, connections: int, seconds: float) -> Opened:
    """A client of the embedded S3 server, or of the S3 that boto3's own chain finds.

    Args:
        endpoint: the embedded server; None: boto3's chain.
        connections: how many are kept open.
        seconds: how long a server may be silent; each request is tried three times, after pauses of seconds.

    Raises:
        ConfigurationError: AWS's own settings are wrong, or the certificates or the proxy cannot be used.
    """
    read_final_answers()
    try:
        return _opened(endpoint, connections, seconds)
    except (BotoCoreError, ValueError) as error:
        reason = _LOGIN.sub("***@", str(error).rstrip("."))
        raise ConfigurationError(
            f"S3 cannot be opened: {reason}. Look at the AWS_ variables and ~/.aws/config"
        ) from None


def read_final_answers() -> None:
    """Has botocore's connections skip informational answers, 1xx, before the final one (`informational.py`)."""
    for connection in (AWSHTTPConnection, AWSHTTPSConnection):
        connection.response_class = FinalResponse  # type: ignore[assignment] # its stubs take one class alone


def _opened(endpoint: Endpoint | None, connections: int, seconds: float) -> Opened:
    config = Config(
        # Callers that can wait longer do so above this (`throttling.py`).
        retries={"mode": "standard", "total_max_attempts": 3},
        connect_timeout=5,
        read_timeout=seconds,
        max_pool_connections=connections,
        tcp_keepalive=True,
        # The only signature that every region takes, for links as well.
        signature_version="s3v4",
        # The default adds a checksum to each request, which not every S3 server understands.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    session = get_session()
    options: dict[str, Any] = {"region_name": session.get_config_variable("region") or "us-east-1"}
    if endpoint is not None:
        options |= {
            "endpoint_url": endpoint.url,
            "aws_access_key_id": endpoint.access_key,
            "aws_secret_access_key": endpoint.secret_key,
        }
        client = _client(session, options, config.merge(Config(s3={"addressing_style": "path"}, proxies={})))
        return Opened(client, Credentials(endpoint.access_key, endpoint.secret_key), "", has_proxy=False)
    distrust = None
    try:
        authorities = _trusting(session)
    except ConfigurationError as error:
        authorities, distrust = "", error
    client = _client(session, options, config)
    _check_address(client)
    if distrust and client.meta.endpoint_url.startswith("https:"):
        raise distrust
    proxy = trust.proxy_for(client.meta.endpoint_url)
    if getproxies():
        client.close()
        client = _client(session, options, config.merge(Config(proxies=_named(proxy, client.meta.endpoint_url))))
    return Opened(client, session.get_credentials(), authorities, has_proxy=proxy is not None)


def _check_address(client: S3Client) -> None:
    """Raises ConfigurationError where the address of S3 has a password in it: errors quote that address."""
    if "@" in urlsplit(client.meta.endpoint_url).netloc:
        client.close()
        raise ConfigurationError(
            "the address of S3 (AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL) has a user or a password in it, which would"
            " stand in messages and logs, and are not sent: leave them out; S3's keys are AWS_ACCESS_KEY_ID and"
            " AWS_SECRET_ACCESS_KEY"
        )


def _client(session: Session, options: dict[str, Any], config: Config) -> S3Client:
    # As boto3 makes it, without boto3's resources and transfers, which take 2 MB and are not used.
    client = cast("S3Client", session.create_client("s3", config=config, **options))
    # With this handler botocore would read the head of an answer by itself, and take a 1xx for the final one.
    client.meta.events.unregister("before-call.s3", add_expect_header)
    take_in_quickly(client.meta.events)
    return client


def _trusting(session: Session) -> str:
    """Has all clients of a session, also those that fetch credentials, trust one file; returns its path.

    Raises:
        ConfigurationError: there is no such file.
    """
    path = str(session.get_config_variable("ca_bundle") or trust.authorities())
    if Path(path).is_dir():
        path = _together(path).name
    if not Path(path).is_file():
        raise ConfigurationError(
            f"the certificates to trust for S3 cannot be read: {path} does not exist; see AWS_CA_BUNDLE"
        )
    session.set_config_variable("ca_bundle", path)
    return path


@functools.cache
def _together(folder: str) -> Any:
    """The certificates of a folder in one file, since botocore takes no folder; it is gone with the process."""
    file = tempfile.NamedTemporaryFile(prefix="restyle-", suffix=".pem")  # noqa: SIM115 - kept for as long as it is used
    for name in sorted(Path(folder).iterdir()):
        if _HASHED.fullmatch(name.name) and name.is_file():
            file.write(name.read_bytes().rstrip() + b"\n")
    file.flush()
    return file


def _named(proxy: trust.Proxy | None, url: str) -> dict[str, str]:
    """The proxies for botocore, resolved here since botocore knows no networks in NO_PROXY, and no ALL_PROXY.

    Raises:
        ConfigurationError: S3 cannot be reached by this proxy.
    """
    if proxy is None:
        return {}
    if not proxy.url.startswith(("http:", "https:")):
        raise ConfigurationError(
            f"{proxy.variable} names the proxy {proxy.name}, by which S3 cannot be reached: name one that speaks HTTP"
            f" (HTTPS_PROXY, HTTP_PROXY), or add {urlsplit(url).hostname} to NO_PROXY"
        )
    return {urlsplit(url).scheme: proxy.url}
