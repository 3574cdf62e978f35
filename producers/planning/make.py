"""Entries x variants become a plan, which spends and writes nothing; shards.py writes it to S3.

The manifest is streamed, once to judge and count it and once to write the shards; `run.json`, written last, makes the
run exist. What enters a fingerprint is frozen in it. Formats: docs/formats.md.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import BinaryIO

from config.settings import Settings
from producers.manifest import Manifest, ReadOptions, open_manifest
from producers.planning.compare.lookup import made_by_us
from producers.planning.estimate import estimated, pace
from producers.planning.first_pass import count_jobs, run_first_pass
from producers.planning.inputs import check_inputs
from producers.planning.jobs.planner import FirstPass, Planner
from producers.planning.jobs.resolve import Resolver
from producers.planning.jobs.variants import Variant
from producers.planning.plan import Plan
from producers.planning.request import PlanRequest, check_options, defaults_of, sets, variants_of
from producers.planning.summary import summarised
from producers.planning.trial.entries import Narrowed, narrowed_to_trial
from producers.planning.trial.lab import Lab, lab_of, trial_of
from producers.planning.uploads import Hashes
from producers.planning.warnings import first_pass_warnings, output_warnings, prompt_warnings
from producers.runs.trials import Trial
from restyle.errors import ManifestError
from restyle.fingerprint import Preparation, digest
from restyle.keys import Workspace
from restyle.models import InputRules, ManifestSource, RunOptions, utc_now
from restyle.problems import Problem
from restyle.run_ids import new_run_id
from restyle.s3.store import Store


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
        request: what is to be planned.
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
    read = replace(request.read, columns=request.columns, workspace=workspace.uri, http=settings.fetch_http)
    manifest = open_manifest(request.manifest, store=store, stdin=stdin, options=read)
    given = sets(request)
    lab = lab_of(request, manifest, given, store) if request.trial else None
    variants = list(lab.variants) if lab else variants_of(request, manifest, store)
    making = _Making(request, settings, workspace, store, manifest, read, lab, run_id or new_run_id(utc_now()))
    resolver = making.resolver(variants, given)
    return making.plan(resolver, making.options(variants, root=resolver.naming.root))


@dataclass(frozen=True)
class _Making:
    """What a plan is made from."""

    request: PlanRequest
    settings: Settings
    workspace: Workspace
    store: Store | None
    manifest: Manifest
    read: ReadOptions
    lab: Lab | None
    run_id: str

    def options(self, variants: list[Variant], *, root: str) -> RunOptions:
        """What holds for every job of the run."""
        request, settings = self.request, self.settings
        some = request.limit or request.only_ids is not None or (request.sample and not request.then_ask)
        return RunOptions(
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
            partial=bool(some or self.lab),
            root=root,
        )

    def resolver(self, variants: list[Variant], given: Mapping[str, object]) -> Resolver:
        """What makes jobs of entries."""
        settings, manifest = self.settings, self.manifest
        return Resolver(
            workspace=self.workspace,
            variants=variants,
            defaults=defaults_of(settings, manifest),
            sets=given,
            columns=manifest.columns,
            kept=manifest.kept,
            is_report=manifest.is_report,
            output=self.request.output or "",
            template=settings.naming,
            form=settings.output_format,
            sandbox=settings.sandbox,
            new_seed=self.request.new_seed,
            salt=self.run_id,
        )

    def plan(self, resolver: Resolver, options: RunOptions) -> Plan:
        """Takes the first pass; the plan with what it has counted."""
        request, settings, manifest = self.request, self.settings, self.manifest
        planner, first_pass, narrowed = _judged(self._planner(resolver), request, options, settings, self.store)
        sha256 = manifest.sha256()
        estimate = estimated(first_pass.jobs, first_pass.samples, first_pass.steps, settings)
        known = first_pass.web.known(self.store, self.workspace)
        return Plan(
            request=request,
            run_id=self.run_id,
            plan_digest=self._digest(sha256, options, resolver, planner),
            options=options,
            manifest=ManifestSource(
                uri=manifest.uri.encode(errors="replace").decode(), sha256=sha256, place=place_of(manifest.uri)
            ),
            entries=first_pass.entries, variants=tuple(first_pass.variants), jobs=first_pass.jobs,
            distinct=first_pass.distinct, uploads=first_pass.uploads, upload_bytes=first_pass.upload_bytes,
            problems=first_pass.problems.listed,
            warnings=[
                *first_pass_warnings(first_pass, request, settings), *output_warnings(request, manifest),
                *prompt_warnings(resolver),
                *first_pass.web.warnings(first_pass.jobs, estimate.seconds), *(narrowed.warnings if narrowed else ()),
            ],
            estimate=estimate,
            home=settings.home,
            stream=lambda: planner.jobs(first_pass),
            parts=lambda: planner.jobs_by_parts(first_pass),
            left_out=lambda: planner.left_out(first_pass),
            wait_credits=settings.wait_credits if request.wait_credits is None else request.wait_credits,
            ask_after=first_pass.ask_after,
            notify=request.notify if request.notify is not None else settings.notify.as_stored,
            prompt=first_pass.spread[0].params.prompt if first_pass.spread else "",
            sequence=first_pass.sequence, source=manifest, buckets=first_pass.buckets,
            spread=first_pass.spread, trial=self._trial(narrowed),
            summary=summarised(manifest, self.read, first_pass.problems, first_pass.web.summary(known)),
        )  # fmt: skip

    def _trial(self, narrowed: Narrowed | None) -> Trial | None:
        if self.lab is None or narrowed is None:
            return None
        return trial_of(self.lab, narrowed, self.request, self.settings, pace(self.settings))

    def _planner(self, resolver: Resolver) -> Planner:
        request, only = self.request, self.request.only_ids
        return Planner(
            self.manifest, resolver, request.limit, request.sample, request.then_ask,
            None if only is None else frozenset(map(self.manifest.whole, only)),
            partial(made_by_us, store=self.store) if self.store else lambda _uris: set(),
            self.settings.reuse,
        )  # fmt: skip

    def _digest(self, sha256: str, options: RunOptions, resolver: Resolver, planner: Planner) -> str:
        """What stands for the plan: one with the same digest is the same plan."""
        request = self.request
        frozen = options.model_dump(exclude={"limit", "sample", "max_failures", "max_suspects"})
        only = None if request.only_ids is None else sorted(request.only_ids)
        choices = [
            request.sets, request.output, request.limit, request.sample, dict(request.columns), request.skip_invalid,
            request.then_ask, only,
        ]  # fmt: skip
        choices += [asdict(request.read)] if request.read.given() else []
        choices += [str(sorted(planner.places or ()))] if self.lab else []
        recipe = [[variant.name, dict(variant.params)] for variant in resolver.variants]
        return digest([sha256, recipe, dict(resolver.defaults), frozen, choices, self.workspace.uri])


def place_of(uri: str) -> str:
    """What tells a local manifest from another of the same name; empty where its name does, or nothing can."""
    return "" if uri == "-" or uri.startswith("s3://") else digest([os.fsencode(os.path.realpath(uri)).hex()])


def _judged(
    planner: Planner, request: PlanRequest, options: RunOptions, settings: Settings, store: Store | None
) -> tuple[Planner, FirstPass, Narrowed | None]:
    """Pass 1, with everything that is wrong reported at once; of a trial, over the entries that are tried."""
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
        first_pass = run_first_pass(planner, hashes)
        if request.check_inputs and not alike:
            check_inputs(planner, first_pass, options, store)
        count_jobs(planner, first_pass, hashes)
    finally:
        hashes.close()
    problems = [*alike, *first_pass.problems.listed]
    if problems and (alike or not request.skip_invalid):
        raise _noted(ManifestError(problems), planner, request, first_pass)
    if not first_pass.jobs:
        reason = "has nothing to run" + (": every line is bad" if problems else "")
        reason = "has none of the ids of --only-ids" if first_pass.unknown_ids and not problems else reason
        raise _noted(ManifestError([*problems, Problem(request.manifest, 0, "", reason)]), planner, request, first_pass)
    return planner, first_pass, narrowed


def _noted(error: ManifestError, planner: Planner, request: PlanRequest, first_pass: FirstPass) -> ManifestError:
    """The error with what the manifest was taken for, where that was not plain to see."""
    summary = summarised(planner.manifest, request.read, first_pass.problems)
    lines = summary.lines()
    if planner.manifest.feed or summary.columns or summary.left_out:
        for heading, text in lines:
            error.add_note(f"{heading} {text}")
    return error
