"""What moves through restyle: parameters, jobs, runs, outcomes and records.

Everything here is a frozen value that is written to S3 or Redis as JSON. Formats: docs/formats.md.
"""

from __future__ import annotations

import posixpath
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from restyle.fingerprint import Preparation
from restyle.formats import SchemaVersion
from restyle.outputs import OutputOptions
from restyle.run_ids import check_labels, check_run_name
from restyle.value import UtcTime, Value

#: Sets an attribute of a frozen value.
_put = object.__setattr__


RunName = Annotated[str, AfterValidator(check_run_name)]
#: What costs are counted by beside a run's name.
Labels = Annotated[dict[str, str], AfterValidator(check_labels)]
#: Characters of a prompt that a run keeps, for people who look for it.
PROMPT_HEAD = 120

SCHEDULERS = (
    "DDIM", "DPM Multi", "DPM Single", "Euler a", "Euler", "Heun",
    "DPM2 a Karras", "DPM2 Karras", "LMS", "PNDM", "DDPM", "UniPC",
)  # fmt: skip
BASE_MODELS = ("juggernaut",)
MAX_SEED = 999_999_999_999_999


class Params(Value):
    """The parameters of one API call, by the API's own names and within its published ranges."""

    prompt: str = Field(min_length=1)
    negative_prompt: str = ""
    samples: int = Field(1, ge=1, le=4)
    scheduler: str = "UniPC"
    base_model: str = "juggernaut"
    num_inference_steps: int = Field(30, ge=20, le=100)
    guidance_scale: float = Field(6.5, ge=0.1, le=25)
    strength: float = Field(0.65, ge=0.1, le=1)
    seed: int = Field(-1, ge=-1, le=MAX_SEED)
    base64: bool = False

    def as_sent(self) -> dict[str, object]:
        """The JSON fields of the request; an empty negative prompt is left out."""
        sent = dict(self.__dict__)
        if not self.negative_prompt:
            del sent["negative_prompt"]
        return sent

    def with_texts(self, prompt: str, negative_prompt: str, seed: int) -> Params:
        """The same for another picture: checked already, since a plan makes a million of them.

        Args:
            prompt: not empty.
            negative_prompt: may be.
            seed: within its range.
        """
        other = Params.__new__(Params)
        fields = {**self.__dict__, "prompt": prompt, "negative_prompt": negative_prompt, "seed": seed}
        _put(other, "__dict__", fields)
        _put(other, "__pydantic_fields_set__", self.__pydantic_fields_set__)
        _put(other, "__pydantic_extra__", None)
        _put(other, "__pydantic_private__", None)
        return other


class Job(Value):
    """One entry with one variant: one API call. A line of a shard, and the `job` of a message."""

    id: str
    variant: str
    image: str
    """The input's s3:// URI; of one on the web its address, without what may be a secret."""
    web: str = Field("", pattern=r"^([0-9a-f]{64})?$")
    """The sha256 of the whole address, where the input lies on the web; else empty."""
    params: Params
    output: str
    """The s3:// URI of the (first) output; with several samples `-0` to `-3` go before its suffix."""
    outputs: tuple[str, ...] = ()
    """The URI of each sample, where a naming template says it; else empty."""
    etag: str = ""
    """The input's ETag where a listing gave it at plan, else empty."""
    meta: dict[str, str] = Field(default_factory=dict)
    """The entry's other columns, at most 8 kB; they reach the record and the report."""


def _head(prompt: str) -> str:
    """The beginning of a prompt, on one line."""
    line = " ".join(prompt[: 4 * PROMPT_HEAD].split())
    return line if len(line) <= PROMPT_HEAD else line[: PROMPT_HEAD - 1] + "…"


class RunStatus(StrEnum):
    """Where a run stands."""

    PLANNING = "planning"
    RUNNING = "running"
    SUSPENDED = "suspended"
    AWAITING_APPROVAL = "awaiting_approval"
    FINISHED = "finished"
    CANCELLED = "cancelled"


#: A run in one of these moves no more by itself.
ENDED = frozenset({RunStatus.FINISHED, RunStatus.CANCELLED})


#: never: none; changed: all, and only what has changed comes again; always: all, whole.
Refetch = Literal["never", "changed", "always"]


class InputRules(Value):
    """Which inputs are refused, free of charge, and whether metadata leave with the others. No part of fingerprints."""

    min_side: int = Field(64, ge=1)
    """Pixels that both sides of a picture need as it is sent."""
    max_ratio: float = Field(4.0, ge=0)
    """How many times as long as the other a side may be; 0: any."""
    keep_metadata: bool = False
    """Whether a picture that is sent as it is stored keeps its EXIF, XMP and comments."""


class RunOptions(Value):
    """What a plan froze for its workers: everything that decides what is sent and when a job counts as done."""

    preparation: Preparation = Preparation()
    inputs: InputRules = InputRules()
    model: str = "sdxl-img2img"
    """The model's slug, the same for both modes of the API."""
    overwrite: bool = False
    new_seed: bool = False
    keep_replaced: bool = True
    verify_outputs: bool = False
    reuse: bool = True
    """Whether a job may take the picture of another one with the same input and recipe."""
    own_pictures: tuple[str, ...] = ()
    """Variants whose jobs each get a picture of their own all the same."""
    sandbox: bool = False
    refetch: Refetch = "changed"
    """Which inputs on the web are asked for that an earlier run has fetched."""
    reread: str = ""
    """The run whose unreadable answers are read again; no call is made."""
    priority: Literal["high", "normal", "low"] = "normal"
    max_failures: str = "50%"
    """How many jobs may fail, as a number or a share; 0: any (restyle/coordination/runs/brakes.py)."""
    max_suspects: str = "50%"
    """How many pictures may look wrong."""
    naming: str = ""
    """The template that outputs are named by; empty: `{id}/{variant}`."""
    root: str = ""
    """The s3:// prefix that the template's names lie below."""
    outputs: OutputOptions = OutputOptions()
    limit: int | None = None
    sample: int | None = None
    partial: bool = False
    """Whether only a part of the manifest was planned: --limit, --sample, --only-ids."""

    def shares(self, variant: str) -> bool:
        """Whether jobs of a variant may share a picture."""
        return self.reuse and variant not in self.own_pictures


class ManifestSource(Value):
    """Where a plan came from."""

    uri: str
    sha256: str
    place: str = ""
    """Of a local one, a hash of its absolute path; equally named ones of two folders are two manifests."""


class Run(Value):
    """`runs/<run_id>/run.json`: a run exists when this file does."""

    schema_version: SchemaVersion = 1
    run_id: str
    status: RunStatus
    created: UtcTime
    finished: UtcTime | None = None
    manifest: ManifestSource
    plan_digest: str
    options: RunOptions
    retry_of: str | None = None
    schedule: str | None = None
    shards: int
    planned: int
    unchanged: int = 0
    unchanged_parts: int = 0
    """Jobs that were known to be done as it was planned are in no shard, but in so many objects of their own."""
    variants: int = 0  # that its jobs are of; 0: not known
    invalid: int = 0
    budget: float | None = None
    """Credits that it may spend."""
    finish_by: UtcTime | None = None
    """No call begins that is not expected to end by then."""
    wait_credits: bool = False
    approved: bool = True
    """Whether more than the sample may run."""
    trial: bool = False
    """Whether it tries prompts and parameters on a few entries (producers/runs/trials.py)."""
    by: str = ""
    """Who submitted it: user@host."""
    name: RunName = ""
    """What people call it; of several runs with one name the newest is meant."""
    labels: Labels = Field(default_factory=dict)
    """What its costs are counted by: `team=home`."""
    prompt: Annotated[str, BeforeValidator(_head)] = ""
    """The head of its first prompt."""
    notify: dict[str, object] = Field(default_factory=dict)
    """Who is notified how it goes: `[notify]` as it stood where the run was planned."""

    @property
    def title(self) -> str:
        """Its name, or its schedule's."""
        return self.name or self.schedule or ""

    @property
    def heading(self) -> str:
        """What pages call it: its title, the run that it retries, or its manifest's last name; never empty."""
        if self.retry_of and not self.title:
            return f"Retry of {self.retry_of}"
        return self.title or posixpath.basename(self.manifest.uri.rstrip("/")) or self.manifest.uri


class OutcomeKind(StrEnum):
    """How a job ended. A job without an outcome is pending."""

    SUCCEEDED = "succeeded"
    SKIPPED = "skipped"
    FAILED = "failed"


class Outcome(Value):
    """How one job of a run ended; kept in Redis while its shard is open, then in `results/`."""

    outcome: OutcomeKind
    error: str = ""
    """The error's code; empty unless failed."""
    http_status: int | None = None
    message: str = ""
    attempts: int = 0
    in_doubt: int = 0
    credits: float = 0.0
    seed: int | None = None
    outputs: tuple[str, ...] = ()
    etag: str = ""
    fingerprint: str = ""
    """`Fingerprint.token` of the result."""
    worker: str = ""
    seconds: float = 0.0
    """Of the successful call."""
    ended: UtcTime | None = None
    warning: str = ""
    suspect: tuple[str, ...] = ()
    """Why its pictures look wrong, though the API answered with them: restyle/job/outputs/quality.py has the words."""
    reused: bool = False
    """Of a skipped job: its picture was paid for as another result with the same input and recipe, and copied."""
    saved: float = 0.0
    """Credits that the copied picture cost then."""
    stored: tuple[str, ...] = ()
    """`Record.stored`: by this a listing shows later that all of it is as it was."""


class Message(Value):
    """A job on the queue: only a hint, checked against the run's state before anything is done for it."""

    v: Literal[1] = 1
    run_id: str
    shard: int
    index: int
    """Place of the job in its shard."""
    job_id: str
    job: Job


def utc_now() -> datetime:
    """The time now, in UTC."""
    return datetime.now(UTC)
