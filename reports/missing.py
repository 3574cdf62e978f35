"""Pictures of done jobs that are not there any more: looked for at the end of a run, among the first of the skipped."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from producers.planning.compare.lookup import etags
from producers.runs.outcomes import Rows
from restyle.models import OutcomeKind
from restyle.s3.store import Store

#: Skipped jobs that are looked at, two listings at best; and jobs that are gone through for them.
_LOOKED_AT, _GONE_THROUGH = 2000, 20_000


@dataclass(frozen=True)
class Missing:
    """What was looked for."""

    looked_at: int
    uris: tuple[str, ...]


def find_missing(rows: Rows, store: Store) -> Missing:
    """The outputs of a run's skipped jobs that are not there; of many, the first are looked at.

    Raises:
        StoreUnavailable, StoreAccessDenied: S3 does not answer, or lets nobody look.
    """
    skipped = (
        outcome
        for _, outcome in islice(rows(), _GONE_THROUGH)
        if outcome and outcome.outcome is OutcomeKind.SKIPPED and outcome.outputs
    )
    uris = sorted({uri for outcome in islice(skipped, _LOOKED_AT) for uri in outcome.outputs})
    return Missing(len(uris), tuple(uri for uri, etag in etags(uris, store) if etag is None))
