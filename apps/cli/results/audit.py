"""audit: what in a workspace leads nowhere, and what nobody leads to."""

from __future__ import annotations

from collections import Counter

import typer

from apps.cli import options
from apps.session import Session, session
from apps.terminal.console import confirm, print_json, say, talk
from reports.audit import Finding, Kind
from reports.audit import audit as look_through
from reports.audit import mend as mend_all
from restyle.errors import ConfigurationError

_SHOWN = 20
_DESCRIPTIONS = {
    Kind.RECORD: (
        "records whose pictures are gone",
        "removed, and the next run makes or copies the pictures again",
    ),
    Kind.OUTPUT: ("pictures that no record names", "moved to replaced/, where they can still be reused"),
    Kind.ENTRY: ("entries of the index that lead to no picture", "removed"),
}


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog="Examples: restyle audit · restyle audit --mend")(audit)


def audit(
    mend: bool = typer.Option(False, "--mend", help="After the list and a yes, put in order what is wrong."),
    sandbox: options.Sandbox = False,
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
    as_json: options.Json = False,
) -> None:
    """Look for records without pictures, pictures without records, and entries of the index that lead nowhere."""
    mended: list[str] = []
    with session(options.settings_from(sandbox=sandbox)) as here:
        if mend:
            _refuse_unfinished(here)
        with talk.status("Looking through the workspace…"):
            findings = list(look_through(here.store, here.workspace))
        _show(findings)
        if findings and mend:
            _refuse_unfinished(here)
            if not yes:
                confirm(
                    "Mend it?",
                    what="mended",
                    otherwise="nothing was mended: add --yes, or leave out --mend to look only",
                )
                _refuse_unfinished(here)  # begun while the person thought
            with talk.status("Mending…"):
                mended = mend_all(findings, here.store, here.workspace)
            say(f"{len(mended):,} of {len(findings):,} mended." + _stayed(findings, mended))
    if as_json:
        kinds = Counter(finding.kind.value for finding in findings)
        print_json({
            "found": {kind.value: kinds[kind.value] for kind in Kind},
            "findings": [{"kind": one.kind.value, "uri": one.uri, "detail": one.detail} for one in findings],
            "mended": len(mended),
        })  # fmt: skip


def _refuse_unfinished(here: Session) -> None:
    """A worker may be between a picture and its record: while the workspace is looked through, and before it is mended.

    Raises:
        ConfigurationError: a run is not over.
    """
    for run in here.control.unfinished():
        raise ConfigurationError(
            f"run {run.run_id} is not over: nothing was mended; wait for its end, or type: restyle cancel {run.run_id}"
        )


def _stayed(findings: list[Finding], mended: list[str]) -> str:
    return "" if len(findings) == len(mended) else " What restyle has not made, or is in order by now, stays as it is."


def _show(findings: list[Finding]) -> None:
    if not findings:
        say("Records, pictures and the index agree.")
        return
    for kind, (what, then) in _DESCRIPTIONS.items():
        ours = [finding for finding in findings if finding.kind is kind]
        if not ours:
            continue
        say(f"{len(ours):,} {what}; with --mend they are {then}:", "yellow")
        for finding in ours[:_SHOWN]:
            say(f"  {finding.uri}" + (f": {finding.detail}" if finding.detail else ""), "dim")
        if len(ours) > _SHOWN:
            say(f"  … and {len(ours) - _SHOWN:,} more; all of them: --json", "dim")
