"""boto3's client of S3, opened without what the other services of AWS would cost.

Imported where a client is opened, and not before.
"""

from __future__ import annotations

import gzip
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boto3.session import Session
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from botocore.loaders import JSONFileLoader, Loader
from botocore.session import get_session

from restyle.errors import ConfigurationError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from restyle.store import Endpoint


class _Every(list[str]):
    """Names of services, of which each that is asked for is one."""

    def __contains__(self, _name: object) -> bool:
        return True


#: Where a file is not, or is none that may be read, the next place is looked into.
_NOT_THERE = (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError)


class _Files(JSONFileLoader):
    """botocore's files with no more than is used, as plain dicts, which keep their order too: 4 MB less of a worker."""

    def load_file(self, file_path: str) -> Any:
        """What is in a file, given by its path without the ending; None where there is none."""
        for ending, opened in ((".json", open), (".json.gz", gzip.open)):
            with suppress(*_NOT_THERE), opened(file_path + ending, "rb") as file:
                return json.loads(file.read(), object_pairs_hook=_used)
        return None


def _used(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of a file without what is written for people and, of all places of AWS, without those of others."""
    found = dict(pairs)
    if isinstance(found.get("documentation"), str):
        found["documentation"] = ""  # botocore looks for the key
    if "partition" in found and isinstance(services := found.get("services"), dict):
        # What is not found here lies by the same rule as the rest.
        found["services"] = {name: services[name] for name in ("s3", "sts") if name in services}
    return found


class Models(Loader):
    """botocore's files about services, without the look through its 400 folders for the names of all of them.

    A service that it does not have is noticed all the same: its file is missed.
    """

    FILE_LOADER_CLASS = _Files

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002 - as the base class has it
        """Each service is taken for one that is there."""
        return _Every()


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
