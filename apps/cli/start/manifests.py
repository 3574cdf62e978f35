"""run, submit: commands that begin with a manifest."""

from __future__ import annotations

import sys

import typer

from apps.cli import options
from apps.cli.processes.dashboard import beside
from apps.cli.runs import follow
from apps.cli.start.planning import (
    continued,
    open_plan,
    show_plan,
    spend_or_stop,
    write_plan,
)
from apps.session import Session, is_embedded, require_key, session
from apps.starting import looked_into
from apps.terminal.console import say
from apps.terminal.exits import WRONG_INPUT
from producers.manifest import ReadOptions
from producers.planning.plan import Plan
from producers.planning.request import PlanRequest
from restyle.errors import ConfigurationError
from restyle.models import Run


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command(
        epilog="Examples: restyle run catalog.csv --variants styles.json · restyle run photos/ --prompt 'watercolor'"
        " --sandbox · restyle run s3://shop/images/ --prompt 'studio photo of {id}' --limit 20"
    )(run)
    app.command(epilog="Example: restyle submit s3://shop/catalog.csv --variants styles.json --yes")(submit)


def run(
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
    verify_outputs: options.VerifyOutputs = False,
    check_inputs: options.CheckInputs = False,
    refetch: options.Refetch = "changed",
    then_ask: options.ThenAsk = False,
    budget: options.Budget = None,
    max_failures: options.MaxFailures = None,
    max_suspects: options.MaxSuspects = None,
    max_duration: options.MaxDuration = None,
    wait_credits: options.WaitCredits = False,
    priority: options.Priority = "normal",
    name: options.Name = "",
    labels: options.Label = None,
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
    concurrency: options.Concurrency = None,
    api: options.Api = None,
    max_rpm: options.MaxRpm = None,
    max_outage: options.MaxOutage = None,
    sandbox: options.Sandbox = False,
    download: options.Download = None,
    detach: bool = typer.Option(False, "--detach", help="Leave the run going and return."),
    dashboard: options.Dashboard = False,
    new: bool = typer.Option(False, "--new", help="Plan afresh, even where the same run is unfinished."),
    yes: options.Yes = False,
    as_json: options.Json = False,
) -> None:
    """Restyle every image of a manifest: plan, call, store, report."""
    settings = options.settings_from(
        sandbox=sandbox, concurrency=concurrency, api=api, max_rpm=max_rpm, max_side=max_side, max_outage=max_outage,
        max_failures=max_failures, max_suspects=max_suspects, reuse=options.unless(no_reuse),
        wait_credits=wait_credits or None,
        **options.outputs_from(
            form=form, quality=quality, naming=naming, mark=mark, no_mark=no_mark, no_gates=no_gates
        ),
    )  # fmt: skip
    require_key(settings)
    if dashboard and detach:
        raise ConfigurationError("--dashboard lasts as long as the run is followed: leave out --detach, or type"
                                 " restyle dashboard")  # fmt: skip
    options.check_download(download, detach=detach)
    request = options.request_from(
        manifest, variants=variants, prompt=prompt, sets=sets, output=output, limit=limit, sample=sample,
        only_ids=only_ids,
        skip_invalid=skip_invalid, overwrite=overwrite, new_seed=new_seed, verify_outputs=verify_outputs,
        check_inputs=check_inputs, refetch=refetch, budget=budget, column=column,
        read=ReadOptions(sheet=sheet, items=items, feed=feed, images=images, id=id_template, namespace=namespace),
        then_ask=then_ask, max_duration=max_duration, priority=priority, name=name, labels=labels,
    )  # fmt: skip
    plan = open_plan(request, settings)
    with session(settings, worker=True, detach=detach) as here, beside(settings, is_shown=dashboard) as page:
        run = begin(request, plan, here, yes=yes, new=new, detach=detach)
        if detach:
            follow.print_submitted(run, here, as_json=as_json)
            return
        code = follow.to_the_end(run, here, as_json=as_json, download=download)
        page.stay(code)
    sys.exit(code)


def begin(request: PlanRequest, plan: Plan | None, here: Session, *, yes: bool, new: bool, detach: bool) -> Run:
    """The unfinished run of the same plan, or a new one: plans, asks, writes and submits."""
    others = follow.hold_leftovers(here)
    plan = plan or open_plan(request, here.settings, here)
    assert plan is not None
    run = None if new else continued(plan, here)
    if run is None:
        plan, clashes = looked_into(plan, here)
        show_plan(plan, here.settings)
        spend_or_stop(plan, here.settings, yes=yes, clashes=clashes)
        with here.driving.planning():
            # Another command of this folder may have begun it, while this one drafted or its person thought.
            run = None if new else continued(plan, here)
            if run is None:
                run = write_plan(plan, here)
                follow.submit(run, here, detach=detach)
    follow.name_others(others, here, but=run.run_id)
    return run


def submit(
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
    verify_outputs: options.VerifyOutputs = False,
    check_inputs: options.CheckInputs = False,
    refetch: options.Refetch = "changed",
    then_ask: options.ThenAsk = False,
    budget: options.Budget = None,
    max_failures: options.MaxFailures = None,
    max_suspects: options.MaxSuspects = None,
    max_duration: options.MaxDuration = None,
    wait_credits: options.WaitCredits = False,
    priority: options.Priority = "normal",
    name: options.Name = "",
    labels: options.Label = None,
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
    sandbox: options.Sandbox = False,
    new: bool = typer.Option(False, "--new", help="Plan afresh, even where the same run is unfinished."),
    yes: options.Yes = False,
    as_json: options.Json = False,
) -> None:
    """Hand a manifest to a running fleet and print the run's id."""
    settings = options.settings_from(
        sandbox=sandbox, max_side=max_side, max_failures=max_failures, max_suspects=max_suspects,
        reuse=options.unless(no_reuse), wait_credits=wait_credits or None,
        **options.outputs_from(
            form=form, quality=quality, naming=naming, mark=mark, no_mark=no_mark, no_gates=no_gates
        ),
    )  # fmt: skip
    if is_embedded(settings):
        say(f"There is no fleet (RESTYLE_REDIS_URL is not set). To run here and now: restyle run {manifest}", "red")
        sys.exit(WRONG_INPUT)
    request = options.request_from(
        manifest, variants=variants, prompt=prompt, sets=sets, output=output, limit=limit, sample=sample,
        only_ids=only_ids,
        skip_invalid=skip_invalid, overwrite=overwrite, new_seed=new_seed, verify_outputs=verify_outputs,
        check_inputs=check_inputs, refetch=refetch, budget=budget, column=column,
        read=ReadOptions(sheet=sheet, items=items, feed=feed, images=images, id=id_template, namespace=namespace),
        then_ask=then_ask, max_duration=max_duration, priority=priority, name=name, labels=labels,
    )  # fmt: skip
    with session(settings, holds=True) as here:
        run = begin(request, None, here, yes=yes, new=new, detach=True)
        follow.print_submitted(run, here, as_json=as_json)
