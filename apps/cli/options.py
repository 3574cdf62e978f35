"""Options that several commands share, each written once."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from config.reading import load_settings
from config.settings import Settings
from restyle.errors import ConfigurationError
from restyle.keys import normalise_id
from restyle.models import utc_now
from restyle.run_ids import check_labels, check_run_name

if TYPE_CHECKING:
    from producers.planning.request import PlanRequest


def lower(place: str | None) -> str | None:
    """A place as it was typed, its scheme as S3 has it: people copy `S3://` from mails."""
    return f"s3{place[2:]}" if place and place[:5] == "S3://" else place


Manifest = Annotated[
    str,
    typer.Argument(
        help="Table, workbook, JSON, feed or shop export; folder, s3:// file or prefix (end it in /), - for stdin.",
        show_default=False,
        callback=lower,
    ),
]
# Both are lists, so that a second one is seen: the last would count alone, in silence.
Variants = Annotated[list[str] | None, typer.Option(help="Variants file: JSON, TOML or CSV.", metavar="FILE")]
Prompt = Annotated[
    list[str] | None, typer.Option(help="One prompt for every image; may use {columns}.", metavar="TEXT")
]
Sets = Annotated[
    list[str] | None, typer.Option("--set", help="Set a parameter for every job; repeatable.", metavar="NAME=VALUE")
]
Output = Annotated[str | None, typer.Option(help="Prefix for outputs.", metavar="S3://…", callback=lower)]
Limit = Annotated[int | None, typer.Option(help="Take only the first N entries.", metavar="N", min=1)]
Sample = Annotated[int | None, typer.Option(help="Take N jobs, spread over variants and folders.", metavar="N", min=1)]
OnlyIds = Annotated[
    str | None, typer.Option("--only-ids", help="Only the ids in this file, one a line; - for stdin.", metavar="FILE")
]
SkipInvalid = Annotated[bool, typer.Option("--skip-invalid", help="Run the good lines; write the bad ones to a file.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Redo jobs that are done already.")]
NewSeed = Annotated[
    bool, typer.Option("--new-seed", help="Use new seeds, to get other pictures from the same prompts.")
]
CheckInputs = Annotated[
    bool, typer.Option("--check-inputs", help="Check that each input exists and that workers would accept it.")
]
Refetch = Annotated[
    str,
    typer.Option(
        "--refetch",
        help="Fetch pictures on the web again: never; changed: only those that changed; always.",
        metavar="never|changed|always",
    ),
]
VerifyOutputs = Annotated[
    bool,
    typer.Option("--verify-outputs", help="Check that pictures of done jobs still exist; make lost ones again."),
]
NoReuse = Annotated[
    bool,
    typer.Option("--no-reuse", help="Pay for each job, even if another one has the same input and recipe."),
]
Budget = Annotated[float | None, typer.Option(help="Spend no more than this.", metavar="CREDITS", min=0)]
MaxDuration = Annotated[
    str | None, typer.Option(help="Begin no call that would end later than this, e.g. 90m or 6h30m.", metavar="TIME")
]
WaitCredits = Annotated[
    bool,
    typer.Option("--wait-credits", help="If credits run out, wait for a top-up and then continue by itself."),
]
MaxFailures = Annotated[
    str | None,
    typer.Option(help="Failed jobs that stop it: N of the run, P% of a variant's last 50; 0: never.", metavar="N|P%"),
]
MaxSuspects = Annotated[
    str | None,
    typer.Option(help="The same for pictures that look wrong; 0: never.", metavar="N|P%"),
]
ThenAsk = Annotated[bool, typer.Option("--then-ask", help="Do the --sample first, then wait for `restyle approve`.")]
Priority = Annotated[str, typer.Option(help="Order among runs: high, normal or low.", metavar="PRIORITY")]
Column = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        help="Rename a column, e.g. --column id=SKU or image=media[0].src; repeatable.",
        metavar="NAME=COLUMN",
    ),
]
Sheet = Annotated[str, typer.Option("--sheet", help="Sheet of a workbook; the first, if not given.", metavar="NAME")]
Items = Annotated[
    str, typer.Option("--items", help="Path to the entries of a JSON or XML file, e.g. products.items.", metavar="PATH")
]
Feed = Annotated[
    str,
    typer.Option(
        "--feed", help="Read the file as an export of shopify, woocommerce, magento, merchant; or none.", metavar="NAME"
    ),
]
Images = Annotated[
    str,
    typer.Option(
        "--images",
        help="Where relative images lie: a folder, s3://bucket/prefix/ or https://….",
        metavar="DIR",
        callback=lower,
    ),
]
IdTemplate = Annotated[
    str, typer.Option("--id", help="Make ids of columns, e.g. '{Handle}-{Image Position}'.", metavar="TEMPLATE")
]
Namespace = Annotated[
    str, typer.Option("--namespace", help="Prefix of all ids, if two manifests use the same ids.", metavar="NAME")
]
MaxSide = Annotated[int | None, typer.Option(help="Longest side sent, in pixels; 0: unchanged.", metavar="PX", min=0)]
Format = Annotated[
    str | None, typer.Option("--format", help="Format of outputs: jpg (as received), webp, png.", metavar="FORMAT")
]
Quality = Annotated[int | None, typer.Option(help="Quality of webp outputs.", metavar="1-100", min=1, max=100)]
Naming = Annotated[
    str | None,
    typer.Option(help="Names of outputs: {id}, {variant}, {sample}, {stem}, {run_id}.", metavar="TEMPLATE"),
]
Mark = Annotated[
    str | None,
    typer.Option(help="Mark of origin in outputs: an IPTC digital source type.", metavar="TYPE"),
]
NoMark = Annotated[bool, typer.Option("--no-mark", help="Write no mark of origin into outputs; records say so.")]
NoGates = Annotated[bool, typer.Option("--no-gates", help="Do not set aside pictures that look wrong.")]
Download = Annotated[
    Path | None, typer.Option("--download", help="Copy outputs to this folder as they arrive.", metavar="DIR")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before spending.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Sandbox = Annotated[bool, typer.Option("--sandbox", help="Call the sandbox of the API: free, made-up pictures.")]
Concurrency = Annotated[int | None, typer.Option(help="Calls in flight in each worker.", metavar="N", min=1)]
Processes = Annotated[
    int | None, typer.Option(help="Processes that share these calls; 0: as many as cores allow.", metavar="N", min=0)
]
Api = Annotated[
    str | None,
    typer.Option(help="v1: one call for each picture. v2: the API's queue; requests survive a worker.", metavar="MODE"),
]
MaxRpm = Annotated[int | None, typer.Option(help="Calls a minute by the whole fleet; 0: no limit.", metavar="N", min=0)]
MaxOutage = Annotated[float | None, typer.Option(help="Seconds to sit out an outage of the API.", metavar="S", min=0)]
Dashboard = Annotated[bool, typer.Option("--dashboard", help="Serve the dashboard meanwhile, on 127.0.0.1.")]
TakeOver = Annotated[
    bool, typer.Option("--take-over", help="Make another holder of the workspace stop, then continue here.")
]
Name = Annotated[
    str, typer.Option("--name", help="Name of the run; it stands for the newest run of that name.", metavar="NAME")
]
Label = Annotated[
    list[str] | None,
    typer.Option("--label", help="Label the run, for lists and costs; repeatable.", metavar="KEY=VALUE"),
]
OnlyLabel = Annotated[
    list[str] | None, typer.Option("--label", help="Only runs with this label; repeatable.", metavar="KEY=VALUE")
]
_RUN = "The run's id or the beginning of it, its name, or latest"
RunId = Annotated[str, typer.Argument(metavar="RUN", help=f"{_RUN}.", show_default=False)]
MaybeRunId = Annotated[str | None, typer.Argument(metavar="[RUN]", help=f"{_RUN}; without it, all of them.")]


def settings_from(*, sandbox: bool = False, **flags: Any) -> Settings:
    """The settings, with the flags that were given on top."""
    return load_settings(sandbox=sandbox or None, **flags)


def unless(flag: bool) -> bool | None:
    """A setting that a flag turns off; without the flag it is as set elsewhere."""
    return False if flag else None


def check_download(directory: Path | None, *, detach: bool) -> None:
    """Raises ConfigurationError where outputs cannot be copied to this folder as they arrive."""
    if directory is None:
        return
    if detach:
        raise ConfigurationError("--download copies while the run is followed, and --detach does not follow it")
    there = next(place for place in (directory, *directory.absolute().parents) if place.exists())
    if not there.is_dir():
        raise ConfigurationError(f"--download {directory}: {there.name} is a file; name a folder")


def pairs(texts: Sequence[str] | None, option: str) -> dict[str, str]:
    """`name=value` options as a mapping.

    Raises:
        ConfigurationError: one has no `=`.
    """
    values: dict[str, str] = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ConfigurationError(f"{option} {text}: write it as name=value")
        if name.strip() in values:
            raise ConfigurationError(f"{option} {text}: {name.strip()} is there twice")
        values[name.strip()] = value
    return values


def labels_from(texts: Sequence[str] | None) -> dict[str, str]:
    """The labels of `--label`.

    Raises:
        ConfigurationError: one of them cannot be one.
    """
    try:
        return check_labels(pairs(texts, "--label"))
    except ValueError as reason:
        raise ConfigurationError(f"--label: {reason}") from None


def finish_time(duration: str | None) -> datetime | None:
    """The end of a `--max-duration` that begins now.

    Raises:
        ConfigurationError: it is no length of time.
    """
    if duration is None:
        return None
    match = re.fullmatch(r"(?:(\d{1,7})h)?(?:(\d{1,7})m)?(?:(\d{1,7})s?)?", duration.strip())
    seconds = (
        sum(int(part or 0) * unit for part, unit in zip(match.groups(), (3600, 60, 1), strict=True)) if match else 0
    )
    if not seconds:
        raise ConfigurationError(f"--max-duration {duration}: write it like 90m, 6h30m or 45s")
    return utc_now() + timedelta(seconds=seconds)


def request_from(manifest: str, **given: Any) -> PlanRequest:
    """A plan request from a command's options."""
    from producers.planning.request import PlanRequest  # few commands plan

    if given.get("priority", "normal") not in {"high", "normal", "low"}:
        raise ConfigurationError(f"--priority {given['priority']}: it is high, normal or low")
    if given.get("refetch", "changed") not in {"never", "changed", "always"}:
        raise ConfigurationError(f"--refetch {given['refetch']}: it is never, changed or always")
    budget = given.get("budget")
    if budget is not None and not (math.isfinite(budget) and budget > 0):
        raise ConfigurationError(f"--budget {budget:g}: it is a number of credits above 0")
    if given.get("then_ask") and not given.get("sample"):
        raise ConfigurationError("--then-ask needs --sample N: the jobs to look at before the rest")
    if "max_duration" in given:
        given["finish_by"] = finish_time(given.pop("max_duration"))
    if manifest == "-" and given.get("only_ids") == "-":
        raise ConfigurationError("the manifest and --only-ids are both -: only one of them can be standard input")
    given["only_ids"] = read_ids(given.get("only_ids"))
    given["labels"] = labels_from(given.get("labels"))
    try:
        check_run_name(given.get("name", ""))
    except ValueError as reason:
        raise ConfigurationError(f"--name: {reason}") from None
    columns = pairs(given.pop("column", None), "--column")
    sets = tuple(given.pop("sets", None) or ())
    pairs(sets, "--set")
    return PlanRequest(manifest, sets=sets, columns=columns, **given)


def read_ids(file: str | None) -> frozenset[str] | None:
    """The ids of `--only-ids`, one a line; None where the option was not given.

    Raises:
        ConfigurationError: the file cannot be read, has none, or has a line that is none.
    """
    if file is None:
        return None
    from producers.manifest.encoding import read_lines  # few commands take ids

    try:
        lines = read_lines(file, 500_000_000)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"--only-ids {file}: cannot be read: {error}") from None
    ids = set()
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                ids.add(normalise_id(line))
            except ValueError as reason:
                raise ConfigurationError(f"--only-ids {file}:{number}: {reason}") from None
    if not ids:
        raise ConfigurationError(f"--only-ids {file}: has no ids; write one a line")
    return frozenset(ids)
