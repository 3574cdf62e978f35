"""Options that several commands share, each written once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from config.settings import Settings, load_settings
from producers.plan import PlanRequest
from restyle.errors import ConfigurationError

Manifest = Annotated[
    str,
    typer.Argument(
        help="CSV, JSON or JSONL file (also .gz), folder, s3:// file or prefix (end it in /), or - for stdin.",
        show_default=False,
    ),
]
Variants = Annotated[str | None, typer.Option(help="Variants file: JSON, TOML or CSV.", metavar="FILE")]
Prompt = Annotated[str | None, typer.Option(help="One prompt for every image; may use {columns}.", metavar="TEXT")]
Sets = Annotated[
    list[str] | None, typer.Option("--set", help="Set a parameter for every job; repeatable.", metavar="NAME=VALUE")
]
Output = Annotated[str | None, typer.Option(help="Prefix for outputs.", metavar="S3://…")]
Limit = Annotated[int | None, typer.Option(help="Take only the first N entries.", metavar="N", min=1)]
Sample = Annotated[int | None, typer.Option(help="Take N jobs, spread over variants and folders.", metavar="N", min=1)]
SkipInvalid = Annotated[bool, typer.Option("--skip-invalid", help="Run the good lines; write the bad ones to a file.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Redo jobs that are done already.")]
NewSeed = Annotated[
    bool, typer.Option("--new-seed", help="Derive other seeds, for another picture of the same prompt.")
]
Budget = Annotated[float | None, typer.Option(help="Refuse to start above this estimate.", metavar="CREDITS", min=0)]
Column = Annotated[
    list[str] | None,
    typer.Option("--column", help="Rename a column, e.g. --column id=SKU; repeatable.", metavar="NAME=COLUMN"),
]
MaxSide = Annotated[int | None, typer.Option(help="Longest side sent, in pixels; 0 sends as is.", metavar="PX", min=0)]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before spending.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Sandbox = Annotated[bool, typer.Option("--sandbox", help="Call the sandbox of the API: free, made-up pictures.")]
Concurrency = Annotated[int | None, typer.Option(help="Calls in flight in each worker.", metavar="N", min=1)]
MaxRpm = Annotated[int | None, typer.Option(help="Calls a minute by the whole fleet; 0: no limit.", metavar="N", min=0)]
MaxOutage = Annotated[float | None, typer.Option(help="Seconds to sit out an outage of the API.", metavar="S", min=0)]
RunId = Annotated[
    str, typer.Argument(metavar="RUN", help="The run's id, as `restyle runs` lists it.", show_default=False)
]
MaybeRunId = Annotated[str | None, typer.Argument(metavar="[RUN]", help="The run's id; without it, all of them.")]


def settings_from(*, sandbox: bool = False, **flags: Any) -> Settings:
    """The settings, with the flags that were given on top."""
    return load_settings(sandbox=sandbox or None, **flags)


def pairs(texts: Sequence[str] | None, option: str) -> dict[str, str]:
    """`name=value` options as a mapping.

    Raises:
        ConfigurationError: one has no `=`.
    """
    found: dict[str, str] = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ConfigurationError(f"{option} {text}: write it as name=value")
        found[name.strip()] = value
    return found


def request_from(manifest: str, **given: Any) -> PlanRequest:
    """A plan request from a command's options."""
    columns = pairs(given.pop("column", None), "--column")
    sets = tuple(given.pop("sets", None) or ())
    pairs(sets, "--set")
    return PlanRequest(manifest, sets=sets, columns=columns, **given)
