"""plan: what a manifest comes to, and what is wrong with it."""

from __future__ import annotations

import typer

from apps.cli import options
from apps.cli.start.changes import compared, show_diff
from apps.cli.start.planning import (
    looked_into_alone,
    open_plan,
    show_plan,
)
from apps.session import session
from apps.starting import looked_into
from apps.terminal.console import print_json, say
from config.settings import Settings
from producers.manifest import ReadOptions
from producers.planning.plan import Plan


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(
        epilog="Examples: restyle plan catalog.csv --variants styles.json · restyle plan s3://shop/images/ --prompt"
        " 'studio photo of {id}' --diff"
    )(plan)


def plan(
    manifest: options.Manifest,
    variants: options.Variants = None,
    prompt: options.Prompt = None,
    sets: options.Sets = None,
    output: options.Output = None,
    limit: options.Limit = None,
    sample: options.Sample = None,
    only_ids: options.OnlyIds = None,
    skip_invalid: options.SkipInvalid = False,
    overwrite: options.Overwrite = False,
    new_seed: options.NewSeed = False,
    no_reuse: options.NoReuse = False,
    budget: options.Budget = None,
    max_failures: options.MaxFailures = None,
    max_suspects: options.MaxSuspects = None,
    column: options.Column = None,
    sheet: options.Sheet = "",
    items: options.Items = "",
    feed: options.Feed = "",
    images: options.Images = "",
    id_template: options.IdTemplate = "",
    namespace: options.Namespace = "",
    max_side: options.MaxSide = None,
    form: options.Format = None,
    quality: options.Quality = None,
    naming: options.Naming = None,
    mark: options.Mark = None,
    no_mark: options.NoMark = False,
    no_gates: options.NoGates = False,
    max_rpm: options.MaxRpm = None,
    check_inputs: options.CheckInputs = False,
    diff: bool = typer.Option(False, "--diff", help="Sort the jobs into new, changed, unchanged and removed."),
    sandbox: options.Sandbox = False,
    as_json: options.Json = False,
) -> None:
    """Check a manifest and estimate its cost; spends nothing, uploads nothing."""
    settings = options.settings_from(
        sandbox=sandbox, max_rpm=max_rpm, max_side=max_side, max_failures=max_failures, max_suspects=max_suspects,
        reuse=options.unless(no_reuse),
        **options.outputs_from(
            form=form, quality=quality, naming=naming, mark=mark, no_mark=no_mark, no_gates=no_gates
        ),
    )  # fmt: skip
    request = options.request_from(
        manifest, variants=variants, prompt=prompt, sets=sets, output=output, limit=limit, sample=sample,
        only_ids=only_ids,
        skip_invalid=skip_invalid, overwrite=overwrite, new_seed=new_seed, budget=budget, column=column,
        read=ReadOptions(sheet=sheet, items=items, feed=feed, images=images, id=id_template, namespace=namespace),
        check_inputs=check_inputs,
    )  # fmt: skip
    made, changes = open_plan(request, settings), None
    if made is None or diff:
        with session(settings) as here:
            made = made or open_plan(request, here.settings, here)
            assert made is not None
            made, _ = looked_into(made, here)
            if diff:
                made, changes = compared(made, here)
    else:
        made = looked_into_alone(made, settings)
    if as_json:
        print_json(plan_object(made, settings) | ({"diff": changes.as_json()} if changes else {}))
    else:
        show_plan(made, settings)
        if changes:
            show_diff(changes, settings)
        say("Nothing was spent, uploaded or queued.", "dim")


def plan_object(plan: Plan, settings: Settings) -> dict[str, object]:
    """A plan as `plan --json` prints it."""
    estimate = plan.estimate
    return {
        "entries": plan.entries,
        "variants": list(plan.variants),
        "jobs": plan.jobs,
        "distinct": plan.distinct,
        "calls": estimate.calls,
        "samples": estimate.samples,
        "credits": estimate.credits,
        "dollars": estimate.dollars,
        "at_most": estimate.at_most,
        "seconds": round(estimate.seconds, 1),
        "max_rpm": settings.effective_max_rpm,
        "uploads": plan.uploads,
        "upload_bytes": plan.upload_bytes,
        "invalid": len(plan.problems),
        "warnings": plan.warnings,
        "manifest": plan.summary.as_json(),
        "plan_digest": plan.plan_digest,
    }
