"""Opens the clients of S3 and Redis by the settings, for every kind of process."""

from __future__ import annotations

import getpass
import hashlib
import socket
from importlib.metadata import version

from config.settings import Settings
from restyle.coordination.budgets import Budgets
from restyle.coordination.claim_types import Limits
from restyle.coordination.fleet import Fleet
from restyle.coordination.redis.address import RedisAddress
from restyle.coordination.redis.client import State
from restyle.coordination.workspace.flags import Owner
from restyle.coordination.workspace.holder import Terms, address_of
from restyle.coordination.workspace.holding import Holding
from restyle.errors import ConfigurationError
from restyle.http.trust import authorities, check_address, proxy_for
from restyle.job.parked.on_disk import Spool
from restyle.s3.store import Endpoint, Store
from restyle.s3.throttling import Patience


def check_network(settings: Settings) -> None:
    """Checks that the environment's certificates and proxies can be used, before a worker is started.

    Raises:
        ConfigurationError: it cannot; a worker would end at its start.
    """
    authorities()
    check_address(settings.api_url)
    if not (settings.sandbox and settings.redis_url is None):  # whose own sandbox is on this machine
        proxy_for(settings.api_url)


def open_store(settings: Settings, *, connections: int = 16, patience: Patience | None = None) -> Store:
    """The S3 of these settings: the embedded one for its own bucket, boto3's chain for every other."""
    embedded = None
    if settings.local_s3_endpoint and settings.local_s3_access_key and settings.local_s3_secret_key:
        embedded = Endpoint(
            settings.local_s3_endpoint,
            settings.local_s3_access_key.get_secret_value(),
            settings.local_s3_secret_key.get_secret_value(),
        )
    return Store(embedded=embedded, connections=connections, patience=patience)


def limits(settings: Settings) -> Limits:
    """The settings of the claim protocol."""
    return Limits(
        max_rpm=settings.effective_max_rpm,
        heartbeat_seconds=settings.heartbeat_seconds,
        heartbeat_ttl=settings.heartbeat_ttl,
        durability=settings.claim_durability,
        outage_failures=settings.outage_failures,
        outage_jobs=settings.outage_jobs,
        probe_seconds=settings.probe_seconds,
        probe_max=settings.probe_max,
        api_timeout=settings.api_timeout,
        budgets=Budgets(
            price=settings.price,
            ceiling=settings.max_price,
            least=settings.min_credits,
            daily=settings.daily_budget,
            monthly=settings.monthly_budget,
            zone=settings.time_zone,
        ),
    )


def open_spool(settings: Settings) -> Spool:
    """The folder for paid answers that neither S3 nor Redis takes."""
    return Spool(settings.home.resolve() / "spool")


def open_holding(settings: Settings, store: Store, fleet: Fleet) -> Holding:
    """What holds the workspace for the Redis of these settings."""
    url = settings.redis_url.get_secret_value() if settings.redis_url else ""
    machine = hashlib.sha256(settings.local_redis.encode()).hexdigest()[:8] if settings.local_redis else ""
    owner = Owner(who(), address_of(url), version("catalog-restyle"), machine)
    return Holding(store, settings.effective_workspace, fleet, owner, Terms(settings.holder_seconds))


def who() -> str:
    """USER@HOST of this process, for records of who did something."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


def redis_address(settings: Settings) -> RedisAddress:
    """The address of these settings' Redis.

    Raises:
        ConfigurationError: no Redis is set.
    """
    if settings.redis_url is None:
        raise ConfigurationError("RESTYLE_REDIS_URL is not set; set it to redis://host:6379/0")
    password = settings.redis_sentinel_password
    return RedisAddress(
        settings.redis_url.get_secret_value(),
        master=settings.redis_sentinel_master,
        sentinel_username=settings.redis_sentinel_username,
        sentinel_password=password.get_secret_value() if password else "",
        sentinel_tls=settings.redis_sentinel_tls,
    )


def open_state(settings: Settings, account: str, *, connections: int = 64) -> State:
    """The Redis of these settings.

    Raises:
        ConfigurationError: no Redis is set, or its address cannot be read.
    """
    return State(
        redis_address(settings),
        namespace=settings.effective_workspace.namespace,
        account=account,
        connections=connections,
    )
