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
    stored = store.find(workspace.run(run_id, "report.json"))
    try:
        report = json.loads(stored.data) if stored else {}
    except (ValueError, RecursionError):
        return {}
    return report if isinstance(report, dict) else {}
