"""What a plan is asked to be, and what its options come to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from config.reading import config_path
from config.settings import Settings
from producers.manifest import Manifest, ReadOptions
from producers.manifest.cells.values import is_filled
from producers.planning.jobs import naming
from producers.planning.jobs.variants import DEFAULT, Fault, Variant, load_variants, read_params, read_variants
from restyle.errors import ConfigurationError, ManifestError
from restyle.images.colours import background
from restyle.keys import split_uri
from restyle.models import Refetch
from restyle.problems import Problem
from restyle.s3.store import Store


@dataclass(frozen=True)
class TrialRequest:
    """Prompts and parameters to be compared on a few entries, as they were given."""

    prompts: Sequence[str] = ()
    file: str = ""
    """`--prompts`: a text file with a prompt a line, or a variants file."""
    axes: Sequence[str] = ()
    """`name=value,value`, each."""
    entries: int | None = None
    """How many entries are tried; None: all of `only_ids`, else as many as are usual."""
    draws: int = 1
    """Pictures of an entry in each column, each with a seed of its own that all columns share."""


@dataclass(frozen=True)
class PlanRequest:
    """What a user asks to be planned."""

    manifest: str
    variants: str | None = None
    prompt: str | None = None
    sets: Sequence[str] = ()
    """`name=value`, each."""
    output: str | None = None
    limit: int | None = None
    sample: int | None = None
    then_ask: bool = False
    """The sample runs first, and the rest once a person has approved."""
    only_ids: frozenset[str] | None = None
    """Entries of these ids alone."""
    skip_invalid: bool = False
    overwrite: bool = False
    new_seed: bool = False
    refetch: Refetch = "changed"
    """Which pictures on the web are asked for that an earlier run has fetched."""
    verify_outputs: bool = False
    """Whether a job is done only where its outputs are still there."""
    columns: Mapping[str, str] = field(default_factory=dict)
    read: ReadOptions = field(default_factory=ReadOptions)
    """How the manifest is read, but for `columns`."""
    budget: float | None = None
    check_inputs: bool = False
    finish_by: datetime | None = None
    priority: Literal["high", "normal", "low"] = "normal"
    wait_credits: bool | None = None
    """Whether it goes on by itself after a top-up; None: as the setting says."""
    retry_of: str | None = None
    schedule: str | None = None
    """The schedule that fired it."""
    name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    notify: Mapping[str, Any] | None = None
    """Who is notified, in the place of `[notify]`."""
    trial: TrialRequest | None = None
    """What is compared, where this is a trial."""


def check_options(request: PlanRequest, settings: Settings) -> None:
    """Refuses options that cannot go together, or are no values."""
    if request.prompt is not None and request.variants:
        raise ConfigurationError("--prompt is a variant of its own: give it or --variants, not both")
    if request.prompt is not None and not is_filled(request.prompt):
        raise ConfigurationError("--prompt is empty")
    names = {text.partition("=")[0].strip().lower() for text in request.sets}
    if request.new_seed and "seed" in names:
        raise ConfigurationError("--set seed and --new-seed both choose the seed: give one of them")
    if request.overwrite and not request.new_seed and "seed" not in names and not settings.sandbox and not names:
        raise ConfigurationError(
            "--overwrite alone would pay for the same pictures again: same seed, same picture. Add --new-seed"
        )
    if request.output is not None:
        try:
            split_uri(request.output)
        except ValueError:
            raise ConfigurationError(f"--output {request.output}: write it as s3://bucket/prefix") from None
    for name, number in (("--limit", request.limit), ("--sample", request.sample)):
        if number is not None and number < 1:
            raise ConfigurationError(f"{name} {number}: it is a number from 1 on")
    background(settings.background)
    if settings.naming:
        naming.parse(settings.naming, settings.output_format)


def variants_of(request: PlanRequest, manifest: Manifest, store: Store | None) -> list[Variant]:
    """The variants by `--prompt`, by file, or in the manifest; none where the rows say it all."""
    if request.prompt is not None:
        return read_variants([{"name": DEFAULT, "prompt": request.prompt}], "--prompt")
    if request.variants:
        return load_variants(request.variants, store=store)
    return read_variants(manifest.variants, manifest.uri) if manifest.variants is not None else []


def defaults_of(settings: Settings, manifest: Manifest) -> dict[str, object]:
    """Defaults of restyle.toml with the manifest's on top."""
    faults: list[Fault] = []
    ours = read_params(settings.defaults, faults)
    if faults:
        lines = "\n".join(f"{config_path()}: [defaults] {name}: {reason}" for name, reason in faults)
        raise ConfigurationError(lines)
    theirs = read_params(manifest.defaults, faults)
    if faults:
        raise ManifestError([Problem(manifest.uri, 0, f"defaults.{name}", reason) for name, reason in faults])
    return ours | theirs


def sets(request: PlanRequest) -> dict[str, object]:
    """The parameters given by `--set`, by name."""
    faults: list[Fault] = []
    given = {name.strip(): value for name, _, value in (text.partition("=") for text in request.sets)}
    faults += [(name, "is empty; write it as name=value") for name, value in given.items() if not value.strip()]
    sets = read_params(given, faults)
    if faults:
        raise ConfigurationError("\n".join(f"--set {name}: {reason}" for name, reason in faults))
    return sets
