"""Every setting of restyle, read once at the edge of a process: flag > environment > restyle.toml > default.

The environment's names are these fields in upper case behind `RESTYLE_`; restyle.toml has them in lower case.
"""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    field_validator,
)

from config.address import Address, read_address
from config.schedules import Notify, Schedule, check_names
from config.services import ServiceSettings
from restyle.coordination.redis.durability import Durability
from restyle.coordination.redis.hints import MOST_TTL
from restyle.coordination.runs.brakes import BrakeLimit
from restyle.http.public import Network, read_networks
from restyle.models import BASE_MODELS, SCHEDULERS

PREFIX = "RESTYLE_"
#: Calls in flight for which one more worker process pays.
CALLS_A_PROCESS = 32
#: Tables of restyle.toml that are no single settings; the environment has none of them.
TABLES = frozenset({"defaults", "schedule", "notify", "models"})


class ModelLists(BaseModel):
    """`[models]`: names beyond the published, incomplete lists, so that they raise no warning."""

    model_config = ConfigDict(extra="forbid")

    extra_schedulers: tuple[str, ...] = ()
    base_models: tuple[str, ...] = ()


class Settings(ServiceSettings):
    """All settings with their defaults. Build it with `load_settings`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    concurrency: int = Field(8, ge=1, le=1000)
    """Calls in flight of each `restyle worker`, whatever the number of its processes."""
    processes: int = Field(0, ge=0, le=64)
    """Processes of each `restyle worker`; 0: one for every 32 calls in flight, and no more than there are cores."""
    max_rpm: int | None = Field(None, ge=0)
    """Calls begun a minute by the whole fleet; 0 is no limit. Default: 50 at Segmind's own address, else 0."""
    max_attempts: int = Field(5, ge=1, le=100)
    """Calls a job may take before it fails."""
    backoff_base: float = Field(1.0, gt=0)
    """Seconds: the first backoff is drawn between 0 and this; it doubles with each attempt."""
    backoff_max: float = Field(60.0, gt=0)
    """Seconds: no backoff is longer."""
    in_doubt: Literal["retry", "hold"] = "retry"
    """After a call whose answer was lost: call once more (retry), or leave the job to a person (hold)."""
    claim_durability: Durability = Durability.AUTO
    """Where a claim must be before its call begins, beside Redis's memory: auto, off, disk or replica."""
    api_timeout: float = Field(180.0, gt=0)
    """Seconds to wait for an answer; a cold start takes minutes."""
    poll_seconds: float = Field(1.0, gt=0)
    """v2: how often a request is polled."""
    history_seconds: float = Field(30.0, ge=0)
    """v2: how long the API's history may take to show what was submitted."""
    leave_seconds: float = Field(10.0, ge=0)
    """v2: how long a worker that shuts down waits for results; the next one takes up the rest."""
    min_credits: float = Field(0.0, ge=0)
    """Suspend the fleet before the account has less than this left."""
    wait_credits: bool = False
    """Ask for the balance while the account has no credits, and go on after a top-up; of runs without a schedule."""
    credits_seconds: float = Field(60.0, gt=0)
    """How soon the balance is checked then; each time later, up to credits_max."""
    credits_max: float = Field(300.0, gt=0)
    """Longest wait between two looks at the balance."""
    daily_budget: float = Field(0.0, ge=0)
    """Credits that all runs of the workspace may spend in a day; 0: no limit."""
    monthly_budget: float = Field(0.0, ge=0)
    """Credits that all runs of the workspace may spend in a month; 0: no limit."""
    max_failures: BrakeLimit = "50%"
    """A variant stops when so many of its last 50 jobs failed alike; a number is of all jobs of a run; 0: never."""
    max_suspects: BrakeLimit = "50%"
    """The same of pictures that look wrong."""
    allow_suspects: bool = False
    """End with 0 though pictures look wrong."""
    allow_invalid: bool = False
    """End with 0 though bad lines were left out by --skip-invalid."""
    time_zone: str = "UTC"
    """Where a day and a month of the budgets begin, e.g. Europe/Berlin."""
    max_price: float = Field(0.0, ge=0)
    """Credits a sample of 30 steps that a budget sets aside before each call; 0: the dearest seen so far."""

    max_side: int = Field(1024, ge=0)
    """Longest side of a picture sent, in pixels; 0 sends each as it is."""
    background: str = "white"
    """What transparent pictures are laid on."""
    min_side: int = Field(64, ge=1)
    max_ratio: float = Field(4.0, ge=0)
    keep_metadata: bool = False
    keep_replaced: bool = True
    """Copy an output to replaced/ before a newer one takes its place, so that it need not be paid for again."""
    reuse: bool = True
    """Take a picture that was paid for already with the same input and recipe, for whatever job."""

    fetch_http: bool = False
    """Fetch pictures by http:// too, where anybody on the way can change them; https:// is always fetched."""
    fetch_private: str = ""
    """Inner addresses or networks that pictures are fetched from, with commas between, e.g. 10.20.0.0/16."""
    fetch_contact: str = Field("", max_length=200, pattern=r"^[\x20-\x7e]*$")
    """Whom the administrator of a web server can write to: an address or a page, sent in the User-Agent."""
    fetch_slots: int = Field(8, ge=1, le=100)
    """Pictures that each worker process fetches from web servers at a time."""
    fetch_per_host: int = Field(4, ge=1, le=100)
    """Of them, how many the whole fleet fetches from one host at a time."""
    fetch_per_minute: int = Field(600, ge=1, le=60_000)
    """Requests a minute of the whole fleet to one host."""
    fetch_patience: float = Field(3600.0, ge=0)
    """Seconds for which a web server is waited for that fails for every picture."""

    credit_price: float = Field(1.0, gt=0)
    """US dollars a credit."""
    price: float = Field(0.02, ge=0)
    """Credits a sample of 30 steps, until the API's own cost is seen."""
    confirm_above: float = Field(100.0, ge=0)
    """Credits: without a terminal, a larger estimate needs --yes or --budget."""
    max_outage: float = Field(6 * 3600.0, gt=0)
    """Seconds that `run` and `watch` sit out an outage of the API."""

    log_format: Literal["console", "json"] = "console"
    """How workers log."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """From which level on workers log."""

    health_address: Annotated[Address | None, BeforeValidator(read_address)] = None
    """HOST:PORT where a worker or a beat tells its health and metrics; unset: nowhere."""
    watchdog_seconds: float = Field(120.0, ge=0)
    """Seconds without a sign of life after which a worker drains and ends itself; 0: never."""
    traces: bool = False
    """Send OpenTelemetry traces to where the OTEL_* variables say; needs the extra otel."""

    shard_jobs: int = Field(500, ge=1, le=5000)
    """Jobs in one shard of a plan."""
    window_jobs: int = Field(4000, ge=1)
    """Jobs of a run that may be out at a time."""
    heartbeat_seconds: float = Field(3.0, gt=0)
    """How often a worker says that it lives."""
    heartbeat_ttl: float = Field(15.0, gt=0, le=MOST_TTL)
    """Seconds after which a silent worker counts as gone."""
    dead_after: float = Field(15.0, ge=0)
    """Seconds that the dispatcher must itself have seen a heartbeat missing before it frees the jobs."""
    dispatch_seconds: float = Field(1.0, gt=0, le=MOST_TTL / 5)
    """How often the dispatcher moves the runs forward."""
    refeed_after: float = Field(120.0, gt=0)
    """Seconds after which a pending job that no worker holds is fed again."""
    holder_seconds: float = Field(45.0, ge=3, le=300)
    """Seconds without a sign of life after which another Redis may take the workspace over."""
    outage_failures: int = Field(10, ge=2)
    """Failed calls in a row, over several jobs, that count as an outage."""
    outage_jobs: int = Field(5, ge=2)
    """Different jobs among them."""
    probe_seconds: float = Field(5.0, gt=0)
    """First wait before an outage is probed; it doubles up to probe_max."""
    probe_max: float = Field(300.0, gt=0)
    """Longest wait between two probes."""
    beat_seconds: float = Field(1.0, gt=0, le=30)
    """How often `restyle beat` looks whether a schedule is due."""
    beat_grace: float = Field(60.0, ge=0)
    """Seconds by which a firing may be late without being missed."""
    start_again: float = Field(15.0, gt=0)
    """Seconds after which a firing that no worker plans is handed out again."""

    low_credits_hours: float = Field(3.0, ge=0)
    """Notifications tell when the credits last for less than this at the pace of late; 0: never."""
    notify_secret: SecretStr | None = None
    """Signs what webhooks get."""
    notify_slack: SecretStr | None = None
    """The address of a Slack-compatible webhook, which is a secret as a whole."""
    notify_hosts: str = ""
    """Hosts that webhooks may go to, by https://, with commas between: hooks.example.com, chat.example.com:8443.
    http:// only where it is written before one. Default: those of this file."""
    smtp_host: str = ""
    """The mail server of [notify.email]."""
    smtp_port: int = Field(587, ge=1, le=65535)
    """Its port."""
    smtp_user: str = ""
    """Who signs in there; empty: nobody does."""
    smtp_password: SecretStr | None = None
    """With which password; sent over TLS alone."""
    smtp_tls: Literal["starttls", "tls", "none"] = "starttls"
    """How the connection is made safe."""
    smtp_from: str = ""
    """The sender of messages; default: restyle at the mail server's host."""

    local_s3_endpoint: str | None = None
    """Set by the embedded stack for its worker: the address of bucket restyle-local."""
    local_s3_access_key: SecretStr | None = None
    """Set by the embedded stack for its worker."""
    local_s3_secret_key: SecretStr | None = None
    """Set by the embedded stack for its worker."""
    local_redis: str | None = None
    """Set by the embedded stack: the machine whose Redis it is, and ends with it."""
    local_sandbox: bool | None = None
    """Set by the embedded stack: its own sandbox is up, and the API's address and key are its."""

    defaults: dict[str, Any] = Field(default_factory=dict)
    """`[defaults]`: parameters for every manifest, below all others."""
    schedule: Annotated[tuple[Schedule, ...], AfterValidator(check_names)] = ()
    """`[[schedule]]`: runs that `restyle beat` starts."""
    notify: Notify = Notify()
    """`[notify]`: who is notified of every run that has no `notify` of its own."""
    models: ModelLists = ModelLists()
    """`[models]`: names beyond the published lists."""

    #: Where each value that is no default came from.
    _sources: dict[str, str] = PrivateAttr(default_factory=dict)

    @field_validator("time_zone")
    @classmethod
    def _time_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"there is no time zone {value!r}; write it like Europe/Berlin") from None
        return value

    @field_validator("fetch_private")
    @classmethod
    def _networks(cls, value: str) -> str:
        read_networks(value)
        return value

    def source(self, name: str) -> str:
        """Where a setting's value came from: flag, environment, the file's name, or default."""
        return self._sources.get(name, "default")

    @property
    def effective_max_rpm(self) -> int:
        """Calls begun a minute by the whole fleet; 0 is no limit."""
        if self.max_rpm is not None:
            return self.max_rpm
        return 50 if self.api_url.startswith("https://api.segmind.com/") and not self.sandbox else 0

    @property
    def effective_processes(self) -> int:
        """Processes of a worker: none without a call in flight of its own."""
        processes = self.processes or min(os.cpu_count() or 1, -(-self.concurrency // CALLS_A_PROCESS))
        return min(processes, self.concurrency)

    @property
    def fetch_networks(self) -> tuple[Network, ...]:
        """The inner networks that pictures are fetched from."""
        return read_networks(self.fetch_private)

    @property
    def schedulers(self) -> tuple[str, ...]:
        """Scheduler values that raise no warning."""
        return SCHEDULERS + self.models.extra_schedulers

    @property
    def base_models(self) -> tuple[str, ...]:
        """Base model values that raise no warning."""
        return BASE_MODELS + self.models.base_models
