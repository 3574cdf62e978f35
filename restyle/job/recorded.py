"""What S3 has as a job's record: read in one place, for workers, plans and reports."""

from __future__ import annotations

from pydantic import ValidationError

from restyle.formats import lying_at
from restyle.record import Record
from restyle.s3.store import Store


def find_at(uri: str, store: Store) -> Record | None:
    """The record that lies there, whichever run wrote it; one that cannot be read counts as none.

    Raises:
        NewerFormat: a later version wrote it: its job is done, in a way that this version cannot judge.
    """
    stored = store.find(uri)
    try:
        with lying_at(uri):
            return Record.read(stored.data, stored.etag) if stored else None
    except ValidationError:
        return None
