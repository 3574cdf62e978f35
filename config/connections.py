"""Settings in, the ways to S3 and Redis out, for every kind of process."""

from __future__ import annotations

from config.settings import Settings
from restyle.budgets import Budgets
from restyle.errors import ConfigurationError
from restyle.fleet import Limits
from restyle.spool import Spool
from restyle.state import State
from restyle.store import Endpoint, Store


def open_store(settings: Settings, *, connections: int = 16) -> Store:
    """The S3 of these settings: the embedded one for its own bucket, boto3's chain for every other."""
    embedded = None
    if settings.local_s3_endpoint and settings.local_s3_access_key and settings.local_s3_secret_key:
        embedded = Endpoint(
            settings.local_s3_endpoint,
            settings.local_s3_access_key.get_secret_value(),
            settings.local_s3_secret_key.get_secret_value(),
        )
    return Store(embedded=embedded, connections=connections)


def limits(settings: Settings) -> Limits:
    """The protocol's part of the settings."""
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
    """Where this machine keeps paid answers that neither S3 nor Redis takes."""
    return Spool(settings.home.resolve() / "spool")


def open_state(settings: Settings, account: str, *, connections: int = 64) -> State:
    """The Redis of these settings.

    Raises:
        ConfigurationError: no Redis is set.
    """
    if settings.redis_url is None:
        raise ConfigurationError("RESTYLE_REDIS_URL is not set; set it to redis://host:6379/0")
    return State(
        settings.redis_url.get_secret_value(),
        namespace=settings.effective_workspace.namespace,
        account=account,
        connections=connections,
    )
