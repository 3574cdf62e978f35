"""plan: what a manifest comes to, and what is wrong with it."""

from __future__ import annotations

import typer

from apps.cli import options
from apps.cli.start.changes import compared, show_diff
from apps.cli.start.choices import Choice, Limits, Outputs, Reading, grouped, request_from, settings_from
from apps.cli.start.planning import (
    looked_into_alone,
    open_plan,
    show_plan,
)
from apps.session import session
from apps.starting import looked_into
from apps.terminal.console import print_json, say
from config.settings import Settings
from producers.planning.plan import Plan


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(
        epilog="Examples: restyle plan catalog.csv --variants styles.json · restyle plan s3://shop/images/ --prompt"
        " 'studio photo of {id}' --diff"
    )(plan)


@grouped
def plan(
    manifest: options.Manifest,
    choice: Choice,
    limits: Limits,
    reading: Reading,
    *,
    max_side: options.MaxSide = None,
    outputs: Outputs,
    max_rpm: options.MaxRpm = None,
    check_inputs: options.CheckInputs = False,
    diff: bool = typer.Option(False, "--diff", help="Sort the jobs into new, changed, unchanged and removed."),
    sandbox: options.Sandbox = False,
    as_json: options.Json = False,
) -> None:
    """Check a manifest and estimate its cost; spends nothing, uploads nothing."""
    settings = settings_from(choice, limits, outputs, max_side=max_side, max_rpm=max_rpm, sandbox=sandbox)
    request = request_from(manifest, choice, limits, reading, check_inputs=check_inputs)
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
