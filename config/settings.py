"""Every setting of restyle, read once at the edge of a process: flag > environment > restyle.toml > default.

The environment's names are these fields in upper case behind `RESTYLE_`; restyle.toml has them in lower case.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urljoin
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    field_validator,
)

from config.address import Address, read_address
from config.outputs import OutputSettings
from config.schedules import Notify, Schedule, check_names, readable
from restyle.durability import Durability
from restyle.errors import ConfigurationError
from restyle.keys import Workspace, account_id, parse_workspace
from restyle.models import BASE_MODELS, SCHEDULERS

SEGMIND_URL = "https://api.segmind.com/v1/sdxl-img2img"
#: Where Segmind's own Python SDK (generations.py) reads the account's requests.
SEGMIND_HISTORY = "https://api.spotprod.segmind.com/inference-request/request-history"
PREFIX = "RESTYLE_"
#: Calls in flight for which one more worker process pays.
CALLS_A_PROCESS = 32
#: Tables of restyle.toml that are no single settings; the environment has none of them.
TABLES = frozenset({"defaults", "schedule", "notify", "models"})
#: Names that belong to the environment only: where the file is, and secrets, which no file may hold.
_ENVIRONMENT_ONLY = frozenset(
    {"config", "api_key", "dashboard_token", "notify_secret", "notify_slack", "smtp_password"}
)


class ModelLists(BaseModel):
    """`[models]`: names beyond the published, incomplete lists, so that they raise no warning."""

    model_config = ConfigDict(extra="forbid")

    extra_schedulers: tuple[str, ...] = ()
    base_models: tuple[str, ...] = ()


class Settings(OutputSettings):
    """All settings with their defaults. Build it with `load_settings`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    redis_url: SecretStr | None = None
    """Redis or Valkey, e.g. redis://host:6379/0. Unset: the embedded Valkey."""
    workspace: str | None = None
    """Where plans, records and outputs live: s3://bucket/prefix. Unset: the embedded S3."""
    api_url: str = SEGMIND_URL
    """Where calls go."""
    api: Literal["v1", "v2"] = "v1"
    """The API's door: v1 waits for each picture in one call; v2 submits to the API's queue, and never pays twice."""
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
    """v2: how often a request is asked for."""
    history_seconds: float = Field(30.0, ge=0)
    """v2: how long the API's history may take to show what was submitted."""
    leave_seconds: float = Field(10.0, ge=0)
    """v2: how long a worker that shuts down waits for results; the next one takes up the rest."""
    min_credits: float = Field(0.0, ge=0)
    """Suspend the fleet before the account has less than this left."""
    daily_budget: float = Field(0.0, ge=0)
    """Credits that all runs of the workspace may spend in a day; 0: no limit."""
    monthly_budget: float = Field(0.0, ge=0)
    """Credits that all runs of the workspace may spend in a month; 0: no limit."""
    time_zone: str = "UTC"
    """Where a day and a month of the budgets begin, e.g. Europe/Berlin."""
    max_price: float = Field(0.0, ge=0)
    """Credits a sample of 30 steps that a budget sets aside before each call; 0: the dearest seen so far."""

    max_side: int = Field(1024, ge=0)
    """Longest side of a picture sent, in pixels; 0 sends each as it is."""
    background: str = "white"
    """What transparent pictures are laid on."""
    keep_replaced: bool = True
    """Copy an output to replaced/ before a newer one takes its place."""

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
    heartbeat_ttl: float = Field(15.0, gt=0)
    """Seconds after which a silent worker counts as gone."""
    dead_after: float = Field(15.0, ge=0)
    """Seconds that the dispatcher must itself have seen a heartbeat missing before it frees the jobs."""
    dispatch_seconds: float = Field(1.0, gt=0)
    """How often the dispatcher moves the runs forward."""
    refeed_after: float = Field(120.0, gt=0)
    """Seconds after which a pending job that no worker holds is fed again."""
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

    notify_secret: SecretStr | None = None
    """Signs what webhooks get."""
    notify_slack: SecretStr | None = None
    """The address of a Slack-compatible webhook, which is a secret as a whole."""
    smtp_password: SecretStr | None = None
    """For the mail server of [notify.email]."""

    local_s3_endpoint: str | None = None
    """Set by the embedded stack for its worker: the address of bucket restyle-local."""
    local_s3_access_key: SecretStr | None = None
    """Set by the embedded stack for its worker."""
    local_s3_secret_key: SecretStr | None = None
    """Set by the embedded stack for its worker."""
    local_sandbox: bool | None = None
    """Set by the embedded stack: its own sandbox is up, and the API's address and key are its."""

    defaults: dict[str, Any] = Field(default_factory=dict)
    """`[defaults]`: parameters for every manifest, below all others."""
    schedule: Annotated[tuple[Schedule, ...], AfterValidator(check_names)] = ()
    """`[[schedule]]`: runs that `restyle beat` starts."""
    notify: Notify = Notify()
    """`[notify]`: who is told of every run that has no `notify` of its own."""
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

    @field_validator("workspace")
    @classmethod
    def _workspace(cls, value: str | None) -> str | None:
        return parse_workspace(value).uri if value else None

    def source(self, name: str) -> str:
        """Where a setting's value came from: flag, environment, the file's name, or default."""
        return self._sources.get(name, "default")

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
    def effective_max_rpm(self) -> int:
        """Calls begun a minute by the whole fleet; 0 is no limit."""
        if self.max_rpm is not None:
            return self.max_rpm
        return 50 if self.api_url.startswith("https://api.segmind.com/") and not self.sandbox else 0

    @property
    def effective_processes(self) -> int:
        """Processes of a worker: none without a call in flight of its own."""
        wanted = self.processes or min(os.cpu_count() or 1, -(-self.concurrency // CALLS_A_PROCESS))
        return min(wanted, self.concurrency)

    @property
    def account(self) -> str | None:
        """What stands for the API account in Redis, whichever door is used; None without a key."""
        return account_id(self.door_url("v1"), self.api_key.get_secret_value()) if self.api_key else None

    def door_url(self, version: Literal["v1", "v2"]) -> str:
        """The address of a door: `api_url` with this version, where it is of the API's own form."""
        return re.sub(r"^(https?://[^/]+)/v[12]/", rf"\1/{version}/", self.api_url)

    @property
    def effective_history_url(self) -> str:
        """Where the account's requests are read; empty: nowhere."""
        if self.history_url is not None:
            return "" if self.history_url == "off" else self.history_url.rstrip("/")
        if self.api_url.startswith("https://api.segmind.com/"):
            return SEGMIND_HISTORY
        return urljoin(self.api_url, "/inference-request/request-history")

    @property
    def schedulers(self) -> tuple[str, ...]:
        """Scheduler values that raise no warning."""
        return SCHEDULERS + self.models.extra_schedulers

    @property
    def base_models(self) -> tuple[str, ...]:
        """Base model values that raise no warning."""
        return BASE_MODELS + self.models.base_models


def config_path() -> Path:
    """The settings file: RESTYLE_CONFIG, or restyle.toml in the working directory."""
    return Path(os.environ.get(f"{PREFIX}CONFIG") or "restyle.toml")


def load_settings(**flags: Any) -> Settings:
    """The settings of this process; flags that are None were not given.

    Raises:
        ConfigurationError: a value or a name is wrong; all of them are listed.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    in_file = _read_file(config_path())
    in_environment = _read_environment()
    if "api_key" not in given and "api_key" not in in_environment and (key := _found_key(given, in_file)):
        given["api_key"] = key
    try:
        settings = Settings(**{**in_file, **in_environment, **given})
    except ValidationError as error:
        raise ConfigurationError("\n".join(_readable(problem, in_file) for problem in error.errors())) from None
    if settings.redis_url and not settings.workspace:
        raise ConfigurationError(
            "RESTYLE_REDIS_URL is set but RESTYLE_WORKSPACE is not: a fleet needs a bucket that all its workers"
            " reach. Set RESTYLE_WORKSPACE=s3://bucket/prefix"
        )
    if settings.sandbox and settings.redis_url and settings.api_url == SEGMIND_URL:
        raise ConfigurationError(
            "--sandbox with RESTYLE_REDIS_URL needs a sandbox that every worker reaches: start one with"
            " `restyle sandbox` and set RESTYLE_API_URL to its address"
        )
    file_name = str(config_path())
    settings._sources.update(dict.fromkeys(in_file, file_name))  # noqa: SLF001 - the one that builds it fills it
    settings._sources.update(dict.fromkeys(in_environment, "environment"))  # noqa: SLF001
    settings._sources.update({name: "flag" for name, value in flags.items() if value is not None})  # noqa: SLF001
    if "api_key" in given and flags.get("api_key") is None:
        settings._sources["api_key"] = "SEGMIND_API_KEY" if _segmind_key() else "api_key_file"  # noqa: SLF001
    return settings


def _segmind_key() -> str:
    return os.environ.get("SEGMIND_API_KEY", "").strip()


def _found_key(given: dict[str, Any], in_file: dict[str, Any]) -> str:
    """The key from SEGMIND_API_KEY or from the key file."""
    if key := _segmind_key():
        return key
    path = given.get("api_key_file") or os.environ.get(f"{PREFIX}API_KEY_FILE") or in_file.get("api_key_file")
    if not path:
        return ""
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the API key file cannot be read: {error}") from None


def _read_file(path: Path) -> dict[str, Any]:
    """The settings file's content; a missing default file is empty, a missing RESTYLE_CONFIG an error."""
    if not path.exists():
        if os.environ.get(f"{PREFIX}CONFIG"):
            raise ConfigurationError(f"RESTYLE_CONFIG names {path}, which does not exist")
        return {}
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigurationError(f"{path}: {error}") from None
    for secret in ("api_key", "dashboard_token"):
        if secret in content:
            name = f"{PREFIX}{secret.upper()}"
            raise ConfigurationError(f"{path}: {secret}: no secret belongs in a file that is shared; use {name}")
    known = Settings.model_fields.keys() - _ENVIRONMENT_ONLY
    wrong = [f"{path}: {name}: unknown setting{_nearest(name, known)}" for name in content.keys() - known]
    if wrong:
        raise ConfigurationError("\n".join(sorted(wrong)))
    return content


def _read_environment() -> dict[str, str]:
    """The settings that the environment gives; an empty variable counts as unset."""
    found = {
        name.removeprefix(PREFIX).lower(): value
        for name, value in os.environ.items()
        if name.startswith(PREFIX) and value
    }
    known = (Settings.model_fields.keys() | {"config"}) - TABLES
    wrong = [f"{PREFIX}{name.upper()}: unknown setting{_nearest(name, known)}" for name in found.keys() - known]
    if wrong:
        raise ConfigurationError("\n".join(sorted(wrong)))
    found.pop("config", None)
    return found


def _nearest(name: str, known: set[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {close[0]}?" if close else ""


def _readable(problem: Any, in_file: dict[str, Any]) -> str:
    if problem["loc"] and problem["loc"][0] in {"schedule", "notify"}:
        return f"{config_path()}: {readable(problem, in_file, _nearest)}"
    name = ".".join(str(part) for part in problem["loc"])
    return f"{PREFIX}{name.upper()}: {problem['msg'].removeprefix('Value error, ')}"
