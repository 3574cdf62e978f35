"""boto3's client of S3, opened without what the other services of AWS would cost.

Imported where a client is opened, and not before.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boto3.session import Session
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from botocore.loaders import Loader
from botocore.session import get_session

from restyle.errors import ConfigurationError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from restyle.store import Endpoint


class _Every(list[str]):
    """Names of services, of which each that is asked for is one."""

    def __contains__(self, _name: object) -> bool:
        return True


class Models(Loader):
    """botocore's files about services, without the look through its 400 folders for the names of all of them.

    A service that it does not have is noticed all the same: its file is missed.
    """

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002 - as the base class has it
        """Each service is taken for one that is there."""
        return _Every()

    def load_data_with_path(self, name: str) -> Any:
        """A file; of the places where AWS has its services, 7 MB, those of no other service are kept.

        What is not found there lies by the same rule as the rest.
        """
        found = super().load_data_with_path(name)
        if name.endswith("service-2"):
            _silence(found[0])
        if name == "endpoints":
            for partition in found[0]["partitions"]:
                services = partition["services"]
                partition["services"] = {name: services[name] for name in ("s3", "sts") if name in services}
        return found


def _silence(model: Any) -> None:
    """Takes what is written for people out of a service's model: a third of its memory."""
    for part in model.values() if isinstance(model, dict) else model:
        if isinstance(part, dict | list):
            _silence(part)
    if isinstance(model, dict) and isinstance(model.get("documentation"), str):
        model["documentation"] = ""


def open_client(endpoint: Endpoint | None, *, connections: int) -> tuple[S3Client, str | None]:
    """A client of the embedded S3 server, or with None of the S3 of boto3's own chain; and the CA bundle it trusts.

    Raises:
        ConfigurationError: AWS's own settings are wrong.
    """
    try:
        return _opened(endpoint, connections)
    except (BotoCoreError, ValueError) as error:
        told = str(error).rstrip(".")
        raise ConfigurationError(f"S3 cannot be opened: {told}. Look at the AWS_ variables and ~/.aws/config") from None


def _opened(endpoint: Endpoint | None, connections: int) -> tuple[S3Client, str | None]:
    config = Config(
        retries={"mode": "standard", "max_attempts": 3},
        connect_timeout=5,
        read_timeout=30,
        max_pool_connections=connections,
        tcp_keepalive=True,
        # Links too are signed the way that every region takes.
        signature_version="s3v4",
        # The default adds a checksum to each request, which not every S3 server understands.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    session = get_session()
    paths = filter(None, (session.get_config_variable("data_path") or "").split(os.pathsep))
    session.register_component("data_loader", Models([str(Path(path).expanduser()) for path in paths]))
    chain = Session(botocore_session=session)
    region = session.get_config_variable("region") or "us-east-1"
    if endpoint is None:
        client = chain.client("s3", region_name=region, config=config)
    else:
        client = chain.client(
            "s3",
            region_name=region,
            endpoint_url=endpoint.url,
            aws_access_key_id=endpoint.access_key,
            aws_secret_access_key=endpoint.secret_key,
            config=config.merge(Config(s3={"addressing_style": "path"}, proxies={})),
        )
    return client, session.get_config_variable("ca_bundle")
