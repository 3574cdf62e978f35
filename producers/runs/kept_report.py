"""What report.json says of a run that has ended, for whoever shows it: an object in a bucket, and so maybe damaged."""

from __future__ import annotations

import json
from typing import Any

from restyle.keys import Workspace
from restyle.s3.store import Store


def find_report(run_id: str, store: Store, workspace: Workspace) -> dict[str, Any]:
    """The content of report.json; empty where there is none, or it cannot be read: then results/ tell.

    Raises:
        StoreUnavailable, StoreAccessDenied: S3 does not say.
    """
    return find_object(workspace.run(run_id, "report.json"), store)


def find_object(uri: str, store: Store) -> dict[str, Any]:
    """A JSON object in S3; empty where there is none, or it cannot be read.

    Raises:
        StoreUnavailable, StoreAccessDenied: S3 does not say.
    """
    stored = store.find(uri)
    try:
        content = json.loads(stored.data) if stored else {}
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
