"""The index of what is paid for: `results/<aa>/<key>.json` says where the pictures of an input and a recipe lie.

An entry is written after the outputs and before the record, and is only a hint: what it leads to is looked at before it
is believed. An output that was replaced since lies in replaced/, by its content. docs/decisions/0031.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field, ValidationError

from restyle.coordination.redis.client import patiently
from restyle.errors import InputNotFound, InvalidImage, ObjectRefused, StoreAccessDenied
from restyle.fingerprint import Fingerprint
from restyle.formats import SchemaVersion, lying_at
from restyle.job.context import Tools, Work
from restyle.job.outputs.locations import SUFFIXES, suffix_of
from restyle.job.outputs.metadata import sha256_of
from restyle.job.outputs.ownership import LARGEST
from restyle.job.parked import in_redis
from restyle.job.results.keys import is_made_anew, result_key
from restyle.keys import Workspace, derived_seed, draw_seed
from restyle.models import RunOptions
from restyle.record import Record, RecordOutput
from restyle.s3.store import Head, Store
from restyle.value import Value

#: Bytes of an entry at most; ours have three thousand.
_ENTRY_BYTES = 100_000
#: Samples that a result can have.
_SAMPLES = 4


class Result(Value):
    """An entry: the record of the job that the call was made for, without its entry's metadata."""

    schema_version: SchemaVersion = 1
    key: str = Field(pattern=r"^[0-9a-f]{64}$")
    record: Record


@dataclass(frozen=True)
class Paid:
    """A result that is there."""

    record: Record
    """Of the job that the call was made for, with its outputs where they lie now."""
    heads: tuple[Head, ...]
    """What S3 says of each."""


def key_of(record: Record, options: RunOptions, *, variant: str = "") -> str:
    """The key of a record's result; empty where nobody shares it."""
    return result_key(
        record.fingerprint.sha256, record.params, options,
        job_id=record.job_id, run_id=record.run_id, variant=variant or record.variant,
    )  # fmt: skip


def shared_key_of(record: Record, options: RunOptions, *, variant: str = "") -> str:
    """The key that a trial's first picture has beside its own, for jobs whose seed nobody has chosen; else empty.

    A trial's seed is one that its columns share, and as good as any other that was derived.
    """
    if record.params.seed != draw_seed(record.id):
        return ""
    derived = record.params.model_copy(update={"seed": derived_seed(record.job_id)})
    return key_of(record.model_copy(update={"params": derived}), options, variant=variant)


def enter(record: Record, options: RunOptions, tools: Tools) -> None:
    """Writes the entry of a result whose outputs lie in S3; one that looks wrong takes the place of no other.

    Nor does a trial's picture take that of one with a seed of its job's own.
    """
    if record.reused_from:
        return
    shared = shared_key_of(record, options)
    for key in filter(None, (key_of(record, options), shared)):
        uri = tools.workspace.result(key)
        if record.marks.suspect and tools.store.head(uri):
            continue
        entered = read(key, tools.store, tools.workspace) if key == shared else None
        if entered and entered.record.job_id != record.job_id:
            continue
        entry = Result(key=key, record=record.model_copy(update={"metadata": {}, "replaced": (), "beside": ()}))
        tools.store.put(uri, entry.model_dump_json().encode(), content_type="application/json")


def find(work: Work, fingerprint: Fingerprint, tools: Tools) -> Paid | None:
    """What was paid for this picture and this recipe, by whatever job, if it is there and the run may take it."""
    key, message, options = work.result_key(fingerprint.sha256), work.message, work.options
    if not key or options.reread:
        return None
    if is_made_anew(message.job.params, job_id=message.job_id, run_id=message.run_id):
        return None
    entry = read(key, tools.store, tools.workspace)
    if entry is None or key not in _keys_of(entry.record, options, message.job.variant):
        return None
    if options.overwrite and entry.record.run_id != message.run_id:
        return None
    # A job's own answer, which was paid for and waits, is stored, not left.
    if patiently(tools.stopping, in_redis.waits, message.job_id, fingerprint.token, tools.fleet.state):
        return None
    return there(entry.record, tools.store, tools.workspace)


def _keys_of(record: Record, options: RunOptions, variant: str) -> tuple[str, str]:
    """The keys that a record's result may be found by."""
    return key_of(record, options, variant=variant), shared_key_of(record, options, variant=variant)


def read(key: str, store: Store, workspace: Workspace) -> Result | None:
    """The entry of a key; None where there is none that this version reads."""
    try:
        with lying_at(uri := workspace.result(key)):
            entry = Result.read(store.get(uri, max_bytes=_ENTRY_BYTES).data)
    except (InputNotFound, InvalidImage, ValidationError):
        return None
    return entry if entry.key == key else None


def there(record: Record, store: Store, workspace: Workspace) -> Paid | None:
    """The result that a record is of, with its outputs where they lie now; None where one of them is gone."""
    if not 1 <= len(record.outputs) <= _SAMPLES:
        return None
    outputs, heads = [], []
    for output in record.outputs:
        located = _there(output, store, workspace)
        if located is None:
            return None
        uri, head = located
        outputs.append(output.model_copy(update={"uri": uri}))
        heads.append(head)
    return Paid(record.model_copy(update={"outputs": tuple(outputs)}), tuple(heads))


def _there(output: RecordOutput, store: Store, workspace: Workspace) -> tuple[str, Head] | None:
    """Where the very bytes of an output lie: at their place, or in replaced/."""
    if output.content_type not in SUFFIXES or not output.sha256.isalnum():
        return None
    for uri in (output.uri, workspace.replaced(output.sha256, suffix_of(output.content_type))):
        try:
            head = store.head(uri)
            if head is None or head.bytes != output.bytes:
                continue
            if sha256_of(uri, head, store, max_bytes=LARGEST) == output.sha256:
                return uri, head
        except (InputNotFound, InvalidImage, ObjectRefused, StoreAccessDenied, ValueError):
            continue  # gone meanwhile, another's by now, or no place at all
    return None
