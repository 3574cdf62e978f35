"""show: the story of one job, and its picture where the terminal can show one."""

from __future__ import annotations

import posixpath
import sys
from collections.abc import Iterator
from datetime import datetime

import typer
from rich.table import Table
from rich.text import Text

from apps.cli import options
from apps.cli.results import pictures
from apps.session import Session, session
from apps.terminal.console import credits_text, out, print_json, say
from apps.terminal.exits import WRONG_INPUT
from producers.runs.history import Chapter, Search, Story
from producers.runs.statistics import outcome_word
from restyle import images
from restyle.errors import RestyleError
from restyle.job.outputs import quality
from restyle.models import Params
from restyle.record import Record

#: Runs that are looked through, newest first, where none is named.
RUNS = 10
#: The longest side of a picture that is sent to the terminal, in pixels.
SIDE = 480
_STYLES = {"succeeded": "green", "skipped": "cyan", "failed": "bold red", "pending": "dim"}

Field = tuple[str, str]


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog="Examples: restyle show mug-41 · restyle show mug-41 --variant oak --run RUN")(show)


def show(
    named: str = typer.Argument(metavar="JOB|ID", help="An entry's id, or a job's id from a report."),
    variant: str | None = typer.Option(None, help="Only this variant.", metavar="NAME"),
    run_id: str | None = typer.Option(None, "--run", help="Look into this run alone.", metavar="RUN"),
    picture: bool = typer.Option(True, "--picture/--no-picture", help="Show the picture where the terminal can."),
    as_json: options.Json = False,
    sandbox: options.Sandbox = False,
) -> None:
    """Tell the story of a job: how it ended in each run, its calls and times, its record, and its picture."""
    with session(options.settings_from(sandbox=sandbox), run=run_id) as here:
        for view in [here] if run_id else here.sides:
            if listed := stories(view, named, variant, here.run_id):
                tell(listed, view, as_json=as_json, picture=picture)
                return
    where = f"run {run_id}" if run_id else f"the records and the last {RUNS} runs; --run RUN looks into another one"
    say(
        f"restyle: nobody knows {named!r}{f' with variant {variant}' if variant else ''}: looked through {where}", "red"
    )
    sys.exit(WRONG_INPUT)


def stories(here: Session, named: str, variant: str | None, run_id: str) -> list[Story]:
    """What is known of an entry or a job."""
    runs = [here.read(run_id)] if run_id else here.control.runs(RUNS)
    search = Search(here.store, here.workspace, here.progress.outcomes)
    listed = search.stories(named, runs, variant)
    for unread, why in search.unread.items():
        say(f"Run {unread} is passed over: {why}", "yellow")
    return listed


def tell(listed: list[Story], here: Session, *, as_json: bool, picture: bool) -> None:
    """Prints the stories."""
    if as_json:
        print_json({"jobs": [_as_json(story) for story in listed]})
        return
    for place, story in enumerate(listed):
        if place:
            out.print()
        out.print(heading(story))
        out.print(table_of(fields(story, here), wrapped=out.is_terminal))
        if story.chapters:
            out.print(Text("  in these runs", style="dim"))
            for chapter in story.chapters:
                out.print(line_of(chapter))
        if picture:
            pictures.draw(_pictures(story, here), out)


def heading(story: Story) -> Text:
    """Which job it is, and how it stands."""
    state = outcome_word(story.chapters[0].outcome) if story.chapters else "succeeded"
    text = Text.assemble((story.id, "bold"), " · ", (story.variant, "bold"), "  ", (state, _STYLES.get(state, "")))
    if story.record and (why := quality.in_words(story.record.marks.suspect)):
        text.append(f"  {why}", "yellow")
    return text


def table_of(rows: Iterator[Field], *, wrapped: bool) -> Table | Text:
    """Names and their values: on a terminal wrapped beside its name, elsewhere a line each."""
    if not wrapped:
        return Text("\n").join(Text(f"  {name:<11} {text}") for name, text in rows)
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in rows:
        table.add_row(f"  {name}", Text(text))
    return table


def fields(story: Story, here: Session) -> Iterator[Field]:
    """What is known of the job itself."""
    yield "job", story.job_id
    record, job = story.record, story.job
    params = job.params if job else record.params if record else None
    if params:
        yield from _request(params)
    if record is None:
        if job:
            yield "original", here.shown(job.image)
        yield "record", "none: it is not done"
        return
    yield "original", f"{here.shown(record.input.uri)} ({record.input.width} x {record.input.height})"
    if record.input.address:
        yield "fetched from", record.input.address
    if record.prepared.steps:
        yield "sent", f"{record.prepared.width} x {record.prepared.height}: {', '.join(record.prepared.steps)}"
    for output in record.outputs:
        yield "output", f"{here.shown(output.uri)} ({output.width} x {output.height}, {output.bytes / 1000:,.0f} kB)"
    yield "call", _call(record, here)
    yield "times", _times(record)
    paid = [chapter.outcome.credits for chapter in story.chapters if chapter.outcome and chapter.outcome.credits]
    if len(paid) > 1:
        yield "in all", f"{credits_text(sum(paid), here.settings.credit_price)} in {len(paid)} of the runs below"
    if other := record.reused_from:
        yield "reused", f"the result of {other.id}/{other.variant} in run {other.run_id}"
    for uri in record.replaced:
        yield "replaced", here.shown(uri)
    yield "record", f"{here.shown(here.workspace.record(story.id, story.variant))}, of run {record.run_id}"


def _request(params: Params) -> Iterator[Field]:
    """What the API was sent, or will be."""
    yield "prompt", params.prompt
    if params.negative_prompt:
        yield "without", params.negative_prompt
    how = f"seed {params.seed} · strength {params.strength} · guidance {params.guidance_scale}"
    yield "parameters", f"{how} · {params.num_inference_steps} steps, {params.scheduler}, {params.base_model}"


def _call(record: Record, here: Session) -> str:
    api = record.api
    parts = [f"{api.seconds:.1f} s", f"{api.attempts} attempt{'s' if api.attempts != 1 else ''}"]
    if api.in_doubt:
        parts.append(f"{api.in_doubt} in doubt")
    if api.cost is not None:
        parts.append(credits_text(api.cost, here.settings.credit_price))
    if api.remaining_credits is not None:
        parts.append(f"{api.remaining_credits:,.2f} left then")
    if api.request_id:
        parts.append(f"request {api.request_id}")
    return " · ".join(parts) + (" · sandbox" if api.sandbox else "")


def _times(record: Record) -> str:
    """When it began, and how long each step took."""
    times = record.timestamps
    steps: list[tuple[str, datetime]] = [
        ("prepared and waited for its turn", times.called), ("answered", times.answered), ("stored", times.stored),
    ]  # fmt: skip
    began, parts = times.started, [f"{times.started.astimezone():%Y-%m-%d %H:%M:%S %z}"]
    if times.queued:
        parts.append(f"after {(times.started - times.queued).total_seconds():.1f} s on the queue")
    for name, time in steps:
        parts.append(f"{name} in {max(0.0, (time - began).total_seconds()):.1f} s")
        began = time
    return ", ".join(parts)


def line_of(chapter: Chapter) -> Text:
    """One run in a line, its error below."""
    outcome, state = chapter.outcome, outcome_word(chapter.outcome)
    text = Text.assemble(f"    {chapter.run_id}  ", (state, _STYLES.get(state, "")))
    if outcome is None:
        return text
    if outcome.error:
        text.append(
            f" {outcome.error.replace('_', ' ')}" + (f", HTTP {outcome.http_status}" if outcome.http_status else "")
        )
    facts = [f"{outcome.attempts} attempt{'s' if outcome.attempts != 1 else ''}"] if outcome.attempts else []
    facts += [f"{outcome.in_doubt} in doubt"] if outcome.in_doubt else []
    facts += [f"{outcome.seconds:.1f} s"] if outcome.seconds else []
    facts += [f"{outcome.ended.astimezone():%Y-%m-%d %H:%M:%S}"] if outcome.ended else []
    text.append("  " + " · ".join(facts), "dim")
    for sentence in (outcome.message, outcome.warning):
        if sentence:
            text.append(f"\n      {sentence}", "yellow")
    if chapter.doubt:
        text.append(f"\n      a call of it may have been paid for: {chapter.doubt.get('error', '')}", "yellow")
    return text


def _pictures(story: Story, here: Session) -> list[bytes]:
    """The original and the first output, small; those that can be read."""
    record, job = story.record, story.job
    uris = [record.input.uri if record else job.image if job else ""]
    uris += [output.uri for output in record.outputs[:1]] if record else []
    pictures = []
    for uri in filter(posixpath.basename, uris):
        try:
            pictures.append(images.thumbnail(here.store.get(uri, max_bytes=images.MAX_INPUT_BYTES).data, SIDE))
        except (RestyleError, ValueError):
            continue
    return pictures


def _as_json(story: Story) -> dict[str, object]:
    return {
        "id": story.id,
        "variant": story.variant,
        "job_id": story.job_id,
        "record": story.record.model_dump(mode="json") if story.record else None,
        "runs": [
            {
                "run_id": chapter.run_id,
                "job": chapter.job.model_dump(mode="json"),
                "outcome": chapter.outcome.model_dump(mode="json") if chapter.outcome else None,
                "doubt": dict(chapter.doubt) if chapter.doubt else None,
            }
            for chapter in story.chapters
        ],
    }
