"""What a plan warns of: nothing that stops it, and all that is worth a look before it is paid for."""

from __future__ import annotations

from collections.abc import Collection

from config.settings import Settings
from producers.manifest import Manifest
from producers.manifest.cells.spoilt import blemish, is_nothing, is_quoted_late
from producers.planning.jobs.planner import FirstPass
from producers.planning.jobs.resolve import Resolver
from producers.planning.jobs.variants import TEMPLATES
from producers.planning.request import PlanRequest


def first_pass_warnings(first_pass: FirstPass, request: PlanRequest, settings: Settings) -> list[str]:
    """What to say of values that are not in the published lists, of ids and of samples that are not there."""
    warnings = list(first_pass.problems.warnings)
    if not request.limit:
        warnings += unknown_ids_warning(first_pass.unknown_ids, "the manifest")
    for name, known, used in (
        ("scheduler", settings.schedulers, first_pass.schedulers),
        ("base_model", settings.base_models, first_pass.base_models),
    ):
        warnings += [
            f"{name} {value!r} is not in the published list; the API may refuse it"
            for value in sorted(used - set(known))
        ]
    if request.sample and first_pass.jobs < request.sample:
        warnings.append(f"there are only {first_pass.jobs:,} jobs to take a sample of")
    return warnings


def prompt_warnings(resolver: Resolver) -> list[str]:
    """What to say of prompts of variants, and of --set, that nobody means."""
    warnings = []
    sources = [("--set ", resolver.sets), *((f"{one.source}: {one.name}.", one.params) for one in resolver.variants)]
    for place, params in sources:
        for name in TEMPLATES:
            text = str(params.get(name, ""))
            why = f"reads {text.strip()}" if is_nothing(text) else blemish(text)
            why = "has quotes behind a blank, as part of the text," if is_quoted_late(text) else why
            warnings += [f"{place}{name} {why}: is that meant?"] if why else []
    return warnings


def output_warnings(request: PlanRequest, manifest: Manifest) -> list[str]:
    """What to say of outputs that go where the inputs are listed."""
    listed, outputs = f"{manifest.uri.rstrip('/')}/", f"{(request.output or '').rstrip('/')}/"
    if not manifest.is_listing or not outputs.startswith(listed):
        return []
    if outputs == listed:
        return [f"--output {request.output}: pictures go among their inputs; better choose a prefix of their own"]
    return [f"--output {request.output} lies below {listed}: what is there is left out of the inputs, now and later"]


def unknown_ids_warning(ids: Collection[str], place: str) -> list[str]:
    """What to say of ids of `--only-ids` that are not there."""
    first = ", ".join(sorted(ids)[:5]) + (", …" if len(ids) > 5 else "")
    return [f"{len(ids):,} ids of --only-ids are not in {place}: {first}"] if ids else []
