"""Entries x variants become a plan: drafted first, which spends and writes nothing, then written to S3 as shards.

The manifest is streamed, once to judge and count it and once to write the shards; `run.json`, written last, makes the
run exist. What enters a fingerprint is frozen in it. Formats: docs/formats.md.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from config.settings import Settings
from producers.manifest import Manifest, open_manifest
from producers.planning import first_pass, trials
from producers.planning.compare.lookup import made_by_us
from producers.planning.first_pass import Census, Planner
from producers.planning.inputs import check_inputs
from producers.planning.jobs.resolve import Resolved, Resolver
from producers.planning.request import PlanRequest, check_options, defaults_of, sets, variants_of
from producers.planning.summary import Summary, summarised
from producers.planning.trial_entries import Narrowed, narrowed_to_trial
from producers.planning.uploads import Hashes
from producers.runs.trials import Trial
from restyle.coordination.budgets import PRICED_STEPS
from restyle.errors import ManifestError, Problem
from restyle.keys import Workspace, new_run_id
from restyle.models import InputRules, Job, ManifestSource, Preparation, Run, RunOptions, digest, utc_now
from restyle.s3.store import Store

#: Seconds of a call, for estimates (research: about 8 s at 30 steps; the sandbox answers in half a second).
CALL_SECONDS, SANDBOX_SECONDS = 8.0, 0.5


@dataclass(frozen=True)
class Estimate:
    """What a plan will take."""

    calls: int
    samples: int
    credits: float
    dollars: float
    seconds: float
    at_most: bool
    """Jobs that turn out to be done already are free, and no listing told how many."""


@dataclass(frozen=True)
class Plan:
    """A plan that is judged and counted, and not written yet."""

    request: PlanRequest
    run_id: str
    plan_digest: str
    options: RunOptions
    manifest: ManifestSource
    entries: int
    variants: tuple[str, ...]
    jobs: int
    uploads: int
    upload_bytes: int
    problems: Sequence[Problem]
    warnings: Sequence[str]
    estimate: Estimate
    home: Path
    """Where hashes of local files are remembered."""
    stream: Callable[[], Iterator[Resolved | Job]]
    """Streams the jobs; those of local inputs not uploaded yet."""
    left_out: Callable[[], Iterator[str]] = lambda: iter(())
    """Streams the ids of entries that are left out because something is wrong with them."""
    wait_credits: bool = False
    ask_after: int = 0
    """Jobs that run before a person is asked; 0: nobody is asked."""
    notify: Mapping[str, Any] = field(default_factory=dict)
    """Who is told how the run goes."""
    prompt: str = ""
    distinct: int = 0
    """Results that the jobs come to, as far as is known which are the same; 0: not known."""
    sequence: bytes = b""
    """Hash of ids and variants in their order."""
    source: Manifest | None = None
    """What was read; None of a retry."""
    buckets: Mapping[str, Resolved] = field(default_factory=dict)
    """Buckets that outputs go to, each with the first job that does."""
    summary: Summary = field(default_factory=Summary)
    """What the manifest was taken for, and what was left out of it."""
    spread: Sequence[Resolved] = ()
    """Some of the jobs, evenly spread, to be looked at before anything is queued (producers/planning/clashes.py)."""
    addresses: Mapping[str, str] = field(default_factory=dict)
    """Of a retry: addresses of inputs on the web that may have secrets in them, by their names."""
    trial: Trial | None = None
    """What is compared, where this is a trial."""

    def as_run(self, *, shards: int, by: str) -> Run:
        """The content of run.json."""
        return Run.model_validate(
            {
                "run_id": self.run_id,
                "status": "running",
                "created": utc_now(),
                "manifest": self.manifest,
                "plan_digest": self.plan_digest,
                "options": self.options,
                "retry_of": self.request.retry_of,
                "schedule": self.request.schedule,
                "name": self.request.name,
                "labels": dict(self.request.labels),
                "prompt": self.prompt,
                "notify": self.notify,
                "shards": shards,
                "planned": self.jobs,
                "variants": len(self.variants),
                # Those without a line are of a listing, whose entries are told by their names.
                "invalid": len({(problem.source, problem.line or problem.reason) for problem in self.problems}),
                "budget": self.request.budget,
                "finish_by": self.request.finish_by,
                "wait_credits": self.wait_credits,
                "approved": not self.ask_after,
                "trial": self.trial is not None,
                "by": by,
            }
        )


def make_plan(
    request: PlanRequest,
    settings: Settings,
    *,
    workspace: Workspace,
    store: Store | None,
    stdin: BinaryIO | None = None,
    run_id: str = "",
) -> Plan:
    """Judges and counts a manifest. Spends, uploads and writes nothing.

    Args:
        request: what is wanted.
        settings: for prices, limits and `[defaults]`.
        workspace: where the run will lie.
        store: S3; None where only local files are read.
        stdin: what the manifest `-` reads.
        run_id: the run's id; empty makes a new one.

    Raises:
        ManifestError: bad lines, all of them, unless `skip_invalid` leaves them out.
        ConfigurationError: options that go against each other.
    """
    check_options(request, settings)
    how = replace(request.read, columns=request.columns, workspace=workspace.uri, http=settings.fetch_http)
    manifest = open_manifest(request.manifest, store=store, stdin=stdin, options=how)
    given = sets(request)
    lab = trials.lab_of(request, manifest, given, store) if request.trial else None
    variants = list(lab.variants) if lab else variants_of(request, manifest, store)
    run_id = run_id or new_run_id(utc_now())
    options = RunOptions(
        preparation=Preparation(max_side=settings.max_side, background=settings.background),
        inputs=InputRules(
            min_side=settings.min_side, max_ratio=settings.max_ratio, keep_metadata=settings.keep_metadata
        ),
        refetch=request.refetch,
        overwrite=request.overwrite,
        new_seed=request.new_seed,
        keep_replaced=settings.keep_replaced,
        verify_outputs=request.verify_outputs,
        reuse=settings.reuse,
        own_pictures=tuple(sorted(variant.name for variant in variants if not variant.reuse)),
        sandbox=settings.sandbox,
        priority=request.priority,
        max_failures=settings.max_failures,
        max_suspects=settings.max_suspects,
        naming=settings.naming,
        outputs=settings.output_options,
        limit=request.limit,
        sample=request.sample,
        partial=bool(request.limit or request.only_ids is not None or (request.sample and not request.then_ask) or lab),
    )
    resolver = Resolver(
        workspace=workspace,
        variants=variants,
        defaults=defaults_of(settings, manifest),
        sets=given,
        columns=manifest.columns,
        kept=manifest.kept,
        is_report=manifest.is_report,
        output=request.output or "",
        template=settings.naming,
        form=settings.output_format,
        sandbox=settings.sandbox,
        new_seed=request.new_seed,
        salt=run_id,
    )
    options = options.model_copy(update={"root": resolver.naming.root})
    planner, census, narrowed = _judged(
        Planner(
            manifest, resolver, request.limit, request.sample, request.then_ask,
            None if request.only_ids is None else frozenset(map(manifest.whole, request.only_ids)),
            partial(made_by_us, store=store) if store else lambda _uris: set(),
            settings.reuse,
        ),
        request, options, settings, store,
    )  # fmt: skip
    frozen = options.model_dump(exclude={"limit", "sample", "max_failures", "max_suspects"})
    choices = [request.sets, request.output, request.limit, request.sample, dict(request.columns), request.skip_invalid]
    choices += [request.then_ask, None if request.only_ids is None else sorted(request.only_ids)]
    choices += [asdict(request.read)] if request.read.given() else []
    choices += [str(sorted(planner.places or ()))] if lab else []
    recipe = [[v.name, dict(v.params)] for v in variants]
    sha256 = manifest.sha256()
    estimate = estimated(census.jobs, census.samples, census.steps, settings)
    late = census.web.warnings(census.jobs, estimate.seconds)
    return Plan(
        request=request,
        run_id=run_id,
        plan_digest=digest([sha256, recipe, dict(resolver.defaults), frozen, choices, workspace.uri]),
        options=options,
        manifest=ManifestSource(
            uri=manifest.uri.encode(errors="replace").decode(), sha256=sha256, place=place_of(manifest.uri)
        ),
        entries=census.entries,
        variants=tuple(census.variants),
        jobs=census.jobs,
        distinct=census.distinct,
        uploads=census.uploads,
        upload_bytes=census.upload_bytes,
        problems=census.problems.listed,
        warnings=[
            *_warnings(census, request, settings),
            *_among_inputs(request, manifest),
            *late,
            *(narrowed.warnings if narrowed else ()),
        ],
        estimate=estimate,
        home=settings.home,
        stream=lambda: planner.jobs(census),
        left_out=lambda: planner.left_out(census),
        wait_credits=settings.wait_credits if request.wait_credits is None else request.wait_credits,
        ask_after=census.ask_after,
        notify=request.notify if request.notify is not None else settings.notify.as_stored,
        prompt=census.spread[0].params.prompt if census.spread else "",
        sequence=census.sequence,
        source=manifest,
        buckets=census.buckets,
        spread=census.spread,
        trial=trials.trial_of(lab, narrowed, request, settings, pace(settings)) if lab and narrowed else None,
        summary=summarised(manifest, how, census.problems, census.web.summary(census.web.known(store, workspace))),
    )


def _judged(
    planner: Planner, request: PlanRequest, options: RunOptions, settings: Settings, store: Store | None
) -> tuple[Planner, Census, Narrowed | None]:
    """Pass 1, with everything that is wrong told at once; of a trial, over the entries that are tried."""
    alike = planner.resolver.check()
    if alike:
        faulty = {problem.column.rpartition(".")[0] for problem in alike}
        good = [variant for variant in planner.resolver.variants if variant.name not in faulty]
        if not good or request.trial or any(problem.source in {"--set", "the plan"} for problem in alike):
            raise ManifestError(alike)
        planner = replace(planner, resolver=replace(planner.resolver, variants=good))
    narrowed = narrowed_to_trial(planner, request.trial) if request.trial else None
    planner = narrowed.planner if narrowed else planner
    hashes = Hashes(settings.home, planner.resolver.workspace, create=False)
    try:
        census = first_pass.take(planner, hashes)
        if request.check_inputs and not alike:
            check_inputs(planner, census, options, store)
        first_pass.count(planner, census, hashes)
    finally:
        hashes.close()
    problems = [*alike, *census.problems.listed]
    if problems and (alike or not request.skip_invalid):
        raise _noted(ManifestError(problems), planner, request, census)
    if not census.jobs:
        reason = "has nothing to run" + (": every line is bad" if problems else "")
        reason = "has none of the ids of --only-ids" if census.unknown_ids and not problems else reason
        raise _noted(ManifestError([*problems, Problem(request.manifest, 0, "", reason)]), planner, request, census)
    return planner, census, narrowed


def _noted(error: ManifestError, planner: Planner, request: PlanRequest, census: Census) -> ManifestError:
    """The error with what the manifest was taken for, where that was not plain to see."""
    summary = summarised(planner.manifest, request.read, census.problems)
    lines = summary.lines()
    if planner.manifest.feed or summary.columns or summary.left_out:
        for heading, text in lines:
            error.add_note(f"{heading} {text}")
    return error


# -- what it comes to --------------------------------------------------------------------------------------


def estimated(calls: int, samples: int, steps: int, settings: Settings) -> Estimate:
    """What so many calls will take, at most; steps are those of all samples."""
    credits = round(steps * settings.price / PRICED_STEPS, 6)
    rpm, seconds = settings.effective_max_rpm, SANDBOX_SECONDS if settings.sandbox else CALL_SECONDS
    busy = calls * seconds / settings.concurrency
    return Estimate(
        calls=calls,
        samples=samples,
        credits=credits,
        dollars=round(credits * settings.credit_price, 6),
        seconds=max(busy, calls * 60 / rpm + seconds) if rpm else busy,
        at_most=True,
    )


def pace(settings: Settings) -> float:
    """The seconds of a call, as many calls one after another and beside one another take them."""
    rpm, seconds = settings.effective_max_rpm, SANDBOX_SECONDS if settings.sandbox else CALL_SECONDS
    return max(seconds / settings.concurrency, 60 / rpm if rpm else 0)


def _warnings(census: Census, request: PlanRequest, settings: Settings) -> list[str]:
    warnings = list(census.problems.warnings)
    if not request.limit:
        warnings += unknown_ids_warning(census.unknown_ids, "the manifest")
    for name, known, used in (
        ("scheduler", settings.schedulers, census.schedulers),
        ("base_model", settings.base_models, census.base_models),
    ):
        warnings += [
            f"{name} {value!r} is not in the published list; the API may refuse it"
            for value in sorted(used - set(known))
        ]
    if request.sample and census.jobs < request.sample:
        warnings.append(f"there are only {census.jobs:,} jobs to take a sample of")
    return warnings


def _among_inputs(request: PlanRequest, manifest: Manifest) -> list[str]:
    """What to say of outputs that go where the inputs are listed."""
    listed, outputs = f"{manifest.uri.rstrip('/')}/", f"{(request.output or '').rstrip('/')}/"
    if not manifest.is_listing or not outputs.startswith(listed):
        return []
    if outputs == listed:
        return [f"--output {request.output}: pictures go among their inputs; better choose a prefix of their own"]
    return [f"--output {request.output} lies below {listed}: what is there is left out of the inputs, now and later"]


def place_of(uri: str) -> str:
    """What tells a local manifest from another of the same name; empty where its name does, or nothing can."""
    return "" if uri == "-" or uri.startswith("s3://") else digest([os.fsencode(os.path.realpath(uri)).hex()])


def unknown_ids_warning(ids: Collection[str], place: str) -> list[str]:
    """What to say of ids of `--only-ids` that are not there."""
    first = ", ".join(sorted(ids)[:5]) + (", …" if len(ids) > 5 else "")
    return [f"{len(ids):,} ids of --only-ids are not in {place}: {first}"] if ids else []
