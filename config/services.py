"""Settings of what restyle talks to: Redis, the workspace, the API, and the browsers of the dashboard."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal
from urllib.parse import urljoin, urlsplit

from pydantic import (
    SecretStr,
    field_validator,
)

from config.outputs import OutputSettings
from restyle.errors import ConfigurationError
from restyle.keys import Workspace, account_id, parse_workspace

SEGMIND_URL = "https://api.segmind.com/v1/sdxl-img2img"
#: Where Segmind's own Python SDK (generations.py) reads the account's requests.
SEGMIND_HISTORY = "https://api.spotprod.segmind.com/inference-request/request-history"
#: What keys are written with: nothing that an environment file or a secret adds around them.
_KEY = re.compile(r"[!#-&(-~]+")


def _has_login(url: str) -> bool:
    """Whether an address has a user or a password, or the beginning of one where its port should be."""
    host = urlsplit(url).netloc
    port = host.rpartition("]")[2].partition(":")[2]
    return "@" in host or bool(port and not port.isdecimal())


class ServiceSettings(OutputSettings):
    """The part of `Settings` that is about other servers and who may reach this one; that about outputs is its base."""

    redis_url: SecretStr | None = None
    """Redis or Valkey, e.g. redis://host:6379/0; or its sentinels: sentinel://h1;sentinel://h2/0. Unset: embedded."""
    redis_sentinel_master: str = "mymaster"
    """The name that the sentinels of `redis_url` give the primary."""
    redis_sentinel_username: str = ""
    """The user by whom the sentinels are asked; user and password of the servers are in `redis_url`."""
    redis_sentinel_password: SecretStr | None = None
    """The sentinels' own password."""
    redis_sentinel_tls: bool = False
    """Speak TLS to sentinels and servers, as rediss:// does to one server."""
    workspace: str | None = None
    """Where plans, records and outputs live: s3://bucket/prefix. Unset: the embedded S3."""
    api_url: str = SEGMIND_URL
    """Where calls go."""
    api: Literal["v1", "v2"] = "v1"
    """The API's mode: v1 waits for each picture in one call; v2 submits to the API's queue, and never pays twice."""
    history_url: str | None = None
    """Where v2 looks up submits whose answers were lost; off: nowhere. Default: the API's own."""
    api_key: SecretStr | None = None
    """The API's key; SEGMIND_API_KEY and RESTYLE_API_KEY_FILE are read too."""
    api_key_file: Path | None = None
    """A file with nothing but the API key in it."""
    sandbox: bool = False
    """Call the sandbox instead of the paid API, in the workspace's sandbox/ folder."""
    home: Path = Path(".restyle")
    """Where the embedded stack keeps its state, and a worker paid answers that neither S3 nor Redis takes."""
    dashboard_token: SecretStr | None = None
    """What people sign in to the dashboard with; needed where it listens beyond this machine."""
    dashboard_view_token: SecretStr | None = None
    """What people sign in with who look at the dashboard, and press no button."""
    dashboard_url: str | None = None
    """The address that browsers have of the dashboard, e.g. https://restyle.shop.example."""
    dashboard_trust: str | None = None
    """The header by which a proxy before the dashboard names who has signed in there, e.g. X-Forwarded-User."""
    dashboard_proxies: str = ""
    """Addresses or networks of that proxy, with commas between; from nobody else is the header believed."""
    dashboard_actors: str = ""
    """Whom of those may press buttons, by the names that the proxy gives, with commas between; * is everybody."""

    @field_validator("api_url", "history_url")
    @classmethod
    def _without_login(cls, value: str | None) -> str | None:
        if value and _has_login(value):
            raise ValueError("has a user or a password in it, which would stand in records and logs; leave them out")
        return value

    @field_validator("api_key")
    @classmethod
    def _without_blanks(cls, value: SecretStr | None) -> SecretStr | None:
        if value and not _KEY.fullmatch(value.get_secret_value()):
            raise ValueError(
                "has a blank, a quote, a line break or another character that no key has; copy it once more"
            )
        return value

    @field_validator("workspace")
    @classmethod
    def _workspace(cls, value: str | None) -> str | None:
        if value and "@" in value.removeprefix("s3://").partition("/")[0]:
            raise ValueError(
                "has a user or a password in it; S3's keys are AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        return parse_workspace(value).uri if value else None

    @property
    def effective_workspace(self) -> Workspace:
        """The workspace that this process works in: the sandbox's own folder under --sandbox.

        Raises:
            ConfigurationError: no workspace is set.
        """
        if not self.workspace:
            raise ConfigurationError("RESTYLE_WORKSPACE is not set; set it to s3://bucket/prefix")
        workspace = Workspace(self.workspace)
        return workspace.sandbox if self.sandbox else workspace

    @property
    def account(self) -> str | None:
        """What stands for the API account in Redis, whichever mode is used; None without a key."""
        return account_id(self.door_url("v1"), self.api_key.get_secret_value()) if self.api_key else None

    def door_url(self, version: Literal["v1", "v2"]) -> str:
        """The address of a mode: `api_url` with this version, where it is of the API's own form."""
        return re.sub(r"^(https?://[^/]+)/v[12]/", rf"\1/{version}/", self.api_url)

    @property
    def sends_key_in_clear(self) -> bool:
        """Whether the API key goes over a network without TLS."""
        history = self.effective_history_url if self.api == "v2" else ""
        places = [urlsplit(url) for url in (self.api_url, history)]
        beyond = [place for place in places if place.hostname not in {"localhost", "127.0.0.1", "::1"}]
        return any(place.scheme == "http" for place in beyond) and not self.sandbox

    @property
    def effective_history_url(self) -> str:
        """Where the account's requests are read; empty: nowhere."""
        if self.history_url is not None:
            return "" if self.history_url == "off" else self.history_url.rstrip("/")
        if self.api_url.startswith("https://api.segmind.com/"):
            return SEGMIND_HISTORY
        return urljoin(self.api_url, "/inference-request/request-history")
