"""Whether outputs can be put where a plan wants them: found out before anything is queued, by putting a tiny object.

A bucket with a typo in its name would otherwise stand in the way of jobs that are paid for already.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from uuid import uuid4

from producers.planning.plan import Plan
from restyle.errors import (
    ConfigurationError,
    InputNotFound,
    ManifestError,
    ObjectRefused,
    RestyleError,
    StoreAccessDenied,
    StoreUnavailable,
)
from restyle.keys import Workspace
from restyle.outputs import Storing
from restyle.problems import Problem
from restyle.s3.store import EMBEDDED_BUCKET, Store

_BODY = b"restyle looks whether it may write here"
_LEAVE = "Where only the workers may write, set RESTYLE_PROBE_OUTPUTS=false"


def probe(plan: Plan, *, store: Store, workspace: Workspace, with_workspace: bool) -> list[str]:
    """Puts a tiny object into the workspace and into each bucket of outputs, and removes it; what is to be warned of.

    Args:
        plan: the plan.
        store: S3.
        workspace: where the run will lie.
        with_workspace: whether to look there, too: the embedded one needs it not.

    Raises:
        ManifestError: a bucket is not there, or cannot be written to; with the line that names it.
        ConfigurationError: the same of the workspace.
        StoreUnavailable: S3 does not answer.
    """
    warnings: list[str] = []
    if with_workspace:
        try:
            warnings += _probe(workspace.under("doctor"), store, None)
        except (StoreAccessDenied, ObjectRefused, InputNotFound) as error:
            raise ConfigurationError(
                f"RESTYLE_WORKSPACE: {error.message}. Mend that, or create the bucket. {_LEAVE}"
            ) from None
    problems = []
    for bucket, job in plan.buckets.items():
        if bucket == EMBEDDED_BUCKET or job.output.startswith(workspace.uri + "/"):
            continue
        try:
            warnings += _probe(posixpath.dirname(job.output), store, plan.options.outputs.storing)
        except (StoreAccessDenied, ObjectRefused, InputNotFound) as error:
            reason = f"nothing can be written there: {error.message}. Mend that, or create the bucket. {_LEAVE}"
            entry, of_row = job.entry, bool(job.entry.output.startswith("s3://"))
            source = entry.source if of_row else "--output"
            problems.append(Problem(source, entry.line if of_row else 0, "output" if of_row else "", reason))
    if problems:
        raise ManifestError(problems)
    return warnings


def _probe(folder: str, store: Store, storing: Storing | None) -> Sequence[str]:
    """Puts an object and removes it.

    Raises:
        StoreAccessDenied, ObjectRefused, InputNotFound: there is no such bucket, or it cannot be written to.
    """
    uri = f"{folder}/restyle-probe-{uuid4().hex}"
    warnings = []
    try:
        store.head(uri)
    except (StoreAccessDenied, ObjectRefused):
        warnings.append(
            f"{folder}: S3 does not let restyle look there (s3:GetObject, s3:ListBucket): what lies there already would"
            " be replaced, whoever has made it"
        )
    store.put(uri, _BODY, content_type="text/plain", storing=storing)
    try:
        store.delete(uri)
    except StoreUnavailable:
        raise
    except RestyleError as error:
        warnings.append(f"{uri} was written to see whether that is allowed, and cannot be removed: {error.message}")
    return warnings
