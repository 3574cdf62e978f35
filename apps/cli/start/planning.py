"""What run, plan and submit share: the plan, its words, the question before spending, the unfinished run."""

from __future__ import annotations

import sys
from dataclasses import replace

from rich.table import Table

from apps.session import Session
from apps.stack import local
from apps.terminal.console import can_ask, confirm, counted, credits_text, say, span_text, talk
from config.connections import open_store, who
from config.settings import Settings
from producers.planning.clashes import Clashes, find_clashes
from producers.planning.copies import find_copies
from producers.planning.make import make_plan
from producers.planning.plan import Plan
from producers.planning.probing import probe
from producers.planning.request import PlanRequest
from producers.planning.shards import write_shards
from producers.runs.trials import Trial
from restyle.errors import ConfigurationError, ObjectRefused, StoreAccessDenied, StoreUnavailable
from restyle.keys import Workspace
from restyle.models import Run

#: What stands for the workspace while the embedded stack is not up yet.
EMBEDDED_WORKSPACE = Workspace("s3://restyle-local")


def needs_store(request: PlanRequest) -> bool:
    """Whether the manifest or its variants can be read only through S3."""
    sources = (request.manifest, request.variants, request.read.images)
    return any((source or "").startswith("s3://") for source in sources)


def open_plan(request: PlanRequest, settings: Settings, here: Session | None = None) -> Plan | None:
    """Pass 1 over the manifest; None where it needs S3 and no session is open yet.

    A local manifest is judged before anything is started, so that a wrong one costs nothing, not even a second.
    """
    if here is None and needs_store(request):
        return None
    if here is None and request.check_inputs:
        return _with_s3(request, settings)
    workspace = here.workspace if here else _workspace(settings)
    return make_plan(request, settings, workspace=workspace, store=here.store if here else None, stdin=sys.stdin.buffer)


def _with_s3(request: PlanRequest, settings: Settings) -> Plan:
    """The plan of a local manifest whose inputs are looked at, wherever they lie."""
    with local.s3(settings, say=say) as complete:
        store = open_store(complete or settings)
        try:
            return make_plan(request, settings, workspace=_workspace(settings), store=store, stdin=sys.stdin.buffer)
        finally:
            store.close()


def looked_into_alone(plan: Plan, settings: Settings) -> Plan:
    """The same for `restyle plan`: of the embedded stack no more is started than S3, and only where it was used before.

    Raises:
        ManifestError: outputs cannot be written where they are to go.
    """
    warnings: list[str] = []
    with local.s3(settings, say=say) as complete:
        store = open_store(complete or settings)
        try:
            if settings.probe_outputs:
                warnings += probe(plan, store=store, workspace=_workspace(settings), with_workspace=False)
            if complete:
                workspace = complete.effective_workspace
                clashes = find_clashes(plan, store=store, workspace=workspace)
                warnings += clashes.sentences()
                plan = replace(plan, copies=str(find_copies(plan, clashes.records, store=store, workspace=workspace)))
        except (StoreUnavailable, StoreAccessDenied, ObjectRefused) as error:
            warnings.append(f"what lies where outputs go was not looked at: {error.message}")
        finally:
            store.close()
    return replace(plan, warnings=[*plan.warnings, *warnings])


def _workspace(settings: Settings) -> Workspace:
    if settings.workspace:
        return settings.effective_workspace
    return EMBEDDED_WORKSPACE.sandbox if settings.sandbox else EMBEDDED_WORKSPACE


def show_plan(plan: Plan, settings: Settings) -> None:
    """The plan in words, on stderr."""
    estimate = plan.estimate
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", justify="right")
    table.add_column()
    for heading, text in plan.summary.lines():
        table.add_row(heading, text)
    table.add_row(
        "entries", f"{plan.entries:,}" + (f"  ({len(plan.problems):,} bad lines left out)" if plan.problems else "")
    )
    if plan.trial:
        table.add_row("trial", _compared(plan.trial))
    else:
        table.add_row("variants", ", ".join(plan.variants))
    table.add_row("jobs", f"{plan.jobs:,}  ({counted(estimate.calls, 'call')}, {counted(estimate.samples, 'sample')})")
    if 0 < plan.distinct < plan.jobs:
        table.add_row("results", f"{plan.distinct:,} distinct: the same picture with the same recipe is paid for once")
    if plan.copies:
        table.add_row("of them", plan.copies)
    if plan.uploads:
        pictures = "1 local picture" if plan.uploads == 1 else f"{plan.uploads:,} local pictures"
        table.add_row("uploads", f"{pictures}, {plan.upload_bytes / 1e6:,.1f} MB")
    most = "at most " if estimate.at_most else ""
    cost = (
        "free: the sandbox's pictures cost nothing"
        if settings.sandbox
        else most + credits_text(estimate.credits, settings.credit_price)
    )
    table.add_row("cost", cost)
    rpm = settings.effective_max_rpm
    pace = f"at {rpm} calls a minute" if rpm else f"at {settings.concurrency} calls in flight"
    table.add_row("time", f"about {span_text(max(1, estimate.seconds))} {pace}")
    talk.print(table)
    if settings.sends_key_in_clear:
        say("warning: RESTYLE_API_URL or RESTYLE_HISTORY_URL sends the API key in clear: use https://", "yellow")
    for warning in plan.warnings:
        say(f"warning: {warning}", "yellow")
    for problem in plan.problems[:20]:
        say(f"left out: {problem}", "yellow")
    if len(plan.problems) > 20:
        say(f"… and {len(plan.problems) - 20:,} more; all of them are in the run's invalid.csv", "yellow")


def _compared(trial: Trial) -> str:
    """What a trial compares, in a line."""
    values = {axis: dict.fromkeys(column.differs[axis] for column in trial.columns) for axis in trial.axes}
    prompts = "1 prompt" if len(trial.prompts) == 1 else f"{len(trial.prompts):,} prompts"
    axes = "".join(f" x {axis} {', '.join(tried)}" for axis, tried in values.items())
    seeds = f", {trial.draws} seeds each" if trial.draws > 1 else ""
    return f"{prompts}{axes}: {len(trial.columns):,} columns{seeds}, of {trial.catalog:,} entries in all"


def spend_or_stop(plan: Plan, settings: Settings, *, yes: bool, clashes: Clashes | None = None) -> None:
    """Asks once on a terminal; elsewhere a large estimate needs --yes or --budget, replacing others' pictures --yes.

    Raises:
        ConfigurationError: the estimate is above what may be spent unasked, or pictures would be replaced unasked.
    """
    credits = plan.estimate.credits
    if clashes and clashes.needs_yes and not yes:
        confirm(
            "Spend it, and have it so?",
            what="spent",
            otherwise=f"{clashes.sentences()[0]}. To have it so, add --yes; nothing was spent",
        )
        return
    if settings.sandbox or not plan.jobs:
        return
    if plan.request.budget is not None and credits > plan.request.budget:
        say(
            f"The budget of {plan.request.budget:,.2f} credits will not do for all of it; the run stops there.",
            "yellow",
        )
    if yes or plan.request.budget is not None:
        return
    if can_ask():
        # Under --quiet nothing else has shown how much it is.
        what = f"at most {credits_text(credits, settings.credit_price)}" if talk.quiet else "it"
        confirm(f"Spend {what}?", what="spent")
    elif credits > settings.confirm_above:
        raise ConfigurationError(
            f"the estimate of {credits:,.2f} credits is above RESTYLE_CONFIRM_ABOVE ({settings.confirm_above:,.0f});"
            " add --yes or --budget CREDITS"
        )


def continued(plan: Plan, here: Session) -> Run | None:
    """The unfinished run of the same plan, where there is one: resumed, unless another command follows it already."""
    for run in here.control.unfinished():
        if run.plan_digest != plan.plan_digest:
            continue
        is_driven = here.driving.is_driven(run.run_id)
        here.driving.take(run.run_id)  # from here on the other command, if it ends, leaves the run going
        if is_driven and not here.progress.suspensions(run.run_id):
            say(f"Run {run.run_id} of this very plan is going; watching it. (--new plans afresh.)", "bold")
        else:
            say(f"Run {run.run_id} of this very plan is unfinished: it goes on. (--new plans afresh.)", "bold")
            limits = {name: getattr(plan.options, name) for name in ("max_failures", "max_suspects")}
            here.control.resume(run.run_id, limits=limits, wait_credits=plan.wait_credits)
        if (plan.request.name or run.name, {**run.labels, **plan.request.labels}) != (run.name, run.labels):
            say("It keeps the name and the labels that it was planned with.", "yellow")
        return run
    return None


def write_plan(plan: Plan, here: Session) -> Run:
    """Pass 2: uploads and shards. The run exists once it is submitted, where no other unfinished run has its jobs."""
    with talk.status("Writing the plan…"):
        run = write_shards(
            plan, workspace=here.workspace, store=here.store, shard_jobs=here.settings.shard_jobs, by=who()
        )
    if run.unchanged:
        say(f"{run.unchanged:,} of {run.planned:,} jobs are done, and have not changed since.", "dim")
    return run
