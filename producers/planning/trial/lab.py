"""`restyle try`: prompts x axes become the columns of a trial.

A column is a variant for each draw. All columns share an entry's seed, so that nothing but what is compared differs;
its parameters beat the row's. docs/decisions/0033.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from config.settings import Settings
from producers.manifest import Manifest
from producers.manifest.cells.columns import near_miss
from producers.manifest.cells.values import PARAMS, is_filled
from producers.manifest.encoding import read_lines
from producers.planning.jobs.variants import DEFAULT, Fault, Variant, load_variants, read_params, read_variants
from producers.planning.request import PlanRequest, TrialRequest
from producers.planning.trial.entries import Narrowed
from producers.runs.trials import Column, Trial
from restyle.coordination.budgets import PRICED_STEPS
from restyle.errors import ConfigurationError, ManifestError
from restyle.fingerprint import digest
from restyle.keys import check_variant_name
from restyle.models import Params
from restyle.problems import Problem
from restyle.s3.store import Store

#: Columns that people can compare.
MOST_COLUMNS = 60
MOST_DRAWS = 8
#: Parameters that change no picture, or are given otherwise, with what to do.
_NO_AXES = {
    "prompt": "give each prompt by --prompt",
    "samples": "pictures with other seeds come by --seeds N",
    "base64": "it changes how the answer is sent, not the picture",
}


@dataclass(frozen=True)
class Axis:
    """A parameter and the values that are tried."""

    name: str
    values: tuple[str | int | float | bool, ...]


@dataclass(frozen=True)
class Lab:
    """The columns of a trial, before it is known which entries are tried."""

    prompts: tuple[str, ...]
    axes: tuple[Axis, ...]
    columns: tuple[Column, ...]
    variants: tuple[Variant, ...]
    draws: int


# -- columns -----------------------------------------------------------------------------------------------


def read_axes(texts: Sequence[str]) -> tuple[Axis, ...]:
    """The axes of `--axis name=value,value`.

    Raises:
        ConfigurationError: one is none; all that is wrong is reported.
    """
    wrong: list[str] = []
    axes: dict[str, Axis] = {}
    for text in texts:
        name, equals, rest = text.partition("=")
        name = name.strip().lower()
        if not equals:
            wrong.append(f"--axis {text}: write it as name=value,value")
        elif name in axes:
            wrong.append(f"--axis {name}: is there twice; give all its values at once")
        elif reason := _no_axis(name):
            wrong.append(f"--axis {name}: {reason}")
        else:
            axes[name] = Axis(name, _values(name, rest, wrong))
    if wrong:
        raise ConfigurationError("\n".join(wrong))
    return tuple(axes.values())


def _no_axis(name: str) -> str:
    """Why a parameter is no axis; empty: it is one."""
    if name in _NO_AXES:
        return f"is no axis; {_NO_AXES[name]}"
    if name in PARAMS:
        return ""
    meant = near_miss(name)
    names = ", ".join(other for other in PARAMS if other not in _NO_AXES)
    return f"is no parameter; did you mean {meant}?" if meant in PARAMS else f"is no parameter; there are: {names}"


def _values(name: str, text: str, wrong: list[str]) -> tuple[Any, ...]:
    """The values of an axis; a `|` between them lets them have commas."""
    values: list[Any] = []
    for part in text.split("|" if "|" in text else ","):
        faults: list[Fault] = []
        read = read_params({name: part.strip()}, faults)
        if not part.strip() and name != "negative_prompt":
            faults = [(name, "has an empty value")]
        wrong += [f"--axis {name}: {reason}" for _, reason in faults]
        value = read.get(name, "")
        if not faults and value in values:
            wrong.append(f"--axis {name}: {part.strip()} is there twice")
        values.append(value)
    return tuple(values)


def lab_of(request: PlanRequest, manifest: Manifest, sets: Mapping[str, object], store: Store | None) -> Lab:
    """The columns that a trial is asked for.

    Raises:
        ConfigurationError: options that are none, or too many columns.
        ManifestError: prompts that are none.
    """
    trial = request.trial
    assert trial is not None
    _check(trial)
    axes = read_axes(trial.axes)
    _refuse_twice(trial, axes, sets)
    bases = _bases(trial, manifest, store)
    count = len(bases)
    for axis in axes:
        count *= len(axis.values)
    if count > MOST_COLUMNS:
        raise ConfigurationError(
            f"{count:,} columns are more than anybody compares; at most {MOST_COLUMNS}: try fewer prompts or values"
        )
    prompts = tuple(dict.fromkeys(str(base.params.get("prompt", "")) for base in bases))
    columns, variants, taken = [], [], set[str]()
    for base in bases:
        for values in product(*(axis.values for axis in axes)):
            differs = {axis.name: value for axis, value in zip(axes, values, strict=True)}
            params: dict[str, Any] = {**base.params, **differs, **sets}
            name = _name(base.name, differs, taken)
            own = [_drawn(name, params, base, draw) for draw in range(1, trial.draws + 1)]
            variants += own
            columns.append(Column(
                name=name, prompt=prompts.index(str(base.params.get("prompt", ""))), params=params,
                differs={axis: _text(value) for axis, value in differs.items()},
                variants=tuple(variant.name for variant in own), credits=0,
            ))  # fmt: skip
    if len({variant.name for variant in variants}) < len(variants):
        raise ConfigurationError("two columns of the trial are the same: each prompt once, please")
    return Lab(prompts, axes, tuple(columns), tuple(variants), trial.draws)


def _refuse_twice(trial: TrialRequest, axes: Sequence[Axis], sets: Mapping[str, object]) -> None:
    """Raises ConfigurationError where two options say the same."""
    if "prompt" in sets:
        raise ConfigurationError("--set prompt: in a trial, give each prompt by --prompt")
    if both := [axis.name for axis in axes if axis.name in sets]:
        raise ConfigurationError(f"--set {both[0]} and --axis {both[0]}: give one of them")
    if trial.draws > 1 and ("seed" in sets or any(axis.name == "seed" for axis in axes)):
        raise ConfigurationError("--seeds draws seeds, and another option chooses them: give one of them")


def _drawn(name: str, params: dict[str, Any], base: Variant, draw: int) -> Variant:
    """The variant of a column's own draw of seeds."""
    unique = f"try.{name[:36].rstrip('-.')}.{digest(params)[:8]}.s{draw}"
    return Variant(unique, params, base.source, draw=draw, shown=name)


def _check(trial: TrialRequest) -> None:
    if trial.prompts and trial.file:
        raise ConfigurationError("--prompt and --prompts: give the prompts by one of them")
    if any(not is_filled(prompt) for prompt in trial.prompts):
        raise ConfigurationError("--prompt is empty")
    if not 1 <= trial.draws <= MOST_DRAWS:
        raise ConfigurationError(f"--seeds {trial.draws}: it is a number from 1 to {MOST_DRAWS}")
    if trial.entries is not None and trial.entries < 1:
        raise ConfigurationError(f"--entries {trial.entries}: it is a number from 1 on")


def _bases(trial: TrialRequest, manifest: Manifest, store: Store | None) -> Sequence[Variant]:
    """The prompts that are tried, each with what belongs to it."""
    if trial.file.lower().endswith(".txt"):
        return _of_texts(_lines(trial.file), trial.file)
    if trial.file:
        return load_variants(trial.file, store=store)
    if trial.prompts:
        return _of_texts(trial.prompts, "--prompt")
    if manifest.variants is not None:
        return read_variants(manifest.variants, manifest.uri)
    return (Variant(DEFAULT, {}, "the manifest"),)


def _lines(file: str) -> list[str]:
    try:
        lines = [line.strip() for line in read_lines(file, 10_000_000) if line.strip()]
    except (OSError, ValueError) as error:
        raise ManifestError([Problem(file, 0, "", f"cannot be read: {error}")]) from None
    if not lines:
        raise ManifestError([Problem(file, 0, "", "has no prompts; write one a line")])
    return lines


def _of_texts(prompts: Sequence[str], source: str) -> list[Variant]:
    """A variant for each prompt, named by its first words."""
    if twice := [prompt for prompt, count in Counter(map(str.strip, prompts)).items() if count > 1]:
        raise ConfigurationError(f"{source}: {twice[0][:80]!r} is there twice")
    named: dict[str, str] = {}
    for prompt in prompts:
        words = re.sub(r"\{[^}]*\}", " ", prompt.lower())
        slug = re.sub(r"[^a-z0-9]+", "-", words).strip("-")[:28].strip("-") or "prompt"
        slug = re.sub(r"-(\d)$", r".\1", slug)
        name = next(name for name in _numbered(slug) if name not in named)
        named[name] = prompt
    return read_variants([{"name": name, "prompt": prompt} for name, prompt in named.items()], source)


def _name(base: str, differs: Mapping[str, object], taken: set[str]) -> str:
    """What a variants file calls a column."""
    parts = [re.sub(r"[^a-z0-9.]+", "", f"{axis.replace('_', '')}{value}".lower()) for axis, value in differs.items()]
    name = "_".join(parts if base == DEFAULT and parts else [base, *parts])
    free = next(free for free in _numbered(name[:56].rstrip("-.")) if free not in taken)
    taken.add(free)
    return check_variant_name(free)


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name}.v{number}"
        number += 1


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value) or "none"


# -- what becomes of it ------------------------------------------------------------------------------------


def trial_of(lab: Lab, narrowed: Narrowed, request: PlanRequest, settings: Settings, seconds: float) -> Trial:
    """What the run keeps of a trial.

    Args:
        lab: its columns.
        narrowed: its rows.
        request: as it was asked for.
        settings: for prices.
        seconds: of a call, as the fleet makes one after another.
    """
    names = {name for column in lab.columns for name in column.params}
    beaten = tuple(sorted((narrowed.given & names) - _using_rows(lab)))
    default = Params(prompt="-")
    priced = tuple(
        column.model_copy(update={"credits": round(
            settings.price / PRICED_STEPS
            * int(column.params.get("num_inference_steps", default.num_inference_steps))
            * int(column.params.get("samples", default.samples)), 6,
        )})
        for column in lab.columns
    )  # fmt: skip
    return Trial(
        prompts=lab.prompts, columns=priced, axes=tuple(axis.name for axis in lab.axes), draws=lab.draws,
        entries=narrowed.entries, catalog=narrowed.catalog, seconds=seconds, command=_command(request, settings),
        beaten=beaten,
    )  # fmt: skip


def _using_rows(lab: Lab) -> set[str]:
    """`prompt`, where every prompt takes the row's in and so is not beaten by it."""
    return {"prompt"} if all(variant.uses_prompt for variant in lab.variants) else set()


def _command(request: PlanRequest, settings: Settings) -> tuple[str, ...]:
    """The command that runs the whole manifest, but for its variants."""
    read = request.read
    words = ["restyle", "run", request.manifest]
    for name, column in request.columns.items():
        words += ["--column", f"{name}={column}"]
    for option, value in (
        ("--sheet", read.sheet), ("--items", read.items), ("--feed", read.feed), ("--images", read.images),
        ("--id", read.id), ("--namespace", read.namespace),
    ):  # fmt: skip
        words += [option, value] if value else []
    for text in request.sets:
        words += ["--set", text]
    if settings.source("max_side") == "flag":
        words += ["--max-side", str(settings.max_side)]
    words += ["--skip-invalid"] if request.skip_invalid else []
    words += ["--sandbox"] if settings.sandbox else []
    return tuple(words)
