"""Groups of options that several commands share. A command takes each group as one parameter (`grouped`)."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from apps.cli import options
from config.settings import Settings
from producers.manifest import ReadOptions
from producers.planning.request import PlanRequest
from restyle.errors import ConfigurationError


@dataclass(frozen=True)
class Group:
    """A group of options: some set settings, the others say what is planned."""

    #: Names of the options that set settings.
    of_settings: ClassVar[tuple[str, ...]] = ()

    def settings(self) -> Mapping[str, Any]:
        """The options that set settings, by the names of the settings; None: not given."""
        return {name: getattr(self, name) for name in self.of_settings}

    def request(self) -> Mapping[str, Any]:
        """The options that say what is planned."""
        return {name: value for name, value in vars(self).items() if name not in self.of_settings}


@dataclass(frozen=True)
class Choice(Group):
    """Which pictures are restyled, and how."""

    of_settings = ("no_reuse",)
    variants: options.Variants = None
    prompt: options.Prompt = None
    sets: options.Sets = None
    output: options.Output = None
    limit: options.Limit = None
    sample: options.Sample = None
    only_ids: options.OnlyIds = None
    skip_invalid: options.SkipInvalid = False
    overwrite: options.Overwrite = False
    new_seed: options.NewSeed = False
    no_reuse: options.NoReuse = False

    def settings(self) -> Mapping[str, Any]:
        """The setting `reuse`."""
        return {"reuse": options.unless(self.no_reuse)}

    def request(self) -> Mapping[str, Any]:
        """The others.

        Raises:
            ConfigurationError: there are two prompts, or two files of variants.
        """
        prompt = _one("--prompt", self.prompt, "give them in a --variants FILE, or side by side to `restyle try`")
        variants = _one("--variants", self.variants, "write them into one file")
        return {**super().request(), "prompt": prompt, "variants": options.lower(variants)}


def _one(option: str, given: Sequence[str] | None, instead: str) -> str | None:
    """What an option that has one value was given."""
    if given and len(given) > 1:
        raise ConfigurationError(f"{option} is there {len(given)} times, and a run takes one: {instead}")
    return given[0] if given else None


@dataclass(frozen=True)
class Checks(Group):
    """What is checked before anything is paid for."""

    verify_outputs: options.VerifyOutputs = False
    check_inputs: options.CheckInputs = False
    refetch: options.Refetch = "changed"
    then_ask: options.ThenAsk = False


@dataclass(frozen=True)
class Limits(Group):
    """What stops a run, or one of its variants."""

    of_settings = ("max_failures", "max_suspects")
    budget: options.Budget = None
    max_failures: options.MaxFailures = None
    max_suspects: options.MaxSuspects = None


@dataclass(frozen=True)
class Course(Group):
    """How long a run may last, its priority, its name and labels."""

    of_settings = ("wait_credits",)
    max_duration: options.MaxDuration = None
    wait_credits: options.WaitCredits = False
    priority: options.Priority = "normal"
    name: options.Name = ""
    labels: options.Label = None

    def settings(self) -> Mapping[str, Any]:
        """The setting `wait_credits`."""
        return {"wait_credits": self.wait_credits or None}


@dataclass(frozen=True)
class Reading(Group):
    """How the manifest is read."""

    column: options.Column = None
    sheet: options.Sheet = ""
    items: options.Items = ""
    feed: options.Feed = ""
    images: options.Images = ""
    id_template: options.IdTemplate = ""
    namespace: options.Namespace = ""

    def request(self) -> Mapping[str, Any]:
        """All options of the group."""
        read = ReadOptions(
            sheet=self.sheet, items=self.items, feed=self.feed, images=self.images, id=self.id_template,
            namespace=self.namespace,
        )  # fmt: skip
        return {"column": self.column, "read": read}


@dataclass(frozen=True)
class Outputs(Group):
    """The form, the names and the marks of outputs."""

    form: options.Format = None
    quality: options.Quality = None
    naming: options.Naming = None
    mark: options.Mark = None
    no_mark: options.NoMark = False
    no_gates: options.NoGates = False

    def settings(self) -> Mapping[str, Any]:
        """All options of the group.

        Raises:
            ConfigurationError: --mark and --no-mark are both given.
        """
        if self.mark and self.no_mark:
            raise ConfigurationError("--mark and --no-mark: give one of them")
        return {
            "output_format": self.form,
            "output_quality": self.quality,
            "naming": self.naming,
            "mark": "none" if self.no_mark else self.mark,
            "gates": options.unless(self.no_gates),
        }


@dataclass(frozen=True)
class Pace(Group):
    """How fast the API is called, and in which mode."""

    of_settings = ("concurrency", "api", "max_rpm")
    concurrency: options.Concurrency = None
    api: options.Api = None
    max_rpm: options.MaxRpm = None


def settings_from(*groups: Group, **flags: Any) -> Settings:
    """The settings of file and environment, with the given options over them."""
    return options.settings_from(
        **flags, **{name: value for group in groups for name, value in group.settings().items()}
    )


def request_from(manifest: str, *groups: Group, **more: Any) -> PlanRequest:
    """The request for a plan: manifest and options."""
    return options.request_from(
        manifest, **more, **{name: value for group in groups for name, value in group.request().items()}
    )


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Wraps a command, so that Typer sees the options of each group in place of the group's parameter."""
    signature = inspect.signature(command, eval_str=True)
    kinds = {name: each.annotation for name, each in signature.parameters.items()}
    groups = {name: kind for name, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, Group)}

    def ungrouped(**values: Any) -> None:
        for name, kind in groups.items():
            values[name] = kind(**{field.name: values.pop(field.name) for field in fields(kind)})
        command(**values)

    parameters = [
        option.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, each in signature.parameters.items()
        for option in (
            inspect.signature(groups[name], eval_str=True).parameters.values() if name in groups else (each,)
        )
    ]
    ungrouped.__name__, ungrouped.__doc__ = command.__name__, command.__doc__
    ungrouped.__annotations__ = {option.name: option.annotation for option in parameters}
    ungrouped.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined] # inspect reads it
    return ungrouped
